"""The worker's side of an executor: what runs there, and how word of it comes home.

`execute` is all that is ever submitted to an executor, with bytes, and it gives bytes: so functions and
classes of a notebook's cells, lambdas and closures go to every engine in the same way, cloudpickle's. This
file is imported on workers, in processes that may be of another machine: it needs little of the package.
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
from typing import Any, NamedTuple, NoReturn

from .. import _pickling
from .reporter import MAX_MESSAGE, Reporter, Route, Send, reporter, sender

_BODIES_KEPT = 64
_FRAMES_KEPT = 12  # of a traceback
_CHAIN_KEPT = 5  # causes of causes


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker is told about a task."""

    run_id: str
    path: str
    key: str
    attempt: int
    idempotency_key: str
    token: str  # names this one attempt on the way home
    route: Route
    home: tuple[str, int]  # host and process id of the kernel


class Package(NamedTuple):
    """What goes to a worker: the body is named by its digest, so that it is unpickled there only once."""

    digest: str
    body: bytes
    arguments: bytes
    facts: Facts


class Parcel(NamedTuple):
    """What comes home: plain data around pickles, so that it can always be opened."""

    ok: bool
    value: bytes | None = None  # what the body returned or raised; None where that cannot be pickled
    kind: str = ""  # the type of a value that cannot
    reason: str = ""  # and why
    data: str = ""  # of an error that cannot: what the codec keeps of it
    linked: tuple[tuple[str, Parcel], ...] = ()  # of an error: "cause" and "context"
    suppressed: bool = False  # the latter does not count
    where: str = ""  # an error was raised
    frames: tuple[tuple[str, int, str, str], ...] = ()  # file, line, function, text
    seconds: float = 0.0  # that the body took
    properties: bytes | None = None
    lines: tuple[str, ...] = ()  # all that was logged


class RemoteTask:
    """The task, as its body on a worker sees it: a snapshot that reports home."""

    def __init__(self, facts: Facts, reporter: Reporter, send: Send | None) -> None:
        self.run_id = facts.run_id
        self.path = facts.path
        self.key = facts.key
        self.attempt = facts.attempt
        self.idempotency_key = facts.idempotency_key
        self.status = "RUNNING"
        self.output_properties: Any = None
        self._token = facts.token
        self._reporter = reporter
        self._send = send
        self._lines: list[str] = []

    @property
    def id(self) -> str:
        """Unique over all runs: the run's id and the path."""
        return f"{self.run_id}/{self.path}"

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Show how far the body is; at most ten times a second."""
        if self._send is not None:
            total = None if total is None else float(total)
            message = {"done": float(done), "total": total, "text": None if text is None else str(text)}
            self._reporter.progress(self._send, self._token, message)

    def log(self, message: object, data: Any = None, level: str = "info") -> None:
        """Add a line under this task."""
        line = json.dumps([level, str(message), data], default=repr)
        self._lines.append(line)
        if self._send is not None and len(line) < MAX_MESSAGE:
            self._reporter.say(self._send, self._token, {"line": line, "n": len(self._lines)})

    @property
    def lines(self) -> tuple[str, ...]:
        """What was logged."""
        return tuple(self._lines)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a task cannot be pickled: it belongs to this process")

    def __repr__(self) -> str:
        return f"<Task {self.path!r} attempt {self.attempt} of run {self.run_id}>"


# The body -----------------------------------------------------------------------------------------


def execute(package: bytes) -> bytes:
    """Call a body, and give what came of it; it raises nothing."""
    unpacked: Package = pickle.loads(package)  # noqa: S301  # what an executor is for
    facts = unpacked.facts
    _belong_to(facts.home)
    send = sender(facts.route)
    task = RemoteTask(facts, reporter, send)
    if send is not None:
        reporter.say(send, facts.token, {"begun": True})
    began = time.monotonic()
    try:
        parcel = _packed(_call(unpacked, task))
    except BaseException as error:  # noqa: BLE001  # it is raised at home
        parcel = _packed_raise(error)
    finally:
        reporter.forget(facts.token)
    seconds = time.monotonic() - began
    properties = _pickled(task.output_properties) if task.output_properties else None
    return pickle.dumps(parcel._replace(seconds=seconds, properties=properties, lines=task.lines))


def _call(package: Package, task: RemoteTask) -> Any:
    token = _here.set(task)
    try:
        body = _bodies.get(package.digest, package.body)
        args, named = pickle.loads(package.arguments)  # noqa: S301
        value = body(*args, **named)
        return _await(value) if inspect.isawaitable(value) else value
    finally:
        _here.reset(token)


def _await(value: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    return _in_thread_of_its_own(lambda: asyncio.run(main()))  # where the engine itself runs on a loop


def _in_thread_of_its_own(function: Callable[[], Any]) -> Any:
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, function).result()


# The task whose body is called, while its arguments are unpickled: it is one of them.
_here: ContextVar[RemoteTask] = ContextVar("trigger_nb_remote_task")


class TaskSlot:
    """Stands for the task among the arguments, on their way."""

    def __reduce__(self) -> Any:
        return _the_task, ()


def _the_task() -> RemoteTask:
    return _here.get()


class _Bodies:
    """The bodies that were unpickled last, by digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Any] = OrderedDict()

    def get(self, digest: str, pickled: bytes) -> Any:
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


# What comes home ----------------------------------------------------------------------------------


def _packed(value: Any) -> Parcel:
    try:
        return Parcel(ok=True, value=_pickling.dumps(value))
    except Exception as error:  # noqa: BLE001  # of any object's `__reduce__`
        cls: type[Any] = value.__class__
        kind = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
        return Parcel(ok=True, kind=kind, reason=f"it cannot be pickled: {error}")


def _packed_raise(error: BaseException) -> Parcel:
    """An error that left the body, with where that was."""
    where = f"{socket.gethostname()}, process {os.getpid()}"
    found = traceback.extract_tb(error.__traceback__)
    frames = [each for each in found if each.filename != __file__][-_FRAMES_KEPT:]
    return _packed_error(error)._replace(
        where=where,
        frames=tuple((each.filename, each.lineno or 0, each.name, each.line or "") for each in frames),
    )


def _packed_error(error: BaseException, depth: int = 0) -> Parcel:
    """An error with its cause and context, which a pickle of it does not have."""
    pickled = _pickled_error(error)
    if pickled is None:
        return Parcel(ok=False, data=_as_data(error))
    cause, context = error.__cause__, error.__context__
    linked = {"cause": cause, "context": None if context is cause else context}
    return Parcel(
        ok=False,
        value=pickled,
        linked=tuple(
            (name, _packed_error(each, depth + 1))
            for name, each in linked.items()
            if each is not None and depth < _CHAIN_KEPT
        ),
        suppressed=error.__suppress_context__,
    )


def _pickled_error(error: BaseException) -> bytes | None:
    """As itself, else in its parts, if it can be unpickled so."""
    for form in (error, _Parts(error)):
        pickled = _pickled(form)
        if pickled is not None and _can_be_unpickled(pickled, type(error)):
            return pickled
    return None


def _can_be_unpickled(pickled: bytes, cls: type) -> bool:
    """Many classes of errors cannot: their `__init__` takes something else than `args`."""
    try:
        return type(pickle.loads(pickled)) is cls  # noqa: S301
    except Exception:  # noqa: BLE001  # of that `__init__`
        return False


class _Parts:
    """An error that is put together again without its `__init__`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        return _put_together, (type(self._error), self._error.args, vars(self._error))


def _put_together(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _as_data(error: BaseException) -> str:
    from .._codec import encode_error

    return json.dumps(encode_error(error))


def _pickled(value: Any) -> bytes | None:
    try:
        return _pickling.dumps(value)
    except Exception:  # noqa: BLE001  # of any object's `__reduce__`
        return None


# The process --------------------------------------------------------------------------------------


def _belong_to(home: tuple[str, int]) -> None:
    """Make a process of a pool live and die with its kernel.

    An interrupt of the kernel, which its process group gets as a whole, is for the kernel to act on:
    it would break a pool for good. And when the kernel is killed, nobody would tell the pool's processes.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    if parent is None or home != (socket.gethostname(), parent.pid) or _owned.is_set():
        return
    _owned.set()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="trigger_nb kernel watch", daemon=True).start()


_owned = threading.Event()


def lines_of(texts: Sequence[str]) -> list[tuple[str, str, Any]]:
    """What was logged, as `RemoteTask.log` was given it. Raises `ValueError` when it is not that."""
    found: list[tuple[str, str, Any]] = []
    for text in texts:
        level, message, data = json.loads(text)
        found.append((str(level), str(message), data))
    return found
