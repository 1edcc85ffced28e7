"""Where documentation goes, and that it never changes the program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from santajupyter.prompt.doccomments import addition, same_program, slot_around, slots, written

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
JAVA = '''\
public class Deer<T extends Comparable<T>> {
    public Deer(String name) {
        this.name = "void fake() {";
    }
    Deer() { }
    @Override
    public String name(int n) throws IOException {
        if (n > 1) { return list(n); }
        return new Deer() {};
    }
    /** is */
    static <T> List<T> all(List<T> of) {
        for (T t : of) { }
    }
    @Nullable @Named("a(b) {") public <K extends Comparable<K>, V> Map<K, List<V>> group(
        final Map<K, ? extends V> in, @Size(max = 3) int... more
    ) {
        Runnable r = () -> { run(); };
        String text = """
            int fake(int x) {
            """;
        // int commented(int x) {
        try (Reader r = open(x)) { } catch (IOException e) { }
        synchronized (this) { }
        throw new Error(x) { };
    }
    abstract void none(int x);
    int[] array(int[] a) { return a; }
}
'''
JAVASCRIPT = """\
export async function load(url) {
  if (url) { fetch(url); }
}
const mean = xs => sum(xs) / xs.length;
export const add = (a, b = f(1), { c } = {}) => a + b;
module.exports = function (x) { return x; };
export default class Deer extends Animal {
  #herd = (event) => { this.call(`{ ${event} }`); };
  constructor(name, { age = 3 } = {}) {
    super(name);
    this.name = (name);
    this.text = `
  function inTemplate(x) {
  `;
  }
  static async *fly() {
    while (true) { }
  }
  #hidden(x) { return "function inString() {"; }
}
/*
function inComment() {
}
*/
const object = {
  method(a) { return a; },
  property: (a) => a,
  text: ("no"),
};
async function* many(
  a,
  b
) { yield a; }
items.forEach(function (item) { use(item); });
describe("x", () => { });
// function inLine() {
/** is */
function told() { }
"""


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [
        ("python", PYTHON, ["__init__", "name", "fly", "inner", "f"]),
        ("java", JAVA, ["Deer", "Deer", "name", "group", "array"]),
        (
            "javascript",
            JAVASCRIPT,
            [
                "load",
                "mean",
                "add",
                "module.exports",
                "#herd",
                "constructor",
                "fly",
                "#hidden",
                "method",
                "property",
                "many",
            ],
        ),
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


@pytest.mark.parametrize(
    ("source", "new"),
    [
        ("def f(x): return x", 'def f(x):\n    """Is."""\n    return x'),
        (
            "class A:\n  def f(x):return [\n x]\n",
            'class A:\n  def f(x):\n      """Is."""\n      return [\n x]\n',
        ),
        ("if 1:\n\tdef f(x): a; b", 'if 1:\n\tdef f(x): \n\t\t"""Is."""\n\t\ta; b'),
        ("def f(\n    x,\n) -> '🎅': pass", 'def f(\n    x,\n) -> \'🎅\':\n    """Is."""\n    pass'),
    ],
)
def test_a_function_on_one_line_gets_room(source: str, new: str) -> None:
    assert documented(source, "python", "Is.") == new


AROUND = {
    "python": """\
x = '🎅'
class Deer:
    @cache
    async def fly(
        self,
    ):
        def inner(): return 1
        return inner

    def told(self):
        "is"
y = !ls
""",
    "javascript": """\
const mean = xs =>
  sum(xs);
/** is */
function told() {}
function load(
  url
) {
  const inner = x => x;
  return [
    inner
  ];

}
load();
""",
}


@pytest.mark.parametrize(
    ("language", "cursor", "name"),
    [
        ("python", "@cache", "fly"),
        ("python", "elf,", "fly"),
        ("python", "inner():", "inner"),
        ("python", "return inner", "fly"),
        ("python", "\n    def told", "fly"),
        ("javascript", "const mean", "mean"),
        ("javascript", "sum(xs)", "mean"),
        ("javascript", "url", "load"),
        ("javascript", ") {\n  const", "load"),
        ("javascript", "inner =", "inner"),
        ("javascript", "return", "load"),
        ("javascript", "}\nload", "load"),
    ],
)
def test_the_function_around_the_cursor(language: str, cursor: str, name: str) -> None:
    source = AROUND[language]
    assert slot_around(source, source.index(cursor), language).name == name


@pytest.mark.parametrize(
    ("language", "cursor", "why"),
    [
        ("python", "x =", "The cursor is in no function."),
        ("python", "class", "The cursor is in no function."),
        ("python", "y =", "The cursor is in no function."),
        ("python", '"is"', "told is documented already."),
        ("javascript", "told", "told is documented already."),
        ("javascript", "load();", "The cursor is in no function."),
        ("r", "", "Only functions in Python, Java and JavaScript are documented."),
    ],
)
def test_no_function_to_document(language: str, cursor: str, why: str) -> None:
    source = AROUND.get(language, "f <- function(x) x")
    with pytest.raises(ValueError, match=f"^{why}$"):
        slot_around(source, source.index(cursor), language)


@pytest.mark.parametrize("source", ["(" * 5000 + ")" * 5000, "x = " + "-" * 20000 + "1"])
def test_code_nested_too_deeply_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="isn't complete Python"):
        slot_around(source, 0, "python")


def test_what_would_change_the_program_is_not_added() -> None:
    source = "def f(x):\n    return x\n"
    (slot,) = slots(source, "python")
    assert addition(source, slot, "Is.", "python") == '    """Is."""\n'
    assert addition(source, replace(slot, indent="", opening='"""'), "Is.", "python") == ""


def test_javadoc_stands_above_the_annotation() -> None:
    lines = documented(JAVA, "java", "Its name.\n   * @param n how often").splitlines()
    assert lines[lines.index("    @Override") - 4 :][:5] == [
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
