from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import CODE, NARRATIVE, USED, Document, Segment, document
from santajupyter.prompt.fim import FAMILIES, fit, recognize
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell

from ..checkpoint import TEXT, make_tokenizer
from ..conftest import REAL_TOKENIZER

TINY = CodeTokenizer.from_json(make_tokenizer().to_str())
SANTA = FAMILIES["santacoder"]
PRE, MID, SUF = (TINY.id(token) for token in ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"))
code = st.text(st.sampled_from("abc def():\n 19🦌ß\t<|fim-prefix>"), max_size=200)


def test_spm_is_santacoders_default() -> None:
    """Variant 2 of bigcode-project/Megatron-LM's permute: both sentinels, suffix, middle sentinel, prefix."""
    prompt = fit(Document("a = ", "\nb"), TINY, SANTA, 100, 10)
    assert prompt.ids == (PRE, SUF, *TINY.encode("\nb"), MID, *TINY.encode("a = ")[:-1])
    assert prompt.healed == tuple(TINY.encode("a = ")[-1:])


def test_psm() -> None:
    prompt = fit(Document("a = ", "\nb"), TINY, SANTA, 100, 10, order="psm")
    assert prompt.ids == (PRE, *TINY.encode("a = ")[:-1], SUF, *TINY.encode("\nb"), MID)
    assert prompt.ids[-prompt.below :] == (SUF, *TINY.encode("\nb"), MID)
    assert fit(Document("a = ", "\nb"), TINY, SANTA, 100, 10).below == 0
    assert fit(Document("a = ", ""), TINY, SANTA, 100, 10, order="psm").below == 0


def test_the_last_token_is_healed() -> None:
    prompt = fit(Document("return o", " \n"), TINY, SANTA, 100, 10)
    ids = TINY.encode("return o")
    assert prompt.ids == tuple(ids[:-1])
    assert prompt.healed == tuple(ids[-1:])
    assert ids[-1] in TINY.tokens_along(TINY.raw(ids[-1]))


@pytest.mark.parametrize(
    ("text", "healed"),
    [
        ("x = num", " num"),  # numpy with its space is a token
        ("x = numq", "q"),
        ("x = y.num", "um"),
        ("x = fibon", " fibon"),
        ("fibon", "bon"),
        ("x = é", ""),
        ("x = 日", ""),
    ],
)
def test_so_are_all_that_a_token_begins_with(text: str, healed: str) -> None:
    """A bug: ``df.groupb`` never became ``groupby``, one token, since only its ``b`` was made again."""
    prompt = fit(Document(text, "\ny"), TINY, SANTA, 100, 10)
    assert TINY.decode(prompt.healed) == healed
    assert TINY.decode(prompt.ids).endswith(text.removesuffix(healed))


def test_a_model_without_fim_tokens_completes_left_to_right() -> None:
    assert fit(Document("import os", "\nx"), TINY, None, 100, 10).ids == tuple(TINY.encode("import os")[:-1])


def test_an_empty_document_has_a_prompt() -> None:
    assert fit(Document("", ""), TINY, SANTA, 100, 10).ids == (TINY.id("<|endoftext|>"),)


@given(code, code, st.integers(16, 64), st.integers(1, 80), st.sampled_from(["auto", "psm"]))
def test_prompt_and_new_tokens_fit_the_window(
    prefix: str, suffix: str, window: int, new: int, order: str
) -> None:
    prompt = fit(Document(prefix, suffix), TINY, SANTA, window, new, order)
    assert len(prompt.ids) + len(prompt.healed) + prompt.max_new_tokens <= window
    assert 0 < prompt.max_new_tokens <= new


@given(code, code)
def test_text_never_becomes_a_special_token(prefix: str, suffix: str) -> None:
    prompt = fit(Document(prefix, suffix + "."), TINY, SANTA, 4096, 10)
    sentinels = {i for i in prompt.ids if i >= TINY.size - 5}
    assert sentinels == {PRE, SUF, MID}
    assert [i for i in prompt.ids if i in sentinels] == [PRE, SUF, MID]


@given(code)
def test_encode_and_decode_are_inverse(text: str) -> None:
    assert TINY.decode(TINY.encode(text)) == text


def test_unmarked_control_tokens_are_text_too() -> None:
    """Qwen2.5-Coder's tokenizer doesn't mark its FIM tokens special, so they were parsed in users' text."""
    config = json.loads(make_tokenizer(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]).to_str())
    for token in config["added_tokens"]:
        token["special"] = False
    tokenizer = CodeTokenizer.from_json(json.dumps(config))
    assert recognize(tokenizer) == "qwen2.5-coder"
    assert tokenizer.id("<|fim_prefix|>") not in tokenizer.encode("x<|fim_prefix|>")


def test_a_long_notebooks_prompt_keeps_its_beginning_while_typing() -> None:
    """The cut is made in steps: most keystrokes only lengthen the prompt's tail."""
    source = "\n".join(f"x{i} = {i}" for i in range(400))
    starts = [fit(Document(source + "y" * n, "\nz"), TINY, SANTA, 256, 10).ids[:40] for n in range(20)]
    assert sum(a != b for a, b in itertools.pairwise(starts)) <= 1


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize("lines", [10, 30, 300])
def test_typing_in_a_full_window_only_lengthens_the_prefix(order: str, lines: int) -> None:
    """Wherever the cursor is, the cuts of prefix and suffix stay where they are."""
    above, below = ("\n".join(f"{x}{i} = {i}" for i in range(n)) for x, n in (("a", lines), ("b", 300)))
    prompts = [fit(Document(above + "y " * n, "\n" + below), TINY, SANTA, 512, 10, order) for n in range(20)]
    splits = [(prompt.ids.index(SUF), prompt.ids.index(MID)) for prompt in prompts]
    if order == "spm":
        kept = [prompt.ids[: mid + 20] for prompt, (_, mid) in zip(prompts, splits, strict=True)]
    else:
        kept = [prompt.ids[:20] + prompt.ids[suf:] for prompt, (suf, _) in zip(prompts, splits, strict=True)]
    assert sum(a != b for a, b in itertools.pairwise(kept)) <= 1


@pytest.mark.parametrize(("separator", "begins"), [("\n\n", "x"), ("\n", "x"), (" + ", "")])
def test_a_cut_prefix_begins_with_a_statement(separator: str, begins: str) -> None:
    source = "y = 1\n" + separator.join(f"x{i} = {i}\ny = 2" for i in range(300))
    for more in range(40):
        prompt = fit(Document(source + " + 1" * more, ""), TINY, SANTA, 256, 10)
        text = TINY.decode(prompt.ids)
        assert text.startswith(begins) or (separator == "\n" and text.startswith("y = 2"))
        assert 256 * 0.7 < len(prompt.ids) <= 246


def test_the_suffix_yields_to_the_prefix_but_keeps_its_share() -> None:
    prompt = fit(Document("a b c\n" * 100, "\nd e f" * 100), TINY, SANTA, 200, 20, order="psm")
    suffix_length = len(prompt.ids) - prompt.ids.index(SUF) - 2
    assert suffix_length == int((200 - 20 - 3) / 4)


def in_parts(*parts: tuple[str, int], rest: str = "x") -> Document:
    prefix = "".join(text for text, _ in parts) + rest
    return Document(prefix, "", segments=tuple(Segment(len(text), rank) for text, rank in parts))


class TestParts:
    def test_all_stay_while_there_is_room(self) -> None:
        found = fit(
            in_parts(("a = 1\n\n", NARRATIVE), ("b = 2\n\n", CODE), rest="c = "), TINY, SANTA, 100, 10
        )
        assert found.ids == tuple(TINY.encode("a = 1\n\nb = 2\n\nc = ")[:-1])

    def test_the_nearest_stay_then_the_best_in_the_documents_order(self) -> None:
        story = [(f"# story {i}, " + "nothing " * 4 + "\n\n", NARRATIVE) for i in range(12)]
        parts = [story[0], ("import far\n\n", USED), *story[1:6], ("other = 1\n\n", CODE), *story[6:]]
        text = TINY.decode(fit(in_parts(*parts, rest="far."), TINY, SANTA, 300, 40).ids)
        assert text.startswith("import far\n\n")
        assert text.index("other = 1") < text.index("# story 10") < text.index("# story 11")
        assert "# story 0" not in text

    def test_without_room_for_any_the_rest_loses_its_beginning(self) -> None:
        rest = "y = 1\n" * 100
        plain = fit(Document(rest, ""), TINY, SANTA, 100, 10)
        assert fit(in_parts(("import far\n\n", USED), rest=rest), TINY, SANTA, 100, 10) == plain

    @given(st.lists(st.tuples(code, st.integers(0, 4)), max_size=8), code, code, st.integers(16, 200))
    def test_they_fit_the_window(
        self, parts: list[tuple[str, int]], rest: str, suffix: str, window: int
    ) -> None:
        where = in_parts(*parts, rest=rest)
        prompt = fit(Document(where.prefix, suffix, segments=where.segments), TINY, SANTA, window, 40)
        assert len(prompt.ids) + prompt.max_new_tokens <= window

    def test_a_long_notebook_is_hardly_tokenized(self) -> None:
        tokenizer = CodeTokenizer.from_json(make_tokenizer().to_str())
        seen: list[str] = []
        encode = tokenizer.encode
        tokenizer.encode = lambda text: seen.append(text) or encode(text)  # type: ignore[method-assign, func-returns-value]
        cells = [Cell(f"def f{i}(x):\n    return x + {i}\n\nprint(f{i}({i}))") for i in range(2000)]
        counts = []
        for typed in ("y = f19", "y = f199"):
            cells[1500] = Cell(typed)
            seen.clear()
            fit(document(excerpt(cells, 1500, len(typed))), tokenizer, SANTA, 512, 64)
            counts.append(sum(map(len, seen)))
        assert sum(len(cell.source) for cell in cells) > 80_000
        assert counts[0] < 8_000
        assert counts[1] < 4_000


@given(
    st.integers(0, 40),
    st.sampled_from(["nam", "имя = им", "x = f3", "if f1(2"]),
    st.sampled_from([256, 512, 4096]),
)
def test_a_character_more_of_a_word_changes_only_the_prompts_tail(
    active: int, typed: str, window: int
) -> None:
    """But where not everything fits any more, and then once a step: of 20 characters, at two."""
    cells = [Cell(f"f{i} = g(f{i // 2})", execution_count=i * 7 % 40 + 1) for i in range(40)]
    cells.insert(active, Cell("a = f1\nb = f39\nc = f20\nd = 4\n"))
    prompts = []
    for length in range(20):
        source = cells[active].source + typed + "a" * length
        here = [*cells[:active], Cell(source), *cells[active + 1 :]]
        prompts.append(fit(document(excerpt(here, active, len(source))), TINY, SANTA, window, 20).ids)
    breaks = sum(after[: len(before) - 6] != before[:-6] for before, after in itertools.pairwise(prompts))
    assert breaks <= 2


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_is_recognized(name: str) -> None:
    family = FAMILIES[name]
    special = [*family.sentinels, *([family.bos] if family.bos else [])]
    found = recognize(CodeTokenizer.from_json(make_tokenizer(special, 420).to_str()))
    assert FAMILIES[found] == family


def test_no_family() -> None:
    assert recognize(CodeTokenizer.from_json(make_tokenizer([]).to_str())) == ""


def test_sentencepiece_pieces_have_no_dummy_space() -> None:
    """CodeLlama's tokenizer puts a space before each text: the suffix would begin with one."""
    plain = Tokenizer(BPE(unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    plain.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    plain.train_from_iterator(
        [TEXT + "☺"], BpeTrainer(vocab_size=150, special_tokens=["<unk>"], show_progress=False)
    )
    tokenizer = CodeTokenizer.from_json(plain.to_str())
    assert tokenizer.raw(tokenizer.encode("n < 2")[0]).startswith("n")
    assert tokenizer.decode(tokenizer.encode(" n")) == " n"


@pytest.mark.skipif(not REAL_TOKENIZER.is_file(), reason="needs SantaCoder's tokenizer.json")
class TestRealTokenizer:
    tokenizer = CodeTokenizer.from_folder(Path(REAL_TOKENIZER).parent) if REAL_TOKENIZER.is_file() else TINY

    def test_published_ids(self) -> None:
        assert recognize(self.tokenizer) == "santacoder"
        tokens = ("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>")
        assert [self.tokenizer.id(token) for token in tokens] == [49152, 49153, 49154, 49155, 49156]
        assert self.tokenizer.size == 49157

    def test_digits_are_single_tokens(self) -> None:
        assert len(self.tokenizer.encode("12345")) == 5

    def test_exact_format(self) -> None:
        prompt = fit(Document("def f(n):\n", "\nprint(f(2))"), self.tokenizer, SANTA, 2048, 32)
        encode = self.tokenizer.encode
        assert prompt.ids == (49153, 49155, *encode("\nprint(f(2))"), 49154, *encode("def f(n):\n")[:-1])

    @given(code)
    def test_sentinels_in_text_are_text(self, text: str) -> None:
        assert all(i < 49152 for i in self.tokenizer.encode("<fim-middle>" + text + "<|endoftext|>"))
        assert self.tokenizer.decode(self.tokenizer.encode(text)) == text
