"""Forks: copies of a run up to a task, which continue from there as runs with other results."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from .._engine.code_sources import sources_tag
from .._keys import display_path, hashed
from .._records.forget import Finality, forget, handled_in
from .._records.records import RunRecord, TaskRecord
from .._records.run_ids import check_run_id
from .._records.status import RunStatus, TaskStatus
from .._store.protocol import Row
from .._store.value_files import FILE_NAME
from .._values.codec import dump
from .._values.pieces import of_result
from .._values.signed_pickle import Place, moved
from ..errors import CorruptRecordError, InvalidOptionError, RunStateError
from .runtime import Runtime

# The note in the row of a task whose output no body returned.
_BY_HAND = {"label": "Output", "text": "given by hand"}
# Kinds of records. The result of a fan-out consists of the results of its items.
WITH_OUTPUT = frozenset({"task", "wait", "question", "run"})


def make_fork(runtime: Runtime, run: RunRecord, path: str, output: object, run_id: str | None) -> RunRecord:
    """Store a copy of `run` without the task at `path` and what depends on it, and return the record of the copy.

    `output`, unless it is `...`, becomes the output of the task. If the same fork exists, its record is
    returned. The caller holds the lease of `run`.
    """
    source = _Source(runtime, run)
    task = source.records[path]
    given = _Given(run.id, task, output) if output is not ... else None
    key = hashed("run_", run.id, path, str(task.generation), given.identity if given is not None else "")
    run_id = key if run_id is None else run_id
    check_run_id(run_id)
    earlier = runtime.run_record(run_id)
    if earlier is not None:
        if earlier.forked.get("key") != key:
            raise RunStateError(
                f"there is a run {run_id!r} already, and it is not this fork of run {run.id}: give another run_id"
            )
        return earlier
    copies = source.copies(path)
    if given is not None:
        copies[path] = given.result(copies.values())
    made = _record_of(source, copies, run_id, {"run": run.id, "path": path, "key": key})
    made.created_at = round(runtime.clock.time(), 3)
    runtime.take_lease(made.copy())  # so that `prune` does not remove its files as those of a deleted run
    try:
        _write(runtime, run, made, copies.values(), given)
    finally:
        runtime.release_lease(run_id)
    live = runtime.memory(run.id).live  # values that could not be stored, by path and generation
    copied = runtime.memory(run_id)
    copied.live.update({at: value for at, value in live.items() if at[0] in copies})
    runtime.keep_unsaved(run_id)
    return made


def _write(
    runtime: Runtime, run: RunRecord, made: RunRecord, copies: Iterable[TaskRecord], given: _Given | None
) -> None:
    """Store a fork completely or not at all: its value files first, then all rows in one commit."""
    rows = [
        Row(f"{made.id}/{each.path}", made.id, runtime.whole(run.id, each).dumps(), each.rank)
        for each in copies
    ]
    rows += _key_values(runtime, run.id, made.id)
    runtime.store.share_blobs(run.id, made.id, set(_files_of(runtime, run, copies, rows)))
    if given is not None:
        given.keep(runtime, made.id)
    signed = {f"{made.id}/{each.path}": each for each in copies if each.codec == "pickle"}
    for at, row in enumerate(rows):
        if row.key in signed:
            rows[at] = row._replace(text=_signed_again(runtime, run.id, made.id, signed[row.key]))
    runtime.save_run(made, rows)


def _signed_again(runtime: Runtime, run_id: str, fork_id: str, record: TaskRecord) -> str:
    """The text of a record, whose signed pickle belongs to the fork now."""
    whole = runtime.whole(run_id, record)
    if whole.form != "signed":
        return whole.dumps()
    place = Place(run_id, whole.path, whole.generation)
    # Where this fails, the value is lost or damaged in the source too.
    with suppress(CorruptRecordError, LookupError, TypeError, ValueError):
        whole = whole.copy(
            value=moved(whole.value, runtime.store.blobs(fork_id), place, place._replace(run_id=fork_id))
        )
    return whole.dumps()


class _Source:
    """The run that is copied, with its task records."""

    def __init__(self, runtime: Runtime, run: RunRecord) -> None:
        self.run = run
        self.records = {record.path: record for record in runtime.task_records(run.id)}
        failed = (*run.ended_by, *run.unseen)
        self._finality = Finality(self.records.values, failed, handled=handled_in(run), kept=run.kept)

    def copies(self, path: str) -> dict[str, TaskRecord]:
        """The task records for a copy in which the task runs again (R9).

        Forgotten tasks are not copied. Only the task itself keeps its place among the others.
        """
        changed = {record.path: record for record in forget(self.records, path)}
        standing = {
            each: record
            for each, record in self.records.items()
            if each not in changed and self._stands(record)
        }
        opened = {each: record for each, record in changed.items() if each == path or not record.forced}
        return standing | opened

    def _stands(self, record: TaskRecord) -> bool:
        """Whether the record is copied unchanged: the task has ended, or is a wait that has begun."""
        match record.status:
            case TaskStatus.COMPLETED | TaskStatus.ERRORED:
                return True
            case TaskStatus.CANCELED:
                # A task that the failure of the run cancelled runs again in the next pass (R5).
                return self.run.last_ending != RunStatus.FAILED or self._finality.is_final(record)
            case _:
                return record.kind == "wait"

    def handled(self, records: Iterable[TaskRecord]) -> list[str]:
        """The paths of errors that the code handled; the copy replays them."""
        return [
            record.path
            for record in records
            if record.status == TaskStatus.ERRORED and self._finality.is_final(record)
        ]


class _Given:
    """An output passed to `fork`. It serves as the `Blobs` of its value files until the id of the copy is known.

    Raises `NotStorableError` if the output cannot be stored.
    """

    def __init__(self, run_id: str, task: TaskRecord, output: object) -> None:
        if task.kind not in WITH_OUTPUT:
            raise InvalidOptionError(
                f"{display_path(task.path)!r} has no output of its own to replace: it consists of other tasks. "
                "Pass the path and the output of one of these"
            )
        self._task = task
        self._files: dict[str, bytes] = {}
        # Signed for the source, as what is copied from it.
        place = Place(run_id, task.path, task.generation) if task.codec == "pickle" else None
        self._form, self._text = dump(output, self, signed_for=place)
        self.identity = f"{self._form}:{self._text}"
        self._shown = [made.kept(self.put) for made in of_result(self._form, output, task.redact)]

    def put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        self._files[name] = data
        return name

    def get(self, name: str) -> bytes:
        return self._files[name]

    def keep(self, runtime: Runtime, run_id: str) -> None:
        """Write the value files of the output for a run."""
        blobs = runtime.store.blobs(run_id)
        for data in self._files.values():
            blobs.put(data)

    def result(self, others: Iterable[TaskRecord]) -> TaskRecord:
        """The record of the task as if it had returned this output immediately.

        The record keeps the task's place among the others. It has no fingerprints, because no code made the output:
        edited code does not mark it as "changed".
        """
        task = self._task
        latest = max(max(each.started, each.ended) for each in (task, *others))
        return TaskRecord(
            path=task.path,
            kind=task.kind,
            generation=task.generation,
            started=task.started,
            ended=task.settled or task.ended or latest + 1,
            settled=task.settled,
            started_at=task.started_at,
            ended_at=task.started_at,
            form=self._form,
            value=json.loads(self._text),
            codec=task.codec,
            name=task.name,
            icon=task.icon,
            style=task.style,
            description=task.description,
            display_key=task.display_key,
            params=task.params,
            properties=task.properties,
            redact=task.redact,
            shown=self._shown,
            shows=len(self._shown),
            output_properties=[_BY_HAND],
        )


def _record_of(
    source: _Source, copies: dict[str, TaskRecord], run_id: str, forked: dict[str, str]
) -> RunRecord:
    """The record of the copy: a run without a parent that has not begun, and that names its source."""
    run = source.run
    return RunRecord(
        id=run_id,
        client=run.client,
        job=run.job,
        source=run.source,
        name=run.name,
        version=run.version,
        redact=run.redact,
        payload_form=run.payload_form,
        payload=run.payload,
        payload_preview=run.payload_preview,
        keys=run.keys,
        parts=run.parts,
        event=run.event,
        is_test=run.is_test,
        depth=run.depth,
        forked=forked,
        passes=run.passes,  # the ordinals of the next pass start above the copied ones
        ended_by=[path for path in run.ended_by if path in copies],
        unseen=[path for path in run.unseen if path in copies],
        kept=source.handled(copies.values()),
        counts=dict(Counter(record.status for record in copies.values() if record.kind != "log")),
    )


def _key_values(runtime: Runtime, run_id: str, fork_id: str) -> Iterator[Row]:
    """The current values of `io.store.run`, of which earlier ones are not stored, and the sources of code."""
    for before, after in (
        (f"kv/run/{run_id}", f"kv/run/{fork_id}"),
        (sources_tag(run_id), sources_tag(fork_id)),
    ):
        for key, text in runtime.store.select(before):
            yield Row(after + key.removeprefix(before), after, text)


def _files_of(
    runtime: Runtime, run: RunRecord, copies: Iterable[TaskRecord], rows: Iterable[Row]
) -> Iterator[str]:
    """The names of value files that occur in the copies, or in the texts of these files."""
    for text in (json.dumps(run.payload), *(row.text for row in rows)):
        yield from FILE_NAME.findall(text)
    blobs = runtime.store.blobs(run.id)
    kept = [(each.given["form"], each.given["value"]) for each in copies if "form" in each.given]
    values = [(each.form, each.value) for each in copies]
    for form, value in ((run.payload_form, run.payload), *values, *kept):
        if form == "file" and value["form"]:  # a plain file names no others
            with suppress(CorruptRecordError):  # the value is lost in the source too
                yield from FILE_NAME.findall(blobs.get(value["file"]).decode("ascii"))
