"""Removing runs permanently, and the statistics of a store.

One transaction removes the rows of a run. If the run has value files, the same transaction writes a mark for
them, which is removed after the files: if the process dies in between, the next prune removes the rest.

The lease of the run is held meanwhile, so that no kernel can drive the run. It is not taken with
`Runtime.take_lease`, because a pass of this kernel could begin under that lease.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from .._clock import to_datetime
from .._engine.code_sources import sources_tag
from .._events.keys import tag_of
from .._records.questions import answers_tag
from .._records.reading import readable_run, readable_task
from .._records.records import RunRecord, job_of
from .._records.status import FINISHED, RunStatus
from .._store import lease as leases
from .._store.crashpoints import point
from .._store.protocol import Row
from .._store.shared_results import pointer
from .._view.render.store_table import Pruned, StoreInfo
from ..errors import RunLockedError, RunStateError, StoreError
from .notifying import key_of
from .own_worker import log_of
from .runtime import Runtime

_BATCH = 100  # runs that one transaction removes
_PATIENCE = 5.0  # seconds to wait for another process's transaction
_WORTH_IT = 10  # the database is rewritten if at least one in ten of its bytes is free
_MARKS = "deleted"  # the tag of the marks


@dataclass(frozen=True, slots=True)
class Rule:
    """The runs to remove."""

    status: tuple[RunStatus, ...] = FINISHED
    before: float | None = None  # only runs last used before this time, in seconds since the epoch
    keep_last: int = 0  # the number of newest runs of each job that stay


class Known(NamedTuple):
    """The data of a run that decides whether it is removed."""

    id: str
    job: str
    status: RunStatus
    stored: tuple[str, int]  # status and number of passes; a kernel that drives the run changes them
    used_at: float  # when its last pass began or ended
    parent: str
    event: str

    @classmethod
    def of(cls, runtime: Runtime, run: RunRecord) -> Known:
        used_at = max(run.finished_at or 0.0, run.began_at or 0.0, run.started_at or 0.0, run.created_at)
        event = str((run.event or {}).get("id", ""))
        stored = (run.status, run.passes)
        return cls(run.id, run.job, runtime.status_of(run), stored, used_at, run.parent, event)


Family = list[Known]  # a run, then its child runs, then their child runs, and so on


# Many runs ----------------------------------------------------------------------------------------------
def prune(runtime: Runtime, rule: Rule, *, dry_run: bool = False) -> Pruned:
    """Remove the runs that a rule selects, then the remains of crashes, and give the space back to the disk."""
    families = _families([Known.of(runtime, run) for run in runtime.each_run_record()])
    chosen = _chosen(families, rule)
    if dry_run:
        ids = tuple(run.id for family in chosen for run in family)
        return Pruned(ids, sum(_size(runtime, run_id) for run_id in ids), dry_run=True)
    before = _disk(runtime)
    events = Counter(run.event for family in families for run in family if run.event)
    removed, skipped = _remove_families(runtime, chosen, events)
    if rule.before is not None and rule.status == FINISHED:
        _forget_events(runtime, rule.before)
    _sweep(runtime)
    note = _shrink(runtime)
    return Pruned(tuple(removed), max(0, before - _disk(runtime)), skipped=tuple(skipped), note=note)


def _families(runs: Sequence[Known]) -> list[Family]:
    """The runs in families, newest first. A run whose parent does not exist any more begins a family."""
    by_id = {run.id: run for run in runs}
    children: dict[str, list[Known]] = defaultdict(list)
    for run in runs:
        children[run.parent if run.parent in by_id else ""].append(run)
    families: list[Family] = []
    for root in children[""]:
        family = [root]
        for member in family:  # the list grows during the loop
            family += children.get(member.id, ())
        families.append(family)
    return families


def _chosen(families: Iterable[Family], rule: Rule) -> list[Family]:
    """The families to remove. A family is removed as a whole, because the replay of a run needs its child runs."""
    seen: Counter[str] = Counter()
    chosen: list[Family] = []
    for family in families:
        if family[0].status in rule.status:
            seen[family[0].job] += 1
            if seen[family[0].job] > rule.keep_last and all(_fits(run, rule) for run in family):
                chosen.append(family)
    return chosen


def _fits(run: Known, rule: Rule) -> bool:
    return run.status in rule.status and (rule.before is None or run.used_at <= rule.before)


def _remove_families(
    runtime: Runtime, families: Iterable[Family], events: Counter[str]
) -> tuple[list[str], list[str]]:
    """The ids of removed runs, and the ids of runs that were skipped because a kernel drives or has just driven them."""
    removed: list[str] = []
    skipped: list[str] = []
    batch: list[Known] = []
    with ExitStack() as leases:
        for family in families:
            held = _hold(runtime, family)
            if held is None:
                skipped += [run.id for run in family]
                continue
            leases.enter_context(held)
            batch += family
            if len(batch) >= _BATCH:
                removed += _remove(runtime, batch, events)
                batch = []
                leases.close()
        removed += _remove(runtime, batch, events)
    return removed, skipped


def _hold(runtime: Runtime, family: Family) -> ExitStack | None:
    """The leases of a family. None if a kernel drives one of the runs or has driven it meanwhile."""
    with ExitStack() as leases:
        for run in family:
            record = runtime.run_record(run.id)
            if record is None or (record.status, record.passes) != run.stored:
                return None
            try:
                leases.callback(_take(runtime, record).release)
            except RunLockedError:
                return None
            again = runtime.run_record(run.id)  # another kernel may have driven it until now
            if again is None or (again.status, again.passes) != run.stored:
                return None
        return leases.pop_all()


# One run -----------------------------------------------------------------------------------------------
def delete(runtime: Runtime, run: RunRecord) -> None:
    """Remove a run with its child runs.

    Raises `RunStateError` if one of them is under way in this kernel, `RunLockedError` if in another kernel.
    """
    with ExitStack() as leases:
        family = [run]
        for each in family:  # the list grows during the loop
            _check_still(runtime, run, each)
            leases.callback(_take(runtime, each).release)
            family += [child for child in _began_by(runtime, each.id) if child.id != run.id]
        known = [Known.of(runtime, each) for each in family]
        _remove(runtime, known, Counter({each.event: _started_by(runtime, each.event) for each in known}))


def _check_still(runtime: Runtime, run: RunRecord, member: RunRecord) -> None:
    which = f"run {run.id}" if member is run else f"run {member.id}, which run {run.id} began,"
    if member.id in runtime.executions:
        raise RunStateError(
            f"{which} is {member.status} and under way: delete makes no sense, cancel() it first"
        )
    if runtime.holds_lease(member.id):
        raise RunStateError(
            f"a body of {which.rstrip(',')} is still running in this kernel: delete the run after the body has ended"
        )


def _began_by(runtime: Runtime, run_id: str) -> list[RunRecord]:
    return [run for run in _runs_with(runtime, run_id) if run.parent == run_id]


def _started_by(runtime: Runtime, event: str) -> int:
    """The number of runs that an event has started."""
    found = _runs_with(runtime, event) if event else []
    return sum((run.event or {}).get("id") == event for run in found)


def _runs_with(runtime: Runtime, text: str) -> list[RunRecord]:
    """The runs whose records contain a text."""
    found: list[RunRecord] = []
    for key, stored in runtime.store.search("runs", json.dumps(text)):
        found.append(readable_run(key.removeprefix("run/"), stored))
    return found


# Removing -----------------------------------------------------------------------------------------
def _take(runtime: Runtime, run: RunRecord) -> leases.Lease:
    return leases.acquire(runtime.store.directory, run.id, run.holder)


def _remove(runtime: Runtime, runs: Sequence[Known], events: Counter[str]) -> list[str]:
    """Remove runs whose leases are held, and return their ids. `events`: the number of runs that each event started."""
    if not runs:
        return []
    ids = [run.id for run in runs]
    events.subtract(run.event for run in runs if run.event)
    # The record of an event is only needed while a run that it started exists.
    gone = {run.event for run in runs if run.event and events[run.event] <= 0}
    if gone:
        gone -= runtime.post.pending_events()
    letters = [letter.key for run_id in ids for letter in runtime.post.letters(run_id)]
    owners = [owner for owner in (*ids, *gone) if runtime.store.blobs_size(owner)]
    pointers = runtime.store.shared.pointers_into(ids)
    moved = _moved(runtime, set(pointers), ids)
    point("delete:before")
    runtime.store.delete(
        keys=[
            *(f"run/{run_id}" for run_id in ids),
            *(f"event/{event}" for event in gone),
            *pointers,
            *letters,
        ],
        tags=[tag for run_id in ids for tag in _tags(run_id)],
        write=[*_marks(owners), *moved],
        patience=_PATIENCE,
    )
    point("delete:rows")
    for run_id in ids:
        with contextlib.suppress(OSError):
            log_of(runtime, run_id).unlink(missing_ok=True)
        runtime.forget(run_id)
    _remove_files(runtime, owners)
    return ids


def _marks(owners: Iterable[str]) -> list[Row]:
    """Marks of runs and events whose value files are still to be removed."""
    return [Row(f"{_MARKS}/{owner}", _MARKS, "{}") for owner in owners]


def _moved(runtime: Runtime, pointers: Collection[str], gone: Collection[str]) -> list[Row]:
    """Pointers to the same results in other runs, most of which took them over: so they are still found (see `reuse=`)."""
    newest: dict[str, tuple[float, Row]] = {}
    jobs: dict[str, str] = {}
    for shared in runtime.store.shared.beside(pointers):
        record = readable_task(shared.path, shared.text)
        if shared.run_id in gone or not record.is_shareable:
            continue
        if shared.run_id not in jobs:
            run = runtime.run_record(shared.run_id)
            jobs[shared.run_id] = "" if run is None else job_of(run)
        if not jobs[shared.run_id]:
            continue
        row = pointer(record.reuse, jobs[shared.run_id], f"{shared.run_id}/{shared.path}")
        if row.key not in newest or newest[row.key][0] < record.made_at:
            newest[row.key] = record.made_at, row
    return [row for key, (_, row) in newest.items() if key in pointers or runtime.store.get(key) is None]


def _tags(run_id: str) -> tuple[str, ...]:
    """The tags of all rows of a run except its own record: tasks, log lines, key-values, sources, answers, events, notices,
    and rows of earlier versions."""
    tags = (sources_tag(run_id), answers_tag(run_id), tag_of(run_id), key_of(run_id))
    return run_id, f"kv/run/{run_id}", *tags, f"export/{run_id}"


def _remove_files(runtime: Runtime, owners: Sequence[str]) -> None:
    """Remove the marked value files, then the marks."""
    for owner in owners:
        # A run and an event can have the same name. They share their files then.
        if not _is_there(runtime, owner):
            runtime.store.delete_blobs(owner)
        point("delete:files")
    if owners:
        runtime.store.delete(keys=[f"{_MARKS}/{owner}" for owner in owners], patience=_PATIENCE)


def _is_there(runtime: Runtime, owner: str) -> bool:
    return any(runtime.store.get(f"{kind}/{owner}") is not None for kind in ("run", "event"))


# Events ---------------------------------------------------------------------------------------------
def _forget_events(runtime: Runtime, before: float) -> None:
    """Remove events that were delivered at `before` or earlier and started no run, unless a job has still to take them."""
    post = runtime.post
    old = {event_id for event_id, event in post.events() if not event.is_waiting and event.ended_at <= before}
    post.take_out([letter.key for letter in post.unheard() if letter.event in old])
    # In this order: a letter is taken out of an inbox when the run that it starts is stored.
    kept = post.pending_events()
    kept |= {str((run.event or {}).get("id", "")) for run in runtime.each_run_record()}
    gone = old - kept
    owners = [event for event in gone if runtime.store.blobs_size(event)]
    runtime.store.delete(keys=[f"event/{event}" for event in gone], write=_marks(owners), patience=_PATIENCE)
    _remove_files(runtime, owners)


# Remains of crashes ---------------------------------------------------------------------------------
def _sweep(runtime: Runtime) -> None:
    """Finish the removals of kernels that died, and remove value files that they had not recorded yet."""
    store = runtime.store
    store.shared.sweep(patience=_PATIENCE)
    for key, _ in store.select(_MARKS):
        owner = key.removeprefix(f"{_MARKS}/")
        with contextlib.suppress(RunLockedError), ExitStack() as lease:
            # A kernel that removes the run now, or runs it again, holds the lease.
            lease.callback(leases.acquire(store.directory, owner).release)
            _remove_files(runtime, [owner])
    owners = {*store.tally(), *(run.id for run in runtime.each_run_record())}
    events = {key.removeprefix("event/") for key, _ in store.select("events")}
    store.sweep_blobs(owners | events)


def _shrink(runtime: Runtime) -> str:
    """Give the free space of the database back to the disk. Returns the reason if that failed, else ""."""
    size = runtime.store.size()
    if (size.free + size.journal) * _WORTH_IT < size.total:
        return ""
    try:
        runtime.store.shrink(patience=_PATIENCE)
    except StoreError as error:
        return f"The database keeps its size for now, and uses the space for later runs: {error}"
    return ""


def _size(runtime: Runtime, run_id: str) -> int:
    store = runtime.store
    return len(store.get(f"run/{run_id}") or "") + store.size_of(_tags(run_id)) + store.blobs_size(run_id)


def _disk(runtime: Runtime) -> int:
    return runtime.store.size().total + runtime.store.blobs_size()


# Statistics -------------------------------------------------------------------------------------
def info(runtime: Runtime) -> StoreInfo:
    """The number of runs, records and values in the store, and their size."""
    by_status: Counter[str] = Counter()
    by_job: Counter[str] = Counter()
    tags = runtime.store.tally()
    started: list[float] = []
    records = 0
    for run in runtime.each_run_record():
        by_status[runtime.status_of(run)] += 1
        by_job[run.job] += 1
        records += tags.get(run.id, 0)
        started.append(run.created_at)
    size = runtime.store.size()
    return StoreInfo(
        directory=runtime.store.directory,
        runs=len(started),
        by_status={status: by_status[status] for status in RunStatus if by_status[status]},
        by_job=dict(by_job),
        records=records,
        key_values=sum(
            count
            for tag, count in tags.items()
            if tag.startswith("kv/") and not tag.startswith(sources_tag(""))
        ),
        oldest=to_datetime(min(started)) if started else None,
        newest=to_datetime(max(started)) if started else None,
        database_bytes=size.total,
        values_bytes=runtime.store.blobs_size(),
        free_bytes=size.free,
    )
