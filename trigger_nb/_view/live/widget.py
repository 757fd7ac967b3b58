"""The live widgets, which only pass messages on. Imported when the first widget is shown."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

import anywidget
import ipywidgets  # pyright: ignore[reportMissingTypeStubs]
import traitlets

from ..model.rows import State
from ..render import icons
from ..render.stylesheet import stylesheet, under
from .joining import joined
from .marimo import in_marimo
from .wire import SHARED, Wire

_FRONTEND = Path(__file__).parent / "frontend"
_STYLES = ("widget", "timeline", "maps", "table", "runs", "questions")
_LOADER = "loader"


@cache
def module() -> str:
    """The front end as one module, for pages that share nothing among widgets. The page brings the styles."""
    return f"const FRONTEND = {json.dumps({**frontend(), 'css': ''})};\n{loader()}"


@cache
def loader() -> str:
    """The module of each widget, which loads the front end."""
    return (_FRONTEND / f"{_LOADER}.js").read_text(encoding="utf-8")


@cache
def frontend() -> Wire:
    """The front end: one module with the constants that it shares with the kernel, and the styles."""
    files = {file.stem: file.read_text(encoding="utf-8") for file in _FRONTEND.glob("*.js")}
    script = f"const SHARED = {json.dumps(SHARED)};\n{joined(files, 'widget')}"
    parts: Wire = {"script": script, "css": styles()}
    return {**parts, "version": sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]}


@cache
def _packed() -> str:
    """The front end as a page gets it on the wire: a third of the size. As text, because JupyterLab does not save bytes."""
    return b64encode(gzip.compress(json.dumps(frontend()).encode())).decode()


@cache
def styles() -> str:
    """The styles of the static HTML under another root, and those of the widget.

    A widget and a static output, perhaps of another version, have no rule in common. So neither changes how the other looks.
    """
    parts = [stylesheet(_FRONTEND / f"{name}.css") for name in _STYLES]
    static = [stylesheet(), icons.css(list(State), icons.names())]
    return under("tnb-live", "\n".join([*static, *parts]))


class Frontend(ipywidgets.Widget):
    """A widget without a view: the front end, which the live widgets of a kernel share, and which is closed with the last.

    Pages get it from here, once each; marimo has other means (see `marimo.py`).
    """

    packed = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(packed=_packed())  # pyright: ignore[reportUnknownMemberType]
        self._users = WeakSet["LiveWidget"]()

    def join(self, widget: LiveWidget) -> None:
        """A widget needs the front end."""
        self._users.add(widget)

    def leave(self, widget: LiveWidget) -> None:
        """A widget is closed."""
        self._users.discard(widget)
        if not self._users:
            cast("Any", super()).close()


_shared: Frontend | None = None


def _shared_frontend() -> Frontend:
    global _shared
    if _shared is None or _shared.comm is None:
        _shared = Frontend()
    return _shared


class _Layout(ipywidgets.Layout):
    """A layout that tells a page only what is set: the fifty other properties are null there, too."""

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Wire:
        state: Wire = cast("Any", super()).get_state(key, drop_defaults)
        return {name: value for name, value in state.items() if value is not None} if key is None else state


class LiveWidget(anywidget.AnyWidget):
    """A widget that exchanges messages with its front end. `first` is the message that comes with the widget."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Unicode("run").tag(sync=True)
    first: traitlets.Dict[str, object] = traitlets.Dict().tag(sync=True)
    version = traitlets.Unicode().tag(sync=True)
    shared: Frontend | None = cast("Any", traitlets.Instance(Frontend, allow_none=True)).tag(
        sync=True, **cast("Any", ipywidgets).widget_serialization
    )

    def __init__(self, kind: str, first: Wire, receive: Callable[[Wire], None]) -> None:
        self.placed_in = ""  # in marimo: the cell that shows it
        traits: dict[str, Any] = {
            "kind": kind,
            "first": first,
            "version": frontend()["version"],
            "layout": _Layout(),
        }
        if in_marimo():
            super().__init__(**traits, _esm=module(), _css=styles())  # pyright: ignore[reportUnknownMemberType]
        else:
            shared = _shared_frontend()
            super().__init__(**traits, shared=shared, _esm=loader())  # pyright: ignore[reportUnknownMemberType]
            shared.join(self)

        def received(_widget: object, message: Wire, _buffers: object) -> None:
            receive(message)

        self.on_msg(received)  # pyright: ignore[reportUnknownMemberType]

    def close(self) -> None:
        """Close the widget and its layout, which is not closed otherwise."""
        layout = cast("Any", self).layout
        cast("Any", super()).close()
        layout.close()
        if self.shared is not None:
            self.shared.leave(self)

    @property
    def is_open(self) -> bool:
        """Whether pages can show it. marimo closes its connection without a word."""
        return self.comm is not None and not getattr(self.comm, "_closed", False)

    def post(self, message: Wire) -> None:
        """Send a message to all front ends that show the widget."""
        self.send(message)  # pyright: ignore[reportUnknownMemberType]

    def bundle(self) -> tuple[Wire, Wire]:
        """The output that displays the widget: data by MIME type, and metadata that some front ends need.

        Its text is empty, because a front end without widgets shows the snapshot after it.
        """
        data, metadata = cast("Any", self)._repr_mimebundle_()
        return {**data, "text/plain": ""}, metadata
