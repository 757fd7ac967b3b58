"""What bodies on workers report while they run: progress and log lines, as data that is never unpickled.

To a worker on this machine the way home is a connection to the loopback address, on which each message is
signed with a key of this kernel. To one of Dask's it is Dask's own events, which go where its tasks go.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from .reporter import MAX_MESSAGE, Route, sign

Receiver = Callable[[dict[str, Any]], None]

_LINE_LIMIT = MAX_MESSAGE * 8  # bytes; a message's text may be escaped


class Reports:
    """The ways home to this process, each opened when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._receivers: dict[str, Receiver] = {}  # by token
        self._clients: WeakSet[Any] = WeakSet()  # Dask's, that are listened to
        self._topic = f"trigger_nb-{secrets.token_hex(8)}"
        self._route: Route | None = None

    def open(self, token: str, receiver: Receiver) -> None:
        """Have the messages of an attempt handed over, on a thread of the way home; it must not block."""
        self._receivers[token] = receiver

    def close(self, token: str) -> None:
        """Hand over nothing more."""
        self._receivers.pop(token, None)

    def over_dask(self, client: Any) -> Route:
        """The way home for the workers of a Dask client."""
        with self._lock:
            if client not in self._clients:
                client.subscribe_topic(self._topic, self._on_event)
                self._clients.add(client)
        return Route("dask", topic=self._topic)

    def over_loopback(self) -> Route:
        """The way home for processes on this machine; none where no port can be opened."""
        with self._lock:
            if self._route is None:
                self._route = self._listen()
            return self._route

    def receive(self, text: str | bytes) -> None:
        """Take a message in. What is none is dropped."""
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        told = cast("dict[str, Any]", message)
        receiver = self._receivers.get(str(told.get("task")))
        if receiver is not None:
            receiver(told)

    def _on_event(self, event: Any) -> None:
        _, text = event
        if isinstance(text, str) and os.getpid() == self._pid:
            self.receive(text)

    # The connection ---------------------------------------------------------------------------

    def _listen(self) -> Route:
        try:
            listener = socket.create_server(("127.0.0.1", 0))
        except OSError:
            return Route()
        secret = secrets.token_bytes(32)
        threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, secret)), name="trigger_nb reports", daemon=True
        ).start()
        return Route("tcp", host=socket.gethostname(), port=listener.getsockname()[1], secret=secret)

    async def _serve(self, listener: socket.socket, secret: bytes) -> None:
        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while signed := await reader.readline():
                    signature, _, data = signed.rstrip(b"\n").partition(b" ")
                    if not hmac.compare_digest(signature, sign(secret, data)):
                        break  # a stranger
                    self.receive(data)
            except (OSError, ValueError):  # a line without an end is a stranger's, too
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(read, sock=listener, limit=_LINE_LIMIT)
        await server.serve_forever()


_reports: dict[int, Reports] = {}


def reports() -> Reports:
    """The one of this process; a forked one has its own."""
    return _reports.setdefault(os.getpid(), Reports())
