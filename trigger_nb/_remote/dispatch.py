"""Run bodies in executors: pack and submit them here, then take in their results."""

from __future__ import annotations

import hashlib
import json
import pickle
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from contextvars import copy_context
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, cast

from .. import _values
from .._concurrency.threads import Threads, failed, is_executor
from .._keys import display_path
from .._redact import secrets as credentials
from .._tasks.call import current_scope
from .._tasks.exits import as_error
from .._tasks.signature import bind_body, signature_of
from .._values import pickling
from .._values.errors import frame_text
from .._values.pieces import Made
from .._values.placeholders import Unstored
from ..errors import MissingExtraError, RunInterrupted, UsageError, WorkerLostError
from .backends import FUNCTION_ADVICE, Backend, ExecutorSource, PoolFuture, backend_of, source_of
from .listener import listener
from .modules import notebook_modules
from .reporter import Route
from .worker import Request, Response, TaskFacts, TaskSlot, parsed_lines, this_process

if TYPE_CHECKING:
    from .._concurrency.threads import Begin, Finish, Outcome, Start
    from .._tasks.call import Call
    from .._tasks.task import Task

# Workers report the start of a body within a tenth of a second. A body without a report after this time,
# in seconds, has not started.
START_REPORT_SECONDS = 3.0  # on a busy machine, reports take longer
# Separate threads decode and record results, so that the executors' own threads stay free.
_result_threads = Threads(max_running=8)
# Errors that executors raise when a worker died while it ran a body, beside Python's own `BrokenExecutor`.
_WORKER_LOST = frozenset({"KilledWorker", "EngineError", "NoEnginesRegistered", "WorkerCrashedError"})


def executor_name(executor: object) -> str:
    """The executor's name, as a task's record shows it."""
    if is_executor(executor):
        return backend_of(executor).name
    return _function_name(executor)


class Dispatcher:
    """Dispatches the bodies of one pass to executors."""

    def __init__(self) -> None:
        # Pickled bodies of maps, so that each is pickled once for all items. The body itself is kept
        # too: while it is, no other object can have its id.
        self._pickled: dict[tuple[int, str], tuple[object, tuple[str, bytes]]] = {}
        self._by_value: tuple[ModuleType, ...] | None = None  # looked up once a pass, as fingerprints are

    def start(self, call: Call[object], task: Task, executor: object) -> Start:
        """The function that starts the body of a call in an executor.

        Raises `UsageError` now, before anything is recorded, if the body cannot run there.
        """
        _arguments(call, TaskSlot())

        def start(begin: Begin, finish: Finish) -> Callable[[], None]:
            source = source_of(executor)
            remote = _RemoteCall(self, call, task, source, begin, finish)
            if source.is_ready:
                remote.submit(executor)
            else:
                _result_threads.spawn(lambda: remote.submit(executor))  # starting a cluster is slow
            return remote.abandon

        return start

    def request(self, call: Call[object], task: Task, token: str, route: Route) -> bytes:
        """The pickled request that a worker gets. Raises `UsageError` if a part of it cannot be pickled."""
        digest, body = self._body(call)
        arguments = self._dumps(
            _arguments(call, TaskSlot()), f"the arguments of task {display_path(call.path)!r}"
        )
        facts = TaskFacts(
            run_id=task.run_id,
            path=task.path,
            key=task.key,
            attempt=task.attempt,
            idempotency_key=task.idempotency_key,
            token=token,
            route=route,
            kernel=this_process(),
            redact=tuple(task._redact),
        )
        return pickle.dumps(Request(digest, body, arguments, facts))

    def _dumps(self, value: object, what: str) -> bytes:
        if self._by_value is None:
            self._by_value = notebook_modules.changed()
        return _dumps(value, what, self._by_value)

    def _body(self, call: Call[object]) -> tuple[str, bytes]:
        is_map_item = call.limiter is not None
        key = (id(call.body), call.scope.path)
        if is_map_item and key in self._pickled:
            return self._pickled[key][1]
        body = self._dumps(call.body, f"the body of task {display_path(call.path)!r}")
        found = hashlib.sha256(body).hexdigest(), body
        if is_map_item:
            self._pickled[key] = (call.body, found)
        return found


def _arguments(call: Call[object], task: object) -> tuple[tuple[object, ...], dict[str, object]]:
    """The arguments of the body, with `task` where the body takes it."""
    if call.service is not None:
        _refuse(call, "the client of an integration, which belongs to this kernel")
    offers: dict[str, Callable[[], object]] = {
        "task": lambda: task,
        "io": lambda: _refuse(call, "`io`, and only the notebook can start tasks"),
    }
    return bind_body(signature_of(call.body), call.args, offers)


def _refuse(call: Call[object], what: str) -> NoReturn:
    raise UsageError(
        f"the body of task {display_path(call.path)!r} takes {what}; so it cannot run in an executor. Pass "
        "executor=None to run this task in the kernel and executor= to the subtasks that do the work, "
        "or remove the parameter"
    )


def _dumps(value: object, what: str, by_value: tuple[ModuleType, ...]) -> bytes:
    try:
        import cloudpickle  # noqa: F401  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError(
            'executor= needs the package cloudpickle, here and on the workers: pip install "trigger_nb[pickle]"'
        ) from error
    try:
        return pickling.dumps(value, by_value)
    except Exception as error:
        reloaded = (
            " A module beside the notebook was edited, so its code is sent along with all that it refers to; a new pool "
            "imports the modules itself after a restart of the kernel"
            if by_value
            else ""
        )
        raise UsageError(
            f"{what} cannot be sent to an executor: {type(error).__name__}: {error}. Create connections, locks and "
            f"the like inside the body, and pass plain data to it.{reloaded}"
        ) from error


class _RemoteCall:
    """One attempt that runs in an executor."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        call: Call[object],
        task: Task,
        source: ExecutorSource,
        begin: Begin,
        finish: Finish,
    ) -> None:
        self._dispatcher = dispatcher
        self._call = call
        self._task = task
        self._source = source
        self._begin_body = begin
        self._finish = finish
        self._context = copy_context()
        self._token = secrets.token_hex(8)
        self._lock = threading.Lock()
        # The lock guards all fields below.
        self._started = False  # the body counts as started
        self._start_reported = False  # a worker reported the start
        self._abandoned = False  # the caller no longer waits
        self._started_on_time = True  # the start was known before the end
        self._logged = 0  # number of the body's log lines that are in the tree
        self._backend: Backend | None = None
        self._future: PoolFuture | None = None

    # Submit -----------------------------------------------------------------------------------

    def submit(self, executor: object) -> None:
        """Submit the body. Errors go to the caller, who awaits the result."""
        try:
            future = self._submit(executor)
        except BaseException as error:  # noqa: BLE001
            self._complete(failed(error))
            return
        if future is None:
            self._complete(failed(RunInterrupted()))
            return
        with self._lock:
            self._future = future
            abandoned = self._abandoned and not self._started
        future.add_done_callback(self._on_done)
        if abandoned:
            self.abandon()

    def _submit(self, executor: object) -> PoolFuture | None:
        """Submit, a second time if the executor is broken and a function can make a new one.

        None if the caller no longer waits.
        """
        backend = self._source.get(executor)
        try:
            return self._submit_to(backend)
        except UsageError:
            raise
        except Exception as error:
            if not self._source.drop(backend):
                raise self._submit_error(backend, error) from error
        return self._submit_to(self._source.get(executor))

    def _submit_to(self, backend: Backend) -> PoolFuture | None:
        with self._lock:
            self._backend = backend
            if self._abandoned:
                return None
        if not backend.reports_start and not self._begin():
            return None
        if backend.kind == "threads":
            return backend.executor.submit(self._call_in_thread)
        request = self._dispatcher.request(self._call, self._task, self._token, backend.route())
        listener().subscribe(self._token, self._on_message)
        return backend.submit(request, f"{_function_name(self._call.body)}-{self._token}")

    def _submit_error(self, backend: Backend, error: Exception) -> Exception:
        if isinstance(error, BrokenExecutor):
            return self._lost(error)
        return UsageError(
            f"{backend.name} accepts no tasks: {type(error).__name__}: {error}. {FUNCTION_ADVICE}"
        )

    def _begin(self) -> bool:
        with self._lock:
            if self._started:
                return True
            self._started = True
        return self._begin_body()

    def abandon(self) -> None:
        """Cancel the body if it has not started. A body that runs is left alone, and its result is recorded.

        Futures of Dask and others can be cancelled while the body runs: the body would not stop, and its
        result would be lost.
        """
        with self._lock:
            self._abandoned = True
            future, backend, started = self._future, self._backend, self._started
        if future is None or backend is None or (started and backend.reports_start):
            return
        if backend.kind == "dask":
            self._begin()  # it may have started, and the report may be on its way
            timer = threading.Timer(START_REPORT_SECONDS, self._cancel_if_not_started)
            timer.daemon = True
            timer.start()
        elif backend.kind != "other" and not future.cancel():
            self._begin()  # a future that cannot be cancelled runs

    def _cancel_if_not_started(self) -> None:
        """Cancel the body if no worker has reported its start."""
        with self._lock:
            future = None if self._start_reported else self._future
        if future is not None:
            future.cancel()

    # Messages of the body ---------------------------------------------------------------------

    def _on_message(self, message: Mapping[str, object]) -> None:
        if "begun" in message:
            self._start_reported = True
            self._begin()
        elif "line" in message:
            with self._lock:
                is_next = message.get("n") == self._logged + 1
            if is_next:
                self._log([str(message["line"])])
        elif isinstance(done := message.get("done"), float):
            total, text = message.get("total"), message.get("text")
            if isinstance(total, float | None) and isinstance(text, str | None):
                self._task.progress(done, total, text)

    def _log(self, texts: list[str]) -> None:
        try:
            lines = parsed_lines(texts)
        except (TypeError, ValueError):
            return
        with self._lock:
            self._logged += len(lines)
        for level, message, data in lines:
            self._task.log(message, data, level)

    # Result -----------------------------------------------------------------------------------

    def _on_done(self, future: PoolFuture) -> None:
        _result_threads.submit(lambda: self._complete(lambda: self._result(future)))

    def _complete(self, result: Outcome) -> None:
        listener().unsubscribe(self._token)
        with self._lock:
            self._future = None
            self._started_on_time = self._started
        self._begin()
        self._finish(result)

    def _call_in_thread(self) -> object:
        """Call the body in a thread of this process, with nothing pickled."""
        if not self._begin():
            raise RunInterrupted
        args, named = _arguments(self._call, self._task)
        self._context.run(current_scope.set, self._task._scope)
        return self._context.run(self._call.body, *args, **named)

    def _result(self, future: PoolFuture) -> object:
        assert self._backend is not None
        if self._backend.kind == "threads":
            return future.result()
        try:
            pickled = future.result()
            assert isinstance(pickled, bytes)
            response: Response = pickle.loads(pickled)  # noqa: S301  # the user trusts the executor
        except CancelledError as error:
            if self._abandoned:
                raise RunInterrupted from None
            raise self._lost(error) from error
        except Exception as error:
            # Errors of ipyparallel carry the name of the original error's class.
            name = getattr(error, "ename", type(error).__name__)
            if isinstance(error, BrokenExecutor) or name in _WORKER_LOST:
                raise self._lost(error) from error
            error.add_note(f"raised by {self._backend.name}, not by the body of the task")
            raise
        if not self._started_on_time and (record := self._call.record) is not None and record.attempt == 1:
            record.started_at = round(record.started_at - response.seconds, 3)
        self._log(list(response.lines[self._logged :]))
        for piece, picture in response.shown:  # the worker does not know all credentials
            self._task._scope.owner.show(self._task._scope, Made(credentials.hide_in(piece), picture))
        if response.properties is not None:
            self._task.output_properties = pickle.loads(response.properties)  # noqa: S301
        return self._value(response)

    def _value(self, response: Response) -> object:
        """Return what the body returned, or raise what it raised."""
        if not response.ok:
            raise as_error(_error_of(response), f"the body of task {display_path(self._call.path)!r}")
        if response.value is None:
            return self._unstored(response.kind, response.reason)
        try:
            return pickle.loads(response.value)  # noqa: S301
        except Exception as error:  # noqa: BLE001  # the class's own code can raise anything
            return self._unstored("value", f"it cannot be unpickled here: {type(error).__name__}: {error}")

    def _unstored(self, kind: str, reason: str) -> Unstored:
        """A placeholder for a result that cannot be sent back, so that the body does not run again (S4)."""
        return Unstored(display_path(self._call.path), kind, reason)

    def _lost(self, error: BaseException) -> WorkerLostError:
        can_be_replaced = self._backend is not None and self._source.drop(self._backend)
        advice = "Pass retry= to the task to run it again with the same idempotency key"
        if isinstance(error, BrokenExecutor) and not can_be_replaced:
            advice += f". This pool stays broken. {FUNCTION_ADVICE}"
        why = f"{type(error).__name__}: {error}".rstrip(" .:")
        return WorkerLostError(
            f"the worker that ran task {display_path(self._call.path)!r} (attempt {self._task.attempt}) was lost, "
            f"and it is unknown how far the body had come: {why}. {advice}"
        )


def _function_name(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _error_of(response: Response) -> BaseException:
    """The error of a response, with its cause and context, and a note with the worker's traceback."""
    error = _bare_error_of(response)
    for name, linked in response.linked:
        setattr(error, f"__{name}__", _error_of(linked))
    if any(name == "cause" for name, _ in response.linked) and not response.suppressed:
        error.__suppress_context__ = False
    if response.frames:
        frames = "\n".join(f"  {frame_text(*frame)}" for frame in response.frames)
        error.add_note(f"raised on {response.where}:\n{frames}")
    return error


def _bare_error_of(response: Response) -> BaseException:
    if response.value is None:
        return _values.error_or_stand_in(json.loads(response.data))
    try:
        return cast("BaseException", pickle.loads(response.value))  # noqa: S301
    except Exception as error:  # noqa: BLE001  # the class is missing here
        return error
