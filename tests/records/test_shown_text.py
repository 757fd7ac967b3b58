"""What is shown of a value stands at the end of its record's text, so that passes do not read it (S5, S10)."""

from __future__ import annotations

import json

import pytest

from trigger_nb import TaskStatus
from trigger_nb._records.records import LONG, TaskRecord, abridged, checksums, is_long, plain_value

SHOWN = [{"part": "", "about": "DataFrame 2 × 1", "table": {"columns": ["a"], "rows": [[1], [2]]}}]
FILE = {"file": "f" * 64, "form": "tagged", "size": 90_000, "about": "list of 2,000"}


def record(**fields) -> TaskRecord:
    made = TaskRecord(code="abc", started=3, ended=4, started_at=1.5, ended_at=2.5, **fields)
    made.show(SHOWN)
    return made


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("", 3),
        ("", None),
        ("tagged", {"$": "date", "v": "2024-01-01"}),
        ("tagged", {"$": "str", "v": "x" * 2 * LONG}),
        ("", "x" * 2 * LONG),
        ("file", FILE),
        ("unstored", {"type": "Figure", "path": "$", "reason": "no codec"}),
    ],
    ids=["plain", "none", "tagged", "long tagged", "long plain", "file", "unstored"],
)
def test_a_pass_reads_the_value_and_not_what_is_shown(form, value):
    """The value of a short result is in the abridged text, and nothing of the pieces but how many they are."""
    made = record(form=form, value=value)
    text = made.dumps_result(json.dumps(value))
    assert is_long(text)
    short = abridged(text)
    assert "DataFrame" in text
    assert "DataFrame" not in short
    whole, cut = TaskRecord.loads(text), TaskRecord.loads(short)
    assert (whole.form, whole.value, whole.shown) == (form, value, SHOWN)
    assert not whole.is_abridged
    assert cut.is_abridged
    if isinstance(value, str) or form == "tagged" and len(str(value)) > LONG:
        assert cut.is_apart
    else:
        assert not cut.is_apart
        assert (cut.form, cut.value) == (form, value)
    assert TaskRecord.loads(whole.dumps()).shown == SHOWN
    assert len(set(checksums("run/a", text, 1))) == 2


def test_a_result_that_shows_nothing_has_the_text_that_it_had():
    """A fresh commit and a replay of a small result do nothing for it."""
    made = TaskRecord(code="abc", value=3, started=3, ended=4)
    text = made.dumps_result("3")
    assert text == '{"code":"abc","value":3,"started":3,"ended":4}'
    assert plain_value(text, '{"code":"abc",', "", None) == 3


def test_the_status_of_a_failed_task_comes_first():
    """The counts of a run are read from the texts."""
    made = TaskRecord(status=TaskStatus.ERRORED, started=1)
    made.show(SHOWN)
    assert made.dumps().startswith('{"status":"ERRORED"')
    assert TaskRecord.loads(made.dumps()).shown == SHOWN
    assert abridged(made.dumps()) == made.dumps()
