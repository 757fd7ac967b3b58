"""Exceptions that are no `Exception`, on their way out of the user's code."""

from __future__ import annotations

import asyncio
from typing import cast

from ..errors import ExitError, RunInterrupted

# What unwinds user's code when a run is stopped, or its event loop is closed.
STOPS = (asyncio.CancelledError, KeyboardInterrupt, RunInterrupted, GeneratorExit)


def cancellations() -> int:
    """How many cancellations of the current asyncio task are pending or delivered, and not taken back."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def is_stop(error: BaseException, before: int) -> bool:
    """Whether an error unwinds the current asyncio task because somebody wants that.

    A `CancelledError` does not if the task was cancelled no more often than `before`: then a library has cancelled
    work of its own.
    """
    if isinstance(error, asyncio.CancelledError):
        return cancellations() > before
    return isinstance(error, STOPS)


def as_error(error: BaseException, whose: str) -> Exception:
    """The error of the code that `error` has left: itself, or an `ExitError` if it is no `Exception`.

    asyncio passes `SystemExit` on to whoever runs the loop, which ends the kernel, and takes a `CancelledError` for a
    cancellation of the asyncio task that it leaves. So neither may leave a task of ours.
    """
    if isinstance(error, Exception):
        return error
    text = f"{whose} ended in {type(error).__name__}"
    if shown := str(error):
        text += f": {shown:.500}"
    if isinstance(error, SystemExit):
        text += " (sys.exit, argparse and click raise it)"
    elif isinstance(error, asyncio.CancelledError):
        text += ", though nobody had cancelled it: something that it awaits was cancelled"
    made = ExitError(text).with_traceback(error.__traceback__)
    made.__cause__ = error
    return made


def unless_stopped(error: BaseException, whose: str) -> BaseException:
    """As `as_error`, for code in a thread: a stop of ours and the user's interrupt stay what they are."""
    error = foremost(error)
    return error if isinstance(error, (KeyboardInterrupt, RunInterrupted)) else as_error(error, whose)


def foremost(error: BaseException) -> BaseException:
    """The part of a group that decides: an interrupt outranks errors, and these the cancellations that came with them."""
    if isinstance(error, Exception) or not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    for stop in (KeyboardInterrupt, RunInterrupted):
        if group.subgroup(stop) is not None:
            return stop()
    _, rest = group.split(asyncio.CancelledError)
    return asyncio.CancelledError() if rest is None else rest
