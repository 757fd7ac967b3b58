"""Context variables of a body: what it sets is not set after it, as in a replay, which does not call it."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any

from .._concurrency.interrupt import calls_user_code


@calls_user_code
@coroutine
def in_context(context: Context, body: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """The value of a coroutine whose first step has awaited something; each step runs in `context`.

    It stays part of the caller's asyncio task.
    """
    while True:
        error: BaseException | None = None
        value: Any = None
        try:
            value = yield awaited
        except GeneratorExit:
            context.run(body.close)
            raise
        except BaseException as thrown:  # noqa: BLE001  # raised in the coroutine
            error = thrown
        try:
            awaited = context.run(body.send, value) if error is None else context.run(body.throw, error)
        except StopIteration as end:
            return end.value
