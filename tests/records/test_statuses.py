"""Issue 5, point 4: `io.create_status`, a named status with a history, in the header and in `run.statuses`."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from fractions import Fraction

import pytest

from tests.support.views import Page, run as run_record, task
from trigger_nb import Reason, TriggerClient
from trigger_nb._records.feed import PassBegan, Saved, SavedRun, Seen
from trigger_nb._view.live import wire
from trigger_nb._view.model.rows import State
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, text
from trigger_nb.errors import DuplicateKeyError, InvalidOptionError


def told(run):
    return [(status.key, status.label, status.state, status.data) for status in run.statuses]


def statuses_of(run):
    """What stands in the header of its text tree."""
    head = run.tree().split("├─")[0].split("└─")[0].splitlines()
    return [line.strip() for line in head if line.strip()[0] in "✔✘●○◐›…" and line.startswith("  ")]


# Making and updating one -------------------------------------------------------------------------


def test_a_status_has_a_history_and_both_calls_are_replayed(world):
    """R1: nothing is repeated, and the status comes back with all that was said."""

    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing", "loading", {"progress": 0.1})
        yield io.run_task("work", world.noting("work"))
        world.clock.advance(60)
        given = yield status.update("half-way", data={"progress": 0.5, "rows": 12})
        yield status.update("done", label="Imported", state="success")
        return given

    for bodies in (["work"], []):
        assert world.run(job) is None
        assert world.take() == bodies
        run = world.last(job)
        assert told(run) == [("import", "Imported", "success", {"progress": 0.5, "rows": 12})]
        (status,) = run.statuses
        assert [(each.key, each.label, each.state, each.data) for each in status.history] == [
            ("import", "Importing", "loading", {"progress": 0.1}),
            ("half-way", "Importing", "loading", {"progress": 0.5, "rows": 12}),
            ("done", "Imported", "success", {"progress": 0.5, "rows": 12}),
        ]
        first, second, _ = (each.at for each in status.history)
        assert second - first == timedelta(seconds=60)
        assert status.progress == 0.5
        assert [task.kind for task in run.tasks] == ["status", "task", "status", "status"]


def test_the_status_that_a_replay_gives_can_be_updated(world):
    """R1: what comes back is a status, not what is stored of it."""
    refuse = [True]

    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing", "loading")
        yield io.run_task("work", world.failing("work", *([OSError("no")] if refuse else [])))
        yield status.update("done", state="success")

    world.fail(job)
    assert told(world.last(job)) == [("import", "Importing", "loading", None)]
    refuse.clear()
    world.run(job)
    run = world.last(job)
    assert told(run) == [("import", "Importing", "success", None)]
    assert run.task("import").reason == Reason.REPLAYED


def test_a_new_kernel_reads_statuses_from_the_records(world):
    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing", data={"progress": 0.25})
        yield status.update("more", state="failure")

    world.run(job)
    run_id = world.last(job).id
    world.new_kernel()
    run = world.client.run(run_id)
    assert told(run) == [("import", "Importing", "failure", {"progress": 0.25})]
    assert statuses_of(run) == ["✘ Importing · ████░░░░░░░░░░░░ 25%"]


def test_a_status_is_updated_in_any_scope(world):
    """I3: an update is a task where it is called; statuses of one key in different scopes are two."""

    @world.job
    def job(payload, io):
        status = yield io.create_status("part", "All")

        def part(io):
            inner = yield io.create_status("part", "Inner", "loading")
            yield status.update("said", state="success", data={"by": "part"})
            yield inner.update("end", state="failure")

        yield io.run_task("body", world.body(part))

    for _ in range(2):
        world.run(job)
        run = world.last(job)
        assert told(run) == [("part", "All", "success", {"by": "part"}), ("part", "Inner", "failure", None)]
        assert [status.path for status in run.statuses] == ["part", "body/part"]
        assert "body/said" in [task.path for task in run.tasks]


@pytest.mark.anyio
async def test_both_calls_can_be_started_as_tasks(tmp_path):
    """C1: they are awaitable as every call is, by `gather` too."""
    client = TriggerClient("together", dir=tmp_path, display=False)

    @client.job
    async def job(payload, io):
        first, second = await asyncio.gather(io.create_status("a", "A"), io.create_status("b", "B"))
        return await asyncio.gather(first.update("a2", state="success"), second.update("b2", state="failure"))

    assert await job.run() == [None, None]
    assert await job.run() == [None, None]
    assert told(client.runs()[0]) == [("a", "A", "success", None), ("b", "B", "failure", None)]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"label": "x", "state": "done"}, '"loading", "success", "failure", not \'done\''),
        ({"label": ""}, "the label of a status must be a string"),
        ({"label": None}, "the label of a status must be a string"),
        ({"label": "x", "data": 0.5}, "the data of a status must be a mapping"),
    ],
)
def test_what_makes_no_status_is_refused(world, given, says):
    """I4: misuse is told at the call, fails the run, and is not recorded."""

    @world.job
    def job(payload, io):
        yield io.create_status("import", **given)

    error = world.fail(job)
    assert isinstance(error, InvalidOptionError)
    assert says in str(error)
    assert world.last(job).statuses == []


def test_an_update_needs_a_key_of_its_own(world):
    """I4: an update is a task as every other one."""

    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing")
        yield status.update("import", state="success")

    error = world.fail(job)
    assert isinstance(error, DuplicateKeyError)
    assert "test_statuses.py" in str(error)


def test_what_is_run_again_is_said_again(world):
    """R9: what was forgotten counts no more."""
    shares = [0.5, 0.9]

    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing", "loading")
        share = yield io.run_task("share", world.body(lambda: shares[0]))
        yield status.update("far", data={"progress": share})

    world.run(job)
    shares.reverse()

    async def again():
        await world.last(job).rerun_from("share")

    asyncio.run(again())
    (status,) = world.last(job).statuses
    assert status.progress == 0.9
    assert [each.data for each in status.history] == [None, {"progress": 0.9}]


def test_a_failure_of_the_last_pass_is_not_one_of_this_pass(world):
    """Once this pass has met the status, what it has not come to counts no more."""
    seen = []

    @world.job
    def job(payload, io):
        status = yield io.create_status("import", "Importing", "loading")
        try:
            yield io.run_task("work", world.failing("work", *([] if seen else [OSError("no")])))
        except OSError:
            yield status.update("failed", state="failure")
            raise
        seen.append((world.last(job).statuses[0].state, statuses_of(world.last(job))))

    world.fail(job)
    assert world.last(job).statuses[0].state == "failure"
    seen.append(None)
    world.run(job)
    assert seen[1] == ("loading", ["● Importing"])


def test_data_is_kept_as_it_was_given(world):
    when = datetime(2024, 2, 29, 12)
    data = {"when": when, "urls": [f"https://example.com/{n}" for n in range(80)], "long": "x" * 900}

    @world.job
    def job(payload, io):
        yield io.create_status("import", "Importing", data=data)

    world.run(job)
    assert world.last(job).statuses[0].data == data
    (line,) = statuses_of(world.last(job))
    assert line.startswith("› Importing · when: 2024-02-29T12:00:00 · urls:")


def test_what_redact_names_is_hidden_in_the_data(world, tmp_path):
    """S8: in the header, in `run.statuses`, in every row and export."""

    @world.job(redact=["user.email"])
    def job(payload, io):
        status = yield io.create_status("import", "Importing", data={"user": {"email": "ana@example.org"}})
        yield status.update("more", data={"progress": 0.5, "user": {"email": "ana@example.org", "id": 7}})

    world.run(job)
    run = world.last(job)
    page = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    for face in (repr(run.statuses), run.tree(), page, html.live(run.model())):
        assert "ana@example.org" not in face
    assert run.statuses[0].data["user"]["id"] == 7


# Seeing it ---------------------------------------------------------------------------------------


def call(path, started, label=None, state=None, data=None, of=None, **fields):
    said = {"label": label, "state": state, "data": data, "of": of}
    return task(
        path, started, kind="status", ended=started, style="minimal",
        data={name: value for name, value in said.items() if value is not None}, **fields,
    )  # fmt: skip


def lines_of(*records, status="RUNNING"):
    return RunModel(run_record(status), records).statuses()


def test_the_bar_is_a_share_from_0_to_1():
    """As in Trigger.dev's second version; what is no share is told as other data is."""
    shares = {0: "0%", 0.999: "99%", 1: "100%", 0.29: "29%"}
    for given, percent in shares.items():
        ((line,), _) = lines_of(call("a", 1, "A", data={"progress": given}))
        assert (line.share, line.percent, line.text) == (given, percent, "")
    for given in (-0.1, 30, True, "half", None):
        ((line,), _) = lines_of(call("a", 1, "A", data={"progress": given, "rows": 3}))
        assert (line.share, line.percent) == (None, "")
        assert line.text.startswith("progress: ")
        assert line.text.endswith(" · rows: 3")


def test_a_progress_is_found_whatever_number_it_is(world):
    """A number of another library is one, and much other data does not push it out of the preview."""

    @world.job
    def job(payload, io):
        yield io.create_status(
            "a", "A", data={"text": "x" * 5000, "more": "y" * 5000, "progress": Fraction(1, 4)}
        )

    world.run(job)
    assert "25%" in statuses_of(world.last(job))[0]


@pytest.mark.parametrize(
    ("state", "run_status", "shape"),
    [
        ("loading", "RUNNING", State.RUNNING),
        ("loading", "FAILED", State.UNFINISHED),
        ("loading", "COMPLETED", State.PENDING),
        ("success", "FAILED", State.COMPLETED),
        ("failure", "RUNNING", State.FAILED),
        (None, "RUNNING", State.LOG),
    ],
)
def test_a_state_has_a_shape(state, run_status, shape):
    """What is loading in a run that has stopped does not move any more."""
    ((line,), _) = lines_of(call("a", 1, "A", state), status=run_status)
    assert line.state is shape


def test_of_very_many_statuses_the_bad_ones_are_shown():
    states = ["success"] * 20 + ["failure", "loading"]
    lines, more = lines_of(*(call(f"s{n}", n + 1, f"S{n}", state) for n, state in enumerate(states)))
    assert [line.label for line in lines[:3]] == ["S20", "S21", "S0"]
    assert (len(lines), more) == (8, 14)
    model = RunModel(run_record("RUNNING"), [call(f"s{n}", n + 1, "S") for n in range(22)])
    assert "… and 14 more statuses" in text.tree(model)
    assert "… and 14 more statuses" in Page(html.final(model)).text


def test_the_live_header_follows_the_calls():
    """What a widget is sent: the same as the static HTML and the text tell."""
    model = RunModel(run_record("RUNNING"), seen={})

    def sent():
        return wire.header(model, 0.0, [], [])["statuses"]

    def meet(record, reason=Reason.NEW):
        model.apply([Saved(record), Seen(record.path, reason)])

    assert sent() == []
    meet(call("a", 1, "A", "loading", {"progress": 0.5, "page": 7}))
    half = {"state": "running", "label": "A", "share": 0.5, "percent": "50%", "text": "page: 7"}
    assert sent() == [half]
    meet(call("end", 2, state="failure", of="a"))
    assert sent() == [{**half, "state": "failed"}]

    model.apply([PassBegan(2)])
    assert sent() == [{**half, "state": "failed"}], "until this pass has met the status"
    model.apply([Seen("a", Reason.REPLAYED)])
    assert sent() == [half]
    model.apply([Seen("end", Reason.REPLAYED), SavedRun(run_record("FAILED"))])
    assert sent() == [{**half, "state": "failed"}]


def test_an_update_inside_a_replayed_task_counts():
    """It was met with the task around it."""
    records = [call("a", 1, "A", "loading"), task("b", 2), call("b/end", 3, state="success", of="a")]
    seen = {path: Seen(path, Reason.REPLAYED) for path in ("a", "b")}
    ((line,), _) = RunModel(run_record(), records, seen=seen).statuses()
    assert line.state is State.COMPLETED


def test_static_html_has_statuses_without_its_styles_too():
    """D4, D5: readable with every style stripped, and all text escaped."""
    record = call("a", 1, "Importing <b>", "success", {"progress": 0.5, "<i>": "<script>"})
    page = Page(html.final(RunModel(run_record(), [record])))
    assert "✔ Importing <b> · 50% · <i>: <script>" in page.lines


def test_foreign_records_do_no_harm():
    """D1: a rendering error never fails a run."""
    strange = [
        task("a", 1, kind="status", data=7),
        task("b", 2, kind="status", data={"label": 3, "state": ["x"], "data": [1], "of": 5}),
        task("c", 3, kind="status"),
    ]
    lines, _ = lines_of(*strange)
    assert [line.label for line in lines] == ["a", "3", "c"]
