"""The part of a client that takes requests from outside: `serve` and `http_endpoint`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .. import signatures
from .._runs.runtime import Runtime
from ..endpoints import HttpEndpoint, RespondWith
from .events import ClientParts
from .listener import listener_of

if TYPE_CHECKING:
    from .._serve.server import Server

_servers: WeakKeyDictionary[Runtime, Server] = WeakKeyDictionary()
_lock = threading.Lock()


class ClientServing(ClientParts):
    """Takes requests from outside."""

    def http_endpoint(
        self,
        id: str,
        *,
        source: str | None = None,
        verify: signatures.Verify = None,
        respond_with: RespondWith | Callable[[Any], Any] | None = None,
    ) -> HttpEndpoint:
        """An address to which a service sends requests. Each is recorded as an event, and then answered.

        - `id`: its name; the address has it, and a part that nobody can guess.
        - `verify`: how requests are signed: a signature of `trigger_nb.signatures`, or its name "github", "slack", "stripe" or
          "typeform"; or a function of the `HttpRequest`, with all headers and the body as bytes, that returns True. Other
          requests are answered with 401. None: whoever has the address is believed.
        - `source`: the `source` of its events, for `ctx`.
        - `respond_with`: a `RespondWith`, or its handler, for a service that wants an answer of its own.

        `endpoint.on_request(filter=...)` is a trigger, and `endpoint.url` the address, for the settings of the service.
        Raises `InvalidOptionError`.

        >>> client.http_endpoint("orders", verify="github").id
        'orders'
        """
        endpoint = HttpEndpoint(id, source, verify, respond_with)
        endpoint.bind(self.runtime)
        return endpoint

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        public_url: str | None = None,
        token: str | None = None,
        max_body: int = 1_000_000,
    ) -> Server:
        """Take requests over HTTP, beside the kernel's loop, and listen as `client.listen()` does.

        - Events by POST to `/events`; requests to endpoints, and to the addresses of `io.wait_for_request` and `callback=`.
        - Pages on which people answer what runs ask.

        What comes is recorded before it is answered: it is not lost if the kernel dies, and starts a run once.

        - `host`: by default only programs of this machine reach it. "0.0.0.0" is for everybody: behind a proxy with HTTPS.
        - `port`: 0 is a free one, if possible the one before, so that addresses stay.
        - `public_url`: what addresses begin with, for a tunnel or a proxy, such as "https://jobs.example.com".
        - `token`: what sends events; by default the variable TRIGGER_NB_TOKEN, or one of the store's own.
        - `max_body`: bytes; a longer body is answered with 413.

        To serve again, as by running the cell again, gives the same `Server`, whose `stop()` ends it.
        Raises `MissingExtraError` without the extra `serve`, `InvalidOptionError`, and `UsageError` for a port that is taken.

        ```
        server = client.serve(port=8000)
        ```
        """
        from .._serve import server as serving

        token = token or os.environ.get("TRIGGER_NB_TOKEN") or None
        serving.check(host, port, public_url, token, max_body)
        public_url = None if public_url is None else public_url.rstrip("/")
        runtime = self.runtime
        listener_of(runtime)
        with _lock:
            known = _servers.get(runtime)
            if known is not None:
                if known.is_as(host, port, public_url, token):
                    return known
                known.stop()
            made = serving.Server(runtime, host, port, public_url, token, max_body)
            made.start()
            _servers[runtime] = made
        return made
