"""What is kept of prompts on disk: by a process that ends, for the next one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.engine import promptstore
from santajupyter.engine.promptstore import LEAST, MOST, Array
from santajupyter.prompt.document import Document
from santajupyter.protocol import Sampling

from ..checkpoint import make_checkpoint
from .test_process import OVER, Start, done_of, start

__all__ = ["start"]  # a fixture

LAYERS, ROW = 4, (2, 3)


class Prompt:
    """Whose keys and values its number tells."""

    def __init__(self, number: int, length: int = LEAST) -> None:
        self.ids = [number] * length

    def array(self) -> Array:
        return np.full((LAYERS, len(self.ids), *ROW), self.ids[0], np.float32)


def keep(copy: Path, *prompts: Prompt) -> None:
    promptstore.keep(copy, ((prompt.ids, prompt) for prompt in prompts))


def numbers(copy: Path) -> list[int]:
    """Of the prompts that are kept, the newest first."""
    found = [*promptstore.restore(copy, LAYERS, ROW)]
    assert all((array == ids[0]).all() and array.shape[1] == len(ids) for ids, array in found)
    return [ids[0] for ids, _ in found][::-1]


@given(st.lists(st.lists(st.integers(0, 8), unique=True, max_size=6), max_size=5))
def test_the_newest_are_kept(tmp_path_factory: pytest.TempPathFactory, lives: list[list[int]]) -> None:
    copy = tmp_path_factory.mktemp("copy")
    newest: list[int] = []
    for clock, prompts in enumerate(lives):
        keep(copy, *map(Prompt, prompts))
        kept = prompts[:MOST]
        for path in (copy / "prompts").glob("*.ids.npy"):  # the file system's clock may be coarse
            number = int(np.load(path)[0])
            if number in kept:
                os.utime(path, (clock, 100 * clock - kept.index(number)))
        newest = [*kept, *(number for number in newest if number not in kept)][:MOST]
        assert numbers(copy) == newest
        assert len([*(copy / "prompts").iterdir()]) == 2 * len(newest)


def test_what_is_read_soon_is_not_kept(tmp_path: Path) -> None:
    keep(tmp_path, Prompt(1, LEAST - 1), Prompt(2))
    assert numbers(tmp_path) == [2]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    keep(tmp_path, Prompt(1))
    assert os.name == "nt" or stat.S_IMODE((tmp_path / "prompts").stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["cut off", "empty", "gone", "other shape", "pickle", "other ids"])
def test_what_is_damaged_is_passed_over(tmp_path: Path, damage: str) -> None:
    keep(tmp_path, Prompt(1), Prompt(2))
    path = next(p for p in (tmp_path / "prompts").glob("*.ids.npy") if np.load(p)[0] == 1)
    values = promptstore._values(path)
    if damage == "cut off":
        values.write_bytes(values.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        values.unlink()
    elif damage == "other shape":
        np.save(values, np.zeros((2, LEAST, *ROW), np.float32))
    elif damage == "pickle":
        np.save(values, np.array([print], object), allow_pickle=True)
    else:
        np.save(path, np.array([1, 1]))
    assert numbers(tmp_path) == [2]


def test_a_full_disk_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, Prompt(1))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    keep(tmp_path, Prompt(2))
    assert numbers(tmp_path) == [1]
    assert not [*(tmp_path / "prompts").glob("*.part")]


TEXT = "".join(f"value_{number} = compute({number})\n" for number in range(80))


@pytest.mark.parametrize(("keeps", "user"), [(True, ""), (False, ""), (True, "one of several")])
async def test_the_next_process_goes_on(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool, user: str
) -> None:
    """With the same texts, at the place itself, after an edit, and elsewhere; not where several share it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_checkpoint(tmp_path / "model", n_positions=1024)
    places = [Document(TEXT, ""), Document(TEXT[:-3], ""), Document(TEXT + "x = ", ""), Document("y = ", "")]
    texts, cached = [], []
    for _ in range(2):
        process = await start(folder, dtype="int8", cache_bytes=2**24, keep_prompts=keeps)
        sampling = Sampling(max_new_tokens=8)
        done = [await done_of(process.complete(place, sampling, user=user)) for place in places]
        texts.append([each.items[0].text for each in done])
        cached.append([each.usage.cached_tokens / each.usage.prompt_tokens for each in done])
        assert done[0].usage.prompt_tokens > LEAST
        await process.stop(OVER)
    assert texts[0] == texts[1]
    assert cached[0][0] == 0
    assert (cached[1][0] > 0.9) is (keeps and not user)
