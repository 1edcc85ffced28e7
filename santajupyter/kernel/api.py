"""For scripts and notebooks: ``from santajupyter import complete, fill, docstring``.

Each has a twin for a running event loop: ``complete_async``, ``fill_async``, ``docstring_async``. They ask
the model that a Jupyter server on this host holds (see ``discovery.find_server``), or the one of this process
after ``%santa load --here``, and raise SantaError, with one plain sentence, when they can't.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from ..prompt.doccomments import LANGUAGES, addition, slots
from ..protocol import Completion
from . import client, discovery, views
from .client import Engine, OnDelta, OnWait, SantaError

HOLE = "<FILL>"

P = ParamSpec("P")
T = TypeVar("T")


async def complete_async(
    prompt: str,
    suffix: str = "",
    *,
    context: Sequence[str] = (),
    language: str = "python",
    mode: str = "auto",
    n: int = 1,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
    logprobs: bool = False,
    on_delta: OnDelta | None = None,
    on_wait: OnWait | None = None,
) -> Completion:
    """What the model puts between ``prompt`` and ``suffix``; ``.text`` is the (first) candidate.

    ``context``: texts that come before, such as other files or cells. ``mode``: ``line``, ``block``, or
    ``auto`` by the place. ``n`` above 1 needs a ``temperature``. The texts end where a suggestion would:
    at the line's or the block's end. ``logprobs``: each item gets its text in pieces with their natural
    log-probabilities. Waits while the model loads; ``on_wait(status)`` meanwhile, and
    ``on_delta(index, text)`` as the text comes.
    """
    body = client.at_cursor(
        prompt,
        suffix,
        context,
        language=language,
        mode=mode,
        n=n,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=list(stop),
        logprobs=logprobs,
    )
    return await client.ask(discovery.find(), body, on_delta, on_wait)


async def fill_async(text: str, **options: Any) -> str:
    """The text with each ``<FILL>`` replaced by what the model puts there, in order.

    A hole beside other text on its line gets the rest of a line, one alone on it, or behind what opens a
    block, a block. The model sees the text up to the next hole: with that hole merely left out, what it
    sees would be no program. ``options`` as for ``complete``. Raises SantaError where there is no hole.
    """
    left, *rights = text.split(HOLE)
    if not rights:
        raise SantaError(f"Mark one hole or more with {HOLE}.")
    longest = await longest_mode(discovery.find())
    for right in rights:
        beside = left.rpartition("\n")[2].rstrip()
        mode = "line" if beside and not beside.endswith((":", "{")) else longest
        made = await complete_async(left, right, **{"mode": mode, **options})
        left += made.text + right
    return left


async def docstring_async(code: str, *, language: str = "python", **options: Any) -> str:
    """The code with documentation for each function that has none: docstrings, Javadoc or JSDoc.

    ``language``: ``python``, ``java`` or ``javascript``; ``options`` as for ``complete``. Nothing but
    documentation is added, and none where the model has no words. Raises SantaError where there is no
    such function, and where the model is too small.
    """
    if language not in LANGUAGES:
        raise SantaError(f"language: must be one of {', '.join(LANGUAGES)}.")
    try:
        found = slots(code, language)
    except ValueError as error:
        raise SantaError(str(error)) from None
    if not found:
        raise SantaError("There is no function without documentation here.")
    await longest_mode(discovery.find(), asks_for_lines=True)
    done, last = "", 0
    for slot in found:
        done += code[last : slot.at]
        last, rest = slot.at, code[slot.at :]
        made = await complete_async(
            done + slot.opening,
            slot.following + rest,
            language=language,
            mode="block",
            stop=[slot.stop],
            **options,
        )
        done += addition(code, slot, made.text, language)
    return done + code[last:]


async def longest_mode(engine: Engine, asks_for_lines: bool = False) -> str:
    """The mode that asks for as much as the model is good for: ``block``, or ``line``.

    Raises SantaError where it is good for a line and nothing less than several will do.
    """
    status = await engine.status()
    if status["blocks"]:
        return "block"
    if asks_for_lines:
        raise SantaError(views.needs_larger(status))
    return "line"


def asks_for_lines(text: str) -> bool:
    """Whether nothing can go on its last line: it opens a block, or is a comment."""
    last = text.rstrip().rpartition("\n")[2].lstrip()
    return last.endswith((":", "{")) or last.startswith(("#", "//", "/*"))


def _blocking(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @functools.wraps(work)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(work(*args, **kwargs))

    wait.__name__ = wait.__qualname__ = work.__name__.removesuffix("_async")
    return wait


complete = _blocking(complete_async)
fill = _blocking(fill_async)
docstring = _blocking(docstring_async)
