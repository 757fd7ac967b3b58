"""What there is to tell of one task, as neutral data."""

from __future__ import annotations

import json

from tests.support.views import Clock, T
from trigger_nb import Reason, TaskStatus
from trigger_nb._keys import idempotency_key
from trigger_nb._records.feed import Seen
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details
from trigger_nb._view.words import moment


def told(record: TaskRecord, *others: TaskRecord, seen: Seen | None = None):
    """The sections of a record's row, by label, as they are sent."""
    run = RunRecord(id="run_1", job="job", status="RUNNING", started_at=T)
    model = RunModel(run, [record, *others], clock=Clock())
    row = model.rows[record.path]
    if seen is not None:
        row.seen = seen
    sections = details.as_json(details.sections(model, row))
    assert json.loads(json.dumps(sections)) == sections
    labels = [section.pop("label") for section in sections]
    assert len(set(labels)) == len(labels)
    return dict(zip(labels, sections, strict=True))


def test_a_completed_task():
    """D2: params, output, times, idempotency key, path, properties, description."""
    record = TaskRecord(
        path="parent/~(user,~i7)", started_at=T, ended_at=T + 65, params={"id": 7}, value=["a" * 60, "b" * 60],
        description="Fetches it", properties=[{"label": "User", "text": "u7", "url": "https://x.org"}],
        output_properties=[{"label": "Rows", "text": "2"}],
    )  # fmt: skip
    assert told(record, seen=Seen(record.path, Reason.NEW)) == {
        "About": {"text": "Fetches it"},
        "Params": {"code": '{"id": 7}'},
        "Output": {"pre": json.dumps(["a" * 60, "b" * 60], indent=2)},
        "Properties": {"properties": [["User", "u7", "https://x.org"], ["Rows", "2"]]},
        "Status": {"text": "completed · new"},
        "Started": {"text": moment(T) + " · took 1 min 5 s"},
        "Ended": {"text": moment(T + 65)},
        "Path": {"code": "parent/user · 7"},
        "Idempotency key": {"code": idempotency_key("run_1", record.path, 0)},
    }


def test_a_task_in_an_executor():
    """C3: the details say where its body ran."""
    assert told(TaskRecord(path="a", executor="Dask"))["Executor"] == {"text": "Dask"}
    assert "Executor" not in told(TaskRecord(path="a"))


def test_a_task_that_waits_for_its_next_attempt():
    """D2: the attempt, the error of the last one, and when the next one begins."""
    error = {"type": "E", "message": "no"}
    record = TaskRecord(
        path="a", status=TaskStatus.WAITING, attempt=2, error=error, started_at=T, next_at=T + 112
    )
    sections = told(record)
    assert sections["Last error"]["error"]["line"] == "E: no"
    assert sections["Status"] == {"text": "retrying · 2 attempts"}
    assert sections["Next attempt"] == {"text": moment(T + 112)}
    assert "Ended" not in sections


def test_a_wait():
    record = TaskRecord(path="w", kind="wait", status=TaskStatus.WAITING, started_at=T, next_at=T + 112)
    sections = told(record)
    assert sections["Waits until"] == {"text": moment(T + 112)}
    assert "Idempotency key" not in sections
    # That it was cut short, and went on, is no fault of it.
    done = TaskRecord(path="w", kind="wait", started_at=T, ended_at=T + 1)
    assert told(done, seen=Seen("w", Reason.INTERRUPTED))["Status"] == {"text": "completed"}


def test_what_changed():
    """R6."""
    record = TaskRecord(path="a", started_at=T, ended_at=T + 1)
    kept, run_again = Seen("a", Reason.REPLAYED, "code, params"), Seen("a", Reason.CHANGED, "code")
    assert told(record, seen=kept)["Changed"]["text"].endswith("the stored result was reused")
    assert (
        told(record, seen=run_again)["Changed"]["text"]
        == "code, since the result was stored; so the task ran again"
    )


def test_a_generation_and_a_task_to_be_run_again():
    """I6, R9."""
    sections = told(TaskRecord(path="a", generation=2, forced=True, crashes=2))
    assert sections["Generation"]["text"].startswith("2 ")
    assert (
        sections["Status"]["text"]
        == "pending · runs again in the next pass · the process crashed 2 times during this task"
    )
    assert sections["Idempotency key"]["code"] == idempotency_key("run_1", "a", 2)
    assert "Generation" not in told(TaskRecord(path="a"))


def test_what_is_not_stored_and_how_to_store_it():
    """S4."""
    value = {"type": "httpx.Client", "path": "$.x", "reason": "a live connection"}
    sections = told(TaskRecord(path="a", form="unstored", value=value))
    assert sections["Output"]["code"] == "httpx.Client at $.x, which could not be stored: a live connection"
    assert "register_codec" in sections["Not stored"]["text"]
    assert "repeatable=True" in sections["Not stored"]["text"]


def test_a_parent():
    """Its error is told in full where it arose."""
    error = {"type": "E", "message": "no", "traceback": ["line 3"]}
    records = [TaskRecord(path=path, status=TaskStatus.ERRORED, error=error) for path in ("p", "p/c")]
    sections = told(records[0], records[1], TaskRecord(path="p/d"))
    assert sections["Error"] == {"text": "E: no (raised in a subtask; see its details)"}
    assert sections["Inside"] == {"text": "1 completed, 1 failed"}
    assert told(records[1])["Error"]["error"]["traceback"] == "line 3"


def test_a_result_that_came_late():
    """A3: the caller was given a timeout, then the thread's result came."""
    error = {"type": "TaskTimeoutError", "message": "too long"}
    status = told(TaskRecord(path="a", error=error))["Status"]["text"]
    assert status.endswith("after the caller had received TaskTimeoutError: too long")


def test_a_log_line():
    record = TaskRecord(path="~.1", kind="log", name="long " * 100, level="warn", data={"a": 1}, started_at=T)
    sections = told(record)
    assert sections["Message"]["code"] == "long " * 100
    assert sections["Data"] == {"code": '{"a": 1}'}
    assert sections["Logged"] == {"text": moment(T)}
    assert "Status" not in sections
    assert "Path" not in sections


def test_a_row_of_which_only_subtasks_are_known():
    run = RunRecord(id="run_1", status="RUNNING")
    model = RunModel(run, [TaskRecord(path="p/c")])
    sections = details.as_json(details.sections(model, model.rows["p"]))
    assert sections == [{"label": "Status", "text": "running"}, {"label": "Path", "code": "p"}]


def test_prints():
    """What a body printed and logged: without colours, with whatever else would act on a terminal written out."""
    prints = [["out", "a\n\x1b[31mred\x1b[0m\x1b[2J\n"], ["note", "— attempt 2 —\n"], ["err", "careful\n"]]
    assert told(TaskRecord(path="a", prints=prints))["Printed"] == {
        "prints": [["out", "a\nred\\x1b[2J\n"], ["note", "— attempt 2 —\n"], ["err", "careful\n"]]
    }
    much = [["out", "x" * 3000]] * 100
    shown = told(TaskRecord(path="a", prints=much))["Printed"]["prints"]
    assert sum(len(text) for _, text in shown) == 20_000


# --- errors -------------------------------------------------------------------------------------------


def errors_json(error):
    return details.error_json(details.error_data(error))


def test_an_error_tells_all_that_hangs_on_it():
    """D2: notes, traceback, causes as Python chains them, members of a group."""
    error = {
        "type": "shop.CardError",
        "message": "declined",
        "notes": ["ask the bank"],
        "traceback": ["cell 3, line 7\n", "cell 4, line 8\n"],
        "cause": {"type": "HTTPError", "message": "402", "context": {"type": "KeyError", "notes": ["n"]}},
        "errors": [{"type": "A", "errors": [{"type": "B"}]}],
        "errors_left": 3,
    }
    blank = {"notes": [], "traceback": "", "causes": [], "members": [], "more": 0}
    assert errors_json(error) == {
        "line": "CardError: declined",
        "notes": ["ask the bank"],
        "traceback": "cell 3, line 7\ncell 4, line 8",
        "causes": [
            ["Caused by", {**blank, "line": "HTTPError: 402"}],
            ["While handling", {**blank, "line": "KeyError", "notes": ["n"]}],
        ],
        "members": [{**blank, "line": "A", "members": [{**blank, "line": "B"}]}],
        "more": 3,
    }


def test_a_suppressed_context_is_not_told():
    error = {"type": "E", "context": {"type": "Hidden"}, "suppress_context": True}
    assert details.error_data(error).causes == ()


def test_what_redact_leaves_of_an_error():
    """S8: the record keeps the message for the replay; what is shown is scrubbed."""
    shown = {"message": "no account for •••", "notes": ["•••"]}
    error = {"type": "E", "message": "no account for ana", "notes": ["ana"], "shown": shown}
    assert "ana" not in str(errors_json({"type": "G", "errors": [error], "cause": error}))


def test_errors_are_bounded():
    """D5: however many there are, and however deep they go."""
    long = "x" * 1_000_000
    error = {"type": "E", "message": long, "notes": [long] * 50, "traceback": [long] * 300}
    for _ in range(12):
        error = {**error, "errors": [error] * 20, "cause": error}
    wire = errors_json(error)
    assert len(json.dumps(wire)) < 200_000
    assert wire["more"] + len(wire["members"]) == 20


def test_links_are_judged():
    """D5: a url that is not followed stands in the text."""
    properties = [
        {"label": "a", "text": "t", "url": "javascript:x", "image_url": "mailto:a@b"},
        {"label": "b", "text": "t", "image_url": "https://x.org/i.png"},
    ]
    sections = told(TaskRecord(path="a", properties=properties))
    assert sections["Properties"]["properties"] == [
        ["a", "t (javascript:x)"],
        ["b", "t", "", "https://x.org/i.png"],
    ]
