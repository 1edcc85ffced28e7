"""What the model sees, by piece: which cell, how many tokens, how many of them in the prompt cache.

Pure, like notebook.py and fim.py: locate_pieces knows no tokens, explain knows no cells.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

from ..protocol import Cell
from .document import TASK_LINES, Document, render_cell
from .fim import CodeTokenizer, Family, Prompt

# {"prefix": [[name, end], …], "suffix": …}: consecutive pieces; ends are code points into the text.
# {"absent": [[name, length], …]}: cells that neither has.
Pieces = Mapping[str, Sequence[tuple[str, int]]]
LEFT, RIGHT, OTHER = "left of the cursor", "right of the cursor", "added by the server"


def locate_pieces(document: Document, cells: Sequence[Cell], active: int, offset: int) -> Pieces:
    """Which part of the document's texts is which cell, and what belongs to no cell.

    Found by looking for the cells' texts, so it holds whatever else a document is made of, and in
    whatever order. Of cells with the same text it is the nearest.
    """
    left, right = cells[active].source[:offset], cells[active].source[offset:]
    prefix = _Claims(document.prefix, len(document.prefix) - len(left), len(document.prefix), LEFT)
    suffix = _Claims(document.suffix, 0, len(right), RIGHT)
    others = [
        (number, _renderings(cell, document.language))
        for number, cell in enumerate(cells)
        if number != active and cell.source.strip()
    ]
    absent = {}
    # The longest first: the text of a short one may be a line of another.
    for number, forms in sorted(others, key=lambda other: (-len(other[1][0]), abs(other[0] - active))):
        name = f"cell {number + 1}"
        if not any(claims.take(form, name) for claims in (prefix, suffix) for form in forms):
            absent[number] = (name, len(forms[0]))
    in_order = [absent[number] for number in sorted(absent)]
    return {"prefix": prefix.pieces(), "suffix": suffix.pieces(), "absent": in_order}


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
    segments = {
        "prefix": _of_prefix(document, pieces["prefix"], prompt.parts, len(texts["prefix"])),
        "suffix": _of_suffix(document.suffix, pieces["suffix"], texts["suffix"]),
    }
    shown = []
    start = 0
    for part, ids in runs:
        counted = max(0, cached - start)
        if part == "format":
            text = "".join(map(tokenizer.raw, ids))
            shown.append(_piece("format", text, len(ids), counted))
        else:
            kept = [(name, len(text)) for name, text, _ in segments[part]]
            shown += _split(ids, tokenizer.decode(ids), kept, counted, tokenizer)
        start += len(ids)
    left_out: dict[str, int] = {}
    for name, _, lost in [*segments["prefix"], *segments["suffix"]]:
        if lost.strip():
            left_out[name] = left_out.get(name, 0) + len(lost)
    left_out.update(pieces["absent"])
    named = [{"name": name, "characters": characters} for name, characters in left_out.items()]
    return {"pieces": shown, "healed": healed, "left_out": named}


class _Claims:
    """A text of which cells claim their own, at whole lines; ``own`` is the active cell's from the start."""

    def __init__(self, text: str, start: int, end: int, own: str) -> None:
        self._text = text
        self._taken = [(start, end, own)]

    def take(self, piece: str, name: str) -> bool:
        """Claim where the piece stands, the last such place."""
        found = [match.span() for match in re.finditer(rf"(?m)^{re.escape(piece)}$", self._text)]
        for start, end in reversed(found):
            if all(end <= first or last <= start for first, last, _ in self._taken):
                self._taken.append((start, end, name))
                return True
        return False

    def pieces(self) -> list[tuple[str, int]]:
        """All of the text; blanks go to the piece after them, what nobody claimed is OTHER."""
        found: list[tuple[str, int]] = []
        at = 0
        for start, end, name in sorted(self._taken):
            if self._text[at:start].strip():
                found.append((OTHER, start))
                at = start
            if end > at:
                found.append((name, end))
                at = end
        if at < len(self._text):
            name = OTHER if self._text[at:].strip() or not found else found.pop()[0]
            found.append((name, len(self._text)))
        return found


def _renderings(cell: Cell, language: str) -> list[str]:
    """What a cell may look like in a document, the longest first."""
    forms = {cell.source.strip("\n"), render_cell(cell, language), render_cell(cell, language, TASK_LINES)}
    return sorted(filter(None, forms), key=len, reverse=True)


def _of_prefix(
    document: Document, pieces: Sequence[tuple[str, int]], parts: Sequence[int], length: int
) -> list[tuple[str, str, str]]:
    """(name, what was kept, what was lost) of each piece; of the parts that were kept the last ``length``

    characters, and of the text that no part covers.
    """
    ends = [0, *accumulate(part.length for part in document.parts)]
    spans = [*((ends[n], ends[n + 1]) for n in parts), (ends[-1], len(document.prefix))]
    kept = bytearray(len(document.prefix))
    for start, end in reversed(spans):
        start = max(start, end - length)
        length -= end - start
        kept[start:end] = b"\1" * (end - start)
    found = []
    for (name, _), (start, end) in zip(pieces, pairwise([0, *(end for _, end in pieces)]), strict=True):
        letters = list(zip(document.prefix[start:end], kept[start:end], strict=True))
        shown, lost = ("".join(c for c, is_kept in letters if is_kept == side) for side in (True, False))
        found.append((name, shown, lost))
    return found


def _of_suffix(text: str, pieces: Sequence[tuple[str, int]], kept: str) -> list[tuple[str, str, str]]:
    """As _of_prefix, for a text that lost its end."""
    borders = [0, *(end for _, end in pieces)]
    return [
        (name, text[start : min(end, len(kept))], text[max(start, len(kept)) : end])
        for (name, _), (start, end) in zip(pieces, pairwise(borders), strict=True)
    ]


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
    for end, name in ends.items():
        end = min(end, len(text))
        if end <= begun:
            continue
        last = bisect_left(range(len(ids)), end, token, key=partial(_length, ids, tokenizer))
        pieces.append(_piece(name, text[begun:end], last - token, cached - token))
        begun, token = end, last
    return pieces


def _length(ids: Sequence[int], tokenizer: CodeTokenizer, count: int) -> int:
    """How many whole characters the first ids are."""
    return len(tokenizer.decode(ids[:count]).rstrip("\ufffd"))


def _piece(name: str, text: str, tokens: int, cached: int) -> dict[str, Any]:
    """``cached``: how many of the ids from the piece's first on are."""
    return {"name": name, "text": text, "tokens": tokens, "cached": min(max(cached, 0), tokens)}
