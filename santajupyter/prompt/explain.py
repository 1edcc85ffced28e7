"""What the model sees, by piece: which cell, how many tokens, how many of them in the prompt cache.

Pure, like document.py and fim.py: locate_pieces knows no tokens, explain knows no cells.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

from ..protocol import Cell
from .cursor import Excerpt
from .document import Document, Origin
from .fim import Family, Prompt
from .tokenizer import CodeTokenizer

# {"prefix": [[name, end], …], "suffix": …}: consecutive pieces; ends are code points into the text.
# {"absent": [[name, length], …]}: cells that neither has.
Pieces = Mapping[str, Sequence[tuple[str, int]]]
# Tokens; a text may have U+FFFD itself.
LONGEST_CHARACTER = 8
LEFT, RIGHT, OTHER = "left of the cursor", "right of the cursor", "added by the server"


def locate_pieces(document: Document, where: Excerpt, notebook: Sequence[Cell]) -> Pieces:
    """Which part of the document's texts is which cell of the notebook, and what belongs to none.

    Blanks go to the piece after them. Of cells with the same text only the nearest is in the document. Those
    out of reach count as one where there are several.
    """
    there = {origin.cell for origin in (*document.origins, *document.origins_below)}
    far_below = where.first + len(where.cells)
    near = range(where.first, far_below)
    absent = [
        *_absent(notebook, range(where.first)),
        *(one for n in near if n - where.first not in there for one in _absent(notebook, range(n, n + 1))),
        *_absent(notebook, range(far_below, len(notebook))),
    ]
    return {
        "prefix": [*_named(document.prefix, document.origins, where, LEFT)],
        "suffix": [*_named(document.suffix, document.origins_below, where, RIGHT)],
        "absent": absent,
    }


def _absent(notebook: Sequence[Cell], numbers: range) -> list[tuple[str, int]]:
    """The cells as one, if they say anything: the name and how many characters they have."""
    said = [n for n in numbers if notebook[n].source and not notebook[n].source.isspace()]
    if not said:
        return []
    name = f"cell {said[0] + 1}" if len(said) == 1 else f"cells {said[0] + 1} to {said[-1] + 1}"
    return [(name, sum(len(notebook[n].source.strip("\n")) for n in said))]


def _named(text: str, origins: Iterable[Origin], where: Excerpt, active: str) -> Iterator[tuple[str, int]]:
    """(name, end) of each piece."""
    start = end = 0
    for cell, run in groupby(origins, lambda origin: origin.cell):
        end += sum(origin.length for origin in run)
        if end == start or (cell is None and text[start:end].isspace()):
            continue
        start = end
        if cell is None:
            yield OTHER, end
        else:
            yield active if cell == where.active else f"cell {where.first + cell + 1}", end


def explain(
    document: Document,
    prompt: Prompt,
    tokenizer: CodeTokenizer,
    family: Family | None,
    pieces: Pieces,
    cached: int,
) -> dict[str, Any]:
    """``{pieces: [{name, text, tokens, cached}], healed, left_out: [{name, characters}]}``.

    The pieces in the prompt's order; the family's own tokens are pieces named ``format``. ``cached``: how
    many of the prompt's first ids are in the prompt cache. ``healed``: the text that was taken off the
    prompt's end, to be generated again.
    """
    healed = tokenizer.decode(prompt.healed)
    texts = {"prefix": healed, "suffix": ""}
    runs = _runs(prompt.ids, family, tokenizer)
    for part, ids in runs:
        if part != "format":
            texts[part] = tokenizer.decode(ids) + texts[part]
    kept = {
        "prefix": _kept(
            document.prefix, pieces["prefix"], _spans(document, prompt.segments, len(texts["prefix"]))
        ),
        "suffix": _kept(document.suffix, pieces["suffix"], [(0, len(texts["suffix"]))]),
    }
    shown = []
    start = 0
    for part, ids in runs:
        counted = max(0, cached - start)
        if part == "format":
            text = "".join(map(tokenizer.raw, ids))
            shown.append(_piece("format", text, len(ids), counted))
        else:
            lengths = [(name, length) for name, length, _ in kept[part]]
            shown += _split(ids, tokenizer.decode(ids), lengths, counted, tokenizer)
        start += len(ids)
    left_out: dict[str, int] = {}
    for name, _, lost in [*kept["prefix"], *kept["suffix"]]:
        if lost.strip():
            left_out[name] = left_out.get(name, 0) + len(lost)
    left_out.update(pieces["absent"])
    named = [{"name": name, "characters": characters} for name, characters in left_out.items()]
    return {"pieces": shown, "healed": healed, "left_out": named}


def _spans(document: Document, segments: Sequence[int], length: int) -> list[tuple[int, int]]:
    """What the prompt has of the prefix, in order: of the segments that were kept, and of the text that no

    segment covers, the last ``length`` characters.
    """
    ends = [0, *accumulate(segment.length for segment in document.segments)]
    spans = [*((ends[n], ends[n + 1]) for n in segments), (ends[-1], len(document.prefix))]
    found = []
    for start, end in reversed(spans):
        start = max(start, end - length)
        length -= end - start
        found.append((start, end))
    return found[::-1]


def _kept(
    text: str, pieces: Sequence[tuple[str, int]], spans: Sequence[tuple[int, int]]
) -> list[tuple[str, int, str]]:
    """Of each piece of the text its name, how many characters of it are in the spans, and what is in none."""
    found, number, start = [], 0, 0
    for name, end in pieces:
        inside, at, lost = 0, start, []
        while number < len(spans) and spans[number][0] < end:
            first, last = max(spans[number][0], start), min(spans[number][1], end)
            lost.append(text[at:first])
            inside, at = inside + last - first, last
            if spans[number][1] > end:
                break
            number += 1
        found.append((name, inside, "".join([*lost, text[at:end]])))
        start = end
    return found


def _runs(
    ids: Sequence[int], family: Family | None, tokenizer: CodeTokenizer
) -> list[tuple[str, Sequence[int]]]:
    """The prompt as ("format" | "prefix" | "suffix", ids); the suffix stands behind its sentinel."""
    sentinels = [tokenizer.id(token) for token in family.sentinels] if family else [None, None, None]
    bos = tokenizer.id(family.bos) if family and family.bos else None
    runs: list[tuple[str, list[int]]] = []
    part = "prefix"
    for token in ids:
        is_format = token is not None and token in (*sentinels, bos)
        kind = "format" if is_format else part
        if token in sentinels:
            part = "suffix" if token == sentinels[1] else "prefix"
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(token)
    return [(kind, run) for kind, run in runs]


def _split(
    ids: Sequence[int], text: str, lengths: Sequence[tuple[str, int]], cached: int, tokenizer: CodeTokenizer
) -> list[dict[str, Any]]:
    """A run's pieces; a token counts for the piece in which it ends."""
    ends: dict[int, str] = {}
    end = 0
    for name, length in lengths:
        if length:
            if end and ends[end] == name:
                del ends[end]
            end += length
            ends[end] = name
    pieces = []
    begun = token = 0
    reached = [*_reached(ids, tokenizer)]
    for end, name in ends.items():
        end = min(end, len(text))
        if end <= begun:
            continue
        last = bisect_left(reached, end, token) if reached[-1] >= end else len(ids)
        pieces.append(_piece(name, text[begun:end], last - token, cached - token))
        begun, token = end, last
    return pieces


def _reached(ids: Sequence[int], tokenizer: CodeTokenizer) -> Iterator[int]:
    """How many whole characters the first none, one, two, … of the ids are."""
    done = 0
    half: list[int] = []
    yield done
    for token in ids:
        half.append(token)
        text = tokenizer.decode(half)
        if not text.endswith("\ufffd") or len(half) == LONGEST_CHARACTER:
            done, half = done + len(text), []
        yield done + len(text.rstrip("\ufffd")) if half else done


def _piece(name: str, text: str, tokens: int, cached: int) -> dict[str, Any]:
    """``cached``: how many of the ids from the piece's first on are."""
    return {"name": name, "text": text, "tokens": tokens, "cached": min(max(cached, 0), tokens)}
