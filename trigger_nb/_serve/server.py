"""`client.serve()`: an HTTP server beside the kernel's event loop, in a thread of its own.

The thread has its own loop, so that a cell that computes for a minute delays no answer. Only what is the user's and `async`
is called on the kernel's loop, where his clients live.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from .._runs.awaiting import has_loop
from .._runs.runtime import Runtime
from ..endpoints import HttpRequest
from ..errors import (
    InvalidOptionError,
    MissingCredentialError,
    MissingExtraError,
    StoreError,
    UsageError,
)
from .inbox import Inbox

if TYPE_CHECKING:
    import uvicorn

    from .app import App

logger = logging.getLogger("trigger_nb")
MOST = 1_000_000  # bytes of a body
_START_SECONDS = 10.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_AT_ONCE = 512  # connections; more are told to come again


class Server:
    """What `client.serve()` returns: the server, its addresses, and `stop()`.

    - `url`: what all addresses begin with, such as "http://127.0.0.1:8000".
    - `port`: the port that it listens at.
    - `token`: what sends events: the header `Authorization: Bearer <token>`. Shown nowhere unless you ask for it.

    ```
    server = client.serve(port=8000)
    httpx.post(f"{server.url}/events", headers={"Authorization": f"Bearer {server.token}"}, json={"name": "user.created"})
    ```
    """

    def __init__(
        self, runtime: Runtime, host: str, port: int, public_url: str | None, token: str | None, max_body: int
    ) -> None:
        self.host = host
        self._runtime = runtime
        self._inbox = Inbox(runtime, token)
        self._public = public_url
        self._loop = asyncio.get_running_loop() if has_loop() else None  # the kernel's
        self._app = _application(self._inbox, self, max_body)
        self._socket = _bind(host, port, self._inbox.addresses.last_port)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What all addresses begin with."""
        return self._public or f"http://{_named(self.host)}:{self.port}"

    @property
    def token(self) -> str:
        """The token that sends events."""
        return self._inbox.token

    @property
    def approvals_url(self) -> str:
        """The page with all open questions, for whoever has this address."""
        return f"{self.url}/approvals/{self._inbox.addresses.token('questions')}"

    @property
    def asgi(self) -> Any:
        """The ASGI application, for tests without a socket."""
        return self._app.asgi

    @property
    def public_url(self) -> str | None:
        """What addresses begin with for others, if that was given."""
        return self._public

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Take requests from now on. Raises `UsageError` if the server does not come up."""
        import uvicorn

        config = uvicorn.Config(
            self._app.asgi,
            log_config=None,
            log_level="warning",
            access_log=False,  # its lines would have the addresses, which are secrets
            lifespan="off",
            server_header=False,
            limit_concurrency=_AT_ONCE,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=32_768,
            http="h11",
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="trigger_nb serve", daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(round(_START_SECONDS / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            waited.wait(0.01)
        if not self._server.started:
            self.stop()
            raise UsageError(f"the server did not come up at {self.host}:{self.port}")
        self._inbox.addresses.serve(self.url, self.port)

    def stop(self) -> None:
        """Take no requests any more; those under way are answered. May be called from any thread."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=6.0)
        self._socket.close()
        self._app.close()
        with suppress(StoreError):
            self._inbox.addresses.leave(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_as(self, host: str, port: int, public_url: str | None, token: str | None) -> bool:
        """Whether it is what somebody asks for again, as by running a cell again."""
        is_port = port in (0, self.port)
        return (
            self.is_serving
            and (host, public_url) == (self.host, self._public)
            and is_port
            and token in (None, self.token)
        )

    async def call(self, function: Callable[[HttpRequest], Any], request: HttpRequest) -> Any:
        """Call a function of the user's: a coroutine on the kernel's loop, a `def` in a thread."""
        from .app import call_here

        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop() or loop.is_closed():
            return await call_here(function, request)
        if not inspect.iscoroutinefunction(function):
            return await call_here(function, request)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(request), loop))

    def __repr__(self) -> str:
        state = "serves" if self.is_serving else "does not serve"
        lines = [f"{state} {self.url}", "  events      POST /events, with server.token"]
        lines += [
            f"  endpoint    {each.id}: its address is endpoint.url{_doubt(each.verify)}"
            for each in self._runtime.endpoints.values()
        ]
        lines.append("  questions   server.approvals_url")
        return "\n".join(lines)


def _doubt(verify: Any) -> str:
    """What a person should know of how requests are verified."""
    if verify is None:
        return "  (unsigned: whoever has the address is believed)"
    read: Callable[[], str] | None = getattr(verify, "read_secret", None)
    try:
        if read is not None:
            read()
    except MissingCredentialError as error:
        return f"  (not taken: {error})"
    return ""


def check(host: object, port: object, public_url: object, token: object, max_body: object) -> None:
    """Raise `InvalidOptionError` for an invalid option of `client.serve`."""
    if not isinstance(host, str) or not host:
        raise InvalidOptionError(f'host is an address to listen at, such as "127.0.0.1", not {host!r:.100}')
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise InvalidOptionError(f"port is a number from 0 to 65535, 0 for any free one; not {port!r:.100}")
    if public_url is not None:
        parts = urlsplit(public_url) if isinstance(public_url, str) else None
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not parts.netloc
            or parts.query
            or parts.fragment
        ):
            raise InvalidOptionError(
                f'public_url is what addresses begin with, such as "https://jobs.example.com", not {public_url!r:.100}'
            )
    if token is not None and (not isinstance(token, str) or len(token) < 16 or not token.isascii()):
        raise InvalidOptionError(
            "token is text of 16 ASCII characters or more that nobody can guess, such as secrets.token_urlsafe()"
        )
    if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 1:
        raise InvalidOptionError(f"max_body is a number of bytes, not {max_body!r:.100}")


def _application(inbox: Inbox, server: Server, most: int) -> App:
    try:
        import uvicorn  # noqa: F401  # pyright: ignore[reportUnusedImport]  # whether it is there

        from .app import App
    except ImportError as error:
        raise MissingExtraError(
            "client.serve() needs starlette and uvicorn, which are not installed: pip install 'trigger-nb[serve]'"
        ) from error
    return App(inbox, most=most, public=lambda: server.public_url, call=server.call)


def _bind(host: str, port: int, last: int | None) -> socket.socket:
    """A socket that listens. Without a port, the one before if it is free, for addresses that were given away.

    Raises `UsageError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = [port] if port else [*([last] if last else []), 0]
    error: OSError | None = None
    for each in tries:
        # With its protocol said: else asyncio leaves answers to wait 40 ms for the sender's acknowledgement.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, each))
            bound.listen(1024)
            bound.setblocking(False)
        except OSError as fault:
            bound.close()
            error = fault
        else:
            return bound
    raise UsageError(
        f"the server cannot listen at {host}:{port}: {error}. Another program may have the port; port=0 takes a free one"
    ) from None


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104
