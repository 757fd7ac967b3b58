"""The file of a job, by which the runs of jobs with one id in one store are told apart."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import unwrap

from .._callsite import warn
from .._fingerprint.fingerprints import Fingerprints
from .._keys import hashed
from .._main_file import file_of, marks_of
from .._records.reading import check_legible
from .._records.records import RunRecord
from .._store.owner import Owner, Source
from .._store.stores import DefaultStore
from ..errors import RunStateError, StoreError
from .job_options import JobOptions
from .runtime import Runtime

Function = Callable[..., object]


def source_of_job(runtime: Runtime, job_id: str, function: Function, default: DefaultStore | None) -> str:
    """The name in the store of the file that a job is defined in. Records the file, and warns if it was renamed."""
    inner = function
    while isinstance(inner, partial):
        inner = inner.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    path = file_of(unwrap(inner))
    source = Source(path, marks_of(path))
    with suppress(StoreError):
        runtime.store.get("")  # the folder may have been moved or removed since
    with Owner.change(runtime.store.directory) as owner:
        if default is not None:
            owner.claim(default.file)
        name, before = owner.name_for(job_id, source)
    is_told = default is not None and path == default.file.path and bool(default.note)
    if before is not None and not is_told:
        warn(f"job {job_id!r} was in {before.path} before: its runs are continued in {path}")
    if default is not None and default.is_new and (note := default.elsewhere(job_id)):
        warn(note)
    return name


def own_run(
    runtime: Runtime, options: JobOptions, function: Function, run_id: str, record: RunRecord | None
) -> tuple[str, RunRecord | None]:
    """The run of a job that has an id, or in place of another file's run the one that has its place for this file.

    Equal code may share a run. Each of two files with other code has its own: neither gets the other's results.
    """
    if record is None or record.job != options.id or record.source == options.source:
        return run_id, record
    own_id = hashed("run_", run_id, options.source)
    own = runtime.run_record(own_id)
    if own is None:
        if _is_same_code(record, function):
            return run_id, record
        owner = Owner(runtime.store.directory)
        warn(
            f"run {run_id} is of a job {options.id!r} with other code in {_file_of(owner, record)}, with the same store, "
            f"{owner.path.parent}. This one has a run of its own, {own_id}. Give one of the jobs another id=, or its "
            f"client another id. If this is the same job and is to have the results of that run, delete {owner.path}, and "
            "run the cell that defines the job again"
        )
    return own_id, own


def check_own(record: RunRecord, options: JobOptions, function: Function) -> None:
    """Raise `RunStateError` if a run is another job's, and `CorruptRecordError` if that cannot be read."""
    check_legible(record)
    if record.job != options.id:
        raise RunStateError(f"run {record.id} belongs to job {record.job!r}, not to {options.id!r}")
    if record.source != options.source and not _is_same_code(record, function):
        raise RunStateError(
            f"run {record.id} belongs to a job {options.id!r} with other code that another file defines, with the same "
            "store. Start, retry or resume it there, or give one of the jobs another id"
        )


def _is_same_code(record: RunRecord, function: Function) -> bool:
    return not record.code or record.code == Fingerprints().of(function)


def _file_of(owner: Owner, record: RunRecord) -> str:
    files = owner.jobs.get(record.job, [])
    return next((each.path for each in files if each.name == record.source), "another file")
