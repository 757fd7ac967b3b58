"""An HTTP server in a thread."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT = 30.0  # seconds, for what is bound to happen


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]


@dataclass
class Service:
    """The base of all: `with Service() as service:`, then requests to `service.url`.

    `plan` says what becomes of the next requests, one entry each: a status to fail with before
    anything is done, "drop" to do it and close the connection without an answer, or "hold" to do it
    and answer only when the test says `release()`. Later ones are answered as they should be.
    """

    plan: list[int | str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self):
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Do what is asked, and the answer to it: a status and a JSON object."""
        raise NotImplementedError

    def until_asked(self, times: int) -> None:
        """Wait until so many requests have come, and what they asked for is done."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= times, TIMEOUT), (
                f"{len(self.asked)} requests came"
            )

    def release(self) -> None:
        """Let requests that are held be answered."""
        self._released.set()

    def handle(self, asked: Asked) -> tuple[int, dict[str, Any]] | None:
        with self._changed:
            event = self.plan.pop(0) if self.plan else "answer"
            answer = (
                (event, {"error": {"message": "planned"}}) if isinstance(event, int) else self.answer(asked)
            )
            self.asked.append(asked)
            self._changed.notify_all()
        if event == "hold":
            assert self._released.wait(TIMEOUT)
        return None if event == "drop" else answer


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address) -> None:
        """A client that was killed does not take its answer; nothing to tell."""


def _handler_of(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = service.handle(Asked("POST", self.path, headers, json.loads(text)))
            if answer is None:
                self.close_connection = True
                return
            status, data = answer
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
