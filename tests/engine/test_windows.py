from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from santajupyter.engine.promptcache import PromptCache
from santajupyter.engine.windows import Windows
from santajupyter.prompt.document import CODE, FACT, USED, Document, Segment
from santajupyter.prompt.fim import FAMILIES, Prompt, fit
from santajupyter.prompt.tokenizer import CodeTokenizer

from ..checkpoint import make_tokenizer

TINY = CodeTokenizer.from_json(make_tokenizer().to_str())
WINDOW = 300


@dataclass(eq=False)
class Keys:
    """Keys and values that are none."""

    size: int = 0

    def can_be_cut(self) -> bool:
        return True

    def beginning(self, length: int) -> Keys:
        return Keys(length)

    def cut(self, length: int) -> None:
        self.size = length


@dataclass
class Reader:
    """Reads prompts as the engine does, into a prompt cache of its own."""

    cache: PromptCache = field(default_factory=lambda: PromptCache(Keys, 10_000))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        self.windows = Windows(WINDOW, self.cache.cached)

    def type(self, document: Document) -> tuple[Prompt, int]:
        """The prompt, and how many of its tokens had to be read."""
        return self._read(document, self.windows.choose(lambda *, keep=(): made(document, keep)))

    def rest(self, document: Document) -> tuple[Prompt, int]:
        return self._read(document, made(document))

    def _read(self, document: Document, prompt: Prompt) -> tuple[Prompt, int]:
        self.windows.remember(document, prompt)
        with self.cache.using(prompt) as entry:
            entry.ids[:] = prompt.ids
            entry.kv.size = len(prompt.ids)  # type: ignore[misc]
            return prompt, len(prompt.ids) - entry.cached


def made(document: Document, keep: tuple[str, ...] = ()) -> Prompt:
    return fit(document, TINY, FAMILIES["santacoder"], WINDOW, 40, keep=keep)


def notebook(rest: str, used: int | None = None, cells: int = 40, facts: str = "") -> Document:
    """Cells that don't all fit; the number of one whose name the cell with the cursor uses."""
    texts = [f"value_{number} = load({number})\n\n" for number in range(cells)]
    ranks = [USED if number == used else CODE for number in range(cells)]
    if facts:
        texts, ranks = [*texts, facts], [*ranks, FACT]
    prefix = "".join(texts) + rest
    return Document(prefix, "\nend", segments=tuple(map(Segment, map(len, texts), ranks)))


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    reader.rest(notebook("x"))
    yield reader


def test_while_the_user_types_the_window_stays(reader: Reader) -> None:
    prompt, unread = reader.type(notebook("x = y", used=3))
    assert unread < 20
    assert "value_3 " not in TINY.decode(prompt.ids)


def test_it_moves_while_he_rests_and_stays_there(reader: Reader) -> None:
    prompt, _ = reader.rest(notebook("x = y", used=3))
    assert "value_3 " in TINY.decode(prompt.ids)
    prompt, unread = reader.type(notebook("x = y + 1", used=5))
    assert unread < 20
    assert "value_3 " in TINY.decode(prompt.ids)


def test_what_is_new_near_the_cursor_is_there(reader: Reader) -> None:
    for number in range(41, 60):
        prompt, _ = reader.type(notebook("x", cells=number))
        assert f"value_{number - 1} " in TINY.decode(prompt.ids)


def test_what_has_changed_is_never_kept(reader: Reader) -> None:
    reader.rest(notebook("x", facts="# a: int\n\n"))
    prompt, _ = reader.type(notebook("x = y", used=3, facts="# a: str\n\n"))
    text = TINY.decode(prompt.ids)
    assert "# a: str" in text
    assert "# a: int" not in text


@pytest.mark.parametrize(("stale", "tried"), [(64, 1), (0, 2)])
def test_a_suffix_that_moves_along_is_no_reason_for_another_window(stale: int, tried: int) -> None:
    """With many tokens below the cursor nine prompts were made for each key."""
    suffix, made = tuple(range(200)), []
    reader = Reader()

    def make(*, keep: tuple[str, ...] = ()) -> Prompt:
        made.append(keep)
        return Prompt((*range(50 + len(made)), 400, *suffix, 401), 5, below=202, stale=stale)

    reader.windows.remember(notebook("x"), make())
    with reader.cache.using(make()) as entry:
        entry.ids[:] = range(52)
    made.clear()
    reader.windows.choose(make)
    assert len(made) == tried


STEP = st.tuples(st.booleans(), st.integers(0, 39), st.integers(30, 60), st.text("ab =\n", max_size=120))


@settings(max_examples=25)
@given(st.lists(STEP, max_size=8))
def test_it_always_fits_and_never_costs_more_than_the_best(
    steps: list[tuple[bool, int, int, str]],
) -> None:
    reader = Reader()
    for rests, used, cells, rest in steps:
        document = notebook(rest, used, cells)
        best = made(document)
        most = len(best.ids) - reader.cache.cached(best.ids)
        prompt, unread = (reader.rest if rests else reader.type)(document)
        assert unread <= most
        assert len(prompt.ids) + len(prompt.healed) + prompt.max_new_tokens <= WINDOW
        assert not prompt.segments or prompt.segments[-1] == cells - 1
