"""Records events that come at the same time in one transaction: each costs one wait for the disk."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from .._events.post import Post, Sent
from .._events.records import EventRecord

_AT_ONCE = 200  # requests


class _Waiting(NamedTuple):
    records: list[EventRecord]
    sent: Future[list[Sent]]


class Writer:
    """The one thread of a server that sends events. A request is answered when the transaction with its events is committed."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trigger_nb serve writer")
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()

    async def send(self, records: list[EventRecord]) -> list[Sent]:
        """Send events: all, or none. Raises `StoreError`."""
        one = _Waiting(records, Future())
        with self._lock:
            self._waiting.append(one)
            is_first = len(self._waiting) == 1
        if is_first:  # what comes before the thread is free goes with it
            self._thread.submit(self._write)
        return await asyncio.wrap_future(one.sent)

    def close(self) -> None:
        """End the thread, once it has written what waits."""
        self._thread.shutdown(wait=False)

    def _write(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            if self._waiting:
                self._thread.submit(self._write)
        batch = [each for each in batch if each.sent.set_running_or_notify_cancel()]
        try:
            sent = self._post.send_all([record for each in batch for record in each.records])
        except Exception as error:  # noqa: BLE001  # each request tells its sender
            for each in batch:
                each.sent.set_exception(error)
            return
        for each in batch:
            each.sent.set_result(sent[: len(each.records)])
            del sent[: len(each.records)]
