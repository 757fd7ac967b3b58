"""The data of a run, as its handle shows it: the properties of `Run`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .. import _values
from .._keys import ancestors
from .._records.records import RunRecord, TaskRecord
from .._records.status import Reason, RunStatus
from .._records.statuses import StatusInfo, counts, said, statuses
from . import result, showing
from .payloads import Payload
from .runtime import Runtime
from .task_info import TaskInfo, TaskPath, find_tasks, in_order, moment, task_info
from .task_inputs import TodaysBody


class RunData:
    """The data of a run, read again at each access. `Run` adds the commands and the display."""

    def __init__(self, runtime: Runtime, run_id: str) -> None:
        self._runtime = runtime
        self._id = run_id
        self._held = runtime.passes.get(run_id)  # it knows why tasks ran
        self._payload: Payload | None = None  # decoded at the first access

    @property
    def id(self) -> str:
        """The id of the run. The same job, version and payload give the same id."""
        return self._id

    @property
    def job(self) -> str:
        """The id of the job."""
        return self._record.job

    @property
    def status(self) -> RunStatus:
        """The current status. A run whose kernel died is INTERRUPTED."""
        return self._runtime.status_of(self._record)

    @property
    def reason(self) -> str:
        """The reason why the run is WAITING: "wait", "retry", "queued" or "paused"; "" for other statuses."""
        return self._record.reason

    @property
    def payload(self) -> Any:
        """The payload that the run was started with."""
        record = self._record
        if self._payload is None or not self._payload.is_of(record):
            self._payload = Payload.stored(record, self._runtime.store.blobs(self._id))
        return self._payload.take()

    @property
    def output(self) -> Any:
        """The return value of the run function; None until the run is COMPLETED."""
        return result.output_of(self._runtime, self._record)

    @property
    def error(self) -> BaseException | None:
        """The error that the run FAILED with, else None."""
        return result.error_of(self._record)

    @property
    def started_at(self) -> datetime | None:
        """The beginning of the first pass, in UTC."""
        return moment(self._record.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """The end of the last pass, in UTC; None while a pass is under way."""
        record = self._record
        return None if self._id in self._runtime.executions else moment(record.finished_at)

    @property
    def eta(self) -> datetime | None:
        """The estimated end of the run, in UTC, from up to five earlier runs of the job; never in the past.

        None if there is no estimate: the job has no earlier runs, the run is not RUNNING, or it takes longer
        than the earlier runs.

        >>> run = client.runs(status="RUNNING")[0]  # doctest: +SKIP
        >>> run.eta - datetime.now(UTC)  # doctest: +SKIP
        datetime.timedelta(seconds=93)
        """
        if self.status != RunStatus.RUNNING:
            return None
        return moment(showing.make_model(self._runtime, self._id).ends_at)

    @property
    def statuses(self) -> list[StatusInfo]:
        """The statuses that the run created with `io.create_status`, in the order of their creation.

        Each has `key`, `label`, `state`, `data`, `progress`, and its `history` with times, oldest first.
        """
        pass_ = self._runtime.passes.get(self._id)
        records = [record for record in self._runtime.each_task_record(self._id) if counts(record)]
        reasons = {} if pass_ is None else pass_.reasons

        def was_reached(record: TaskRecord) -> bool:
            around = (reasons.get(path) for path in ancestors(record.path))
            return record.path in reasons or Reason.REPLAYED in around

        return statuses(records, was_reached, self._data_of_status)

    @property
    def tasks(self) -> list[TaskInfo]:
        """The tasks, in the order in which they first started, subtasks after their parents."""
        return [self._info(record) for record in self._in_order() if record.kind != "log"]

    @property
    def logs(self) -> list[TaskInfo]:
        """The log lines: `name` is the message, `level` and `data` are the other arguments of the log call."""
        return [self._info(record) for record in self._in_order() if record.kind == "log"]

    def task(self, path: TaskPath) -> TaskInfo:
        """One task. `path` is its path as it is shown ("parent/child"), a list of keys, or one key.

        In a list, an item of a map or a parallel stands for its key: `run.task(["label", 7])`.

        Raises `NotFoundError`, which lists similar paths, if there is no such task.
        """
        (task,) = find_tasks(self._runtime, self._id, [path])
        return self._info(task)

    # Records ----------------------------------------------------------------------------------

    @property
    def _exists(self) -> bool:
        """Whether the run is in the store. A deleted run is not."""
        return self._runtime.run_record(self._id) is not None

    @property
    def _record(self) -> RunRecord:
        return self._runtime.require_run(self._id)

    @property
    def _current(self) -> RunRecord:
        return showing.current_record(self._runtime, self._id)

    def _in_order(self) -> list[TaskRecord]:
        return in_order(self._runtime.task_records(self._id, running=True))

    def _info(self, record: TaskRecord) -> TaskInfo:
        return task_info(self._runtime, self._id, record, self._body_of)

    def _body_of(self, record: TaskRecord) -> TodaysBody:
        raise NotImplementedError  # `Run` can rehearse the job to find it

    def _decoded(self, form: str, data: object) -> object:
        return _values.load(form, data, self._runtime.store.blobs(self._id))

    def _data_of_status(self, record: TaskRecord) -> object:
        """The data of a status; as it is displayed if part of it is redacted or it could not be stored."""
        if record.redact or record.form == "unstored":
            return said(record)["data"]
        record = self._runtime.whole(self._id, record)
        return self._decoded(record.form, record.value)
