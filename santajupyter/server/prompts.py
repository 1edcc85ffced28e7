"""A request -> what the model is given for it, made off the event loop.

Text is worked on in one thread, which never waits for anything. Files are read in others, one for each
notebook's folder: a file system may hang for ever, and nothing but a thread of its own bears that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeVar

import msgspec

from ..prompt import modules
from ..prompt.alike import alike
from ..prompt.check import Check
from ..prompt.choices import Choice, choice
from ..prompt.cursor import Excerpt, excerpt
from ..prompt.document import Document, document
from ..prompt.explain import Pieces, locate_pieces
from ..prompt.facts import facts, files_line
from ..prompt.files import data_files
from ..prompt.place import Place
from ..prompt.rchoices import r_choice
from ..prompt.repairs import repair
from ..prompt.sqlchoices import sql_choice, table_lines
from ..protocol import CompletionRequest, Fix
from .users import Line

# A file system that is slower than this isn't waited for, and not again before it has answered.
READ_WAIT = 0.25
# Threads that may wait for one at a time.
MAX_READS = 8

T = TypeVar("T")


class Prompt(NamedTuple):
    """``choice``: all that can come next, or None. ``check``: what may be shown, or None."""

    document: Document
    place: Place
    choice: Choice | None
    check: Check | None


class Project(NamedTuple):
    """What the project's files say: ``signatures`` of what is imported, and the data ``files`` beside it."""

    signatures: Sequence[str] = ()
    files: Sequence[str] = ()


@dataclass(eq=False)
class _Reading:
    """A thread at work for a client's notebook in a folder."""

    client: str
    folder: str
    begun: float
    result: asyncio.Future[Project]

    @property
    def left(self) -> float:
        """Seconds that it may still be waited for."""
        return self.begun + READ_WAIT - time.monotonic()


class Prompts:
    """Makes the prompts of requests, in the order in which they come. Use from one event loop."""

    def __init__(
        self,
        root: Path | None,
        kernel_names: bool,
        check: bool = True,
        values: bool = True,
        rules: bool = True,
        alike_lines: bool = True,
    ) -> None:
        """``root``: the folder that the notebooks' paths begin in; None: they are no files here.

        ``kernel_names``: whether the names that the kernel knows are what may come. ``check``: whether what
        is broken isn't shown. ``values``: whether the model may see values of the kernel's. ``rules``:
        whether its text is cleaned. ``alike_lines``: whether those around the cursor may tell its line.
        """
        self._root, self._values = root, values
        self._kernel_names, self._check, self._rules = kernel_names, check, rules
        self._alike_lines = alike_lines
        self._maker = ThreadPoolExecutor(1, "santajupyter-prompts")
        self._line = Line()
        self._readings: list[_Reading] = []

    async def make(self, request: CompletionRequest) -> Prompt:
        """The prompt's text for the request; nothing that cancels the caller is done in vain for long."""
        request = self._as_allowed(request)
        where, project = await self._around(request)
        return await self.run(self._made, request, where, project)

    async def explained(self, request: CompletionRequest) -> tuple[Document, Pieces]:
        """The document, and which of its text is from where."""
        request = self._as_allowed(request)
        where, project = await self._around(request)
        return await self.run(_explained, request, where, project)

    async def repaired(self, request: CompletionRequest) -> Fix:
        """What mends the active cell's error by rules."""
        _, project = await self._around(request)
        return await self.run(repair, request, project.files)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a pure function that takes its time, in its turn. Raises what it raises."""
        async with self._line.turn():
            return await asyncio.get_running_loop().run_in_executor(self._maker, function, *args)

    def close(self) -> None:
        """Waits for nothing."""
        self._maker.shutdown(wait=False, cancel_futures=True)
        for reading in self._readings:
            reading.result.cancel()

    def _as_allowed(self, request: CompletionRequest) -> CompletionRequest:
        if self._values or not any(variable.values for variable in request.variables):
            return request
        bare = tuple(msgspec.structs.replace(variable, values=()) for variable in request.variables)
        return replace(request, variables=bare)

    async def _around(self, request: CompletionRequest) -> tuple[Excerpt, Project]:
        place = request.cells, request.active, request.offset, request.language
        where = await self.run(excerpt, *place)
        return where, await self._project(request, where)

    async def _project(self, request: CompletionRequest, where: Excerpt) -> Project:
        """Read in limited time; nothing where notebooks are no files, or where reading hangs."""
        if self._root is None or not request.path or request.language != "python":
            return Project()
        client, folder = request.client, request.path.rpartition("/")[0]
        while before := self._in_the_way(client, folder):
            if before.left <= 0:
                return Project()
            await asyncio.wait([before.result], timeout=before.left)
        if len(self._readings) >= MAX_READS:
            return Project()
        reading = self._read(client, folder, _read, self._root, request.path, where)
        await asyncio.wait([reading.result], timeout=reading.left)
        return reading.result.result() if reading.result.done() else Project()

    def _in_the_way(self, client: str, folder: str) -> _Reading | None:
        """A reading of the same folder or client that isn't over yet; the oldest."""
        readings = self._readings
        return next((r for r in readings if r.folder == folder or (client and r.client == client)), None)

    def _read(self, client: str, folder: str, read: Callable[..., Project], *args: object) -> _Reading:
        """Begin to read in a thread that the process's end doesn't wait for."""
        future: Future[Project] = Future()
        reading = _Reading(client, folder, time.monotonic(), asyncio.wrap_future(future))
        self._readings.append(reading)
        reading.result.add_done_callback(lambda _: self._readings.remove(reading))
        Thread(target=_do, args=(future, read, *args), name="santajupyter-files", daemon=True).start()
        return reading

    def _made(self, request: CompletionRequest, where: Excerpt, project: Project) -> Prompt:
        text = _document(request, where, project)
        check = Check(request) if self._check else None
        is_code = request.cells[request.active].type == "code"
        place = Place.at(text, request.mode, request.trigger, is_code)
        place = place if self._rules else replace(place, rules=False)
        names = _by_lines(request, where, place, check) if self._alike_lines else None
        if names is None and self._kernel_names:
            names = _by_kernel(request, where, project)
        return Prompt(text, place, names, check)


def _by_lines(request: CompletionRequest, where: Excerpt, place: Place, check: Check | None) -> Choice | None:
    """The rest of the line, where the lines around it tell, and nothing is broken by it.

    Not where more is asked for than a line, or something else than what comes first.
    """
    is_more = request.mode == "block" or (request.trigger == "invoke" and place.within)
    if is_more or request.n > 1 or place.in_text or not place.is_code:
        return None
    values = (text for variable in request.variables for _, texts in variable.values for text in texts)
    return alike(where, values, lambda text: check is None or check.sound(text, True) == (text, None))


def _by_kernel(request: CompletionRequest, where: Excerpt, project: Project) -> Choice | None:
    """The names that the kernel knows, where one of them comes next."""
    if request.language.lower() == "r":
        return r_choice(request.variables, where)
    if request.language != "python":
        return None
    names = sql_choice(request.databases, request.variables, where)
    return names or choice(request.variables, request.classes, where, project.files)


def _document(request: CompletionRequest, where: Excerpt, project: Project) -> Document:
    tables = table_lines(request.databases, request.variables, where)
    known = (*files_line(project.files), *tables, *facts(request.variables, where))
    return document(where, request.language, known, project.signatures)


def _explained(request: CompletionRequest, where: Excerpt, project: Project) -> tuple[Document, Pieces]:
    text = _document(request, where, project)
    return text, locate_pieces(text, where, request.cells)


def _read(root: Path, path: str, where: Excerpt) -> Project:
    others = (cell.source for n, cell in enumerate(where.cells) if cell.type == "code" and n != where.active)
    # The line that is being typed imports nothing yet.
    own = where.cursor.above, where.cursor.below
    return Project(modules.signatures(root, path, [*others, *own]), data_files(root, path, where))


def _do(future: Future[Project], read: Callable[..., Project], *args: object) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(read(*args))
    except Exception as error:
        future.set_exception(error)
