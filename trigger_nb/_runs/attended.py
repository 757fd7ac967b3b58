"""Whether somebody may look at a run while it is under way, and can be asked."""

from __future__ import annotations

from .._records.records import RunRecord
from .._view.live.marimo import in_any_notebook
from .._view.live.notebook import is_attended


def asks(run: RunRecord) -> bool:
    """Whether a map with `first=` stops in this run: a person has a notebook open. Child runs and runs of a test go on."""
    return in_any_notebook() and is_attended() and not run.parent and not run.is_test
