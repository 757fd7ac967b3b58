"""The clock of a worker process, and the trivial bodies that it counts."""

from __future__ import annotations

import gc
import time


class Clock:
    """`with clock:` times what is measured, wherever a library runs it, and counts the bodies called in it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.called: list[int] = []  # not a number: bodies run in threads too

    def __enter__(self) -> None:
        self.called.clear()
        gc.collect()  # Each starts with the collector's debts paid, and runs with it on.
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started


clock = Clock()


# Without a return annotation: results would be validated into that type, which the others do not do.


def body(number: int):
    clock.called.append(number)
    return {"id": number, "name": "x"}


async def async_body(number: int):
    clock.called.append(number)
    return {"id": number, "name": "x"}


async def async_large_body(number: int):
    clock.called.append(number)
    return f"{number:010,}" * 1000


class Crash(BaseException):
    """Ends a workflow as the end of its process would: nothing that handles errors sees it."""
