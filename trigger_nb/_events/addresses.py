"""The addresses that a store gives out, and the tokens in them that nobody can guess.

A token is made from the name of what it opens and a secret of the store. So it is the same in each process and after each
restart, and is kept nowhere: who may read the folder of the store may read all of it anyway.
"""

from __future__ import annotations

import hmac
import secrets as _secrets
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import quote

from .._redact import TOKEN
from .._store.protocol import Changes, Row, Store
from .._values.json_text import dumps, loads
from ..errors import UsageError
from .keys import TAG

_SECRET = "post/serve/secret"  # noqa: S105  # the key of the row
_BASE = "post/serve/base"
_PATIENCE = 5.0


class Addresses:
    """The addresses of one store. Methods raise `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = b""

    def token(self, *names: str) -> str:
        """The token of what these names stand for. Logs, errors and the tree hide it by its form."""
        self._key = self._key or self._secret()
        message = b"".join(b"%d:%s" % (len(each), each) for each in (name.encode() for name in names))
        return TOKEN + urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).decode().rstrip("=")

    def opens(self, token: str, *names: str) -> bool:
        """Whether a token is that of these names. Takes the same time whether it is or not."""
        return hmac.compare_digest(token.encode(), self.token(*names).encode())

    def _secret(self) -> bytes:
        def decide() -> Changes | None:
            if self._store.get(_SECRET) is not None:
                return None  # another process was faster
            return Changes([Row(_SECRET, TAG, dumps({"secret": _secrets.token_hex(32)}), 1)])

        if self._store.get(_SECRET) is None:
            self._store.change(decide, patience=_PATIENCE)
        return bytes.fromhex(loads(self._store.get(_SECRET) or "")["secret"])

    # Where it is served -------------------------------------------------------------------------------

    @property
    def base(self) -> str | None:
        """What the addresses begin with, such as "http://127.0.0.1:8000"; None if nobody serves them."""
        said = self._said()
        return said.get("url") if said.get("is_served") else None

    @property
    def last_port(self) -> int | None:
        """The port at which they were served last."""
        port = self._said().get("port")
        return port if isinstance(port, int) else None

    def serve(self, url: str, port: int) -> None:
        """They are served from now on, and begin with `url`."""
        self._say({"url": url, "port": port, "is_served": True})

    def leave(self, url: str) -> None:
        """They are served no longer, unless by another server meanwhile."""
        said = self._said()
        if said.get("url") == url:
            self._say({**said, "is_served": False})

    def _said(self) -> dict[str, Any]:
        try:
            return dict(loads(self._store.get(_BASE) or "{}"))
        except (TypeError, ValueError):
            return {}

    def _say(self, data: dict[str, Any]) -> None:
        self._store.change(lambda: Changes([Row(_BASE, TAG, dumps(data))]), patience=_PATIENCE)

    # Addresses ----------------------------------------------------------------------------------------

    def url(self, what: str) -> str:
        """What all addresses begin with. Raises `UsageError` if nobody serves them."""
        base = self.base
        if base is None:
            raise UsageError(
                f"{what} needs a server, and none serves this store: client.serve() in this notebook, or "
                "`trigger-nb work FILE --serve`"
            )
        return base

    def of_endpoint(self, endpoint: str) -> str:
        """The address of an endpoint."""
        token = self.token("endpoint", endpoint)
        return f"{self.url('the address of an endpoint')}/endpoints/{quote(endpoint, safe='')}/{token}"

    def of_request(self, run_id: str, token: str) -> str:
        """The address of a request that a run waits for."""
        return f"{self.url('a request from outside')}/requests/{quote(run_id, safe='')}/{token}"

    def of_question(self, run_id: str, path: str) -> str:
        """The page of a question of a run."""
        token = self.token("question", run_id, path)
        return f"{self.url('a page for an answer')}/approvals/{quote(run_id, safe='')}/{token}"

    def of_questions(self) -> str:
        """The page with all open questions."""
        return f"{self.url('the page of questions')}/approvals/{self.token('questions')}"
