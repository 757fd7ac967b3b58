"""How a worker sends word of a body home while it runs: from a thread of its own, so that no body waits."""

from __future__ import annotations

import functools
import hmac
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TELL_EVERY = 0.1  # how often a process sends word of its tasks, in seconds
MAX_MESSAGE = 60_000  # what is longer goes home with the result, in characters
_PATIENCE = 2.0  # with a home that does not answer, in seconds
_IDLE = 10.0  # after so long without anything to send, the thread that sends ends

Send = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Route:
    """A way home for what a body reports while it runs."""

    kind: str = ""  # "dask": Dask's own events; "tcp": a connection to the kernel; "": there is none
    topic: str = ""
    host: str = ""  # of the kernel: its loopback address is of use nowhere else
    port: int = 0
    secret: bytes = b""


@dataclass(slots=True)
class _Outbox:
    """What waits to be sent, of all tasks of this process."""

    said: deque[tuple[Send, str, dict[str, Any]]] = field(
        default_factory=deque[tuple[Send, str, dict[str, Any]]]
    )
    progress: dict[str, tuple[Send, dict[str, Any]]] = field(
        default_factory=dict[str, tuple[Send, dict[str, Any]]]
    )


class Reporter:
    """Sends word home from a thread of its own, so that no body ever waits for the way home."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._out = _Outbox()
        self._pid = 0  # of the process whose thread sends; a forked one needs its own

    def say(self, send: Send, token: str, message: dict[str, Any]) -> None:
        """Send a message."""
        with self._changed:
            self._out.said.append((send, token, message))
            self._wake()

    def progress(self, send: Send, token: str, message: dict[str, Any]) -> None:
        """Send a message that is of interest only until the next one."""
        with self._changed:
            self._out.progress[token] = (send, message)
            self._wake()

    def forget(self, token: str) -> None:
        """The task has ended: what it has to say goes home with the result."""
        with self._changed:
            self._out.progress.pop(token, None)
            self._out.said = deque(each for each in self._out.said if each[1] != token)

    def _wake(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            threading.Thread(target=self._work, name="trigger_nb reporter", daemon=True).start()
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._out.said or self._out.progress):
                    if not self._changed.wait(_IDLE):
                        self._pid = 0
                        return
                out, self._out = self._out, _Outbox()
            for send, token, message in out.said:
                send(json.dumps({"task": token, **message}))
            for token, (send, message) in out.progress.items():
                send(json.dumps({"task": token, **message}))
            time.sleep(TELL_EVERY)


reporter = Reporter()


def sender(route: Route) -> Send | None:
    """What sends a text home on that route; it raises nothing. None where no way leads home."""
    if route.kind == "dask":
        return _dask_sender(route.topic)
    if route.kind == "tcp" and route.host == socket.gethostname():
        return _Line.to(route).send
    return None


def _dask_sender(topic: str) -> Send | None:
    try:
        from distributed import get_worker  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        worker: Any = get_worker()
    except Exception:  # noqa: BLE001  # not on one of Dask's workers
        return None

    def send(text: str) -> None:
        try:
            worker.log_event(topic, text)
        except Exception:  # noqa: BLE001  # a worker that is just leaving
            return

    return send


class _Line:
    """A connection to the kernel. Where there is none, what is sent is lost, and soon not even tried."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._pid = 0
        self._socket: socket.socket | None = None

    @classmethod
    @functools.lru_cache(maxsize=16)
    def to(cls, route: Route) -> _Line:
        """The one to that kernel."""
        return cls(route)

    def send(self, text: str) -> None:
        """Send a text with its signature; only the reporter's thread does."""
        data = text.encode()
        signed = sign(self._route.secret, data)
        try:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._socket = socket.create_connection(("127.0.0.1", self._route.port), timeout=_PATIENCE)
            if self._socket is not None:
                self._socket.sendall(signed + b" " + data + b"\n")
        except OSError:
            self._socket = None


def sign(secret: bytes, data: bytes) -> bytes:
    """The signature of a message."""
    return hmac.new(secret, data, "sha256").hexdigest().encode()
