"""Where the function of a job is: for a view, which asks at most once a second while no task is under way."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from .._callsite import PACKAGE_FOLDER, is_cell, show_place
from .._concurrency.limits import places
from .._concurrency.threads import threads
from .._main_file import near
from .._view.model.standstill import Standstill
from .._view.model.states import Turn

if TYPE_CHECKING:
    import asyncio

    from .._concurrency.limiter import Ticket
    from .._engine.pass_ import Pass


class Whereabouts:
    """Finds the line of a run function, in its coroutine or in its thread."""

    def __init__(self) -> None:
        self.function: Callable[..., object] | None = None
        self._thread: int | None = None  # of a `def` function

    def spawn(self, work: Callable[[], None]) -> None:
        """Run a `def` function in a thread that no limit counts, because it mostly waits in `io`."""

        def noted() -> None:
            self._thread = threading.get_ident()
            try:
                work()
            finally:
                self._thread = None  # the number may be another thread's later

        threads.spawn(noted)

    def look(self, pass_: Pass | None) -> Standstill:
        """What a pass of the function waits for. Costs a fraction of a millisecond."""
        if pass_ is None:
            return Standstill()
        slot = pass_.waits.slot
        if slot is not None and not slot.is_held and (turn := _turns({"": slot.ticket}).get("")) is not None:
            return Standstill(turn=turn)
        frames = list(_frames(pass_.stopping.main)) if self._thread is None else _stack(self._thread)
        code = getattr(self.function and inspect.unwrap(self.function), "__code__", None)
        frame = next((each for each in frames if each.f_code is code), frames[0] if frames else None)
        return Standstill("" if frame is None else _shown(frame), _turns(dict(pass_.still.tickets)))


def _turns(tickets: dict[str, Ticket]) -> dict[str, Turn]:
    found = zip(tickets, places(tickets.values()), strict=True)
    return {name: Turn(*place) for name, place in found if place is not None}


def _frames(main: asyncio.Task[Any] | None) -> Iterator[FrameType]:
    """The frames of the user's code that the task of a run is in, the outermost first."""
    coroutine: Any = None if main is None or main.done() else main.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and _is_of_user(frame):
            yield frame
        coroutine = getattr(coroutine, "cr_await", None)


def _stack(thread: int) -> list[FrameType]:
    """The same of a thread. What is outside of our outermost frame belongs to Python."""
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    while frames and _is_of_user(frames[-1]):
        frames.pop()
    return [each for each in reversed(frames) if _is_of_user(each)]


def _is_of_user(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith(PACKAGE_FOLDER)


def _shown(frame: FrameType) -> str:
    file = frame.f_code.co_filename
    if is_cell(file):
        return show_place((frame.f_code, frame.f_lasti))
    return f"{near(Path(file))}, line {frame.f_lineno}"
