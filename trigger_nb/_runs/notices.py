"""Warnings for those who see no tree: in a script, under cron, in `jupyter execute`, or with `display=False`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._callsite import warn_at
from .._keys import ancestors
from .._records.status import Reason
from .._tasks.signature import innermost
from .._view.live.marimo import in_any_notebook
from .._view.live.notebook import is_attended
from .._view.model.hints import NAMED, WARNING, changed

if TYPE_CHECKING:
    from .._engine.pass_ import Pass
    from .._records.records import RunRecord
    from .runtime import Runtime


def warn_of_changes(runtime: Runtime, run: RunRecord, pass_: Pass, function: object) -> None:
    """Warn, once a run, of what its header warns of, and that it used stored results of changed code, unless its tree
    says so to somebody."""
    texts = [text.removeprefix(WARNING) for text in pass_.header.hints if text.startswith(WARNING)]
    if kept := _kept(pass_):
        first = [(path, kept[path]) for path in sorted(kept)[:NAMED]]
        texts.append(changed(run, first, len(kept), "run" if in_any_notebook() else "run_sync"))
    if texts and not _is_seen(runtime, run.id):
        code = getattr(innermost(function), "__code__", None)
        file, line = ("<job>", 1) if code is None else (code.co_filename, code.co_firstlineno)
        warn_at(f"run {run.id} of job {run.job!r}: {' '.join(texts)}".replace("`", ""), file, line)


def _kept(pass_: Pass) -> dict[str, str]:
    """The replayed tasks whose code, params or codec has changed, by path: what has changed."""
    changes, reasons = pass_.changes, pass_.reasons

    def is_replayed(path: str) -> bool:
        return (
            next((reasons[each] for each in (path, *ancestors(path)) if each in reasons), None)
            == Reason.REPLAYED
        )

    # A parent is replayed with its subtasks. The subtask that has changed is named, and not the parent.
    return {
        path: pass_.sighting(path, Reason.REPLAYED).difference
        for path, what in changes.found.items()
        if what != "subtask" and is_replayed(path)
    }


def _is_seen(runtime: Runtime, run_id: str) -> bool:
    display = runtime.views.get(run_id)
    return display is not None and (display.shows_pass or display.stay) and is_attended()
