"""The runs of a job in one store: the run of a payload is found or recorded, and its passes begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .. import _values
from .._callsite import warn_at
from .._engine.readings import explained
from .._fingerprint.fingerprints import Fingerprints
from .._keys import hashed
from .._records.records import RunRecord
from .._records.run_ids import check_run_id, new_run_id
from .._tasks.call import Scope, current_scope
from .._tasks.options import OnChange, WaitsOption, check_choices
from .._values.tagged import Blobs
from ..errors import RunStateError, TriggerError
from . import moves
from .attending import attend
from .beginning import start
from .context import EventData, context_of
from .events import Listener, completed
from .host import Client, JobHost
from .notify_option import Notifier, Notify, check_notify, nearest
from .payloads import NoFiles, Payload, found_id
from .reloads import why_outdated
from .run_spec import RunSpec
from .runtime import ActiveRun, Runtime, depth_below
from .sources import check_own, own_run


class DefinedJob(Listener, Protocol):
    """A job, as its runs see it."""

    name: str
    version: str

    def _handle(self, run_id: str) -> object:
        """The run with an id, as users get it."""
        ...

    @property
    def client(self) -> Client:
        """The client of the job."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Which run of a job to start, and how. `Job.run` describes the arguments. Raises `InvalidOptionError`."""

    payload: object = None
    run_id: str | None = None
    fresh: bool = False
    is_test: bool = False
    on_change: OnChange | None = None
    waits: WaitsOption | None = None
    notify: Notify | None = None
    event: EventData | None = None
    # Of a child run: the run that starts it, and the path of the task that does.
    parent: str = ""
    parent_task: str = ""

    def __post_init__(self) -> None:
        check_choices({"on_change": self.on_change, "waits": self.waits})
        check_notify(self.notify)
        if self.run_id is not None:
            check_run_id(self.run_id)


class JobRuns:
    """The runs of a job in one store. `prepare` changes what a run is executed with, as a test of the job does."""

    def __init__(
        self, job: DefinedJob, runtime: Runtime, prepare: Callable[[RunSpec], RunSpec] | None = None
    ) -> None:
        self._job = job
        self._runtime = runtime
        self._is_trial = prepare is not None  # no other process knows of its store
        self._prepare: Callable[[RunSpec], RunSpec] = prepare or (lambda spec: spec)

    # Beginning --------------------------------------------------------------------------------------

    def begin(self, request: RunRequest) -> tuple[ActiveRun, bool]:
        """Begin a pass of a run, or join the one that is under way. The second value tells whether one has begun.

        Raises `InvalidPayloadError`, `RunStateError`, `RunLockedError`, and other store errors.
        """
        job = self._job
        if text := why_outdated(job):
            warn_at(text, job.fn.__code__.co_filename, job.fn.__code__.co_firstlineno)
        value = self._payload_of(request)
        run_id, record = self._find(value, request)
        scope = current_scope.get()
        if scope is not None and not request.parent:
            scope.owner.about_to_start(f"a run of job {job.id!r}")
        kept = self._kept(value, record, request)
        payload = kept or Payload.of(value, self._blobs(run_id))
        record = record or self._new(run_id, request, scope)
        if record.payload != payload.data:
            record = record.copy(stable_since=record.passes + 1)
        record = record.copy(payload_form=payload.form, payload=payload.data)
        record.waits = "skip" if self._skips_waits(request, scope) else ""
        if kept is None:
            record.payload_preview = job.options.preview(value)
        if request.notify is not None:
            self._runtime.notify[run_id] = request.notify
        living = self._runtime.executions.get(run_id)
        execution = self._start(self._spec(payload, request.on_change, record), self._current(record))
        return execution, execution is not living

    def plan(self, request: RunRequest) -> tuple[RunSpec, RunRecord, bool]:
        """The pass that a plan rehearses, its record, and whether the run would be new. Nothing is stored."""
        value = self._payload_of(request)
        run_id, stored = self._find(value, request)
        payload = self._kept(value, stored, request) or Payload.of(value, NoFiles())
        # The plan uses the payload of the record only to redact it.
        record = stored or self._new(run_id, request, None).copy(payload=_values.preview(value))
        return self._spec(payload, request.on_change, record), self._current(record), stored is None

    def restart(self, record: RunRecord) -> ActiveRun:
        """Begin another pass of a stored run, with its stored payload."""
        return self._start(*self.again(record))

    def id_of(self, request: RunRequest) -> str:
        """The id of the run that a request is for."""
        return self._find(self._payload_of(request), request)[0]

    def _payload_of(self, request: RunRequest) -> Any:
        trigger, payload = self._job.trigger, request.payload
        return trigger.parse(trigger.missing(self._runtime.clock.time()) if payload is None else payload)

    def _start(self, spec: RunSpec, record: RunRecord) -> ActiveRun:
        execution = start(self._runtime, spec, record)
        if not self._is_trial:
            attend(self._runtime)
            moves.forget_other(self._runtime, execution.run.id)
        return execution

    def again(self, record: RunRecord) -> tuple[RunSpec, RunRecord]:
        """Another pass of a stored run, and its record."""
        try:
            payload = Payload.stored(record, self._blobs(record.id), self._job.trigger.fit)
        except TriggerError as error:
            raise explained(error, f"the payload of run {record.id!r}") from None
        record = record.copy(payload_form=payload.form, payload=payload.data)
        return self._spec(payload, None, record), self._current(record)

    # Runs of events ---------------------------------------------------------------------------------

    def id_for_event(self, event_id: str) -> str:
        """The id of the run of an event. The same event never starts a second one (I1)."""
        return self._of_event(event_id)[0]

    def completed_for_event(self, event_id: str, line: tuple[str, int]) -> RunRecord | None:
        """The run of an event that was sent before, if it has completed: nothing starts. `line` sends it again."""
        return completed(self._of_event(event_id)[1], self._job, line)

    def _of_event(self, event_id: str) -> tuple[str, RunRecord | None]:
        run_id = hashed("run_", self._job.id, event_id)
        return self._own(run_id, self._runtime.run_record(run_id))

    # Finding ----------------------------------------------------------------------------------------

    def _find(self, value: Any, request: RunRequest) -> tuple[str, RunRecord | None]:
        """The id that is asked for, or that the payload identifies, and the record of that run, if any.

        Raises `RunStateError` if it is another job's, or if there is none and the job is disabled.
        """
        job, run_id = self._job, request.run_id
        if run_id is None and request.fresh:
            run_id = new_run_id()
        if run_id is None:
            run_id, record = self._own(
                *found_id(value, job.options.run_id, self._runtime.run_record, self._blobs)
            )
        else:
            record = self._runtime.run_record(run_id)
        if record is not None:
            check_own(record, job.options, job.fn)
        elif not job.enabled:
            raise RunStateError(f"job {job.id!r} is disabled and starts no new run (enabled=False)")
        return run_id, record

    def _own(self, run_id: str, record: RunRecord | None) -> tuple[str, RunRecord | None]:
        return own_run(self._runtime, self._job.options, self._job.fn, run_id, record)

    def _kept(self, value: Any, record: RunRecord | None, request: RunRequest) -> Payload | None:
        """The stored payload of a run that was found by its payload. A run that was found by its id may get another one
        now, which a later retry must use."""
        if record is None or request.run_id is not None or self._job.options.identity is not None:
            return None
        return Payload.of_started(record, value, self._blobs(record.id), self._job.options.redact)

    # What a pass is made from -----------------------------------------------------------------------

    def _new(self, run_id: str, request: RunRequest, scope: Scope | None) -> RunRecord:
        parent, parent_task = request.parent, request.parent_task
        if not parent and scope is not None:  # awaited inside another job (I8)
            parent, parent_task = scope.owner.run.id, scope.path
        return RunRecord(
            id=run_id,
            client=self._job.client.id,
            job=self._job.id,
            source=self._job.options.source,
            is_test=request.is_test,
            event=request.event,
            parent=parent,
            parent_task=parent_task,
            depth=depth_below(self._runtime, parent, self._job.id),
            keys=1,
        )

    def _current(self, record: RunRecord) -> RunRecord:
        """The record of a run, with the name, version and code that the job has now."""
        job = self._job
        fresh = record.copy(name=job.name, version=job.version, redact=list(job.options.redact))
        fresh.set_code(Fingerprints().of(job.fn))
        return fresh

    def _skips_waits(self, request: RunRequest, scope: Scope | None) -> bool:
        """Whether the waits of a run that starts are skipped. A run that another one starts does as that one."""
        if request.waits is not None:
            return request.waits == "skip"
        if request.parent and (parent := self._runtime.run_record(request.parent)) is not None:
            return parent.waits == "skip"
        return scope is not None and scope.owner.run.waits == "skip"

    def _spec(self, payload: Payload, on_change: OnChange | None, run: RunRecord) -> RunSpec:
        job, options = self._job, self._job.options
        settings = options.settings(job.client, on_change)
        settings.waits = "skip" if run.waits == "skip" else "wait"
        return self._prepare(
            RunSpec(
                function=job.fn,
                settings=settings,
                host=lambda: JobHost(job),
                context=lambda run: context_of(run, job.version),
                payload=payload,
                on_success=options.on_success,
                on_failure=options.on_failure,
                limiter=options.limiter(self._runtime.limits, self._runtime.clock),
                notify=self.notifiers(run.id),
                handle=job._handle,
            )
        )

    def notifiers(self, run_id: str) -> tuple[Notifier, ...]:
        """Who is told of a run: as the call that started it in this kernel says, else the job, else the client."""
        job = self._job
        return nearest(self._runtime.notify.get(run_id), job.options.notify, job.client.notify)

    def _blobs(self, run_id: str) -> Blobs:
        return self._runtime.store.blobs(run_id)
