"""What there is to tell of one task, as neutral data."""

from __future__ import annotations

import json

from hypothesis import given, strategies as st

from tests.support.views import Clock, T
from trigger_nb import Reason, TaskStatus
from trigger_nb._keys import idempotency_key
from trigger_nb._records.feed import Seen
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.pretty import preview
from trigger_nb._view.render import details, fields
from trigger_nb._view.render.errors import error_data, error_json
from trigger_nb._view.words import moment, time_of_day


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
        "Started": {"at": T, "text": "took 1 min 5 s"},
        "Ended": {"at": T + 65},
        "Path": {"code": "parent/user · 7"},
        "In code": {"code": "run.task('parent/user · 7')"},
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
    assert sections["Next attempt"] == {"at": T + 112}
    assert "Ended" not in sections


def test_a_wait():
    record = TaskRecord(path="w", kind="wait", status=TaskStatus.WAITING, started_at=T, next_at=T + 112)
    sections = told(record)
    assert sections["Waits until"] == {"at": T + 112}
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
    assert sections["Logged"] == {"at": T}
    assert sections["Level"] == {"text": "warn"}
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


def test_when_lines_were_printed_and_how_grave_log_lines_are():
    """D2: a log line has its level, and the text of a record its time, to the second."""
    log = "INFO:shop:open\nERROR:shop:no key\nTraceback ...\nWARNING:shop:late\n"
    prints = [["out", "a\n", str(int(T))], ["log", log, str(int(T) + 1)], ["out", "b", "x"]]
    record = TaskRecord(path="a", prints=prints)
    assert told(record)["Printed"]["prints"] == [
        ["out", "a\n", T],
        ["info", "INFO:shop:open\n", T + 1],
        ["error", "ERROR:shop:no key\nTraceback ...\n", T + 1],
        ["warning", "WARNING:shop:late\n", T + 1],
        ["out", "b"],
    ]
    html = still(record)
    assert f'<pre><span class="tnb-o-at">{time_of_day(T)} </span>a&#10;' in html
    assert html.count(time_of_day(T + 1)) == 1  # the same for three lines
    assert '<span class="tnb-bad">ERROR:shop:no key&#10;Traceback ...&#10;</span>' in html
    assert '<span class="tnb-o-err">WARNING:shop:late&#10;</span>' in html


def still(record: TaskRecord) -> str:
    """The details of a record's row as static HTML."""
    model = RunModel(RunRecord(id="run_1", status="FAILED"), [record], clock=Clock())
    return fields.field_list(details.sections(model, model.rows[record.path]))


# --- attempts -----------------------------------------------------------------------------------------


def test_attempts_are_a_list():
    """D2: each with its number, start, duration and error."""
    past = [
        {"number": 4, "began": T, "took": 2.0, "type": "net.Refused", "message": "busy\nnow", "next_at": T + 10},
        {"number": 5, "began": T + 10, "took": 0.0, "type": "Lost", "message": "", "next_at": T + 30},
        {"number": "?", "took": None},
    ]  # fmt: skip
    record = TaskRecord(
        path="a", attempt=6, attempted_at=T + 31, started_at=T, ended_at=T + 34, attempts=past
    )
    assert told(record)["Attempts"]["attempts"] == [
        {"n": 4, "state": "failed", "at": T, "took": 2.0, "error": "Refused: busy"},
        {"n": 5, "state": "failed", "at": T + 10, "took": 0.0, "error": "Lost"},
        {"n": 0, "state": "failed", "error": "error"},
        {"n": 6, "state": "completed", "at": T + 31, "took": 3.0},
    ]
    html = still(record)
    assert f"<li>4 · failed · {moment(T)} · took 2.0 s" in html
    assert '<span class="tnb-bad">Refused: busy</span>' in html
    assert f"<li>6 · completed · {moment(T + 31)} · took 3.0 s</li>" in html


def test_the_last_attempt_says_when_the_next_one_begins():
    """D2: until that has begun; its own line says when it did."""
    past = [{"number": n, "began": T + n, "next_at": T + 10 * n} for n in (1, 2)]
    record = TaskRecord(path="a", status=TaskStatus.WAITING, attempt=2, next_at=T + 20, attempts=past)
    assert [each.get("next") for each in told(record)["Attempts"]["attempts"]] == [None, T + 20]
    assert f"next attempt at {time_of_day(T + 20)}</li>" in still(record)


def test_a_last_attempt_that_failed_is_listed_once():
    past = [{"number": n, "type": "E", "message": "no"} for n in (1, 2)]
    record = TaskRecord(path="a", status=TaskStatus.ERRORED, attempt=2, attempts=past)
    assert [each["n"] for each in told(record)["Attempts"]["attempts"]] == [1, 2]
    assert "Attempts" not in told(TaskRecord(path="a", attempt=3))  # of an earlier version


# --- values -------------------------------------------------------------------------------------------


def test_values_are_written_in_lines_as_people_write_them():
    """Lists of scalars fill lines of 80 columns; what fits on a line stays there."""
    value = {
        "id": 7,
        "sizes": list(range(60)),
        "users": [{"name": "Ana", "tags": ["a", "b"]}] * 2,
        "none": {},
    }
    assert preview(value, 2000) == (
        "{\n"
        '  "id": 7,\n'
        '  "sizes": [\n'
        "    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,\n"
        "    21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,\n"
        "    40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58,\n"
        "    59\n"
        "  ],\n"
        '  "users": [\n'
        '    {"name": "Ana", "tags": ["a", "b"]},\n'
        '    {"name": "Ana", "tags": ["a", "b"]}\n'
        "  ],\n"
        '  "none": {}\n'
        "}"
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda part: st.lists(part, max_size=40) | st.dictionaries(st.text(), part),
    )
)
def test_lines_say_the_same_as_the_value(value):
    """Whatever the lines, the text is JSON of the value."""
    assert json.loads(preview(value, 10**6)) == value


def test_tables_arrays_and_bytes_are_a_line_without_quotes():
    """D2: from what the record says; `tests/values` has the values as they are stored."""
    npy = "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDMsIDQpLCB9"
    npy += "ICAg" * 19 + "ICAK"
    array = {"$": "numpy.array", "b64": npy}
    names = {
        "$": "pandas.Index",
        "kind": "flat",
        "names": [None],
        "v": {"kind": "string", "v": ["order", "name"]},
    }
    column = {"kind": "numpy", "v": {"$": "numpy.array", "blob": "0:9", "dtype": "int64", "shape": [200]}}
    rows = {"$": "pandas.Index", "kind": "range", "names": [None], "v": [0, 200, 1]}
    frame = {
        "$": "pandas.DataFrame",
        "index": rows,
        "columns": names,
        "v": [column, {"kind": "string", "v": ["a"]}],
    }
    for value, text in [
        (frame, "DataFrame 200 × 2: order int64, name str"),
        (array, "ndarray float64 (3, 4)"),
        ({"$": "bytes", "b64": "YWJj"}, "bytes, 3 B"),
        ({"$": "bytes", "blob": "f", "size": 12_000}, "bytes, 12 kB"),
        (
            {"$": "polars.DataFrame", "b64": "", "about": "DataFrame 2 × 1: a Int64"},
            "DataFrame 2 × 1: a Int64",
        ),
        ({"a": frame, "b": 1}, '{"a": <DataFrame 200 × 2: order int64, name str>, "b": 1}'),
        ({"$": "pandas.DataFrame", "v": None}, "pandas.DataFrame"),  # damaged
        ({"$": "numpy.array", "blob": "f"}, "ndarray"),  # of an earlier version
        ({"$": "shop.Model", "v": 1}, "shop.Model"),
    ]:
        assert told(TaskRecord(path="a", form="tagged", value=value))["Output"] == {"code": text}
    params = ["<DataFrame 200 × 4: order int64, name str>", 3, "<b>", "<12,000 bytes>"]
    assert told(TaskRecord(path="a", params=params))["Params"] == {
        "code": '[<DataFrame 200 × 4: order int64, name str>, 3, "<b>", <12,000 bytes>]'
    }


# --- errors -------------------------------------------------------------------------------------------


def errors_json(error):
    return error_json(error_data(error))


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
    blank = {"notes": [], "traceback": "", "open": False, "causes": [], "members": [], "more": 0}
    assert errors_json(error) == {
        "line": "CardError: declined",
        "notes": ["ask the bank"],
        "traceback": "cell 3, line 7\ncell 4, line 8",
        "open": False,
        "causes": [
            ["Caused by", {**blank, "line": "HTTPError: 402"}],
            ["While handling", {**blank, "line": "KeyError", "notes": ["n"]}],
        ],
        "members": [{**blank, "line": "A", "members": [{**blank, "line": "B"}]}],
        "more": 3,
    }


def test_frames_that_repeat_are_folded():
    """A recursion is told once, in live and static details alike, also one of several functions."""
    walk, even, odd = "tree, line 3, in walk\n    walk(child)", "even", "odd"
    frames = ["main", *[walk] * 12, *[even, odd] * 4, "leaf", "leaf"]
    record = TaskRecord(path="a", status=TaskStatus.ERRORED, error={"type": "E", "traceback": frames})
    traceback = told(record)["Error"]["error"]["traceback"]
    assert traceback == (
        f"main\n{walk}\n    … repeated 11 times\neven\nodd\n    … these 2 frames repeated 3 times\nleaf\nleaf"
    )
    assert "… repeated 11 times" in still(record)


def test_the_traceback_is_open_where_it_is_the_reason_to_look():
    """D2: of a task that failed; not of the last error of one that goes on, nor in the header."""
    error = {"type": "E", "traceback": ["line 3"], "cause": {"type": "F", "traceback": ["line 1"]}}
    failed = TaskRecord(path="a", status=TaskStatus.ERRORED, error=error)
    assert told(failed)["Error"]["error"]["open"]
    assert still(failed).count("<details open>") == 1
    assert still(failed).count("<details>") == 1  # of the cause
    waiting = TaskRecord(path="a", status=TaskStatus.WAITING, error=error, next_at=T + 9)
    assert not told(waiting)["Last error"]["error"]["open"]
    assert not error_data(error).is_open


def test_a_suppressed_context_is_not_told():
    error = {"type": "E", "context": {"type": "Hidden"}, "suppress_context": True}
    assert error_data(error).causes == ()


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
