"""The kernel's end of the connection: it receives what bodies on workers report while they run.

Messages are JSON, never pickles. A worker on this machine sends them over the loopback address, each signed
with a key of this kernel. A Dask worker sends them as Dask events, which travel with Dask's own connections.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import cast
from weakref import WeakSet

from .dask import DaskClient
from .reporter import MAX_MESSAGE, Route, sign

Receiver = Callable[[Mapping[str, object]], None]
_MAX_LINE = MAX_MESSAGE * 8  # bytes, since JSON may escape each character

_MOST_STRANGERS = 64  # connections that have sent no signed message yet


class Listener:
    """Receives messages of workers and passes each to the attempt that it belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._receivers: dict[str, Receiver] = {}  # by token
        self._clients: WeakSet[DaskClient] = WeakSet()  # Dask clients that have a subscription
        self._topic = f"trigger_nb-{secrets.token_hex(8)}"
        self._route: Route | None = None

    def subscribe(self, token: str, receiver: Receiver) -> None:
        """Pass an attempt's messages to `receiver`, on the listener's thread: it must not block."""
        self._receivers[token] = receiver

    def unsubscribe(self, token: str) -> None:
        """Drop further messages of an attempt."""
        self._receivers.pop(token, None)

    def dask_route(self, client: DaskClient) -> Route:
        """The route from the workers of a Dask client."""
        with self._lock:
            if client not in self._clients:
                client.subscribe_topic(self._topic, self._on_event)
                self._clients.add(client)
        return Route("dask", topic=self._topic)

    def loopback_route(self) -> Route:
        """The route from processes on this machine. Its kind is "" if no port can be opened."""
        with self._lock:
            if self._route is None:
                self._route = self._listen()
            return self._route

    def _on_event(self, event: tuple[object, object]) -> None:
        _, text = event
        if isinstance(text, str) and os.getpid() == self._pid:
            self._receive(text)

    def _receive(self, text: str | bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if isinstance(message, dict):
            known = cast("dict[str, object]", message)
            receiver = self._receivers.get(str(known.get("task")))
            if receiver is not None:
                receiver(known)

    def _listen(self) -> Route:
        try:
            server = socket.create_server(("127.0.0.1", 0))
        except OSError:
            return Route()
        secret = secrets.token_bytes(32)
        threading.Thread(
            target=lambda: asyncio.run(self._serve(server, secret)), name="trigger_nb listener", daemon=True
        ).start()
        return Route("tcp", host=socket.gethostname(), port=server.getsockname()[1], secret=secret)

    async def _serve(self, server: socket.socket, secret: bytes) -> None:
        # Connections of which nothing is known yet, the oldest first. A worker signs a message at once; a stranger
        # who opens one connection after the other loses them again, and takes no worker's place.
        strangers: dict[asyncio.StreamWriter, None] = {}

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            strangers[writer] = None
            if len(strangers) > _MOST_STRANGERS:
                oldest = next(iter(strangers))
                del strangers[oldest]
                oldest.transport.abort()
            try:
                while line := await reader.readline():
                    signature, _, data = line.rstrip(b"\n").partition(b" ")
                    if not hmac.compare_digest(signature, sign(secret, data)):
                        break
                    strangers.pop(writer, None)
                    self._receive(data)
            except (OSError, ValueError):  # ValueError: a line longer than any of a worker
                pass
            finally:
                strangers.pop(writer, None)
                writer.close()

        serving = await asyncio.start_server(read, sock=server, limit=_MAX_LINE)
        await serving.serve_forever()


_listeners: dict[int, Listener] = {}


def listener() -> Listener:
    """The listener of this process; a forked process has its own."""
    return _listeners.setdefault(os.getpid(), Listener())
