"""``%santa`` and ``%%santa``: the server's model, from a cell."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from ..prompt.syntaxrepairs import applied
from . import api, client, discovery, failure, local, views
from .arguments import completions, overview, parse
from .bridge import Bridge
from .client import SantaError
from .views import View

T = TypeVar("T")

OWN_LINES = ("%santa", "%load_ext santajupyter", "%reload_ext santajupyter")
# No model's window reaches further back.
CONTEXT_CHARACTERS = 200_000
# Several candidates that are all the same are of no use.
VARIED = 0.8
MAKE_CANDIDATES = ("generate", "fill", "doc")
# Where a server runs the cells, JupyterLab trusts none that came with the file.
UNTRUSTED_HINT = (
    "If no buttons show above, use `Trust Notebook` in JupyterLab's command palette, "
    "or `%santa pick 1` for a new cell with the text."
)
GHOST_TEXT_HINT = "use `Suggest Code While Typing` in JupyterLab's command palette"


def register(shell: Any) -> None:
    """What ``%load_ext santajupyter`` does."""
    magics = SantaMagics(shell)
    shell.register_magics(magics)
    for escape in ("%santa", "%%santa"):
        shell.set_hook("complete_command", _complete_command, str_key=escape)
    magics.bridge.hello()


def _complete_command(shell: Any, event: Any) -> list[str]:
    return completions(event.text_until_cursor)


@dataclass
class Defaults:
    """What counts where a cell doesn't say; `%santa config` and the panel change it."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    lang: str = "python"


@dataclass
class Picks:
    """What the newest cell of those that make candidates has made; an older cell's are gone."""

    texts: list[str] = field(default_factory=list)
    is_being_made: bool = False

    def keep(self, texts: list[str]) -> None:
        """They are made, and may be picked."""
        self.texts, self.is_being_made = texts, False


@magics_class
class SantaMagics(Magics):
    """Registered by ``%load_ext santajupyter``."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.bridge = Bridge(shell)
        self.defaults = Defaults()
        self.picks = Picks()
        self._in_notebook = hasattr(shell, "kernel")
        self._screen = _Screen(self._in_notebook)

    # What stands behind the magic is code, and no place for the values of variables.
    @no_var_expand
    @line_cell_magic
    def santa(self, line: str, cell: str | None = None) -> None:
        """Code completion by the model that the Jupyter server holds; ``%santa -h`` lists the commands."""
        command, arguments = parse(line, cell)
        if command == "help":
            print(getattr(arguments, "help", None) or overview())
            return
        source = None if cell is None else cell.rstrip("\r\n")
        do: Callable[..., None] = getattr(self, "_" + command.replace("-", "_"))
        if command in MAKE_CANDIDATES:
            self.picks = Picks()
        try:
            do(arguments) if source is None else do(arguments, source)
        except SantaError as error:
            raise UsageError(str(error)) from None

    def _status(self, arguments: argparse.Namespace) -> None:
        engine = discovery.find()
        display(views.status(client.run(engine.status()), engine.url))

    def _load(self, arguments: argparse.Namespace) -> None:
        engine = local.start(arguments.model) if arguments.here else discovery.find()
        model = "" if arguments.here else arguments.model
        status = self._live(lambda on_wait: client.loaded(engine, model, on_wait))
        if status["state"] == "error":
            self._screen.clear()
            if arguments.here and not status["serving"]:
                local.stop()
            raise SantaError(status["message"])
        self._screen.end(views.status(status, engine.url))

    def _unload(self, arguments: argparse.Namespace) -> None:
        status = client.run(discovery.find().unload())
        local.stop()
        display(views.sentence(status["message"]))

    def _models(self, arguments: argparse.Namespace) -> None:
        display(views.models(client.run(discovery.find().status())))

    def _config(self, arguments: argparse.Namespace) -> None:
        for name in vars(self.defaults):
            if getattr(arguments, name) is not None:
                setattr(self.defaults, name, getattr(arguments, name))
        rows = {name: str(value) for name, value in vars(self.defaults).items()}
        title = "In this kernel; the server's own settings are in its jupyter_server_config.py (c.SantaApp)."
        display(views.table(title, rows))

    def _on(self, arguments: argparse.Namespace) -> None:
        self._suggest(True)

    def _off(self, arguments: argparse.Namespace) -> None:
        self._suggest(False)

    def _suggest(self, automatic: bool) -> None:
        """Only the page can switch its ghost text, and it answers once this cell is over."""
        if not self.bridge.present:
            raise SantaError(f"This kernel can't reach JupyterLab's ghost text: {GHOST_TEXT_HINT}.")
        state = "while you type" if automatic else "only when you ask (Alt+\\)"
        asking = f"JupyterLab is asked to suggest code {state}. Where it doesn't: {GHOST_TEXT_HINT}."
        shown = display(views.sentence(asking), display_id=True)

        def answered(done: bool) -> None:
            said = f"JupyterLab suggests code {state}." if done else f"That failed: {GHOST_TEXT_HINT}."
            shown.update(views.sentence(said))

        self.bridge.switch(automatic, answered)

    def _license(self, arguments: argparse.Namespace) -> None:
        display(views.sentence(views.LICENCE))

    def _complete(self, arguments: argparse.Namespace) -> None:
        left = arguments.expression
        made = client.run(api.complete_async(left, context=self._earlier_inputs(), mode="line"))
        display(View(left + made.text, views.code(left + made.text, "python")))

    def _pick(self, arguments: argparse.Namespace) -> None:
        texts = self.picks.texts
        if self.picks.is_being_made:
            raise SantaError("The candidates are still being made.")
        if not texts:
            raise SantaError("There are no candidates: make some with `%%santa generate -n 3`.")
        if not 1 <= arguments.number <= len(texts):
            raise SantaError(f"There are candidates 1 to {len(texts)}.")
        self._place(texts[arguments.number - 1], "below")

    def _panel(self, arguments: argparse.Namespace) -> None:
        widgets = self._widgets()
        if widgets is None:
            raise SantaError("The panel needs ipywidgets in a notebook; `%santa config` sets the same.")
        earlier = self._earlier_inputs()
        widgets.Panel(self.defaults, earlier[-1] if earlier else "", earlier[:-1]).show()

    def _explain_prompt(self, arguments: argparse.Namespace, cell: str | None = None) -> None:
        context = self._earlier_inputs()
        source = self._this_input() if cell is None else cell
        left, _, right = source.partition(api.HOLE)
        body = client.at_cursor(left, right.replace(api.HOLE, ""), context)
        seen = self._live(lambda on_wait: discovery.find().explain(body))
        self._screen.end(views.prompt(seen))

    def _generate(self, arguments: argparse.Namespace, cell: str) -> None:
        mode = client.run(api.longest_mode(discovery.find(), api.asks_for_lines(cell)))
        options = {**self._options(arguments), "mode": mode}
        several = arguments.n > 1
        if several and arguments.temperature is None:
            options["temperature"] = self.defaults.temperature or VARIED
        widgets = self._widgets() if several and arguments.where is None else None
        if widgets:
            body = client.at_cursor(cell, n=arguments.n, logprobs=True, **options)
            self.picks.is_being_made = True
            widgets.Chooser(cell, body, self.bridge, self.picks.keep, arguments.shade).show()
            self._hint_at_trust()
            return
        texts = [""] * arguments.n

        def grow(index: int, text: str) -> None:
            texts[index] += text

        made = self._live(
            lambda on_wait: api.complete_async(
                cell,
                n=arguments.n,
                logprobs=arguments.shade,
                on_delta=grow,
                on_wait=on_wait,
                **options,
            ),
            lambda: views.growing(texts),
        )
        items = sorted((item for item in made.items if item.text), key=lambda item: -item.logprob)
        if not items:
            self._screen.end(views.sentence(f"{made.model} has nothing to add here."))
            return
        made_texts = [cell + item.text for item in items]
        self.picks.keep(made_texts)
        if several:
            self._screen.end(views.candidates(made_texts, items, options["language"]))
            display(views.sentence("`%santa pick 2` puts the second into a new cell, and so on."))
        else:
            self._screen.end(views.sentence(views.summary(made)))
        if not several and (arguments.where == "show" or arguments.shade):
            html = views.code(made_texts[0], options["language"], items[0].logprobs or ())
            display(View(made_texts[0], html))
        self._place(made_texts[0], arguments.where)

    def _fix(self, arguments: argparse.Namespace) -> None:
        failed = failure.last(self.shell)
        if failed is None:
            raise SantaError("No cell has failed in this kernel.")
        found = client.run(discovery.find().fix(failure.body(self.shell, failed, self._earlier_inputs())))
        if not found.edits:
            display(views.sentence(found.why))
            return
        self._screen = _Screen(self._in_notebook)
        display(views.sentence(found.why))
        self._show_change(failed.source, applied(failed.source, found.edits), arguments.where)

    def _fill(self, arguments: argparse.Namespace, cell: str) -> None:
        self._change(arguments, cell, api.fill_async, "nothing to put there")

    def _doc(self, arguments: argparse.Namespace, cell: str) -> None:
        self._change(arguments, cell, api.docstring_async, "no words for these functions")

    def _change(
        self, arguments: argparse.Namespace, cell: str, work: Callable[..., Any], nothing: str
    ) -> None:
        """The cell changed by ``work``, as a diff to accept."""
        options = self._options(arguments)
        parts: list[str] = []
        new = self._live(
            lambda on_wait: work(
                cell, on_delta=lambda _, text: parts.append(text), on_wait=on_wait, **options
            ),
            lambda: views.growing(["".join(parts)]),
        )
        if new == cell.replace(api.HOLE, "") or new == cell:
            self._screen.end(views.sentence(f"The model has {nothing}."))
            return
        self._show_change(cell, new, arguments.where)

    def _show_change(self, old: str, new: str, where: str | None) -> None:
        self.picks.keep([new])
        change = views.diff(old, new)
        widgets = self._widgets() if self.bridge.present and where is None else None
        if widgets:
            self._screen.clear()
            widgets.Change(change, new, self.bridge).show()
            self._hint_at_trust()
            return
        self._screen.end(change)
        self._place(new, where)

    def _hint_at_trust(self) -> None:
        if self.bridge.is_run_by_server:
            display(views.sentence(UNTRUSTED_HINT))

    def _place(self, text: str, where: str | None) -> None:
        """A new cell below unless told otherwise; in a terminal either way the next input."""
        if where == "show":
            return
        self.shell.set_next_input(text, replace=where == "replace")
        # Where a server runs the cells, nobody takes that: the page that found the cell does it.
        request = {"action": "replace" if where == "replace" else "insert", "text": text}
        place = self.bridge.place(lambda: self.bridge.send({**request, **place}, lambda _: None))

    def _live(
        self,
        work: Callable[[client.OnWait], Coroutine[Any, Any, T]],
        view: Callable[[], View] | None = None,
    ) -> T:
        """The work's result; what comes in, or what is waited for, is shown meanwhile."""
        screen = self._screen = _Screen(self._in_notebook, self.bridge.is_run_by_server)
        waiting: list[View] = []

        def draw() -> None:
            made = view() if view else None
            if made and made.html:
                screen.show(made)
            elif waiting:
                screen.show(waiting[-1])

        try:
            return client.run(work(lambda status: waiting.append(views.progress(status))), draw)
        except BaseException:
            screen.clear()
            raise

    def _options(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """As api.complete has them, of what the cell says and what it doesn't."""
        said = {n: getattr(arguments, n) for n in vars(self.defaults) if getattr(arguments, n) is not None}
        options = {**vars(self.defaults), **said, "seed": arguments.seed}
        options["language"] = options.pop("lang")
        with_context = arguments.context
        if with_context is None:
            with_context = options["language"] == "python"
        return {**options, "context": self._earlier_inputs() if with_context else []}

    def _earlier_inputs(self) -> list[str]:
        """What was run in this kernel before this cell, without the magics of this extension."""
        kept: list[str] = []
        room = CONTEXT_CHARACTERS
        for source in map(_without_own_lines, reversed(self.shell.history_manager.input_hist_raw[:-1])):
            if source.strip():
                room -= len(source)
                if room < 0:
                    break
                kept.append(source)
        return kept[::-1]

    def _this_input(self) -> str:
        """The cell that is being run."""
        return _without_own_lines(self.shell.history_manager.input_hist_raw[-1])

    def _widgets(self) -> Any:
        """Our module of widgets; None in a terminal, or where ipywidgets can't be imported."""
        if not self._in_notebook:
            return None
        try:
            from . import widgets
        except Exception:  # whatever is wrong with it, text will do
            return None
        return widgets


def _without_own_lines(source: str) -> str:
    """A cell without what it says to this extension."""
    if source.lstrip().startswith("%%santa"):
        return ""
    return "\n".join(line for line in source.split("\n") if not line.lstrip().startswith(OWN_LINES))


class _Screen:
    """One place for what changes: an output in a notebook, the last line in a terminal.

    Where an output can't change, which ``only_end`` says, only the result is shown.
    """

    def __init__(self, in_notebook: bool, only_end: bool = False) -> None:
        self._in_notebook, self._only_end = in_notebook, only_end
        self._handle: Any = None
        self._shown = View("", "")

    def show(self, view: View) -> None:
        if view == self._shown or self._only_end:
            return
        before, self._shown = self._shown.text, view
        if not self._in_notebook:
            grown = view.text.startswith(before)
            print(
                view.text[len(before) :] if grown else "\r" + view.text.ljust(len(before)), end="", flush=True
            )
        elif self._handle:
            self._handle.update(view)
        else:
            self._handle = display(view, display_id=True)

    def end(self, view: View) -> None:
        """The result takes the place of what was shown on the way; in a terminal it stands below."""
        if self._handle:
            self._handle.update(view)
        else:
            if self._shown.text:
                print()
            display(view)

    def clear(self) -> None:
        if self._handle:
            self._handle.update(View("", ""))
        elif self._shown.text:
            print()
