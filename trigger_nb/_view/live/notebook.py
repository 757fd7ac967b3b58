"""The notebook that this kernel belongs to: its cells, and what is displayed below them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from ..render.snapshot import Bundle

# Called with data, metadata, the display id, and whether to update an existing output.
Publish: TypeAlias = Callable[[Bundle, Bundle, str, bool], None]


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel. Does not import IPython."""
    return getattr(_shell(), "kernel", None) is not None


def is_attended() -> bool:
    """Whether somebody may look at the notebook: a program that runs it (nbclient, papermill) takes no input."""
    return bool(getattr(getattr(_shell(), "kernel", None), "_allow_stdin", True))


def cell_number() -> int:
    """The number of cells that this kernel has run; -1 outside of a notebook."""
    return getattr(_shell(), "execution_count", -1)


def at_cells(at_start: Callable[[], bool], at_end: Callable[[], None]) -> None:
    """Call `at_end` when this cell ends and each later one, and `at_start` when these start, until it returns True."""
    events = getattr(_shell(), "events", None)
    if events is None:
        return

    def start(_info: object = None) -> None:
        if at_start():
            events.unregister("pre_run_cell", start)
            events.unregister("post_run_cell", end)

    def end(_result: object = None) -> None:
        at_end()

    events.register("pre_run_cell", start)
    events.register("post_run_cell", end)


def to_kernel(
    data: Bundle, metadata: Bundle | None = None, display_id: str = "", update: bool = False
) -> None:
    """Display data below the running cell, or update the output with this display id."""
    from IPython import display

    publish = cast("Any", display).publish_display_data
    transient = {"display_id": display_id} if display_id else {}
    publish(dict(data), dict(metadata or {}), transient=transient, update=update)


def _shell() -> Any:
    get_ipython: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if get_ipython is not None else None
