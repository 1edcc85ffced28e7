"""Where documentation goes, and that it never changes the program."""

from __future__ import annotations

import pytest

from santajupyter.doccomments import same_program, slots, written

PYTHON = """\
%matplotlib inline
class Deer:
    def __init__(self):
        # the nose
        self.red = True
    @property
    def name(self): return "🦌"
    async def fly(
        self,
        height=3,
    ):

        @cache
        def inner(): pass

def told():
    "is"
def f(x):
    return ("%d"
    % x)
"""
JAVA = """\
public class Deer {
    @Override
    public String name(int n) throws IOException {
        if (n > 1) { return list(n); }
        return new Deer() {};
    }
    /** is */
    static <T> List<T> all(List<T> of) {
        for (T t : of) { }
    }
    Map<String, Integer> count(String[] words) {
        synchronized (this) { }
    }
}
"""
JAVASCRIPT = """\
export async function load(url) {
  if (url) { fetch(url); }
}
const mean = xs => sum(xs) / xs.length;
export const add = (a, b) => a + b;
class Deer {
  constructor(name) {
    this.name = name;
  }
  static async fly() {
    while (true) { }
  }
}
"""


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [
        ("python", PYTHON, ["__init__", "fly", "f"]),
        ("java", JAVA, ["name", "count"]),
        ("javascript", JAVASCRIPT, ["load", "mean", "add", "constructor", "fly"]),
    ],
)
def test_functions_without_documentation(language: str, source: str, names: list[str]) -> None:
    assert [slot.name for slot in slots(source, language)] == names


def documented(source: str, language: str, words: str) -> str:
    for slot in reversed(slots(source, language)):
        source = source[: slot.at] + written(slot, words) + source[slot.at :]
    return source


@pytest.mark.parametrize(
    "words",
    ["One line.", "Two\n    lines.", 'ends with "', "a \\d path\\", "{braces} %s 🎅", 'the end""" + evil'],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_python_stays_the_same_program(words: str, newline: str) -> None:
    source = PYTHON.replace("\n", newline)
    new = documented(source, "python", words)
    assert new != source
    assert same_program(new, source)
    assert slots(new, "python") == []


def test_a_docstring_stands_below_the_header() -> None:
    assert documented(PYTHON, "python", "Is it red?\nYes.").splitlines()[2:7] == [
        "    def __init__(self):",
        '        """Is it red?',
        "Yes.",
        '        """',
        "        # the nose",
    ]


def test_javadoc_stands_above_the_annotation() -> None:
    lines = documented(JAVA, "java", "Its name.\n   * @param n how often").splitlines()
    assert lines[1:6] == [
        "    /**",
        "     * Its name.",
        "     * @param n how often",
        "     */",
        "    @Override",
    ]


def test_no_words_no_documentation() -> None:
    assert documented(PYTHON, "python", " \n ") == PYTHON
    assert documented(JAVASCRIPT, "javascript", "*/ evil()") == JAVASCRIPT


def test_unfinished_python_is_named_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"isn't complete Python \(line 2\)"):
        slots("x = 1\ndef f(:\n", "python")


@pytest.mark.parametrize("changed", ["def f(x):\n    return 2\n", "def f(:"])
def test_another_program_is_seen(changed: str) -> None:
    assert not same_program(changed, "def f(x):\n    return 1\n")
