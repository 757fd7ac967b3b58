"""Replays in tests: of a run after each of its tasks, and of a frozen run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from .._callsite import Place, show_place
from .._clock import Clock, to_seconds
from .._keys import ancestors, display_path
from .._plans.dry_pass import DryPass
from .._plans.rehearsal import rehearse
from .._records.records import FAN_OUT, RunRecord, TaskRecord
from .._records.status import Reason, RunStatus, TaskStatus
from .._runs.frozen import FrozenRun
from .._runs.job_runs import JobRuns
from .._runs.runtime import Runtime
from .._trials.clock import FakeClock
from .._trials.stubs import StubMap
from .._trials.trial import Trial, TrialRun, open_store
from .._trials.trial_pass import TrialPass
from .._values import raised_error
from .._values.json_text import dumps_sorted
from .._view.model.readable import error_line, value_text
from ..errors import InvalidOptionError, ReplayMismatchError
from ..job import AnyJob
from ..run import Run

_EDITED = (
    "Runs that are under way, or run again, would do the same. If that is meant, give the job another version=, and "
    "freeze a new run."
)
_ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})
_WHY = (
    "Code between tasks runs at every replay and must do the same each time: put what differs (the time, a random "
    "number, the order of a set, a global, what a body does to a list outside of it) into a task, and use its result."
)


def replay_every_step(
    job: AnyJob, payload: object = None, *, stubs: StubMap | None = None, clock: Clock | None = None
) -> TrialRun:
    """Run a job in a test, and once more with a replay after each of its tasks, and compare both. Returns the run.

    A job whose code is not deterministic works until the day when its kernel dies; then the replay takes another
    branch. Here it fails at once. Bodies run in the first run only; the second one takes their results. Arguments are
    those of `job.test`.

    Raises `ReplayMismatchError`, which names the first task that differs and its place; the error of a run that fails
    alike in both cases; and what `job.test` raises.

    ```
    def test_order_replays():
        replay_every_step(order, {"id": 7}, stubs={"fetch-user": {"name": "Ana"}})
    ```
    """
    first = Trial.of(stubs, clock, None)
    began = first.runtime.clock.time()
    plain = job._try_out(first, payload)
    second = Runtime(open_store(None), FakeClock(began))
    again = _Steps(first.stubs, second, plain=plain, before=first.places)
    stepped = job._try_out(again, payload)
    again.compare(stepped)
    if (error := stepped.error) is not None:
        raise error
    return stepped


@dataclass(eq=False)
class _Steps(Trial):
    """The second run: bodies give what they gave in the first one, and each task that ends makes another pass begin."""

    plain: TrialRun = field(kw_only=True)
    before: dict[str, Place] = field(kw_only=True)  # places of the calls in the first run, by path

    def __post_init__(self) -> None:
        records = self.plain._runtime.task_records(self.plain.id)
        self._known = {record.path: record for record in records if record.kind != "log"}
        self._parents = {above for path in self._known for above in ancestors(path)}
        self._differs: ReplayMismatchError | None = None
        # By path, the kinds of the tasks that have ended: another pass began after each, if the run was like the first.
        self._done: dict[str, str] = {}

    def _check(self, run: Run) -> None:
        """Nothing: the stubs were checked with the first run."""

    def stub_of(self, call: Any) -> Callable[[], object] | None:
        path = call.path
        known = self._known.get(path)
        if known is None:
            self._differs = self._differs or self._unknown(path, call.place)
            raise self._differs
        if path in self._parents or known.kind == "status":
            return None
        return partial(self._result, known)

    def _unknown(self, path: str, place: Place) -> ReplayMismatchError:
        left_out = next((each for each in self.before if each not in self.places), None)
        instead = ""
        if left_out is not None:
            instead = f", where it called {display_path(left_out)!r} at {show_place(self.before[left_out])}"
        return ReplayMismatchError(
            f"the job does not replay: it calls task {display_path(path)!r} at {show_place(place)}, and did not when it ran "
            f"without replays{instead}. {_WHY}",
            path,
            show_place(place),
        )

    def _result(self, record: TaskRecord) -> object:
        if record.status == TaskStatus.ERRORED:
            raise raised_error(record.error or {})
        return self.plain._info(record).output

    def ended(self, pass_: TrialPass, call: Any) -> None:
        """Begin another pass, unless this one has not met all that it is to meet: then it goes on to its end."""
        record = pass_.ledger.glance(call.path)
        execution = self.runtime.executions.get(pass_.run.id)
        if execution is None or record is None or record.status not in _ENDED or call.path in self._done:
            return
        self._done[call.path] = record.kind
        is_like_first = self._differs is None and not self._changed(pass_) and not self._missing(pass_)
        if is_like_first and pass_.stopping.why is None:
            execution.restart(lambda: None)

    def _changed(self, pass_: TrialPass) -> bool:
        return any("params" in found for found in pass_.changes.found.values())

    def _missing(self, pass_: TrialPass) -> set[str]:
        """The paths of tasks that have ended and that a pass has not called, though the code around them ran in it."""

        def is_value(path: str) -> bool:
            """Whether a task's own code did not run in the pass."""
            is_node = self._done.get(path) in FAN_OUT
            return not is_node and pass_.reasons.get(path, Reason.REPLAYED) == Reason.REPLAYED

        return {
            path
            for path in self._done
            if path not in pass_.places and not any(map(is_value, ancestors(path)))
        }

    def compare(self, stepped: TrialRun) -> None:
        """Raise `ReplayMismatchError` for the first difference between the two runs."""
        if self._differs is not None:
            raise self._differs
        last = self.runtime.passes[stepped.id]
        assert isinstance(last, TrialPass)
        records = {record.path: record for record in self.runtime.task_records(stepped.id)}
        missing = self._missing(last)
        for path in [path for path in self.places if path not in self._known]:
            raise self._unknown(path, self.places[path])
        for path, known in self._known.items():
            if path not in records or path in missing:
                new = next((each for each in last.places if each not in self._known), None)
                raise self._mismatch(path, "is not called when the run is replayed", new, last)
            if known.inputs != records[path].inputs or "params" in last.changes.found.get(path, ""):
                raise self._mismatch(path, "gets other arguments when the run is replayed", None, last)
        for what, one, other in _ends(self.plain, stepped):
            if one != other:
                raise ReplayMismatchError(
                    f"the job does not replay: its {what} is {other} after replays, and {one} without. {_WHY}"
                )

    def _mismatch(self, path: str, what: str, new: str | None, last: TrialPass) -> ReplayMismatchError:
        place = show_place(last.places.get(path, self.before[path]))
        instead = ""
        if new is not None:
            instead = f"; in its place the code calls {display_path(new)!r} at {show_place(last.places[new])}"
        return ReplayMismatchError(
            f"the job does not replay: task {display_path(path)!r}, called at {place}, {what}{instead}. {_WHY}",
            path,
            place,
        )


def _ends(one: TrialRun, other: TrialRun) -> Iterator[tuple[str, str, str]]:
    """How two runs ended: the name, and both sides as text."""
    a, b = one._record, other._record
    yield "status", a.status, b.status
    yield "error", error_line(a.error), error_line(b.error)
    if dumps_sorted([a.form, a.output]) != dumps_sorted([b.form, b.output]):
        yield "output", _output(a), _output(b)


def _output(run: RunRecord) -> str:
    return value_text(run.form, run.output, run.redact, 200) or "None"


def replay(job: AnyJob, path: str | os.PathLike[str], *, patience: float | timedelta = 1.0) -> Any:
    """Replay a frozen run (`run.freeze(path)`) against a job's code of today, and return the output. No body is called.

    A test of this kind notices an edit after which runs that are under way, or that you run again, would take
    another branch than before. `patience`: seconds that code between tasks may take.

    Raises `ReplayMismatchError`, which names the first call that differs and its place.

    ```
    def test_old_orders_replay():
        assert replay(order, "tests/order.json") == {"shipped": True}
    ```
    """
    frozen = FrozenRun(Path(path), getattr(job.fn, "__module__", "__main__"))
    if frozen.job != job.id:
        raise InvalidOptionError(f"{path} is a run of job {frozen.job!r}, not of {job.id!r}")
    runtime = Runtime(open_store(None))
    record = frozen.thaw(runtime)
    spec, run = JobRuns(job, runtime).again(record)
    dry = rehearse(runtime, spec, run, to_seconds(patience, "patience"))
    runtime.store.close()
    _check(dry, frozen, os.fspath(path))
    return None if dry.result is None else dry.result[0]


def _check(dry: DryPass, frozen: FrozenRun, file: str) -> None:
    unmet = [path for path in frozen.expected if path not in dry.reasons]
    new = [met for met in (*dry.bodies, *dry.waits) if met.call is None or met.call.path not in frozen.kinds]
    following = f"; that went on with {display_path(unmet[0])!r}" if unmet else ""
    if new and (frozen.is_over or unmet):
        call = new[0].call
        if call is None:
            raise ReplayMismatchError(
                f"the job starts {new[0].what} by itself, and the run in {file} did not{following}"
            )
        place = show_place(call.place)
        raise ReplayMismatchError(
            f"the job takes another branch than the run in {file}: it calls task {display_path(call.path)!r} at {place}, and "
            f"the run did not{following}. {_EDITED}",
            call.path,
            place,
        )
    if (error := dry.error) is not None and frozen.status != RunStatus.FAILED:
        raise ReplayMismatchError(
            f"the job raises {type(error).__name__} where the run in {file} went on: {error}{following}"
        ) from error
    if unmet:
        raise ReplayMismatchError(
            f"the job takes another branch than the run in {file}: it does not call task {display_path(unmet[0])!r}, "
            f"which the run did. {_EDITED}",
            unmet[0],
        )
