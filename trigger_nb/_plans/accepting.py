"""Accepting changes: the stored results of changed tasks count as those of the code and params as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._engine.code_sources import source_row
from .._engine.ledger import run_row
from .._fingerprint.fingerprints import Fingerprints, resolve
from .._keys import ancestors, is_within
from .._redact import secrets
from .._runs.commands import _allowed, _defined_job, _leased
from .._runs.task_info import find_tasks
from .._store.protocol import Row
from .rehearsal import rehearse
from .todays_body import PATIENCE

if TYPE_CHECKING:
    from .._records.records import RunRecord, TaskRecord
    from .._runs.runtime import Runtime
    from .._runs.task_paths import TaskPath
    from .dry_pass import DryPass


def accept(runtime: Runtime, run_id: str, path: TaskPath | None) -> None:
    """Store the fingerprints of changed tasks as they are now: see `Run.accept`."""
    run = _allowed(runtime, run_id, "accept")
    within = None if path is None else find_tasks(runtime, run_id, [path])[0].path
    job = _defined_job(runtime, run)
    spec, again = job._again(run)
    dry = rehearse(runtime, spec, again, PATIENCE, keeps_all=True)
    changed = [
        each for each in dry.changes.found if within is None or each == within or is_within(each, within)
    ]
    with _leased(runtime, run):
        kept: dict[str, object] = {}  # bodies by the fingerprints of their code, as far as these are new
        accepted = [
            made for each in changed if (made := _accepted(runtime, run, dry, each, kept)) is not None
        ]
        if not accepted:
            return
        run = runtime.require_run(run_id)
        run.parts = {**run.parts, **dry.run.parts}
        sources = [source_row(run_id, code, body) for code, body in kept.items()]
        rows = [
            *sources,
            *(Row(f"{run_id}/{each.path}", run_id, each.dumps(), each.rank) for each in accepted),
        ]
        # A completed record is never replaced by an ordinary commit: both have the same rank (C5).
        runtime.store.delete(keys=[row.key for row in rows], write=[*rows, run_row(run)])
    _unmark(runtime, run_id, [each.path for each in accepted])


def _accepted(
    runtime: Runtime, run: RunRecord, dry: DryPass, path: str, kept: dict[str, object]
) -> TaskRecord | None:
    """The record of a changed task with the fingerprints of its code and params now; None if neither has changed."""
    what = dry.changes.found[path].split(", ")
    stored = runtime.stored_task(run.id, path)
    if stored is None or stored.is_damaged or {"code", "params"}.isdisjoint(what):
        return None
    record, call = runtime.whole(run.id, stored), dry.changed_calls.get(path)
    body = resolve(record.body) if call is None else call.body
    if "code" in what:
        code = Fingerprints().of(body) if call is None else dry.changes.of(call).code
        if dry.changes.keep_parts(body, code):
            kept[code] = body
        record = record.copy(code=code)
    if call is not None:
        record = record.copy(body=dry.changes.reference(call) if call.kind == "task" else record.body)
        if "params" in what:
            inputs = dry.changes.inputs(call)
            record = record.copy(inputs=inputs if secrets.hide(inputs) == inputs else "")
    return record


def _unmark(runtime: Runtime, run_id: str, paths: list[str]) -> None:
    """Take the marks from the last pass of this kernel, and from the displays."""
    pass_ = runtime.passes.get(run_id)
    if pass_ is None:
        return
    found = pass_.changes.found
    for path in paths:
        _take(found, path, {"code", "params"})
        pass_.changes.parts.pop(path, None)
        pass_.changes.diffs.pop(path, None)
    left = {around for path in found if found[path] != "subtask" for around in ancestors(path)}
    for path in [path for path in found if path not in left]:
        _take(found, path, {"subtask"})
    for path in {around for each in paths for around in (each, *ancestors(each))}:
        if pass_.feed.watched and path in pass_.reasons:
            pass_.feed.emit(pass_.sighting(path, pass_.reasons[path]))


def _take(found: dict[str, str], path: str, what: set[str]) -> None:
    """Take these changes from those of a path."""
    left = [each for each in found.get(path, "").split(", ") if each and each not in what]
    if left:
        found[path] = ", ".join(left)
    else:
        found.pop(path, None)
