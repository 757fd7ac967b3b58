"""The base class of fake services: an HTTP server on this machine."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]
"""A JSON object in a request or an answer. Its fields are those of the service that is imitated."""
PATIENCE = 120.0  # seconds, for what is bound to happen


@dataclass(frozen=True)
class Request:
    """A request that a service received."""

    method: str
    path: str  # without the query
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    target: str = ""  # path and query unparsed: `query` has only one value of each name

    @cached_property
    def json(self) -> Any:
        """The body, parsed as JSON; None if it is empty."""
        return json.loads(self.body) if self.body else None

    @cached_property
    def form(self) -> dict[str, str]:
        """The body, parsed as a form: `a[b]=c` is `{"a[b]": "c"}`."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def idempotency_key(self) -> str:
        """The header `Idempotency-Key`; "" without one."""
        return self.headers.get("idempotency-key", "")


@dataclass(frozen=True)
class Answer:
    """A response to send.

    - `status`: the HTTP status (default 200).
    - `body`: JSON data, bytes, or an iterable of bytes, which is sent in pieces; None for an empty body.
    - `headers`: more headers.

    >>> Answer(429, {"error": "slow down"}, {"Retry-After": "30"}).status
    429
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


# The planned outcome of a request:
#   an Answer   sent without executing the request
#   a status    the same, with the service's error of that status
#   "drop"      execute the request, and close the connection without an answer
#   "refuse"    close the connection without executing the request
#   "hold"      execute the request, and answer after `release()`
#   "answer"    execute the request, and answer
Event: TypeAlias = "Answer | int | Literal['drop', 'refuse', 'hold', 'answer']"
Handler = TypeVar("Handler", bound=Callable[..., object])


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Decorate a method of a `Service` that answers requests to a path.

    `route("GET", "/users/{id}")` calls `method(self, request, id)`; `{name*}` matches the rest of a path. The
    method returns an `Answer`, or the JSON data of one.
    """

    def mark(handler: Handler) -> Handler:
        routes: list[tuple[str, str]] = getattr(handler, "_routes", [])
        handler._routes = [*routes, (method, path)]  # pyright: ignore[reportFunctionMemberAccess]
        return handler

    return mark


class Service:
    """Base class of fake services: a server in this process, and the requests that it received.

    ```
    with FakeSlack() as service:
        slack = Slack("xoxb-1234", base_url=f"{service.url}/api/")
    ```

    A subclass defines methods with `@route`. `requests` are the requests so far; `latency` is a delay
    before each answer, in seconds (default 0). `plan` sets the outcome of the next requests:
    `service.plan(503, "drop")`. The server runs in threads of this process, so it survives a kernel that
    calls it and is killed.
    """

    _table: ClassVar[list[tuple[str, list[str], str]]] = []

    def __init_subclass__(cls) -> None:
        found = [
            (method, path.split("/"), name)
            for name in dir(cls)
            for method, path in getattr(getattr(cls, name), "_routes", ())
        ]
        # Of two patterns that match, the one with fewer placeholders comes first.
        cls._table = sorted(found, key=lambda each: sum(part.startswith("{") for part in each[1]))

    def __init__(self) -> None:
        self.requests: list[Request] = []  # all requests, in order
        self.latency = 0.0  # seconds between the execution and the answer
        self._plan: list[Event] = []
        self._first_answers: dict[str, Any] = {}  # by idempotency key
        self._changed = threading.Condition(threading.RLock())
        self._released = threading.Event()
        self._server: _Server | None = None

    # Running ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server on a free port of the loopback address."""
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name=repr(self), daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Stop the server."""
        self.release()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end. Raises `RuntimeError` if it does not run."""
        if self._server is None:
            raise RuntimeError(
                f"{type(self).__name__} is not running: call start(), or use it in a `with` block"
            )
        return f"http://127.0.0.1:{self._server.server_port}"

    # Control ----------------------------------------------------------------------------------

    def plan(self, *events: Event) -> None:
        """Set the outcome of the next requests, one event for each. Later requests are answered.

        An event is an `Answer` or a status to send without executing the request, "drop" (execute, then
        close the connection), "refuse" (close it without executing), "hold" (execute, answer after
        `release()`) or "answer".
        """
        with self._changed:
            self._plan += events

    def until_asked(self, times: int) -> None:
        """Wait until this many requests were executed. Raises `TimeoutError` after two minutes."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= times, PATIENCE):
                raise TimeoutError(f"only {len(self.requests)} requests in {PATIENCE:g} s, not {times}")

    def release(self) -> None:
        """Answer the requests that are held."""
        self._released.set()

    # What a service defines -------------------------------------------------------------------

    def refusal(self, request: Request) -> Answer | None:
        """The answer to a request without a valid credential; None for a valid one."""
        return None

    def error(self, status: int, message: str) -> Answer:
        """The service's answer for an error."""
        return Answer(status, {"error": {"message": message}})

    def once(self, key: str, make: Callable[[], T]) -> T:
        """The first result of `make()` for an idempotency key. The empty key always calls `make()`."""
        if not key:
            return make()
        if key not in self._first_answers:
            self._first_answers[key] = make()
        return self._first_answers[key]

    # Handling of requests ---------------------------------------------------------------------

    def handle(self, request: Request) -> Answer | None:
        """The answer to a request; None to close the connection."""
        with self._changed:  # one request at a time, so that services need no locks
            event = self._plan.pop(0) if self._plan else "answer"
            answer = self._outcome(event, request)
            self.requests.append(request)
            self._changed.notify_all()
        if self.latency:
            time.sleep(self.latency)
        if event == "hold":
            self._released.wait(PATIENCE)
        return None if event in ("drop", "refuse") else answer

    def _outcome(self, event: Event, request: Request) -> Answer:
        if isinstance(event, Answer):
            return event
        if isinstance(event, int):
            return self.error(event, f"planned {event}")
        if event == "refuse":
            return Answer()
        try:
            refused = self.refusal(request)
            return self._routed(request) if refused is None else refused
        except Exception:  # noqa: BLE001  # an unexpected request
            traceback.print_exc()  # some services' errors have no place for it
            return self.error(500, traceback.format_exc())

    def _routed(self, request: Request) -> Answer:
        parts = request.path.split("/")
        for method, pattern, name in self._table:
            if method == request.method and (found := _match(pattern, parts)) is not None:
                answer = getattr(self, name)(request, **found)
                return answer if isinstance(answer, Answer) else Answer(200, answer)
        return self.error(404, f"no such path: {request.method} {request.path}")

    def __repr__(self) -> str:
        where = "" if self._server is None else f" at {self.url}"
        return f"<{type(self).__name__}{where}: {len(self.requests)} requests>"


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """The values of the `{names}` of a pattern; None if it does not match. `{name*}` takes the rest."""
    found: dict[str, str] = {}
    for at, expected in enumerate(pattern):
        if expected.endswith("*}"):
            return found | {expected[1:-2]: unquote("/".join(parts[at:]))}
        if at >= len(parts) or not (expected == parts[at] or (expected.startswith("{") and parts[at])):
            return None
        if expected.startswith("{"):
            found[expected[1:-1]] = unquote(parts[at])
    return found if len(pattern) == len(parts) else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # With the default of 5, the sixth connection of a `gather` is delayed by a second.
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that were killed before they got their answer."""


def _handler_of(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = PATIENCE
        disable_nagle_algorithm = True  # otherwise the body waits 40 ms until the headers are acknowledged

        def answer(self) -> None:
            answer = service.handle(self.read())
            if answer is None:
                self.close_connection = True
                return
            body, stream = _as_bytes(answer.body)
            self.send_response(answer.status)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            if "content-type" not in headers and stream is None and not isinstance(answer.body, bytes):
                self.send_header("Content-Type", "application/json")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if stream is not None:
                self.send_header("Connection", "close")  # the end of the connection ends the body
                self.close_connection = True
            elif answer.status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for piece in [body] if stream is None else stream:
                self.wfile.write(piece)
                self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815  # the names that the server calls

        def read(self) -> Request:
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            return Request(
                method=self.command,
                path=url.path,
                query=dict(parse_qsl(url.query, keep_blank_values=True)),
                headers=headers,
                body=self._body(headers),
                target=self.path,
            )

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                size = int(headers.get("content-length", 0))
                body = self.rfile.read(size)
                if len(body) < size:
                    raise ConnectionError("the client was killed during its request")
                return body
            pieces: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the output of a notebook is no place for it."""

    return Handler


def _as_bytes(body: Any) -> tuple[bytes, Iterable[bytes] | None]:
    """The bytes of a body, or an iterable of bytes to send in pieces."""
    if body is None:
        return b"", None
    if isinstance(body, bytes):
        return body, None
    if isinstance(body, (dict, list, str, int, float, bool)):
        return json.dumps(body).encode(), None
    return b"", body
