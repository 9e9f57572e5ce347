"""The control surface of a lab in a notebook: switch the mode, send requests, watch the connections.

Widgets only: what a click does and counts is in `burst`. Clicks arrive on the kernel's comm threads, so the work
is done on a thread of its own, one job at a time; the controls are off meanwhile. Whatever goes wrong is written in
the panel. Each action shows the Python that does the same.
"""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from labkit.errors import LabError

from .burst import PanelLab, Tally, request_code, send
from .lab import lab_picture, mode_now
from .palette import MODE_WORDS
from .picture import Picture
from .svg import escaped

_PATHS = ("/api/users", "/images/logo.png", "/")
_MODES = {"L4 · new label": "l4", "L7 · opens the letter": "l7"}
_MOST_REQUESTS = 200
_PRE = (
    "margin:0;padding:.5em .8em;border:1px solid rgba(128,128,128,.45);border-radius:6px;"
    "background:rgba(128,128,128,.10);color:var(--jp-ui-font-color1,inherit);font-family:var(--jp-code-font-family,monospace);font-size:13px;"
    "line-height:1.4;white-space:pre-wrap;user-select:all"
)
_WORDS = "color:var(--jp-ui-font-color1,inherit);line-height:1.5"


def panel(lab: PanelLab) -> "Panel":
    """The control surface of *lab*; show it by making it the last line of a cell."""
    return Panel(lab)


class Panel:
    """The panel's controls (ipywidgets, as attributes) and what they have counted so far. Thread-safe."""

    def __init__(self, lab: PanelLab) -> None:
        self._lab = lab
        self._busy = threading.Lock()
        self._worker: threading.Thread | None = None
        self._tallies = {mode: Tally(mode, lab.topology) for mode in _MODES.values()}
        self._code = "lab.panel()"
        self._problem = ""

        names = [client.name for client in lab.clients]
        wide, narrow = {"width": "15em"}, {"width": "10em"}
        label = {"description_width": "5em"}
        self.mode = widgets.ToggleButtons(
            options=_MODES,
            description="Mode",
            value="l4",
            layout={"width": "auto"},
            style={"button_width": "13em"} | label,
        )
        self.client = widgets.Dropdown(options=names, description="Client", layout=wide, style=label)
        self.path = widgets.Combobox(
            options=_PATHS,
            value=_PATHS[0],
            description="Path",
            ensure_option=False,
            layout={"width": "20em"},
            style=label,
        )
        self.requests = widgets.BoundedIntText(
            value=4, min=1, max=_MOST_REQUESTS, description="Requests", layout={"width": "11em"}, style=label
        )
        self.send = widgets.Button(
            description="Send", button_style="primary", icon="paper-plane", layout=narrow,
            tooltip="Send the requests, each on a connection of its own, and capture them",
        )  # fmt: skip
        self.reset = widgets.Button(
            description="Reset counts", layout=narrow, tooltip="Forget what was counted, in both modes"
        )
        self.status, self.diagram, self.answers, self.code = (widgets.HTML() for _ in range(4))
        self._controls = (self.mode, self.client, self.path, self.requests, self.send, self.reset)
        row = {"flex_flow": "row wrap", "align_items": "center"}
        self.widget = widgets.VBox(
            [
                self.mode,
                widgets.HBox([self.client, self.path, self.requests, self.send, self.reset], layout=row),
                self.status,
                self.diagram,
                self.answers,
                self.code,
            ]
        )
        self.refresh()
        self.mode.observe(self._on_mode, names="value")
        self.send.on_click(lambda _: self._do(self._send))
        self.reset.on_click(lambda _: self._do(self._reset))

    def refresh(self) -> None:
        """Show the lab as it is now, also when code in a cell has switched it or stopped it."""
        mode = mode_now(self._lab)
        if mode is not None:
            self.mode.value = mode
        self._show(mode)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the action under way is done, at most *timeout* seconds (TimeoutError)."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)
            if worker.is_alive():
                raise TimeoutError("the panel's action is still under way")

    def snapshot(self) -> Picture:
        """What the panel shows, as a picture with words; needs no front end."""
        mode = mode_now(self._lab)
        if mode is None:
            return lab_picture(self._lab)
        tally = self._tallies[mode]
        shown = tally.picture()
        last = tally.last
        words = [shown.text, *([_who(last.answers), last.decision] if last else [])]
        return Picture(shown.svg, "\n".join(words), shown.title)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The widget for a front end that has them, the snapshot for all others."""
        self.refresh()
        bundle: dict[str, Any] = dict(self.widget._repr_mimebundle_() or {})
        return bundle | self.snapshot()._repr_mimebundle_()

    def __repr__(self) -> str:
        return self.snapshot().text

    def _on_mode(self, change: Any) -> None:
        wanted = change["new"]
        if wanted != mode_now(self._lab):  # else it only follows what the code did
            self._do(lambda: self._switch(wanted))

    def _do(self, job: Callable[[], None]) -> None:
        """Do *job* on a thread of its own, unless one is under way."""
        if not self._busy.acquire(blocking=False):
            return
        self._problem = ""
        self._enable(False)
        self.status.value = _status("Working …")
        context = contextvars.copy_context()  # the kernel keeps there which cell its output belongs to
        self._worker = threading.Thread(target=context.run, args=(self._work, job), name="labkit-panel", daemon=True)
        self._worker.start()

    def _work(self, job: Callable[[], None]) -> None:
        try:
            job()
        except LabError as error:
            self._problem = str(error)
        except Exception as error:  # a thread has no caller: the panel is where it is seen
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            try:
                self.refresh()
            finally:
                self._enable(True)
                self._busy.release()

    def _switch(self, mode: str) -> None:
        self._code = f"lab.balancer.{mode}()"
        {"l4": self._lab.balancer.l4, "l7": self._lab.balancer.l7}[mode]()

    def _send(self) -> None:
        path = self.path.value if self.path.value.startswith("/") else f"/{self.path.value}"
        url = f"http://{self._lab.topology.balancer.name}{path}"
        self._code = request_code(self.client.value, url, self.requests.value)
        client = next(client for client in self._lab.clients if client.name == self.client.value)
        burst = send(self._lab, client, url, self.requests.value)
        self._tallies[burst.mode].add(burst)
        self._problem = burst.failure

    def _reset(self) -> None:
        self._code = "lab.panel()"
        self._tallies = {mode: Tally(mode, self._lab.topology) for mode in self._tallies}

    def _enable(self, enabled: bool) -> None:
        for control in self._controls:
            control.disabled = not enabled

    def _show(self, mode: str | None) -> None:
        tally = self._tallies[mode] if mode else None
        said = (
            f"{MODE_WORDS[mode]}: this is how the lab runs now."
            if mode
            else "The lab is not running: lab.start() boots it."
        )
        self.status.value = _status(said, self._problem)
        self.diagram.value = (tally.picture() if tally else lab_picture(self._lab)).svg
        last = tally.last if tally else None
        self.answers.value = (
            f'<div style="{_WORDS}"><div><b>Last answers</b>: {escaped(_who(last.answers))}</div>'
            f"<div><b>◆ Decision</b>: {escaped(last.decision)}</div></div>"
            if last
            else ""
        )
        self.code.value = (
            f'<div style="{_WORDS}"><b>The same in Python</b></div>'
            f'<pre tabindex="0" aria-label="The same in Python" style="{_PRE}">{escaped(self._code)}</pre>'
        )


def _who(answers: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in sorted(answers.items()))


def _status(said: str, problem: str = "") -> str:
    """The line that screen readers follow; a problem is marked by a sign and a word, not by its colour alone."""
    wrong = f'<div style="border-left:4px solid #D55E00;padding-left:.6em"><b>⚠ Problem</b>: {escaped(problem)}</div>'
    return f'<div role="status" aria-live="polite" style="{_WORDS}">{escaped(said)}{wrong if problem else ""}</div>'
