"""`notify=`: who is told that a run has ended, or that it asks something.

An ending and the note that it is still to be told are one commit; the note is deleted when it was told. So a kill in between loses
nothing: the next pass of the run tells it, or a listener does. A kill after a call has begun may tell it a second time.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from .._concurrency.threads import call_in_thread, threads
from .._records.records import RunRecord
from .._records.status import FINISHED
from .._redact import secrets
from .._store.protocol import Row
from .._view.model.hints import WARNING
from ..errors import StoreError
from .notify_option import BROWSER, Notifier
from .outcome import users_frames

if TYPE_CHECKING:
    from .runtime import Runtime

logger = logging.getLogger("trigger_nb")
_PREFIX = "notice/"  # of the keys and tags of what is still to be told
_LONGEST = 30.0  # seconds that a function may take; a script waits for it
_LEFT = 60.0  # seconds after which nobody is telling an ending any more


def key_of(run_id: str) -> str:
    """The key of the row that says that an ending is still to be told; also its tag."""
    return _PREFIX + run_id


class Header(Protocol):
    """Where a person reads what went wrong."""

    def hint(self, text: str) -> None:
        """Show a line."""
        ...


class Notices:
    """What is told of one run. `handle` makes the object that functions get."""

    def __init__(
        self, runtime: Runtime, run_id: str, to: Iterable[Notifier], handle: Callable[[str], object]
    ) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._functions = [each for each in to if each != BROWSER]
        self._handle = handle
        self._telling: set[asyncio.Task[None]] = set()  # the loop holds tasks only weakly

    def note(self, run: RunRecord, *, is_news: bool) -> list[Row]:
        """The row to commit with an ending. A child run's end is for the run that started it."""
        if not (self._functions and is_news and run.status in FINISHED and not run.parent):
            return []
        return [_row(run.id, self._runtime.clock.time())]

    async def ended(self, run: RunRecord, header: Header, *, is_news: bool) -> None:
        """Tell that the run has ended, unless it was told. Raises nothing."""
        if not self._functions or run.status not in FINISHED or run.parent:
            return
        if is_news or self._is_owed(run.id):
            await self._tell(header)
            with suppress(StoreError):  # then it may be told once more
                self._runtime.store.delete(keys=[key_of(run.id)], patience=self._runtime.patience.store)

    def asked(self, header: Header) -> None:
        """Tell that the run waits for an answer. Call it on the loop, when the question is committed."""
        if self._functions:
            task = asyncio.get_running_loop().create_task(self._tell(header))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    def _is_owed(self, run_id: str) -> bool:
        try:
            return self._runtime.store.get(key_of(run_id)) is not None
        except StoreError:
            return False

    async def _tell(self, header: Header) -> None:
        faults = await asyncio.gather(*map(self._call, self._functions))
        for fault in filter(None, faults):
            header.hint(fault)

    async def _call(self, function: Any) -> str:
        """Call a function with the run; what went wrong, as a hint."""
        name = _name(function)
        try:
            await asyncio.wait_for(self._called(function), _LONGEST)
        except TimeoutError:
            return f"{WARNING}Not told: `notify={name}` took longer than {_LONGEST:g} s. The run is not affected."
        except (Exception, SystemExit) as error:  # of the user's function
            told = (type(error), error, users_frames(error.__traceback__))
            logger.warning("notify=%s of run %s failed", name, self._run_id, exc_info=told)
            return f"{WARNING}Not told: `notify={name}` raised {type(error).__name__}: {secrets.hide(str(error))}. The run is not affected."
        return ""

    async def _called(self, function: Any) -> None:
        run = self._handle(self._run_id)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  # an object with an async call
        ):
            await function(run)
            return
        # In a thread: it may post a message, and other runs go on.
        answer = await call_in_thread(threads.spawn, lambda: function(run))
        if inspect.isawaitable(answer):
            await answer


async def tell_owed(runtime: Runtime, notices_of: Callable[[RunRecord], Notices | None]) -> None:
    """Tell the endings that dead processes have left untold. `notices_of` a run is None if its job is not defined here."""
    for key, text in runtime.store.between(_PREFIX, _PREFIX[:-1] + "0"):
        run_id = key.removeprefix(_PREFIX)
        if run_id in runtime.executions or _time(text) > runtime.clock.time() - _LEFT:
            continue
        run = runtime.run_record(run_id)
        notices = None if run is None else notices_of(run)
        if run is None or notices is None:
            continue
        # Another process that looks at the same moment finds the new time.
        runtime.store.commit([_row(run_id, runtime.clock.time())])
        await notices.ended(run, _Nowhere(), is_news=False)


class _Nowhere:
    """The header of a run that nobody looks at."""

    def hint(self, text: str) -> None:
        logger.warning("%s", text.removeprefix(WARNING))


def _row(run_id: str, now: float) -> Row:
    # Older versions take the row for the record of a task, and know this field.
    return Row(key_of(run_id), key_of(run_id), json.dumps({"started_at": round(now, 3)}))


def _time(text: str) -> float:
    try:
        return float(json.loads(text)["started_at"])
    except (ValueError, TypeError, KeyError):
        return 0.0


def _name(function: object) -> str:
    return str(getattr(function, "__name__", "") or type(function).__name__)
