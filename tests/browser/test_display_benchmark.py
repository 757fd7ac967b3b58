"""The benchmark of the display measures what it says, at a size that takes little time. Figures: docs/benchmarks.md."""

from __future__ import annotations

import pytest

from benchmarks import display_notebook
from benchmarks.display import FIGURES, Load, measure, table

from .lab import PATIENCE

SMALL = Load(tasks=200, nodes=20, rate=100, seconds=1.0)


@pytest.mark.parametrize("kind", ["ours", "one_html"])
def test_a_display_is_measured(server, context, kind):
    """D1: all that is said of it has been seen, and counts are bounded on any machine."""
    measured = measure(kind, SMALL, server, context, patience=PATIENCE)
    seen = {name for name, value in measured.items() if value is not None}
    # A click may find the page too busy, and Chromium does not always tell its memory.
    rare = {"collection", "imports", "snapshot", "click", "heap"}
    assert seen >= set(FIGURES) - rare
    if kind == "ours":
        assert seen >= {"imports", "snapshot"}
        assert measured["nodes"] < 1000
        assert measured["messages"] < 60  # with all that is said once at the beginning and at the end


def test_the_table():
    measured = [
        dict.fromkeys(FIGURES, 0.01) | {"bytes": 2e6, "last": None},
        dict.fromkeys(FIGURES, 0.03) | {"bytes": 1e6, "last": 0.1},
    ]
    lines = table({"ours": measured, "one_html": measured[:1]}).splitlines()
    assert [line.split() for line in lines if line.startswith("bytes")] == [
        [
            "bytes",
            "after",
            "the",
            "first",
            "paint",
            "1.5",
            "MB",
            "1.50",
            "(1.00-2.00)",
            "MB",
            "met",
            "2.00",
            "MB",
        ]
    ]
    [last] = [line for line in lines if line.startswith("last state")]
    assert "100 ms" in last
    assert "missed" in last  # it was not seen each time
    assert last.endswith("never")


def test_what_runs_cost_a_notebook_is_measured(server, context):
    """D1: each figure, of few runs."""
    measured = display_notebook.measure(server, context, runs=2, at_rest=0.5)
    assert measured.keys() == display_notebook.FIGURES.keys()
    assert 0 < measured["further"] < measured["first"] < measured["all"]
    assert measured["cold"] > 0
    assert measured["warm"] > 0
    lines = display_notebook.table({"now": [measured], "before": [measured, measured]}).splitlines()
    assert len(lines) == 1 + len(display_notebook.FIGURES)
