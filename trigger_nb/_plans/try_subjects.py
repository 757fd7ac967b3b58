"""What a try-out calls: tasks of a stored run, with the body that they would call now and their arguments.

The arguments are looked for in three places: in a rehearsal of the job, which comes to the calls as they are made today; among
those that the store keeps (`keep_inputs=`); and in `items=`, which the user gives.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .._clock import is_whole_number
from .._concurrency.limiter import check_count
from .._fingerprint.fingerprints import Fingerprints, differs
from .._keys import display_path, is_sequence, normal_key, parent_path
from .._maps.items import content_key
from .._maps.map import CONCURRENCY, Walk
from .._records.records import FAN_OUT, TaskRecord
from .._records.status import TaskStatus
from .._runs.sources import check_own
from .._runs.task_inputs import TodaysBody, inputs_of, refuse_io
from .._runs.task_paths import TaskPath, find_path
from ..errors import (
    InputsNotKeptError,
    InvalidOptionError,
    RunStateError,
    TriggerError,
    UsageError,
)
from .rehearsal import rehearse
from .todays_body import PATIENCE, todays_body

if TYPE_CHECKING:
    from .._runs.runtime import Runtime
    from .._tasks.call import AnyCall
    from .dry_pass import DryPass

_ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})


class Subject(NamedTuple):
    """A task to try, and what its body is called on."""

    record: TaskRecord
    args: tuple[Any, ...]
    call: AnyCall | None  # as today's code makes it, if a rehearsal came to it


@dataclass(frozen=True, slots=True)
class Subjects:
    """The tasks to try, which share a body."""

    path: str  # of the task, or of the map
    today: TodaysBody
    chosen: Sequence[Subject]
    dry: DryPass | None
    items: int = 1  # of the map
    concurrency: int = 1
    batch: int = 1
    # The completed items whose results other code made: what `TryOut.all` runs again.
    outdated: tuple[str, ...] = ()


def the_task(runtime: Runtime, run_id: str, path: TaskPath) -> Subjects:
    """One task. Raises `NotFoundError`, `InputsNotKeptError`, and `InvalidOptionError` for a map."""
    record = find_path(_known(runtime, run_id), run_id, path)
    name = display_path(record.path)
    if record.kind in FAN_OUT:
        raise InvalidOptionError(
            f"{name!r} is a {record.kind}, whose items are tasks: run.try_map({name!r}) tries some"
        )
    if record.kind not in ("task", "own", ""):
        raise InvalidOptionError(
            f"{name!r} is a {record.kind}, which has no body of yours that could be tried"
        )
    dry = _rehearsed(runtime, run_id, sought=record.path)
    if isinstance(dry, str) or (call := dry.found) is None:
        today = todays_body(runtime, run_id, record)
        given = inputs_of(runtime, run_id, record)
        args: tuple[Any, ...] = (dict(given.kwargs),) if record.given.get("named") else given.args
        subject = Subject(record, args, None)
        return Subjects(record.path, today, [subject], None, outdated=_outdated([record], today))
    dry.replay = refuse_io(record)
    batch = 2 if call.batch is not None else 1  # a call for one item, whose body takes a list
    today = TodaysBody(call.body, call.service)
    outdated = _outdated([record], today)
    return Subjects(
        record.path, today, [Subject(record, call.args, call)], dry, batch=batch, outdated=outdated
    )


def items_of_map(
    runtime: Runtime,
    run_id: str,
    path: TaskPath,
    n: int,
    *,
    seed: object,
    failures_first: bool,
    items: object,
) -> Subjects:
    """Some items of a map. Raises `NotFoundError`, `InputsNotKeptError`, `InvalidOptionError`, `RunStateError`."""
    n = check_count(n, "n")
    if not (isinstance(seed, str) or is_whole_number(seed)):
        raise InvalidOptionError(f"seed is a number or text, which chooses the items; not {seed!r:.100}")
    if type(failures_first) is not bool:
        raise InvalidOptionError(f"failures_first is True or False; not {failures_first!r:.100}")
    records = _known(runtime, run_id)
    node = find_path(records, run_id, path)
    name = display_path(node.path)
    if node.kind not in FAN_OUT:
        raise InvalidOptionError(
            f"{name!r} is no map, but one task: run.try_task({name!r}) calls its body on its arguments"
        )
    ended = {
        each.path: each
        for each in records.values()
        if parent_path(each.path) == node.path and each.status in _ENDED and each.kind != "log"
    }
    if not ended:
        raise RunStateError(
            f"no item of map {name!r} has ended yet, so there is nothing to compare with. Start the run first; "
            "io.map(..., first=20) stops after 20 items"
        )
    dry = _rehearsed(runtime, run_id, items_of=node.path)
    calls = {} if isinstance(dry, str) else dry.items
    found = _with_args(runtime, run_id, ended, calls, items)
    if not found:
        raise InputsNotKeptError(_no_inputs(name, dry, calls, items))
    chosen = _choose([ended[each] for each in found], n, seed, failures_first=failures_first)
    first = chosen[0]
    if call := calls.get(first.path):
        today = TodaysBody(call.body, call.service)
    else:
        today = todays_body(runtime, run_id, first)
    walk = None if isinstance(dry, str) or dry.found is None else dry.found.body
    plan = walk.plan if isinstance(walk, Walk) else None
    if not isinstance(dry, str):
        dry.replay = refuse_io(first)
    is_batch = any(each.given.get("batch") for each in chosen)
    return Subjects(
        path=node.path,
        today=today,
        chosen=[Subject(each, found[each.path], calls.get(each.path)) for each in chosen],
        dry=None if isinstance(dry, str) else dry,
        items=max(len(calls), len(ended), node.tally.get("items", 0)),
        concurrency=CONCURRENCY if plan is None else plan.concurrency,
        batch=(2 if is_batch else 1) if plan is None else plan.batch,
        outdated=_outdated(ended.values(), today),
    )


def _known(runtime: Runtime, run_id: str) -> dict[str, TaskRecord]:
    """The records of a run by path. A map that has not ended has no record, and is there for its items."""
    records = {each.path: each for each in runtime.each_task_record(run_id, running=True)}
    for path in list(records):
        around = parent_path(path)
        if around and around not in records:
            records[around] = TaskRecord(path=around, kind="map", status=TaskStatus.RUNNING)
    return records


def _outdated(records: Iterable[TaskRecord], today: TodaysBody) -> tuple[str, ...]:
    """The paths of the completed tasks whose results other code made."""
    code = Fingerprints().of(today.body)
    return tuple(
        each.path for each in records if each.status == TaskStatus.COMPLETED and differs(each.code, code)
    )


# Arguments -------------------------------------------------------------------------------------------
def _rehearsed(runtime: Runtime, run_id: str, *, sought: str = "", items_of: str = "") -> DryPass | str:
    """A rehearsal of the job that comes to a task or a map, or the reason why it does not."""
    run = runtime.require_run(run_id)
    job = runtime.jobs.get(run.job)
    if job is None:
        return f"job {run.job!r} is not defined in this kernel: run the cell that defines it"
    check_own(run, job.options, job.fn)
    try:
        spec, again = job._again(run)
        dry = rehearse(runtime, spec, again, PATIENCE, sought=sought, items_of=items_of, keeps_all=True)
    except UsageError:
        raise
    except TriggerError as error:
        return f"a stored result cannot be read: {error}"
    if dry.found is not None:
        return dry
    if dry.error is not None:
        return f"job {run.job!r}, as it is now, fails before it: {type(dry.error).__name__}: {dry.error}"
    stopped = next((met.call.path for met in dry.bodies if met.call is not None), None)
    if stopped is not None:
        return f"task {display_path(stopped)!r}, which comes before it, has no result yet"
    return f"job {run.job!r} does not come to it: it is in the body of another task, or in no code any more"


def _with_args(
    runtime: Runtime,
    run_id: str,
    ended: Mapping[str, TaskRecord],
    calls: Mapping[str, AnyCall],
    items: object,
) -> dict[str, tuple[Any, ...]]:
    """The arguments of the items that have ended, by path, as far as they are known."""
    if items is not None:
        return _given(ended, calls, items)
    if calls:
        return {path: calls[path].args for path in ended if path in calls}
    return {
        path: inputs_of(runtime, run_id, record).args
        for path, record in ended.items()
        if "form" in record.given and not record.given.get("named")
    }


def _given(
    ended: Mapping[str, TaskRecord], calls: Mapping[str, AnyCall], items: object
) -> dict[str, tuple[Any, ...]]:
    """Those of `items=`: the items of the map, or a dict of them by key."""
    node = parent_path(next(iter(ended)))
    if isinstance(items, Mapping):
        by_key = cast("Mapping[Any, object]", items)
        pairs = [
            (normal_key(key if is_sequence(key) or isinstance(key, str) else (key,)), by_key[key])
            for key in by_key
        ]
    elif isinstance(items, Iterable) and not isinstance(items, (str, bytes)):
        pairs = [(content_key(item) or "", item) for item in cast("Iterable[object]", items)]
    else:
        raise InvalidOptionError(
            f"items= takes the items of the map, as a list; or, with item_key=, a dict of them by key. Not {items!r:.100}"
        )
    return {path: (item,) for key, item in pairs if (path := f"{node}/{key}") in ended}


def _no_inputs(name: str, dry: DryPass | str, calls: Mapping[str, AnyCall], items: object) -> str:
    if items is not None:
        return (
            f"none of items= is an item of map {name!r} that has ended. An item is found by its content; if the map has "
            "item_key=, pass a dict of the items by key"
        )
    if calls:
        return f"none of the items of map {name!r} that have ended is among its items today: run the cell again first"
    why = dry if isinstance(dry, str) else "it has no items today"
    return (
        f"the arguments of the items of map {name!r} were not kept, and the job as it is now does not come to them: {why}. "
        "Type items=[...] with some of the items; or keep_inputs=True on the map, and run it again"
    )


# Choosing ---------------------------------------------------------------------------------------------
def _choose(records: Sequence[TaskRecord], n: int, seed: Any, *, failures_first: bool) -> list[TaskRecord]:
    """`n` of the items, in the order of the map. The same seed chooses the same ones, as long as these have ended."""
    ordered = sorted(records, key=lambda each: (each.started, each.path))
    draw = random.Random(seed if isinstance(seed, str) else int(seed))  # noqa: S311  # no secret
    failed = [each for each in ordered if failures_first and each.status == TaskStatus.ERRORED]
    first = draw.sample(failed, min(n, len(failed)))
    chosen = {each.path for each in first}
    rest = [each.path for each in ordered if each.path not in chosen]
    chosen.update(draw.sample(rest, min(n - len(chosen), len(rest))))
    return [each for each in ordered if each.path in chosen]
