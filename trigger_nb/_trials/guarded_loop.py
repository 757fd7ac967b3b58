"""The event loop of a trial, whose threads are in the context of the code that calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class GuardedLoop(asyncio.SelectorEventLoop):
    """An event loop that hands its context to threads.

    asyncio looks up addresses in a thread, without the context: the guard (see `outside`) would take that for other code.
    """

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Call a function in a thread, in the context of the caller; in another process, as it is."""
        if executor is None or isinstance(executor, ThreadPoolExecutor):
            context = copy_context()
            return super().run_in_executor(executor, lambda: context.run(func, *args))
        return super().run_in_executor(executor, func, *args)
