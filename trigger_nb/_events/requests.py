"""Requests that runs wait for: each has an address of its own, and the first request to it counts.

A request is a row that is written once, in the transaction that makes its run due, so that it counts whether or not a kernel
lives, and also if it comes before the run waits for it. It goes with the records of the run, and not with its end: a run that
has failed and is retried finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from .._records.questions import FINAL, answers_tag
from .._records.records import RunRecord
from .._records.status import FINISHED, RunStatus
from .._store.protocol import Changes, Row, Store
from .._values.json_text import dumps, loads
from .addresses import Addresses
from .post import PATIENCE, Post, data_of, due_row


class Received(Enum):
    """What has become of a request."""

    TAKEN = "it is the one that the run waits for"
    AGAIN = "it is the one that has come before"
    LATE = "another one has come before"
    OVER = "the run has ended"
    UNKNOWN = "there is no such address"


def receive(store: Store, post: Post, run: RunRecord, token: str, body: Any, now: float) -> Received:
    """Record a request to the address of a wait. Its body is plain JSON. Raises `StoreError`."""
    text = dumps({"body": body, "at": round(now, 3)})
    found: list[Received] = []

    def decide() -> Changes | None:
        by = data_of(store.get(_address_key(run.id, token)) or "").get("by")
        if not isinstance(by, str):
            found.append(Received.UNKNOWN)
            return None
        key = _request_key(run.id, by)
        known = store.get(key)
        if known is not None:
            found.append(Received.AGAIN if data_of(known).get("body") == body else Received.LATE)
            return None
        if run.status in (RunStatus.COMPLETED, RunStatus.CANCELED):
            found.append(Received.OVER)
            return None
        found.append(Received.TAKEN)
        due = [] if run.status in FINISHED else [due_row(run.id, 0.0)]
        return Changes([Row(key, answers_tag(run.id), text, FINAL), *due])

    store.change(decide, patience=PATIENCE)
    if found[-1] is Received.TAKEN:
        post.tell()
    return found[-1]  # the transaction may have been tried more than once


class RequestBox:
    """The request that a wait of a run is for: what the call waits for (see `Outside`).

    `by` is the idempotency key of the task that the address belongs to: it is another one once the task is forgotten.
    """

    def __init__(self, post: Post, store: Store, run_id: str, by: str, timeout: float) -> None:
        self.timeout = timeout
        self.body: Any = None
        self.has_come = False
        self._post = post
        self._store = store
        self._run_id = run_id
        self._by = by

    def address(self) -> str:
        """The address to send it to; it counts from now on. Raises `UsageError` if nobody serves it, and `StoreError`."""
        addresses = Addresses(self._store)
        token = addresses.token("request", self._run_id, self._by)
        url = addresses.of_request(self._run_id, token)
        key = _address_key(self._run_id, token)
        if self._store.get(key) is None:
            row = Row(key, answers_tag(self._run_id), dumps({"by": self._by}))
            self._store.change(lambda: Changes([row]), patience=PATIENCE)
        return url

    def begin(self, by: str) -> None:
        """It has an address already."""

    def next_look(self, now: float) -> float | None:
        """It comes at no time of its own."""
        return None

    def is_there(self) -> bool:
        """Whether it has come."""
        return self._store.get(_request_key(self._run_id, self._by)) is not None

    def take(self) -> bool:
        """Read it, if it has come."""
        text = self._store.get(_request_key(self._run_id, self._by))
        if text is None:
            return False
        self.body, self.has_come = loads(text)["body"], True
        return True

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` whenever it may have come."""
        return self._post.watch(wake)


def _address_key(run_id: str, token: str) -> str:
    """The key of an address. It has no token: who reads a row cannot send a request."""
    return f"{answers_tag(run_id)}/address/{hashlib.sha256(token.encode()).hexdigest()}"


def _request_key(run_id: str, by: str) -> str:
    return f"{answers_tag(run_id)}/request/{by}"
