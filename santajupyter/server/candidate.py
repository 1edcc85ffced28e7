"""One candidate of an answer: what may be shown of it while it comes, and what is left of it in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from ..prompt import postprocess
from ..prompt.check import Check, Problem
from ..prompt.choices import Choice
from ..prompt.place import Place
from ..protocol import Item

# The reason of an item that doesn't parse, or names what doesn't exist.
BROKEN = "broken"


class Candidate:
    """``place`` None: all of it is shown as it is. ``check`` None: broken or not.

    ``begun``: the beginning that was given. ``run``: calls a pure function beside the event loop.
    ``limit``: of probability; with one it may end anywhere.
    """

    def __init__(
        self,
        place: Place | None,
        check: Check | None,
        run: Callable[..., Awaitable[Any]],
        begun: str = "",
        limit: float = 0.0,
    ) -> None:
        self._place, self._check, self._run, self._limit = place, check, run, limit
        self._stream = postprocess.Stream(place)
        self._certain = self._stream.add(begun)
        self.begun = begun
        self.shown = begun if begun.strip() else ""

    @property
    def _is_before_code(self) -> bool:
        """Whether something stands right of the cursor in its line."""
        return self._place is not None and bool(self._place.right.strip())

    @property
    def finished(self) -> bool:
        """Whether nothing that follows could be shown."""
        return self._stream.finished

    def add(self, delta: str) -> bool:
        """The next piece of its text; whether more of it is certain by that."""
        new = self._stream.add(delta)
        self._certain += new
        return bool(new)

    async def show(self) -> str:
        """What may be shown since the last time."""
        before, text = self.shown, self._certain
        if self._check:
            text = await self._run(self._sure, self._check, text)
        self.shown = max(before, text, key=len)
        return self.shown[len(before) :]

    def _sure(self, check: Check, text: str) -> str:
        text = check.sure(text, len(self.shown))
        return self._rounded(check, text) if self._limit or self._is_before_code else text

    def _sound(self, check: Check, text: str, is_whole: bool) -> tuple[str, Problem | None]:
        text, problem = check.sound(text, is_whole)
        return text if is_whole else self._rounded(check, text), problem

    def _rounded(self, check: Check, text: str) -> str:
        """What a limit ended would leave the line broken, if it left open what it has opened itself."""
        return check.rounded(text, len(self.shown), bool(self._limit))

    async def end(self, item: Item) -> Item:
        """What is left of it, no less than is shown, and why that is nothing."""
        place, limit = self._place, self._limit
        if place is None:
            return item
        is_cut_off = item.finish_reason == "length"
        text = self.begun + item.text
        self._certain, reason = postprocess.cleaned(text, place, is_cut_off)
        sound, problem = self._certain, None
        if self._check:
            is_cut = bool(is_cut_off or limit)
            is_whole = not (is_cut or self._is_before_code)
            sound, problem = await self._run(self._sound, self._check, sound, is_whole)
            if problem and not sound and is_cut_off:  # perhaps within a word
                sound = await self._run(self._sure, self._check, self._certain)
        if problem and not sound:
            reason = BROKEN
        elif not item.text or (self._certain and not sound):
            reason = "unlikely" if limit else "nothing"
        item = item.cut(max(sound if sound.strip() else "", self.shown, key=len))
        imports = await self._run(self._check.imports, item.text) if self._check and item.text else ()
        reason = reason if reason == BROKEN or not item.text else None
        return replace(item, reason=reason, imports=imports or None)

    async def beginning(self) -> tuple[str, Choice | None]:
        """As much as is sound of a broken one that has ended, no less than is shown; and what may follow.

        That is known where the fault is a name that nobody has.
        """
        if self._check is None:
            return "", None
        instead = await self._run(self._check.instead, self._certain)
        if instead and len(instead[0]) >= len(self.shown):
            return instead[0], instead[1]
        return await self._run(self._check.sure, self._certain, len(self.shown)), None

    async def part(self) -> str:
        """As much as is sound of its first statement, where that is broken; "" for nothing."""
        part: str = await self._run(self._check.part, self._certain) if self._check else ""
        return part
