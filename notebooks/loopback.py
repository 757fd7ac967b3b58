"""An e-mail service on this machine, in place of a real one: no account, no network, no real customer.

It speaks HTTP and does what good services do: it takes an `Idempotency-Key`, and a second request
with the same key gets the first one's answer and sends nothing.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class MailError(Exception):
    """The service refused; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status

    def __str__(self) -> str:
        return f"{self.status} {self.args[1]}"


class MailService:
    """A running service, and the way to call it.

    `requests` lists the idempotency key of every request that came, `sent` the letters that went out.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.sent: dict[str, dict[str, str]] = {}
        self._busy = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, name="mail service", daemon=True).start()

    def be_busy(self, times: int) -> None:
        """Answer the next so many requests with 503; 0 ends it."""
        self._busy = times

    def send(self, to: str, subject: str, text: str, *, idempotency_key: str) -> dict[str, str]:
        """Send a letter; the service's answer. Raises `MailError`."""
        host, port = self._server.server_address[:2]
        request = urllib.request.Request(
            f"http://{host}:{port}/emails",
            data=json.dumps({"to": to, "subject": subject, "text": text}).encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key},
        )
        # No proxy stands between this machine and itself, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                message = json.load(refused)["message"]
            raise MailError(refused.code, message) from None

    def _answer(self, key: str, letter: dict[str, str]) -> tuple[int, dict[str, str]]:
        with self._lock:
            self.requests.append(key)
            if self._busy > 0:
                self._busy -= 1
                return 503, {"message": "the mail service is busy, try again later"}
            if "@" not in letter["to"]:
                return 422, {"message": f"{letter['to']!r} is not an e-mail address"}
            self.sent.setdefault(key, {"id": f"mail_{len(self.sent) + 1}", **letter})
            return 200, {"id": self.sent[key]["id"], "to": letter["to"]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                letter = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = service._answer(self.headers["Idempotency-Key"], letter)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing: a notebook is not a log."""

        return Handler
