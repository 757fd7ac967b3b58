"""The worker's side of an executor: it runs bodies.

Executors only ever get the function `execute` with bytes, and it returns bytes: so every executor handles
functions and classes of notebook cells, lambdas and closures in the same way, with cloudpickle. Workers,
perhaps on other machines, import this file: it imports little of the package.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

from .._values import pickling
from .reporter import MAX_MESSAGE, Message, Reporter, Route, Send, reporter, sender

T = TypeVar("T")
_BODIES_KEPT = 64
_FRAMES_KEPT = 12  # frames of a traceback
_CHAIN_KEPT = 5  # causes of causes
_SHOWN = 20  # pieces of one attempt


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The task's data that a worker gets."""

    run_id: str
    path: str
    key: str
    attempt: int
    idempotency_key: str
    token: str  # names this attempt in messages to the kernel
    route: Route
    kernel: tuple[str, int]  # its host and process id
    redact: tuple[str, ...] = ()


class Request(NamedTuple):
    """A body to run. A worker unpickles a body once, and finds it again by its digest."""

    digest: str
    body: bytes
    arguments: bytes
    facts: TaskFacts


class Response(NamedTuple):
    """The result of a body: plain data around pickles, so that the kernel can always read it."""

    ok: bool
    value: bytes | None = None  # the pickled result or error; None if it cannot be pickled
    kind: str = ""  # the type of a result that cannot be pickled
    reason: str = ""  # why it cannot be pickled
    data: str = ""  # an error that cannot be pickled, as the codec writes it
    linked: tuple[tuple[str, Response], ...] = ()  # the "cause" and "context" of an error
    suppressed: bool = False  # the error's `__suppress_context__`
    where: str = ""  # host and process that raised an error
    frames: tuple[tuple[str, int, str, str], ...] = ()  # file, line, function and source line of each
    seconds: float = 0.0  # duration of the body
    properties: bytes | None = None
    lines: tuple[str, ...] = ()  # all log lines
    shown: tuple[tuple[dict[str, Any], bytes | None], ...] = ()  # the pieces that the body showed


class RemoteTask:
    """The task that a body on a worker gets: a snapshot that reports to the kernel."""

    def __init__(self, facts: TaskFacts, reporter: Reporter, send: Send | None) -> None:
        self.run_id = facts.run_id
        self.path = facts.path
        self.key = facts.key
        self.attempt = facts.attempt
        self.idempotency_key = facts.idempotency_key
        self.status = "RUNNING"
        self.output_properties: object = None
        self._token = facts.token
        self._reporter = reporter
        self._send = send
        self._redact = facts.redact
        self._lines: list[str] = []
        self._shown: list[tuple[dict[str, Any], bytes | None]] = []

    @property
    def id(self) -> str:
        """The run's id and the path: unique across runs."""
        return f"{self.run_id}/{self.path}"

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Show the body's progress in the notebook, at most ten times a second."""
        if self._send is not None:
            total = None if total is None else float(total)
            message: Message = {
                "done": float(done),
                "total": total,
                "text": None if text is None else str(text),
            }
            self._reporter.send_progress(self._send, self._token, message)

    def log(self, message: object, data: object = None, level: str = "info") -> None:
        """Add a log line under this task."""
        line = json.dumps([level, str(message), data], default=repr)
        self._lines.append(line)
        if self._send is not None and len(line) < MAX_MESSAGE:
            self._reporter.send(self._send, self._token, {"line": line, "n": len(self._lines)})

    def show(self, obj: object, label: str = "") -> None:
        """Show an object in the details of this task, once the body has ended."""
        from .._values.pieces import of_object

        if len(self._shown) <= _SHOWN:  # one more than are kept
            made = of_object(obj, label, self._redact)
            self._shown.append((made.piece, made.picture))

    @property
    def shown(self) -> tuple[tuple[dict[str, Any], bytes | None], ...]:
        """The pieces that were shown, with their pictures."""
        return tuple(self._shown)

    @property
    def lines(self) -> tuple[str, ...]:
        """The log lines, as JSON."""
        return tuple(self._lines)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a task cannot be pickled: it belongs to this process")

    def __repr__(self) -> str:
        return f"<Task {self.path!r} attempt {self.attempt} of run {self.run_id}>"


# Running a body -----------------------------------------------------------------------------------
def execute(pickled: bytes) -> bytes:
    """Run the body of a pickled `Request` and return a pickled `Response`. Errors of the body are in it."""
    request: Request = pickle.loads(pickled)  # noqa: S301  # an executor runs code that it is sent
    facts = request.facts
    _follow(facts.kernel)
    send = sender(facts.route)
    task = RemoteTask(facts, reporter, send)
    if send is not None:
        reporter.send(send, facts.token, {"begun": True})
    began = time.monotonic()
    try:
        response = _value_response(_call(request, task))
    except BaseException as error:  # noqa: BLE001  # the kernel raises it
        response = _error_response(error)
    finally:
        reporter.forget(facts.token)
    seconds = time.monotonic() - began
    properties = _pickled(task.output_properties) if task.output_properties else None
    return pickle.dumps(
        response._replace(seconds=seconds, properties=properties, lines=task.lines, shown=task.shown)
    )


def _call(request: Request, task: RemoteTask) -> object:
    token = _current_task.set(task)
    try:
        body = _bodies.get(request.digest, request.body)
        args, named = pickle.loads(request.arguments)  # noqa: S301
        value = body(*args, **named)
        return _await(value) if inspect.isawaitable(value) else value
    finally:
        _current_task.reset(token)


def _await(value: Awaitable[T]) -> T:
    async def main() -> T:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    return _in_new_thread(lambda: asyncio.run(main()))  # this thread runs the executor's own event loop


def _in_new_thread(function: Callable[[], T]) -> T:
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, function).result()


# The task whose body runs; the unpickled arguments refer to it.
_current_task: ContextVar[RemoteTask] = ContextVar("trigger_nb_remote_task")


class TaskSlot:
    """The place of the task among pickled arguments: it is unpickled as the worker's task."""

    def __reduce__(self) -> tuple[Callable[[], RemoteTask], tuple[()]]:
        return _get_current_task, ()


def _get_current_task() -> RemoteTask:
    return _current_task.get()


class _Bodies:
    """A cache of the bodies that were unpickled last, by digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Callable[..., object]] = OrderedDict()

    def get(self, digest: str, pickled: bytes) -> Callable[..., object]:
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
        body = pickle.loads(pickled)  # noqa: S301
        with self._lock:
            self._known[digest] = body
            while len(self._known) > _BODIES_KEPT:
                self._known.popitem(last=False)
        return body


_bodies = _Bodies()


# Responses ----------------------------------------------------------------------------------------
def _value_response(value: object) -> Response:
    try:
        return Response(ok=True, value=pickling.dumps(value))
    except Exception as error:  # noqa: BLE001  # an object's `__reduce__` can raise anything
        cls = value.__class__
        kind = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        return Response(ok=True, kind=kind, reason=f"it cannot be pickled: {error}")


def _error_response(error: BaseException) -> Response:
    """An error that the body raised, with its traceback."""
    where = f"{socket.gethostname()}, process {os.getpid()}"
    found = traceback.extract_tb(error.__traceback__)
    frames = [each for each in found if each.filename != __file__][-_FRAMES_KEPT:]
    return _chained_error(error)._replace(
        where=where,
        frames=tuple((each.filename, each.lineno or 0, each.name, each.line or "") for each in frames),
    )


def _chained_error(error: BaseException, depth: int = 0) -> Response:
    """An error with its cause and context, which a pickled error lacks."""
    pickled = _pickled_error(error)
    if pickled is None:
        return Response(ok=False, data=_as_data(error))
    cause, context = error.__cause__, error.__context__
    linked = {"cause": cause, "context": None if context is cause else context}
    return Response(
        ok=False,
        value=pickled,
        linked=tuple(
            (name, _chained_error(each, depth + 1))
            for name, each in linked.items()
            if each is not None and depth < _CHAIN_KEPT
        ),
        suppressed=error.__suppress_context__,
    )


def _pickled_error(error: BaseException) -> bytes | None:
    """The pickled error, or else its pickled parts; None if neither can be unpickled."""
    for form in (error, _Parts(error)):
        pickled = _pickled(form)
        if pickled is not None and _can_be_unpickled(pickled, type(error)):
            return pickled
    return None


def _can_be_unpickled(pickled: bytes, cls: type) -> bool:
    """Whether an error can be unpickled. Many cannot: their `__init__` takes other arguments than `args`."""
    try:
        return type(pickle.loads(pickled)) is cls  # noqa: S301
    except Exception:  # noqa: BLE001  # `__init__` can raise anything
        return False


class _Parts:
    """An error that is unpickled without a call of its `__init__`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[object, ...]]:
        return _rebuild, (type(self._error), self._error.args, vars(self._error))


def _rebuild(cls: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _as_data(error: BaseException) -> str:
    from .._values.errors import encode_error

    return json.dumps(encode_error(error))


def _pickled(value: object) -> bytes | None:
    try:
        return pickling.dumps(value)
    except Exception:  # noqa: BLE001  # an object's `__reduce__` can raise anything
        return None


# The process --------------------------------------------------------------------------------------
def this_process() -> tuple[str, int]:
    """Host and process id of this process."""
    return socket.gethostname(), os.getpid()


def start_worker(kernel: tuple[str, int], initializer: Callable[..., object] | None, *args: object) -> None:
    """Initialize a process of a pool: follow the kernel, then call the pool's own initializer."""
    _follow(kernel)
    if initializer is not None:
        initializer(*args)


def _follow(kernel: tuple[str, int]) -> None:
    """Make a pool's process ignore interrupts and end with its kernel.

    An interrupt goes to the kernel's whole process group, and would break the pool for good. When the
    kernel is killed, its pool's processes get no signal, and would stay: each waits for work on a pipe that
    it holds open itself.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    if parent is None or kernel != (socket.gethostname(), parent.pid) or _following.is_set():
        return
    _following.set()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="trigger_nb kernel watch", daemon=True).start()


_following = threading.Event()


def parsed_lines(texts: Sequence[str]) -> list[tuple[str, str, object]]:
    """Level, message and data of each line of `RemoteTask.log`. Raises `ValueError` for any other text."""
    found: list[tuple[str, str, object]] = []
    for text in texts:
        level, message, data = json.loads(text)
        found.append((str(level), str(message), data))
    return found
