"""The view model: rows, states, counts and choices, however the events came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._keys import normal_key
from trigger_nb._records.feed import Hinted, PassBegan, Progressed, Saved, SavedRun, Seen
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._records.status import counts_beside
from trigger_nb._view.model.excerpt import latest, outline
from trigger_nb._view.model.hints import actions, hints
from trigger_nb._view.model.readable import error_line, value_text
from trigger_nb._view.model.rows import State
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.model.standstill import Standstill
from trigger_nb._view.render import parts

T = 1_700_000_000.0


class Clock:
    def __init__(self, now: float = T + 100) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    async def sleep_until(self, when: float) -> None:
        raise NotImplementedError


def task(path: str, started: int = 1, status: str = TaskStatus.COMPLETED, **fields) -> TaskRecord:
    ended_at = (
        T + started + 0.5
        if status not in (TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.PENDING)
        else None
    )
    given = {"started_at": T + started, "ended_at": ended_at, **fields}
    return TaskRecord(path=path, started=started, status=status, **given)


def run(status: str = RunStatus.RUNNING, **fields) -> RunRecord:
    return RunRecord(id="run_1", job="job", status=status, started_at=T, **fields)


def model(records=(), *, status: str = RunStatus.RUNNING, **options) -> RunModel:
    return RunModel(run(status), records, clock=Clock(), **options)


def seen(*paths: str, reason: Reason = Reason.NEW) -> dict[str, Seen]:
    return {path: Seen(path, reason) for path in paths}


def states(view: RunModel) -> dict[str, State]:
    return {path: row.state for path, row in view.rows.items()}


# --- incremental is the same as from scratch ------------------------------------------------------

PATHS = ["a", "b", "c", "a/x", "a/y", "a/x/1", "b/z", "~(k,~i1)", "~.log"]
records = st.builds(
    lambda path, status, started, forced, kind, form, error: TaskRecord(
        path=path,
        status=status,
        started=started,
        forced=forced,
        form=form,
        error=error,
        kind="log" if "~." in path else kind,
    ),
    st.sampled_from(PATHS),
    st.sampled_from(list(TaskStatus)),
    st.integers(0, 12),
    st.booleans(),
    st.sampled_from(["task", "task", "wait"]),
    st.sampled_from(["", "unstored"]),
    st.sampled_from([None, {"type": "E"}]),
)
events = st.one_of(
    records.map(Saved),
    st.tuples(records, st.sampled_from(list(Reason)), st.sampled_from(["", "code"])),
    st.sampled_from(list(RunStatus)).map(lambda status: SavedRun(run(status))),
    st.just(PassBegan(1)),
    st.sampled_from(PATHS).map(lambda path: Progressed(path, 1, 2, None)),
)


@given(st.lists(events, max_size=40), st.integers(1, 5))
@settings(max_examples=300)
def test_events_one_by_one_give_what_a_new_model_gives(happened, batch):
    view = model()
    stored: dict[str, TaskRecord] = {}
    last_run, met = view.run, None
    feed = []
    for event in happened:
        if isinstance(event, tuple):  # met and saved
            record, reason, changed = event
            stored[record.path] = record
            feed += [PassBegan(1)] if met is None else []
            met = {**(met or {}), record.path: Seen(record.path, reason, changed)}
            feed += [met[record.path], Saved(record, live=True)]
        elif isinstance(event, Progressed):
            feed += [event] if event.path in stored else []
        else:
            if isinstance(event, Saved):
                stored[event.record.path] = event.record
            elif isinstance(event, SavedRun):
                last_run = event.record
            else:
                met = {}
            feed.append(event)
    for at in range(0, len(feed), batch):
        view.apply(feed[at : at + batch])

    fresh = RunModel(last_run, stored.values(), seen=met, clock=Clock())

    def picture(of: RunModel):
        rows = {
            path: (row.state, row.reason, row.changed, row.order, [c.path for c in row.ordered()], row.tally)
            for path, row in of.rows.items()
        }
        indices = [set(index) for index in (of.active, of.failed, of.changed, of.unstored)]
        return rows, [row.path for row in of.root.ordered()], of.root.tally, of.tally, indices, hints(of)

    assert picture(view) == picture(fresh)


@given(st.lists(events.filter(lambda event: not isinstance(event, tuple)), max_size=30))
def test_the_paths_returned_are_those_that_changed(happened):
    view = model([task("a"), task("a/x", 2)])
    for event in happened:
        before = {path: (row.state, row.reason, row.record, row.progress) for path, row in view.rows.items()}
        touched = view.apply([event])
        after = {path: (row.state, row.reason, row.record, row.progress) for path, row in view.rows.items()}
        assert {path for path in after if before.get(path, after[path]) != after[path]} <= touched
        assert "" in touched


# --- rows -----------------------------------------------------------------------------------------


def test_children_stand_in_the_order_of_their_first_start():
    view = model([task("late", 9), task("early", 1), task("mid", 5)])
    assert [row.path for row in view.root.ordered()] == ["early", "mid", "late"]
    view.apply([Saved(task("late", 2))])
    assert [row.path for row in view.root.ordered()] == ["early", "late", "mid"]


def test_a_parent_of_which_only_subtasks_are_known_stands_where_they_do():
    """R3: a parent's first commit is its result, so after a kill only its children are stored."""
    view = model([task("before", 1), task("after", 9), task("parent/child", 4)], status=RunStatus.INTERRUPTED)
    assert [row.path for row in view.root.ordered()] == ["before", "parent", "after"]
    assert view.rows["parent"].state is State.UNFINISHED
    assert view.rows["parent/child"].depth == 1


def test_not_met_in_this_pass_is_not_reached():
    """R8: keys stored by an earlier pass and not met in this one are drawn faint."""
    view = model([task("a"), task("b", 2)], seen=seen("a"))
    assert states(view) == {"a": State.COMPLETED, "b": State.NOT_REACHED}
    assert states(model([task("a")])) == {"a": State.COMPLETED}, (
        "no pass in this kernel: nothing is known of it"
    )


def test_a_new_pass_forgets_what_was_met():
    view = model([task("a")], seen=seen("a"))
    assert view.apply([PassBegan(2)]) == {"a", ""}
    assert view.rows["a"].state is State.NOT_REACHED
    view.apply([Seen("a", Reason.REPLAYED)])
    assert view.rows["a"].replayed
    assert view.tally.replayed == 1


def test_the_passes_of_another_process_tell_nothing_of_what_they_meet():
    """C7: a run that was detached is drawn as it is stored."""
    view = model([task("a"), task("b", 2)], seen=seen("a"))
    view.apply([PassBegan(0), Saved(task("a")), Saved(task("b", 2)), Saved(task("c", 3))])
    assert states(view) == dict.fromkeys("abc", State.COMPLETED)
    assert view.tally.replayed == 0
    view.apply([PassBegan(2), Seen("a", Reason.REPLAYED)])
    assert states(view) == {"a": State.COMPLETED, "b": State.NOT_REACHED, "c": State.NOT_REACHED}


def test_what_lies_in_a_replayed_parent_is_replayed_with_it():
    """R1: a replayed parent's body is not called, so nobody meets its children."""
    view = model([task("p"), task("p/c", 2), task("p/c/d", 3)], seen=seen("p", reason=Reason.REPLAYED))
    assert all(row.replayed and row.state is State.COMPLETED for row in view.rows.values())
    view.apply([Seen("p", Reason.FORCED)])
    assert states(view) == {"p": State.COMPLETED, "p/c": State.NOT_REACHED, "p/c/d": State.NOT_REACHED}


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (task("a", status=TaskStatus.ERRORED), State.FAILED),
        (task("a", status=TaskStatus.RUNNING), State.RUNNING),
        (task("a", status=TaskStatus.WAITING, kind="wait"), State.WAITING),
        (task("a", status=TaskStatus.WAITING, error={"type": "E"}), State.RETRYING),
        (task("a", status=TaskStatus.CANCELED), State.CANCELED),
        (task("a", forced=True), State.PENDING),
        (task("a", kind="log"), State.LOG),
    ],
)
def test_states(record, state):
    assert model([record]).rows["a"].state is state


def test_a_running_body_is_unfinished_once_the_run_has_ended():
    view = model([task("a", status=TaskStatus.RUNNING)])
    assert "a" in view.apply([SavedRun(run(RunStatus.INTERRUPTED))])
    assert view.rows["a"].state is State.UNFINISHED
    assert view.tally.items() == [(State.UNFINISHED, 1)]
    view.apply([SavedRun(run(RunStatus.RUNNING))])
    assert view.rows["a"].state is State.RUNNING


def test_a_row_says_what_it_is_called():
    view = model(
        [
            task(normal_key(("user", 7))),
            task(normal_key("a/b"), name="Fetch"),
            task("~.1", kind="log", name="hi"),
        ]
    )
    assert [(row.key, row.name) for row in view.rows.values()] == [
        ("user · 7", "user · 7"),
        ("a/b", "Fetch"),
        ("", "hi"),
    ]


def test_malformed_properties_are_passed_over():
    view = model(
        [task("a", properties=[1, {"label": "L"}, {"text": 5, "url": ["x"]}]), task("b", properties="?")]
    )
    assert [(p.label, p.text) for p in view.rows["a"].properties] == [("L", ""), ("", "5")]
    assert view.rows["b"].properties == []


# --- counts ---------------------------------------------------------------------------------------

E, R, C = TaskStatus.ERRORED, TaskStatus.RUNNING, TaskStatus.COMPLETED


@pytest.mark.parametrize(
    ("outer", "inner", "counted"),
    [
        (C, [C, C], {"completed": 2}),
        (E, [E, C], {"failed": 1, "completed": 1}),
        (E, [C, C], {"failed": 1, "completed": 2}),  # the body itself has failed
        (C, [E], {"failed": 1}),  # it was handled
        (R, [R, C], {"running": 1, "completed": 1}),
        (R, [C], {"running": 1, "completed": 1}),  # the body itself works
        (R, [TaskStatus.PENDING], {"pending": 1}),
        (R, [TaskStatus.WAITING], {"waiting": 1}),
        (TaskStatus.CANCELED, [TaskStatus.CANCELED], {"canceled": 1}),
    ],
)
def test_a_scope_counts_only_where_its_subtasks_do_not_account_for_its_state(outer, inner, counted):
    """So what is running in the rows adds up to the header, and one failure is one failure."""
    records = [task("p", 1, outer), *(task(f"p/t{at}", 2 + at, status) for at, status in enumerate(inner))]
    for order in (records, records[::-1]):
        view = model()
        for record in order:
            view.apply([Saved(record)])
        assert dict(view.tally.items()) == counted
        assert dict(view.rows["p"].below.items()) == {
            state: count
            for state, count in counted.items()
            if state != view.rows["p"].state or not view.rows["p"].counts
        }
    assert counts_beside(outer, inner) == view.rows["p"].counts, "the list of runs counts by the same rule"


def test_log_lines_make_no_scope():
    view = model([task("a", 1), task("a/~.1", 2, kind="log")])
    assert dict(view.tally.items()) == {State.COMPLETED: 1, State.LOG: 1}


def test_a_run_whose_function_has_failed_has_a_red_end():
    """And one whose task has failed has not: the task is red."""
    error = {"type": "E", "message": "no"}
    alone = RunModel(run(RunStatus.FAILED, error=error), [task("a"), task("b", 2)], clock=Clock())
    assert parts.shares(alone) == [("completed", 98.0), ("failed", 2.0)]
    by_task = RunModel(run(RunStatus.FAILED, error=error), [task("a"), task("b", 2, E, error=error)])
    assert parts.shares(by_task) == [("completed", 50.0), ("failed", 50.0)]
    assert parts.shares(RunModel(run(RunStatus.FAILED, error=error))) == [("failed", 100.0)], (
        "before any task"
    )


def test_where_the_function_stands_is_asked_and_forgotten_with_the_next_event():
    asked: list[Standstill] = []

    def look() -> Standstill:
        asked.append(Standstill("cell [3], line 14"))
        return asked[-1]

    view = RunModel(run(began_at=T), [task("a")], seen=seen("a"), clock=Clock(), look=look)
    assert (parts.standing(view), asked) == (None, []), "nobody has asked"
    view.look()
    assert parts.standing(view) == ("in the job's function, cell [3], line 14", T + 1.5)
    assert parts.stands_for(view) == "in the job's function, cell [3], line 14, for 1 min 38 s"
    view.apply([Seen("b", Reason.NEW), Saved(task("b", 2, R))])
    assert parts.standing(view) is None
    view.look()
    assert parts.standing(view) is None, "a task is under way"
    view.apply([SavedRun(run(RunStatus.COMPLETED))])
    view.look()
    assert len(asked) == 2, "the run is over"


# --- header ---------------------------------------------------------------------------------------


def said(view: RunModel) -> str:
    return "\n".join(hints(view))


def test_everything_replayed_says_so_and_how_to_start_anew():
    """D2."""
    view = model(
        [task("a"), task("a/b", 2)], status=RunStatus.COMPLETED, seen=seen("a", reason=Reason.REPLAYED)
    )
    assert "Everything was replayed; it ran on 2023-11-1" in said(view)
    assert "`job.run(..., fresh=True)`" in said(view)
    view.apply([Saved(task("new", 3)), Seen("new", Reason.NEW)])
    assert "Everything" not in said(view)


def test_changed_and_kept_is_said_with_both_offers():
    """R6: the header offers the other two."""
    view = model([task("a")], seen={"a": Seen("a", Reason.REPLAYED, "code")})
    assert "`a` (code)" in said(view)
    assert 'on_change="only"' in said(view)
    assert 'on_change="rerun"' in said(view)
    view.apply([Seen("a", Reason.CHANGED, "code")])
    assert "on_change" not in said(view), "it was run again as asked"


def test_a_wait_says_until_when_and_that_it_holds_the_cell():
    """W2."""
    record = run(RunStatus.WAITING, reason="wait")
    waiting = task("w", status=TaskStatus.WAITING, kind="wait", next_at=T + 100 + 3600)
    view = RunModel(record, [waiting], seen=seen("w"), awaited=True, clock=Clock())
    assert "in 1 h" in said(view)
    assert ".start(...)" in said(view)
    view.awaited = False
    assert ".start(...)" not in said(view)
    assert [action.code for action in actions(view)][0] == "run.skip_wait('w')"


def test_paused():
    view = RunModel(run(RunStatus.WAITING, reason="paused"), clock=Clock())
    assert "run.resume()" in said(view)
    assert actions(view)[0].code == "run.resume()"


def test_hints_of_the_engine_are_shown_once_and_go_with_the_pass():
    """R10."""
    view = model(hints=["slow"])
    view.apply([Hinted("slow"), Hinted("slower")])
    assert hints(view) == ["slow", "slower"]
    view.apply([Hinted("slow", over=True)])
    assert hints(view) == ["slower"]
    view.apply([PassBegan(2)])
    assert hints(view) == []
    view.apply([Hinted(f"hint {at}") for at in range(1000)])
    assert hints(view)[-2:] == ["hint 5", "… and 994 more"]


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (RunStatus.FAILED, "run.retry()"),
        (RunStatus.INTERRUPTED, "run.resume()"),
        (RunStatus.CANCELED, "run.resume()"),
    ],
)
def test_an_ended_run_says_what_to_type(status, again):
    """D4: the line to type for each action."""
    view = RunModel(run(status, ended_by=["b'c"]), [task("a", status="ERRORED"), task("b'c", 2, "ERRORED")])
    codes = [action.code for action in actions(view)]
    assert codes == [again, 'run.rerun_from("b\'c")', "run = job.client.run('run_1')"]


def test_failures_that_ended_the_run_come_first():
    """R5: handled failures are of less interest."""
    view = RunModel(run(RunStatus.FAILED, ended_by=["z"]), [task("a", 1, "ERRORED"), task("z", 2, "ERRORED")])
    assert [row.path for row in view.failures] == ["z", "a"]


# --- choosing rows --------------------------------------------------------------------------------


def thousands(count: int = 10_000) -> RunModel:
    """One scope; every thousandth failed; the last ones run."""

    def status(at: int) -> TaskStatus:
        return (
            TaskStatus.ERRORED
            if at % 1000 == 500
            else TaskStatus.RUNNING
            if at > count - 4
            else TaskStatus.COMPLETED
        )

    return model([task(f"t{at}", at + 1, status(at)) for at in range(count)])


def test_an_excerpt_shows_what_is_running_failed_and_last():
    view = thousands()
    rows, rest = latest(view, rows=40).of(view.root)
    assert 30 <= len(rows) <= 40
    shown = {row.path for row in rows}
    assert {"t9997", "t9998", "t9999"} <= shown
    assert {f"t{at}500" for at in range(1, 10)} <= shown
    assert rest.rows == 10_000 - len(rows)
    assert rows == sorted(rows, key=lambda row: row.order)


def test_a_small_run_is_shown_whole():
    view = model([task(f"t{at}", at) for at in range(40)])
    rows, rest = latest(view, rows=40).of(view.root)
    assert len(rows) == 40
    assert not rest


def test_what_was_replayed_last_is_in_the_excerpt():
    view = model([task(f"t{at}", at) for at in range(1000)], seen={})
    view.apply([Seen(f"t{at}", Reason.REPLAYED) for at in range(600)])
    assert "t599" in {row.path for row in latest(view, rows=40).of(view.root)[0]}


def test_an_outline_is_bounded_and_holds_every_failure():
    view = thousands()
    rows, rest = outline(view, rows=300, fold=100).of(view.root)
    assert len(rows) <= 300
    assert sum(row.state is State.FAILED for row in rows) == 10
    assert rest.states[State.FAILED] == 0
    assert rest.rows + len(rows) == 10_000


def test_an_outline_of_levels_goes_from_the_top_down():
    paths = [f"{a}/{b}/{c}" for a in range(10) for b in range(10) for c in range(10)]
    view = model([task(path, at + 1) for at, path in enumerate(paths)])
    shown = outline(view, rows=60, fold=20)
    assert [len(shown.of(view.root)[0]), len(shown.of(view.rows["0"])[0])] == [10, 10]
    assert shown.of(view.rows["9/9"]) == ([], view.rows["9/9"].tally)


# --- stored things as text ------------------------------------------------------------------------


def test_error_line():
    assert error_line({"type": "Outer.Broken", "message": "so\nit is"}) == "Broken: so\nit is"
    assert error_line({"type": "E"}) == "E"
    assert error_line({}) == error_line(None) == ""
    assert (
        "(1,000,000" in error_line({"type": "E", "message": "x" * 10**6})
        or len(error_line({"message": "x" * 10**6})) < 400
    )


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        ("", {"a": [1, "é"]}, '{"a": [1, "é"]}'),
        ("", None, ""),
        (
            "tagged",
            {"$": "tuple", "v": [1, {"$": "enum", "of": "m:Colour", "v": "RED"}]},
            '[1, "Colour.RED"]',
        ),
        ("tagged", {"$": "dict", "v": [[1, {"$": "secret", "of": "text"}]]}, '{"1": "•••"}'),
        ("tagged", {"$": "dataclass", "of": "m:Point", "v": {"x": 1}}, '{"x": 1}'),
        ("tagged", {"$": "numpy.array", "b64": "AA=="}, "numpy.array"),
        *(
            (
                "tagged",
                {"$": "datetime", "v": "2030-01-31T02:30:00", "fold": 0, "tz": zone},
                f'"2030-01-31T02:30:00{shown}"',
            )
            for zone, shown in [
                (None, ""),
                ({"$": "timezone", "v": {"$": "timedelta", "v": [0, 0, 0]}, "name": None}, "+00:00"),
                ({"$": "timezone", "v": {"$": "timedelta", "v": [-1, 66600, 0]}, "name": None}, "-05:30"),
                ({"$": "pydantic.zone", "v": 3600}, "+01:00"),
                ({"$": "zone", "v": "Europe/Berlin"}, "[Europe/Berlin]"),
                ({"$": "dateutil.zone", "of": "gettz", "v": ["Asia/Tokyo"]}, "[Asia/Tokyo]"),
                ({"$": "dateutil.zone", "of": "tzutc", "v": []}, "[tzutc]"),
            ]
        ),
        ("", {"$": "tuple", "v": [1]}, '{"$": "tuple", "v": [1]}'),
        (
            "unstored",
            {"type": "httpx.Client", "path": "$", "reason": "open"},
            "httpx.Client, which could not be stored: open",
        ),
        (
            "file",
            {"file": "f", "size": 7, "sha256": "", "form": ""},
            "a long value · 7 B",
        ),
        ("signed", "AAAA", "a signed pickle"),
    ],
)
def test_values(form, value, text):
    assert value_text(form, value, [], 1000) == text


def test_the_cost_of_a_long_value_is_that_of_its_preview():
    assert len(value_text("", ["x" * 10**6] * 100, [], 500)) < 600
