"""marimo, another notebook than Jupyter's.

A widget belongs to the cell that made it, and is closed when that cell runs again. The front end's files are served
from a URL of their own, which is the same for all widgets. marimo has no types, and is not installed with the package.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from .notebook import in_notebook


def in_marimo() -> bool:
    """Whether this is the kernel of a marimo notebook. Does not import marimo."""
    return "marimo" in sys.modules and bool(_marimo().running_in_notebook())


def in_any_notebook() -> bool:
    """Whether a cell can show a live display: Jupyter's or marimo's."""
    return in_notebook() or in_marimo()


def running_cell() -> str:
    """The id of the cell that runs; "" if that is unknown."""
    try:
        return str(import_module("marimo._runtime.context").get_context().cell_id)
    except Exception:  # noqa: BLE001  # not public: another version may have it elsewhere
        return ""


def append(widget: object) -> None:
    """Show a widget below the running cell, where marimo has figures that are shown while a cell runs.

    The value of the cell's last line would take the place of what is appended to its output. An app shows nothing else.
    """
    marimo = _marimo()
    try:
        if marimo.app_meta().mode == "run":
            raise LookupError("an app")
        channel = import_module("marimo._messaging.cell_output").CellChannel.MEDIA
        tell = import_module("marimo._messaging.notification_utils").CellNotificationUtils
        data = marimo.as_html(widget).text
        tell.broadcast_console_output(
            channel=channel, mimetype="text/html", data=data, cell_id=None, status=None
        )
    except Exception:  # noqa: BLE001  # as above
        marimo.output.append(widget)


def as_output(html: str) -> object:
    """HTML as the value of a cell."""
    return _marimo().Html(html)


def _marimo() -> Any:
    return sys.modules["marimo"]
