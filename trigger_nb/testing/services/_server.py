"""An HTTP server on this machine that stands in for a service: what all of them are made of."""

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

PATIENCE = 120.0  # seconds, for what is bound to happen


@dataclass(frozen=True)
class Request:
    """One request that came."""

    method: str
    path: str  # without the query
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    target: str = ""  # path and query as they came: `query` has one value of each name

    @cached_property
    def json(self) -> Any:
        """The body, read as JSON; None when it is empty."""
        return json.loads(self.body) if self.body else None

    @cached_property
    def form(self) -> dict[str, str]:
        """The body, read as a form: `a[b]=c` is `{"a[b]": "c"}`."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def idempotency_key(self) -> str:
        """What the header of that name holds; "" without one."""
        return self.headers.get("idempotency-key", "")


@dataclass(frozen=True)
class Answer:
    """One answer: a `body` that is JSON, bytes, or an iterable of bytes, which is sent piece by piece."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


# What becomes of one of the next requests, instead of its answer:
#   an Answer   given before anything is done
#   a status    the same, with the error that the service gives with it
#   "drop"      it is done, and the connection closed without an answer
#   "refuse"    the connection is closed before anything is done
#   "hold"      it is done, and answered only after `release()`
Event: TypeAlias = "Answer | int | Literal['drop', 'refuse', 'hold', 'answer']"

Handler = TypeVar("Handler", bound=Callable[..., Any])


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Have a method of a `Service` answer requests: `route("GET", "/users/{id}")` calls `f(request, id)`."""

    def mark(handler: Handler) -> Handler:
        routes: list[tuple[str, str]] = getattr(handler, "_routes", [])
        handler._routes = [*routes, (method, path)]  # pyright: ignore[reportFunctionMemberAccess]
        return handler

    return mark


class Service:
    """A running server, and what it was asked.

    ```
    with FakeSlack() as service:
        slack = Slack("xoxb-1234", base_url=service.url)
    ```

    It runs in threads of this process, so it lives on when a kernel that calls it is killed. `plan` says
    what becomes of the next requests: `service.plan(503, "drop")`.
    """

    _table: ClassVar[list[tuple[str, list[str], str]]] = []

    def __init_subclass__(cls) -> None:
        found = [
            (method, path.split("/"), name)
            for name in dir(cls)
            for method, path in getattr(getattr(cls, name), "_routes", ())
        ]
        # Of two that fit, the one with more words of its own.
        cls._table = sorted(found, key=lambda each: sum(part.startswith("{") for part in each[1]))

    def __init__(self) -> None:
        self.requests: list[Request] = []  # all that came, in order
        self.latency = 0.0  # seconds between what is done and the answer
        self._plan: list[Event] = []
        self._first_answers: dict[str, Any] = {}  # by idempotency key
        self._changed = threading.Condition(threading.RLock())
        self._released = threading.Event()
        self._server: _Server | None = None

    # Running ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to listen, on a free port of the loopback."""
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name=repr(self), daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Listen no more."""
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
        """Where it listens, without a slash at the end."""
        if self._server is None:
            raise RuntimeError(f"{type(self).__name__} does not run: start() it, or use it in a `with`")
        return f"http://127.0.0.1:{self._server.server_port}"

    # Asking it --------------------------------------------------------------------------------

    def plan(self, *events: Event) -> None:
        """Say what becomes of the next requests, one event each; later ones are answered."""
        with self._changed:
            self._plan += events

    def until_asked(self, times: int) -> None:
        """Wait until so many requests have come, and what they asked for is done."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= times, PATIENCE):
                raise TimeoutError(f"{len(self.requests)} requests came in {PATIENCE:g} s, not {times}")

    def release(self) -> None:
        """Let requests that are held be answered."""
        self._released.set()

    # What a service defines -------------------------------------------------------------------

    def refusal(self, request: Request) -> Answer | None:
        """The answer to one that is not let in, without a credential; None: it is."""
        return None

    def error(self, status: int, message: str) -> Answer:
        """An error as this service words it."""
        return Answer(status, {"error": {"message": message}})

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make()` gave for this idempotency key the first time; "" is no key."""
        if not key:
            return make()
        if key not in self._first_answers:
            self._first_answers[key] = make()
        return self._first_answers[key]

    # How it is done ---------------------------------------------------------------------------

    def handle(self, request: Request) -> Answer | None:
        """The answer to a request; None: none, close the connection."""
        with self._changed:  # one after the other: what a service keeps needs no locks of its own
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
        except Exception:  # noqa: BLE001  # of a request that it does not expect
            traceback.print_exc()  # not all services' errors have room for it
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


T = TypeVar("T")


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """What stands for the `{names}` of a pattern; None when it does not fit. `{name*}` takes the rest."""
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
    request_queue_size = 512  # with 5, the sixth of a `gather` connects anew a second later

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed does not take its answer; nothing to tell."""


def _handler_of(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = PATIENCE
        disable_nagle_algorithm = True  # or the body waits 40 ms for the headers to be acknowledged

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

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815  # as the server looks for them

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
                    raise ConnectionError("who asked was killed in the middle of it")
                return body
            pieces: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a notebook is not a log."""

    return Handler


def _as_bytes(body: Any) -> tuple[bytes, Iterable[bytes] | None]:
    """A body to send at once, or piece by piece."""
    if body is None:
        return b"", None
    if isinstance(body, bytes):
        return body, None
    if isinstance(body, (dict, list, str, int, float, bool)):
        return json.dumps(body).encode(), None
    return b"", body
