from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from santajupyter.prompt.tokenizer import LONG, CodeTokenizer

from ..checkpoint import TEXT, make_tokenizer
from ..conftest import REAL_TOKENIZER

# As GPT-4's and those after it: marks take the newlines behind them, and slashes behind those.
NEWER = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "x = f(1)\n// y\nif x:\n\treturn (a +\n    b)\n\n\n/* z */\n",
)
lines = st.lists(
    st.sampled_from(
        ["", " ", "\t", "    x = f(1,", "// y", "/", "é", "#", "return (a)  ", "\r", "日本", "'''"]
    )
    | st.text(st.sampled_from("ab (\n\t)/#\r\"'1_é"), max_size=6),
    max_size=12,
)


def newer() -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    regex, text = NEWER
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text] * 4, BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


def across_lines() -> Tokenizer:
    """Nothing cuts its texts into words."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    trainer = BpeTrainer(vocab_size=150, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator([TEXT + "☺"], trainer)
    return tokenizer


def fresh(make: Callable[[], Tokenizer]) -> CodeTokenizer:
    return CodeTokenizer.from_json(make().to_str())


TOKENIZERS = {"byte level": fresh(make_tokenizer), "newer": fresh(newer), "across lines": fresh(across_lines)}
if REAL_TOKENIZER.is_file():
    TOKENIZERS["SantaCoder's"] = CodeTokenizer.from_folder(REAL_TOKENIZER.parent)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(above=lines, typed=st.lists(st.text(st.sampled_from("ab (\n\t)/#\r é"), max_size=4), max_size=8))
def test_a_long_text_has_the_tokens_that_it_has_in_one_go(
    name: str, above: list[str], typed: list[str]
) -> None:
    tokenizer = TOKENIZERS[name]
    text = "a = b + c\n" * (LONG // 10) + "\n".join(above)
    for key in typed:
        text += key
        assert tokenizer.encode(text) == tokenizer._encoded(text)


def test_above_the_line_that_is_typed_nothing_is_encoded_again() -> None:
    tokenizer = fresh(make_tokenizer)
    for length in range(1, 5):
        tokenizer.encode("a = b + c\n" * LONG + "x = 1"[:length])
    assert tokenizer._head.cache_info().misses == 1


def test_where_tokens_reach_across_lines_a_text_is_one() -> None:
    across = fresh(across_lines)
    assert any("\n" in token.strip("\n▁ ") for token in across._sorted)
    across.encode("a = b + c\n" * LONG + "x")
    assert not across._head.cache_info().currsize
