"""Bodies that run in an executor: packed and submitted here, and what comes home taken in (rule C3)."""

from __future__ import annotations

import functools
import hashlib
import json
import linecache
import os
import pickle
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .. import _codec, _pickling
from .._bodies import bind_body, signature_of
from .._codec import Unstored
from .._codec.exceptions import _file_name
from .._executors import Threads, is_executor
from .._keys import display_path
from .._scope import current_scope
from ..errors import MissingExtraError, RunInterrupted, UsageError, WorkerLostError
from .pools import GIVE_A_FUNCTION, Engine, PoolFuture, Source, engine_of, source_of
from .reporter import Route
from .reports import reports
from .worker import Facts, Package, Parcel, TaskSlot, lines_of

if TYPE_CHECKING:
    from .._call import Call, Settings
    from .._executors import Start
    from .._task import Task

Begin = Callable[[], bool]
Finish = Callable[[Callable[[], Any]], None]

# After so many seconds without word of it, a body has not begun: word is sent at once, and takes long only
# where the machine is busy.
WORD_COMES_WITHIN = 3.0

# Results are taken in, and recorded, on threads of their own: those of an executor have other work to do.
_arrivals = Threads(max_running=8)

# Errors by which engines say that a worker died under a body; `BrokenExecutor` is the one of Python itself.
_LOST = frozenset({"KilledWorker", "EngineError", "NoEnginesRegistered", "WorkerCrashedError"})


def executor_of(call: Call[Any], settings: Settings) -> Any:
    """What the body of a call is to run in; None: here."""
    options = call.options
    if "executor" in options:
        return options["executor"]
    is_own = call.kind != "task" or call.service is not None or options.get("thread") is False
    return None if is_own else settings.executor


def name_of(executor: Any) -> str:
    """What its record says of a task that runs there."""
    if is_executor(executor):
        return engine_of(executor).name
    return str(getattr(executor, "__name__", type(executor).__name__))


class Outsourcing:
    """What goes from one pass to executors."""

    def __init__(self) -> None:
        # Of the bodies of maps, each of which is pickled once for all items.
        self._pickled: dict[tuple[int, str], tuple[Any, tuple[str, bytes]]] = {}

    def start(self, call: Call[Any], task: Task, given: Any) -> Start:
        """How the body of a call runs in an executor. Raises `UsageError` when it cannot."""
        _arguments(call, TaskSlot())  # a body that cannot run there is found out before anything is done

        def start(begin: Begin, finish: Finish) -> Callable[[], None]:
            source = source_of(given)
            errand = _Errand(self, call, task, source, begin, finish)
            if source.is_ready:
                errand.go(given)
            else:
                _arrivals.spawn(lambda: errand.go(given))  # making a cluster takes its time
            return errand.leave

        return start

    def package(self, call: Call[Any], task: Task, token: str, route: Route) -> bytes:
        """A body and its arguments as they are sent. Raises `UsageError` when they cannot be pickled."""
        digest, body = self._body(call)
        arguments = _dumps(_arguments(call, TaskSlot()), f"the arguments of task {display_path(call.path)!r}")
        facts = Facts(
            run_id=task.run_id,
            path=task.path,
            key=task.key,
            attempt=task.attempt,
            idempotency_key=task.idempotency_key,
            token=token,
            route=route,
            home=(socket.gethostname(), os.getpid()),
        )
        return pickle.dumps(Package(digest, body, arguments, facts))

    def _body(self, call: Call[Any]) -> tuple[str, bytes]:
        is_item = call.limiter is not None  # of a map
        key = (id(call.body), call.scope.path)
        if is_item and key in self._pickled:
            return self._pickled[key][1]
        body = _dumps(call.body, f"the body of task {display_path(call.path)!r}")
        found = hashlib.sha256(body).hexdigest(), body
        if is_item:
            self._pickled[key] = (call.body, found)  # with the body, whose id stays its own while it is here
        return found


def _arguments(call: Call[Any], task: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Those of the call, with the task where the body takes it."""
    if call.service is not None:
        _refuse(call, "the client of an integration, which belongs to this kernel")
    offers: dict[str, Callable[[], Any]] = {
        "task": lambda: task,
        "io": lambda: _refuse(call, "`io`, and tasks are started where the run is: in the notebook"),
    }
    return bind_body(signature_of(call.body), call.args, offers)


def _refuse(call: Call[Any], what: str) -> NoReturn:
    raise UsageError(
        f"the body of task {display_path(call.path)!r} takes {what}; so it cannot run in an executor. Give the task "
        "executor=None, to have it run here, and executor= to the tasks that do the work, or leave the parameter out"
    )


def _dumps(value: Any, what: str) -> bytes:
    try:
        import cloudpickle  # noqa: F401  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError(
            'executor= needs the package cloudpickle, here and on the workers: pip install "trigger_nb[pickle]"'
        ) from error
    try:
        return _pickling.dumps(value)
    except Exception as error:
        raise UsageError(
            f"{what} cannot be sent to an executor: {type(error).__name__}: {error}. Open connections, locks and the "
            "like inside the body, and pass it plain data"
        ) from error


# There and back ---------------------------------------------------------------------------------


class _Errand:
    """One attempt on its way to an executor and back."""

    def __init__(
        self, desk: Outsourcing, call: Call[Any], task: Task, source: Source, begin: Begin, finish: Finish
    ) -> None:
        self._desk = desk
        self._call = call
        self._task = task
        self._source = source
        self._begin_body = begin
        self._finish = finish
        self._context = copy_context()
        self._token = secrets.token_hex(8)
        self._lock = threading.Lock()
        # Under the lock.
        self._begun = False  # as far as is known here
        self._heard = False  # word of it came
        self._left = False  # the caller waits no more
        self._in_time = True  # word came that it had begun, before it had ended
        self._logged = 0  # lines of the body's that are in the tree
        self._engine: Engine | None = None
        self._future: PoolFuture | None = None

    # Going ------------------------------------------------------------------------------------

    def go(self, given: Any) -> None:
        """Submit the body."""
        try:
            future = self._submit(given)
        except BaseException as error:  # noqa: BLE001  # raised where the result is awaited
            self._come_home(functools.partial(_raise, error))
            return
        if future is None:
            self._come_home(functools.partial(_raise, RunInterrupted()))
            return
        with self._lock:
            self._future = future
            left = self._left and not self._begun
        future.add_done_callback(self._done)
        if left:
            self.leave()

    def _submit(self, given: Any) -> PoolFuture | None:
        """None where nobody waits any more."""
        engine = self._source.get(given)
        try:
            return self._submit_to(engine)
        except UsageError:
            raise
        except Exception as error:
            if not self._source.drop(engine):
                raise self._why_refused(engine, error) from error
        return self._submit_to(self._source.get(given))

    def _submit_to(self, engine: Engine) -> PoolFuture | None:
        with self._lock:
            self._engine = engine
            if self._left:
                return None
        if not engine.tells_begin and not self._begin():
            return None
        if engine.kind == "threads":
            return engine.executor.submit(self._call_here)
        route = engine.route()
        package = self._desk.package(self._call, self._task, self._token, route)
        reports().open(self._token, self._on_report)
        return engine.submit(package, f"{_name_of(self._call.body)}-{self._token}")

    def _why_refused(self, engine: Engine, error: Exception) -> Exception:
        if isinstance(error, BrokenExecutor):
            return self._lost(error)
        return UsageError(f"{engine.name} takes no task: {type(error).__name__}: {error}. {GIVE_A_FUNCTION}")

    def _begin(self) -> bool:
        with self._lock:
            if self._begun:
                return True
            self._begun = True
        return self._begin_body()

    def leave(self) -> None:
        """The caller waits no more: a body that has not begun never will, one that has is left to its end.

        Its result is recorded when it comes (A5). The futures of Dask and others can be cancelled while
        the body runs: it would not stop, and its result would be thrown away.
        """
        with self._lock:
            self._left = True
            future, engine, begun = self._future, self._engine, self._begun
        if future is None or engine is None or (begun and engine.tells_begin):
            return
        if engine.kind == "dask":
            self._begin()  # perhaps it has, and word of it is on the way
            _departures.add(self)
        elif engine.kind != "other" and not future.cancel():
            self._begin()  # it has

    def call_off(self) -> None:
        """No word has come in time: it has not begun."""
        with self._lock:
            future = None if self._heard else self._future
        if future is not None:
            future.cancel()

    # While it runs ----------------------------------------------------------------------------

    def _on_report(self, message: dict[str, Any]) -> None:
        if "begun" in message:
            self._heard = True
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
            lines = lines_of(texts)
        except (TypeError, ValueError):
            return
        with self._lock:
            self._logged += len(lines)
        for level, message, data in lines:
            self._task.log(message, data, level)

    # Coming home ------------------------------------------------------------------------------

    def _done(self, future: PoolFuture) -> None:
        _arrivals.submit(lambda: self._come_home(lambda: self._outcome(future)))

    def _come_home(self, outcome: Callable[[], Any]) -> None:
        reports().close(self._token)
        with self._lock:
            self._future = None
            self._in_time = self._begun
        self._begin()
        self._finish(outcome)

    def _call_here(self) -> Any:
        """The body in a thread of this process: nothing is packed."""
        if not self._begin():
            raise RunInterrupted
        args, named = _arguments(self._call, self._task)
        self._context.run(current_scope.set, self._task._scope)
        return self._context.run(self._call.body, *args, **named)

    def _outcome(self, future: PoolFuture) -> Any:
        assert self._engine is not None
        if self._engine.kind == "threads":
            return future.result()
        try:
            parcel: Parcel = pickle.loads(future.result())  # noqa: S301  # of an executor that the user trusts
        except CancelledError as error:
            if self._left:
                raise RunInterrupted from None
            raise self._lost(error) from error
        except Exception as error:
            # ipyparallel's errors have the name of the one that they stand for.
            if isinstance(error, BrokenExecutor) or getattr(error, "ename", type(error).__name__) in _LOST:
                raise self._lost(error) from error
            error.add_note(f"raised by {self._engine.name}, and not by the body of the task")
            raise
        if not self._in_time and (record := self._call.record) is not None and record.attempt == 1:
            record.started_at = round(record.started_at - parcel.seconds, 3)
        self._log(list(parcel.lines[self._logged :]))
        if parcel.properties is not None:
            self._task.output_properties = pickle.loads(parcel.properties)  # noqa: S301
        return self._opened(parcel)

    def _opened(self, parcel: Parcel) -> Any:
        """What the body returned, or raised."""
        if not parcel.ok:
            error = _error_of(parcel)
            if isinstance(error, Exception):
                raise error
            raise WorkerLostError(f"the body left its worker: {type(error).__name__}: {error}") from error
        if parcel.value is None:
            return self._unstored(parcel.kind, parcel.reason)
        try:
            return pickle.loads(parcel.value)  # noqa: S301
        except Exception as error:  # noqa: BLE001  # of any class's own code
            return self._unstored("value", f"it cannot be unpickled here: {type(error).__name__}: {error}")

    def _unstored(self, kind: str, reason: str) -> Unstored:
        """S4: what was done is not done again because its result cannot come home."""
        return Unstored(display_path(self._call.path), kind, reason)

    def _lost(self, error: BaseException) -> WorkerLostError:
        can_be_renewed = self._engine is not None and self._source.drop(self._engine)
        what_to_do = "With retry= on the task it is tried again by itself"
        if isinstance(error, BrokenExecutor) and not can_be_renewed:
            what_to_do = f"This pool stays broken. {GIVE_A_FUNCTION}, and retry= to the task"
        why = f"{type(error).__name__}: {error}".rstrip(" .:")
        return WorkerLostError(
            f"the worker was lost that ran task {display_path(self._call.path)!r} (attempt {self._task.attempt}), "
            f"and what it has done with it: {why}. {what_to_do}; it gets the same idempotency key"
        )


class _Departures:
    """Errands whose callers have left, and that are called off after a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: deque[tuple[float, _Errand]] = deque()

    def add(self, errand: _Errand) -> None:
        with self._lock:
            self._due.append((time.monotonic() + WORD_COMES_WITHIN, errand))
            if len(self._due) == 1:
                threading.Thread(target=self._work, name="trigger_nb calling off", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    return
                due, errand = self._due[0]
            time.sleep(max(0.0, due - time.monotonic()))
            errand.call_off()
            with self._lock:
                self._due.popleft()


_departures = _Departures()


def _raise(error: BaseException) -> NoReturn:
    raise error


def _name_of(body: Any) -> str:
    return str(getattr(body, "__name__", type(body).__name__))


def _error_of(parcel: Parcel) -> BaseException:
    """The error of a parcel, with its cause, its context, and where it was raised."""
    error = _bare_error_of(parcel)
    for name, linked in parcel.linked:
        setattr(error, f"__{name}__", _error_of(linked))
    if any(name == "cause" for name, _ in parcel.linked) and not parcel.suppressed:
        error.__suppress_context__ = False
    if parcel.frames:
        frames = "\n".join(_frame_text(*frame) for frame in parcel.frames)
        error.add_note(f"raised on {parcel.where}:\n{frames}")
    return error


def _bare_error_of(parcel: Parcel) -> BaseException:
    if parcel.value is None:
        return _codec.decode_error(json.loads(parcel.data))
    try:
        return cast("BaseException", pickle.loads(parcel.value))  # noqa: S301
    except Exception as error:  # noqa: BLE001  # of a class that is not to be found here
        return error


def _frame_text(file: str, number: int, function: str, text: str) -> str:
    # A worker has not the text of a notebook's cells.
    line = text or linecache.getline(file, number).strip()
    where = f"  {_file_name(file)}, line {number}, in {function}"
    return f"{where}\n    {line}" if line else where
