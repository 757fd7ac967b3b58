"""The worker's end of the connection to the kernel: it sends what bodies report while they run.

A thread sends the messages, so that no body waits for the connection.
"""

from __future__ import annotations

import functools
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypedDict, cast

from .dask import DaskWorker

SEND_INTERVAL = 0.1  # seconds between two batches of messages
MAX_MESSAGE = 60_000  # characters; longer log lines only arrive with the result
_SEND_TIMEOUT = 2.0  # seconds, for a kernel that does not answer
Send = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Route:
    """The way from a worker to the kernel."""

    kind: str = ""  # "dask": Dask's events; "tcp": a connection to the kernel; "": not at all
    topic: str = ""
    host: str = ""  # the kernel's host: its loopback address works only there
    port: int = 0
    secret: bytes = b""


class Message(TypedDict, total=False):
    """A report of a body: that it has begun, a log line with its number, or its progress."""

    begun: bool
    line: str
    n: int
    done: float
    total: float | None
    text: str | None


class Reporter:
    """A queue of messages, and the thread that sends them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = count()
        # The message to send, by task and number. Progress has the number -1, so that it replaces
        # progress that was not sent yet.
        self._queue: dict[tuple[str, int], tuple[Send, Message]] = {}
        self._pid = 0  # the process whose thread sends: a forked process starts its own

    def send(self, send: Send, token: str, message: Message) -> None:
        """Queue a message of the task `token`."""
        self._add((token, next(self._numbers)), send, message)

    def send_progress(self, send: Send, token: str, message: Message) -> None:
        """Queue a message that replaces the task's earlier progress."""
        self._add((token, -1), send, message)

    def forget(self, token: str) -> None:
        """Drop the queued messages of a task that has ended: its result has all of its log lines."""
        with self._changed:
            self._queue = {key: each for key, each in self._queue.items() if key[0] != token}

    def _add(self, key: tuple[str, int], send: Send, message: Message) -> None:
        with self._changed:
            self._queue[key] = (send, message)
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._work, name="trigger_nb reporter", daemon=True).start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                queue, self._queue = self._queue, {}
            for (token, _), (send, message) in queue.items():
                send(json.dumps({"task": token, **message}))
            time.sleep(SEND_INTERVAL)


reporter = Reporter()


def sender(route: Route) -> Send | None:
    """The function that sends text on a route, and never raises; None if the worker cannot reach the kernel."""
    if route.kind == "dask":
        return _dask_sender(route.topic)
    if route.kind == "tcp" and route.host == socket.gethostname():
        return _connection(route).send
    return None


def _dask_sender(topic: str) -> Send | None:
    try:
        from distributed import get_worker  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        worker = cast("DaskWorker", get_worker())
    except Exception:  # noqa: BLE001  # this process is not a Dask worker
        return None

    def send(text: str) -> None:
        try:
            worker.log_event(topic, text)
        except Exception:  # noqa: BLE001  # the worker is shutting down
            return

    return send


class _Connection:
    """A connection to the kernel. After the first error, messages are dropped."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._pid = 0
        self._socket: socket.socket | None = None

    def send(self, text: str) -> None:
        """Send a text with its signature. Only the reporter's thread calls this."""
        data = text.encode()
        try:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._socket = socket.create_connection(
                    ("127.0.0.1", self._route.port), timeout=_SEND_TIMEOUT
                )
            if self._socket is not None:
                self._socket.sendall(sign(self._route.secret, data) + b" " + data + b"\n")
        except OSError:
            self._socket = None


_connection = functools.lru_cache(maxsize=16)(_Connection)  # one for each kernel


def sign(secret: bytes, data: bytes) -> bytes:
    """The signature of a message."""
    return hmac.new(secret, data, "sha256").hexdigest().encode()
