"""What the magics show where there is ipywidgets. Work is done beside the kernel, so buttons answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine, Sequence
from html import escape
from typing import Any

import ipywidgets as w
from IPython.display import display, update_display

from ..protocol import Completion
from . import api, client, discovery, views
from .bridge import Bridge
from .client import SantaError

# Seconds: how often what grows is drawn, and how long sliders must rest.
DRAW_INTERVAL = 0.1
REST = 0.3


class Chooser:
    """Candidates side by side, each with its buttons. ``on_made(texts)``: all there are, numbered."""

    def __init__(
        self,
        prompt: str,
        body: dict[str, Any],
        bridge: Bridge,
        on_made: Callable[[list[str]], None],
        shade: bool,
    ) -> None:
        self._prompt, self._body = prompt, body
        self._bridge, self._place, self._on_made = bridge, bridge.place(), on_made
        self._rows: list[_Row] = []
        self._box = w.VBox()
        self._task = _Task()
        more = w.Button(description="More", icon="plus", tooltip="As many again")
        more.on_click(lambda _: self._more())
        self._more_button = more
        tooltip = "The darker a word, the less sure the model was of it"
        self._shade = w.ToggleButton(shade, description="Shade", icon="adjust", tooltip=tooltip)
        self._shade.observe(lambda _: self._draw(self._rows), "value")
        head = w.HBox([self._task.bar, self._task.stop, more, self._shade, self._task.said])
        self._whole = w.VBox([head, self._box])

    def show(self) -> None:
        self._display_id = _show(self._whole, "Candidates are being made.")
        self._more()

    def _more(self) -> None:
        rows = [_Row(self._bridge, self._place, self._body["language"]) for _ in range(self._body["n"])]
        for row in rows:
            row.draw(self._prompt, "")
        self._rows += rows
        self._box.children = [row.box for row in self._rows]
        body = dict(self._body)
        if body.get("seed") is not None:
            body["seed"] += len(self._rows) - len(rows)
        self._more_button.disabled = True
        self._task.start(lambda: self._ask(rows, body), self._ended)

    async def _ask(self, rows: Sequence[_Row], body: dict[str, Any]) -> str:
        grow = _Throttled(lambda index, text: rows[index].draw(self._prompt, text))
        made = await client.ask(discovery.find(), body, grow, self._task.wait_for)
        for row, item in zip(rows, made.items, strict=True):
            row.logprobs = item.logprobs or ()
            row.draw(self._prompt, item.text, views.logprob(item))
        self._draw(rows)
        return views.summary(made).rpartition(", mean")[0]

    def _draw(self, rows: Sequence[_Row]) -> None:
        for row in rows:
            row.draw_code(self._shade.value)

    def _ended(self) -> None:
        self._more_button.disabled = False
        texts = [row.text for row in self._rows]
        self._on_made(texts if any(text != self._prompt for text in texts) else [])
        # For who sees no widgets: a terminal, a page made of the notebook.
        bundle = _bundle(self._whole, "\n\n".join(texts))
        update_display(bundle, display_id=self._display_id, raw=True)


class Change:
    """A cell's new text as a diff to accept."""

    def __init__(self, change: views.View, text: str, bridge: Bridge) -> None:
        self._change = change
        row = _Row(bridge, bridge.place(), "python", "Accept")
        row.text = text
        row.code.value = change.html
        self._box = row.box

    def show(self) -> None:
        _show(self._box, self._change.text)


class Panel:
    """Sliders for the defaults of this kernel, and what they make of a text, live."""

    def __init__(self, defaults: Any, text: str, context: Sequence[str]) -> None:
        self._defaults, self._context = defaults, context
        self._text = w.Textarea(text, description="Text", layout=w.Layout(width="40em", height="8em"))
        sliders = {
            "temperature": w.FloatSlider(defaults.temperature, min=0, max=2, step=0.05),
            "top_p": w.FloatSlider(defaults.top_p, min=0.05, max=1, step=0.05),
            "max_new_tokens": w.IntSlider(defaults.max_new_tokens, min=1, max=512),
        }
        for name, slider in sliders.items():
            slider.description = name
            slider.style.description_width = "initial"
            slider.observe(self._setter(name), "value")
        self._text.observe(lambda _: self._ask(), "value")
        self._result = w.HTML()
        self._task = _Task()
        head = w.HBox([self._task.bar, self._task.stop, self._task.said])
        self._box = w.VBox([*sliders.values(), self._text, head, self._result])

    def show(self) -> None:
        _show(self._box, "The panel needs a notebook with ipywidgets.")
        self._ask()

    def _setter(self, name: str) -> Callable[[Any], None]:
        def changed(change: Any) -> None:
            setattr(self._defaults, name, change["new"])
            self._ask()

        return changed

    def _ask(self) -> None:
        text = self._text.value
        self._task.start(lambda: self._preview(text))

    async def _preview(self, text: str) -> str:
        await asyncio.sleep(REST)
        if not text.strip():
            return "Type the beginning of something."
        d = self._defaults
        made: Completion = await api.complete_async(
            text,
            context=self._context,
            language=d.lang,
            mode=await api.longest_mode(discovery.find()),
            max_new_tokens=d.max_new_tokens,
            temperature=d.temperature,
            top_p=d.top_p,
            on_delta=_Throttled(lambda _, new: self._draw(text + new)),
            on_wait=self._task.wait_for,
        )
        self._draw(text + made.text)
        return views.summary(made)

    def _draw(self, text: str) -> None:
        self._result.value = views.code(text, self._defaults.lang)


class _Row:
    """One text with what can be done with it."""

    def __init__(
        self, bridge: Bridge, place: dict[str, str], language: str, replace: str = "Replace"
    ) -> None:
        self._bridge, self._place, self._language = bridge, place, language
        self.text = ""
        self.logprobs: views.Logprobs = ()
        self.code = w.HTML()
        self.said = w.HTML()
        buttons = [
            self._button("insert", "Insert below", "arrow-down"),
            self._button("replace", replace, "check"),
            self._button("copy", "Copy", "copy"),
        ]
        border = w.Layout(border="1px solid rgba(128, 128, 128, .3)", padding="4px", margin="2px")
        self.box = w.VBox([self.code, w.HBox([*filter(None, buttons), self.said])], layout=border)

    def draw(self, prompt: str, new: str, note: str = "") -> None:
        self.text = prompt + new
        self.said.value = escape(note if new or not note else "nothing to add")
        self.draw_code()

    def draw_code(self, shade: bool = False) -> None:
        self.code.value = views.code(self.text, self._language, self.logprobs if shade else ())

    def _button(self, action: str, label: str, icon: str) -> w.Button | None:
        """None without the labextension: nobody would hear it."""
        if not self._bridge.present:
            return None
        button = w.Button(description=label, icon=icon)
        button.on_click(self._sender(action))
        return button

    def _sender(self, action: str) -> Callable[[Any], None]:
        def answered(done: bool) -> None:
            self.said.value = "Done." if done else "The page couldn't do that: mark the text and copy it."

        def send(_: Any) -> None:
            self.said.value = ""
            self._bridge.send({"action": action, **self._place, "text": self.text}, answered)

        return send


class _Task:
    """One piece of work at a time, with a bar while a model is awaited, a stop button and a last word."""

    def __init__(self) -> None:
        self.bar = w.FloatProgress(0, min=0, max=1, layout=w.Layout(display="none"))
        self.stop = w.Button(description="Stop", icon="stop", disabled=True)
        self.stop.on_click(lambda _: self.cancel())
        self.said = w.HTML()
        self._future: concurrent.futures.Future[None] | None = None
        self._current: asyncio.Task[Any] | None = None

    def start(
        self, work: Callable[[], Coroutine[Any, Any, str]], ended: Callable[[], None] | None = None
    ) -> None:
        """Begin, in place of what is being done; the work's result is what is said at its end."""
        self.cancel()
        self._future = client.submit(self._do(work, ended))

    def cancel(self) -> None:
        if self._future:
            self._future.cancel()

    def wait_for(self, status: dict[str, Any]) -> None:
        """Show that a model is on its way."""
        done = status["progress"] or {}
        self.bar.layout.display = ""
        self.bar.bar_style = "" if done.get("total") else "info"
        self.bar.value = done["done"] / done["total"] if done.get("total") else 1
        self.said.value = escape(status["message"])

    async def _do(
        self, work: Callable[[], Coroutine[Any, Any, str]], ended: Callable[[], None] | None
    ) -> None:
        me = self._current = asyncio.current_task()
        self.stop.disabled = False
        self.said.value = ""
        try:
            said = await work()
        except asyncio.CancelledError:
            said = "Stopped."
        except SantaError as error:
            said = str(error)
        except Exception as error:  # ours, and nobody would see it otherwise
            said = f"{type(error).__name__}: {error}"
        if self._current is me:  # nothing newer has begun
            self.said.value = escape(said)
            self.stop.disabled = True
            self.bar.layout.display = "none"
        if ended:
            ended()


class _Throttled:
    """Collects what streams in, and draws it now and then."""

    def __init__(self, draw: Callable[[int, str], None]) -> None:
        self._draw = draw
        self._texts: dict[int, str] = {}
        self._drawn: dict[int, float] = {}

    def __call__(self, index: int, text: str) -> None:
        self._texts[index] = self._texts.get(index, "") + text
        if time.monotonic() - self._drawn.get(index, 0.0) > DRAW_INTERVAL:
            self._drawn[index] = time.monotonic()
            self._draw(index, self._texts[index])


def _show(widget: w.DOMWidget, text: str) -> str:
    """Display the widget; ``text`` where there are none. Returns the display's id."""
    handle = display(_bundle(widget, text), raw=True, display_id=True)
    return str(handle.display_id)


def _bundle(widget: w.DOMWidget, text: str) -> dict[str, Any]:
    return {**widget._repr_mimebundle_(), "text/plain": text}
