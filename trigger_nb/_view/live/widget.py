"""The live widgets, which only pass messages on. Imported when the first widget is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import anywidget
import traitlets

from ..model.rows import State
from ..render import icons
from ..render.html import stylesheet
from .wire import SHARED, Wire

_FRONTEND = Path(__file__).parent / "frontend"
_STYLES = ("widget", "timeline", "runs")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/)\n", re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


@cache
def module() -> str:
    """The front end as one module, because a widget cannot import further files.

    Each file comes after the files that it imports. Comments are removed: each widget sends the module.
    """
    parts = {"": f"const SHARED = {json.dumps(SHARED, separators=(',', ':'))};"}

    def add(name: str) -> None:
        if name in parts:
            return
        text = (_FRONTEND / f"{name}.js").read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        parts[name] = _EXPORT.sub("", _COMMENT.sub("", _IMPORT.sub("", text)))

    add("widget")
    return "\n".join(parts.values())


@cache
def styles() -> str:
    """The styles of the static HTML, and those of the widget."""
    parts = [stylesheet(_FRONTEND / f"{name}.css") for name in _STYLES]
    return "\n".join([stylesheet(), icons.css(list(State), icons.names()), *parts])


class LiveWidget(anywidget.AnyWidget):
    """A widget that exchanges messages with its front end. `first` is the message that comes with the widget."""

    _esm = module()
    _css = styles()
    kind = traitlets.Unicode("run").tag(sync=True)
    first: traitlets.Dict[str, object] = traitlets.Dict().tag(sync=True)

    def __init__(self, kind: str, first: Wire, receive: Callable[[Wire], None]) -> None:
        super().__init__(kind=kind, first=first)  # pyright: ignore[reportUnknownMemberType]

        def received(_widget: object, message: Wire, _buffers: object) -> None:
            receive(message)

        self.on_msg(received)  # pyright: ignore[reportUnknownMemberType]

    def clear(self) -> None:
        """Empty the widget's state, which nbclient stores in the notebook."""
        with self.hold_sync():
            self._esm, self._css, self.first = "export default {}", "", {}

    def close(self) -> None:
        """Close the widget and its layout, which is not closed otherwise."""
        layout = cast("Any", self).layout
        cast("Any", super()).close()
        layout.close()

    def post(self, message: Wire) -> None:
        """Send a message to all front ends that show the widget."""
        self.send(message)  # pyright: ignore[reportUnknownMemberType]

    def bundle(self) -> tuple[Wire, Wire]:
        """The output that displays the widget: data by MIME type, and metadata that some front ends need."""
        return cast("Any", self)._repr_mimebundle_()
