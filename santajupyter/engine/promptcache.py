"""The keys and values of earlier prompts: only what is new in a prompt needs computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..prompt.fim import Prompt
from .model import KV, Movable
from .work import Cancelled

# A prompt that comes about from an entry's by an edit that takes away at most this share of it is the
# same text, typed on. One that would take away more is another text, or another place in the text.
EDIT_SHARE = 1 / 8
# Of what stands below the cursor the mark and its first tokens are read again at each key: they say where
# the prefix ends. The rest of it, if it is so much, stays as it was read.
RENEWED, LEAST_MOVED = 4, 16


class PromptCache:
    """Entries within a budget of bytes, and whose prompts they are.

    The least recently used go first, of the user who holds most, but none that is in use: nobody fills the
    cache with his own. Nor does anyone find what another's prompts hold: how fast an answer comes would tell
    him of them.

    An entry in use belongs to one work, which alone changes it. All others see it too and copy what it
    holds by then, so nothing is computed twice, and nothing that one work does to its own is seen by
    another. To be used between the steps of works: there each entry's keys and values are those of its ids.

    Where the suffix comes last in a prompt, each key would have it read again. One that needn't be exact has
    it as it was read before, moved to its place; what is behind that serves its own work alone.
    """

    def __init__(self, empty: Callable[[], KV], budget: int) -> None:
        """``empty``: makes keys and values of no tokens. ``budget``: for all entries, those in use too;

        the newest is kept whatever it takes.
        """
        self._empty = empty
        self._budget = budget
        self._entries: list[Entry] = []  # the newest last

    @contextmanager
    def using(self, prompt: Prompt) -> Iterator[Entry]:
        """An entry with the longest cached beginning of its ids, the last one always left to compute.

        Afterwards it stays, also where the work is cancelled. Where it ends by another exception the entry
        is forgotten: after a failed step not all layers may have seen the same tokens.
        """
        entry = self._acquired(prompt)
        try:
            yield entry
        except (Cancelled, GeneratorExit):  # both come between two steps
            self._release(entry)
            raise
        except BaseException:
            self._entries.remove(entry)
            raise
        self._release(entry)

    def catch_up(self, entry: Entry, ids: Sequence[int]) -> None:
        """Copy what others have computed of ``ids`` since; the entry holds a beginning of them."""
        have = len(entry.ids)
        others = [e for e in self._of(entry.user) if e is not entry]
        further = [e for e in others if e.ids[have : have + 1] == [ids[have]]]
        source, length = _longest(further, ids)
        if source and length > have:
            entry.kv, entry.ids, entry.exact = source.beginning(length), source.ids[:length], None
            entry.cached += length - have
        self._shrink()

    def cached(self, ids: Sequence[int], user: str = "") -> int:
        """How many of the first ids needn't be computed."""
        return _longest(self._of(user), ids)[1]

    def add(self, ids: list[int], kv: KV) -> None:
        """What an earlier process has computed, as the newest."""
        self._entries.append(Entry(kv, ids, len(ids)))
        self._shrink()

    def newest(self) -> Iterator[tuple[list[int], KV]]:
        """What another process could go on with, the newest first."""
        idle = [entry for entry in self._of("") if not entry.in_use]
        return ((entry.ids, entry.kv) for entry in reversed(idle))

    def clear(self) -> None:
        """Forget all that isn't in use."""
        self._entries = [entry for entry in self._entries if entry.in_use]

    def _of(self, user: str) -> list[Entry]:
        return [entry for entry in self._entries if entry.user == user]

    def _acquired(self, prompt: Prompt) -> Entry:
        """Where the prompt is an edit of an idle entry's own (see EDIT_SHARE), that entry, cut; otherwise a

        copy of their common beginning, and the entry stays for its text.
        """
        ids, user = prompt.ids, prompt.user
        source, length = _longest(self._of(user), ids)
        if source is None:
            entry = Entry(self._empty(), user=user)
        elif source.in_use or source.lost_to(prompt) > EDIT_SHARE * source.prompt_length:
            entry = Entry(source.beginning(length), source.ids[:length], user=user)
        else:
            entry = source
            self._entries.remove(entry)
            if length < entry.prompt_length - 1:
                entry.keep_below(len(entry.kept.place(prompt)) if entry.kept else 0)
            entry.cut(length)
        entry.prompt_length, entry.below, entry.cached, entry.in_use = len(ids), prompt.below, length, True
        self._entries.append(entry)
        self._shrink()
        return entry

    def _release(self, entry: Entry) -> None:
        """It is idle now, and the newest. Of two idle ones that hold the same, the longer one stays."""
        self._entries.remove(entry)
        if entry.exact is not None and entry.kept:
            entry.keep_below(len(entry.kept.ids) + 1)
            entry.cut(entry.exact)
        entry.in_use, entry.exact = False, None
        if not entry.ids:
            return
        idle = [other for other in self._of(entry.user) if not other.in_use]
        newest = next((other for other in idle if other.serves_for(entry)), entry)
        spare = [other for other in idle if newest.serves_for(other)]
        self._entries = [other for other in self._entries if other not in spare]
        self._entries.append(newest)
        self._shrink()

    def _shrink(self) -> None:
        """Let idle ones go; those in use have grown."""
        held: Counter[str] = Counter()
        for entry in self._entries:
            held[entry.user] += entry.size
        while held.total() > self._budget:
            idle = [entry for entry in self._entries[:-1] if not entry.in_use]
            if not idle:
                break
            entry = max(idle, key=lambda entry: held[entry.user])  # of these the oldest
            self._entries.remove(entry)
            held[entry.user] -= entry.size


@dataclass(frozen=True)
class Below:
    """``ids`` of a suffix, read when ``before`` was the prefix; ``kv``: theirs, the first at ``start``."""

    before: Sequence[int]
    start: int
    ids: list[int]
    kv: KV

    def place(self, prompt: Prompt) -> range:
        """The prompt's ids that the last of these can stand for; none if there are others, or too much has

        changed. They are at the suffix's end, also where some were put in or taken away before them, or
        behind its first RENEWED, where not all of it was read.
        """
        at, end = len(prompt.ids) - prompt.below, len(prompt.ids) - 1 - len(self.ids)
        renewed = at + RENEWED
        for start in (end, renewed):
            place = range(max(start, renewed), start + len(self.ids))
            if prompt.below and start <= end and place and self._is_at(prompt, place):
                changed = at + len(self.before) - 2 * _common_length(self.before, prompt.ids[:at])
                return place if changed + abs(start - renewed) <= prompt.stale else range(0)
        return range(0)

    def last(self, count: int) -> Below:
        """So many ids, the last ones."""
        start = len(self.ids) - count
        if not start:
            return self
        assert isinstance(self.kv, Movable)
        kv = self.kv.part(start, len(self.ids))
        assert kv
        return Below(self.before, self.start + start, self.ids[start:], kv)

    def _is_at(self, prompt: Prompt, place: range) -> bool:
        return list(prompt.ids[place.start : place.stop]) == self.ids[-len(place) :]


@dataclass(eq=False)
class Entry:
    """``kv`` holds the keys and values of ``ids``.

    The first ``prompt_length`` ids were a prompt (or its beginning, if cancelled), the rest generated; the
    last ``below`` of it stood below the cursor. ``cached``: how many of the prompt's ids the last use of it
    hadn't to compute. ``kept``: what an earlier prompt had below. ``exact``: so many ids were read as they
    stand, None: all.
    """

    kv: KV
    ids: list[int] = field(default_factory=list)
    prompt_length: int = 0
    cached: int = 0
    in_use: bool = False
    user: str = ""
    below: int = 0
    kept: Below | None = None
    exact: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.kv.size + (self.kept.kv.size if self.kept else 0)

    def beginning(self, length: int) -> KV:
        """A copy of the first ``length`` tokens' keys and values; needs can_be_cut unless that is all."""
        return self.kv.beginning(length) if self.kv.can_be_cut() else self.kv.picked([0])

    def keep_below(self, least: int) -> None:
        """Set aside what was read of the suffix, if that is so much; its last mark isn't part of it."""
        at, end = self.prompt_length - self.below, min(len(self.ids), self.prompt_length - 1)
        start = at + RENEWED
        if not self.below or end - start < max(least, LEAST_MOVED) or not isinstance(self.kv, Movable):
            return
        if part := self.kv.part(start, end):
            before = self.kept.before if self.kept and self.exact is not None else self.ids[:at]
            self.kept = Below(before, start, self.ids[start:end], part)

    def left(self, prompt: Prompt) -> int:
        """How many of the prompt's ids are to be read."""
        return len(prompt.ids) - len(self.ids) - len(self._place(prompt))

    def put_below(self, prompt: Prompt, most: int) -> list[int]:
        """Take what was kept for read, where at most so many ids before it are not.

        Returns these: the next step has to begin with them.
        """
        place = self._place(prompt)
        gap = [*prompt.ids[len(self.ids) : place.start]]
        if not place or len(gap) > most:
            return []
        assert self.kept and isinstance(self.kv, Movable)
        self.kept = kept = self.kept.last(len(place))
        self.kv.put(kept.kv, place.start - kept.start, len(gap))
        self.ids += [*gap, *kept.ids]
        self.cached += len(place)
        self.exact = place.start
        return gap

    def _place(self, prompt: Prompt) -> range:
        """Where what was kept is going to stand, if that comes later and needn't be exact."""
        place = self.kept.place(prompt) if self.kept and prompt.stale else range(0)
        return place if place.start >= len(self.ids) else range(0)

    def serves_for(self, other: Entry) -> bool:
        """Whether a prompt finds all of ``other`` here too."""
        length = len(other.ids)
        return self.ids[:length] == other.ids and (length == len(self.ids) or self.kv.can_be_cut())

    def lost_to(self, prompt: Prompt) -> int:
        """How many ids of the entry's prompt an edit to this one takes away; common ends stay.

        Without the common end, each key typed in a prompt whose suffix comes last would count it all, and
        that may not be read to its end. Its last mark is none of it, what was set aside is.
        """
        ids, own = prompt.ids[: -1 if prompt.below else None], self.ids[: self.prompt_length]
        if self.below:
            own = own[: self.prompt_length - 1]
        if self.kept and (cut := self.prompt_length - 1 - len(own)) > 0:
            own = own + self.kept.ids[-cut:]
        at, here = self.prompt_length - self.below, len(prompt.ids) - prompt.below
        suffix = own[at:]
        if self.below and list(ids[here : here + len(suffix)]) == suffix:
            ids, own = ids[:here], own[:at]
        begun = _common_length(own, ids)
        return len(own) - begun - _common_length(own[begun:][::-1], ids[begun:][::-1])

    def cut(self, length: int) -> None:
        """Leave the first ``length`` ids; needs kv.can_be_cut unless that is all of them."""
        if length < len(self.ids):
            self.kv.cut(length)
        del self.ids[length:]


def _longest(entries: Sequence[Entry], ids: Sequence[int]) -> tuple[Entry | None, int]:
    """The entry that holds most of the first ids, and how many; of equal ones an idle one, the newest."""
    found, length = None, 0
    for entry in sorted(entries, key=lambda entry: not entry.in_use):
        common = min(_common_length(entry.ids, ids), len(ids) - 1)
        common = common if entry.exact is None else min(common, entry.exact)
        if common >= max(length, 1) and (common == len(entry.ids) or entry.kv.can_be_cut()):
            found, length = entry, common
    return found, length


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
