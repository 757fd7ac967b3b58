"""Runs in scripts, where no event loop is running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import UsageError
from .awaiting import has_loop
from .outcome import users_frames

T = TypeVar("T")


def run_in_script(
    job: str, run: Callable[[], Awaitable[T]], close: Callable[[], Awaitable[None]]
) -> tuple[list[T], Exception | None]:
    """The output of a job, in a list, or its error. `job` is the job's name in the user's code.

    It runs on an event loop of its own. `close` closes what belongs to that loop.

    Raises `UsageError` where an event loop is running, as in a notebook.
    """
    if has_loop():
        raise UsageError(
            f"{job}.run_sync(...) would block the event loop that is running here: write await {job}.run(...) instead"
        )

    async def main() -> tuple[list[T], Exception | None]:
        try:
            return [await run()], None
        except Exception as error:  # noqa: BLE001  # raised below, without the event loop's frames
            return [], error
        finally:
            await close()

    try:
        output, error = asyncio.run(main())
    except asyncio.CancelledError:
        # asyncio raises it in place of the interrupt if the run was cancelled for that, too.
        raise KeyboardInterrupt from None
    return output, None if error is None else error.with_traceback(users_frames(error.__traceback__))
