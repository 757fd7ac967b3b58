"""Results that a person sets, in place of those that bodies would return."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from .._keys import ancestors, display_path, is_within, parent_path
from .._records.feed import Saved
from .._records.forget import Finality, forget, handled_in, open_again
from .._records.records import FAN_OUT, RunRecord, TaskRecord
from .._records.status import TaskStatus, counts_beside
from .._tasks.options import OnChange
from .._values.codec import dump
from .._values.pieces import of_result
from .._values.signed_pickle import Place
from ..errors import InvalidOptionError
from .commands import _allowed, _change_and_begin, _save, _tasks_by_path
from .fork import WITH_OUTPUT
from .runtime import Runtime
from .task_info import find_tasks
from .task_paths import TaskPath


def set_output(runtime: Runtime, run_id: str, path: TaskPath, value: object) -> None:
    """Record a result of a task by hand: see `Run.set_output`."""
    run = _allowed(runtime, run_id, "set_output")
    (task,) = find_tasks(runtime, run_id, [path])
    if task.kind not in WITH_OUTPUT:
        raise InvalidOptionError(
            f"{display_path(task.path)!r} has no output of its own to set: it consists of other tasks. Pass the path and the "
            "output of one of these"
        )
    _with_output(runtime, run_id, task, value, [])  # raises here what it raises

    def change() -> None:
        records = _tasks_by_path(runtime, run_id)
        now = records.get(task.path, task)  # a body that ran may have ended since
        records.setdefault(task.path, task)
        made = _with_output(runtime, run_id, now, value, records.values())
        changed = {each.path: each for each in _followers(runtime, run, records, now)}
        changed[made.path] = made
        _store(runtime, run_id, records, changed)

    if run_id in runtime.executions:
        _change_and_begin(runtime, run_id, change)
    else:
        change()


def _with_output(
    runtime: Runtime, run_id: str, task: TaskRecord, value: object, others: Iterable[TaskRecord]
) -> TaskRecord:
    """The record of the task, completed with a value. Raises `NotStorableError`.

    It has no fingerprints, because no code made the output: edited code does not mark it as "changed". A result that
    it replaces is forgotten on purpose, which begins a generation (I6).
    """
    completed = task.status == TaskStatus.COMPLETED
    generation = task.generation + completed
    place = Place(run_id, task.path, generation) if task.codec == "pickle" else None
    blobs = runtime.store.blobs(run_id)
    form, text = dump(value, blobs, signed_for=place)
    shown = [made.kept(blobs.put) for made in of_result(form, value, task.redact)]
    latest = max((max(each.started, each.ended) for each in (task, *others)), default=0)
    ended = task.settled or task.ended or latest + 1
    now = round(runtime.clock.time(), 3)
    return task.copy(
        status=TaskStatus.COMPLETED,
        by_hand=now,
        form=form,
        value=json.loads(text),
        generation=generation,
        started=task.started or latest + 1,
        ended=ended,
        settled=task.settled or (task.ended if completed else 0),
        beside=task.beside if ended == task.ended else 0,
        started_at=task.started_at or now,
        ended_at=task.ended_at or now,
        shown=shown,
        shows=len(shown),
        **_OF_NO_BODY,
    )


# What a record says of how its body went on, and what does not hold for a result that no body returned.
_OF_NO_BODY: dict[str, Any] = {
    "code": "",
    "inputs": "",
    "checked": False,
    "error": None,
    "next_at": None,
    "forced": False,
    "failed": False,
    "interrupted": False,
    "canceled": None,
    "crashes": 0,
    "began": 0,
    "is_damaged": False,
    "output_properties": [],
    "reuse": "",  # other runs do not take it for what the body returns
    "reused_from": {},
    "made_by": {},
}


def _followers(
    runtime: Runtime, run: RunRecord, records: Mapping[str, TaskRecord], task: TaskRecord
) -> list[TaskRecord]:
    """The records to store with that of the task: of those that run again because its result is another one.

    The bodies around it always run again: they had its result. A map or parallel does not count as one, because every
    pass walks its items. What started after the task's end follows `on_change=`, as after any change (R6).
    """
    path = task.path
    if _on_change(runtime, run, task) == "rerun":
        return forget(records, path)
    final = Finality(records.values, (*run.ended_by, *run.unseen), handled=handled_in(run), kept=run.kept)
    around = [records[each] for each in ancestors(path) if each in records]
    opened = [
        open_again(each, forced=False)
        for each in around
        if each.kind not in FAN_OUT
        and (
            each.status == TaskStatus.COMPLETED
            or (each.status == TaskStatus.ERRORED and final.is_final(each))
        )
    ]
    # The result does not come from the subtasks any more, and the failure of one is no failure of the run.
    failed = [
        each for each in records.values() if each.status == TaskStatus.ERRORED and is_within(each.path, path)
    ]
    return [*opened, *map(open_again, failed)]


def _on_change(runtime: Runtime, run: RunRecord, task: TaskRecord) -> OnChange:
    job = runtime.jobs.get(run.job)
    if task.on_change or job is None:
        return cast("OnChange", task.on_change or "keep")
    return job.options.settings(job.client, None).on_change


def _store(
    runtime: Runtime, run_id: str, records: dict[str, TaskRecord], changed: dict[str, TaskRecord]
) -> None:
    run = runtime.require_run(run_id)
    run.counts = _counts(
        {path: each.status for path, each in {**records, **changed}.items() if each.kind != "log"}
    )
    _save(runtime, run, records, list(changed.values()), also_run=True)
    feed = runtime.feeds.get(run_id)
    if feed is not None and feed.watched:
        for each in changed.values():
            feed.emit(Saved(each.copy()))


def _counts(statuses: Mapping[str, str]) -> dict[str, int]:
    """The number of tasks by status, as a pass counts them at its end."""
    inside: dict[str, set[str]] = defaultdict(set)
    for path, status in statuses.items():
        inside[parent_path(path)].add(status)
    return dict(
        Counter(status for path, status in statuses.items() if counts_beside(status, inside.get(path, ())))
    )
