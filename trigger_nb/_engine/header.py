"""Hints in the header of a run, and the reasons why tasks ran or did not."""

from __future__ import annotations

import logging
import time
import warnings
from typing import TYPE_CHECKING

from .._callsite import show_place
from .._keys import display_key, display_path
from .._records.feed import Feed, Hinted, Seen

if TYPE_CHECKING:
    from .._records.status import Reason
    from .._tasks.call import Call, Scope
    from .changes import Changes

logger = logging.getLogger("trigger_nb")
SLOW_GAP = 1.0  # code between tasks that takes this many seconds is hinted at (R10)


class Header:
    """The hints of a pass and the reasons of its tasks (R7), told to the feed as they come."""

    def __init__(self, feed: Feed, changes: Changes, root: Scope) -> None:
        self.hints: dict[str, None] = {}  # in order; there can be one for each of thousands of tasks
        self.reasons: dict[str, Reason] = {}  # by path
        self._finishing: dict[str, str] = {}  # by path of a failed task: the hint that its subtasks still run
        self._feed = feed
        self._changes = changes
        self._root = root
        self._idle_since = 0.0  # when the last task of the run function ended, on the monotonic clock
        self._idle_at = ""  # the key of that task

    def saw(self, path: str, reason: Reason) -> None:
        """Note why a task's body was called, or was not."""
        self.reasons[path] = reason
        if self._feed.watched:
            self._feed.emit(Seen(path, reason, self._changes.found.get(path, "")))
        if not self._root.subtasks:
            self._idle_since = time.monotonic()

    def sightings(self) -> dict[str, Seen]:
        """The tasks met in this pass, and why their bodies were called or not, by path."""
        found = self._changes.found
        return {path: Seen(path, reason, found.get(path, "")) for path, reason in self.reasons.items()}

    # Code between tasks (R10) ---------------------------------------------------------------------

    def meet(self, call: Call[object]) -> None:
        """The run function calls its next task: hint at long code before it."""
        now = time.monotonic()
        gap = now - self._idle_since
        if gap >= SLOW_GAP and self._idle_at and not self._root.subtasks:
            self.hint(
                f"Code between task {display_key(self._idle_at)!r} and {show_place(call.place)} took {gap:.1f} s. "
                "It runs again on every pass; move it into a task to run it once."
            )
        self._idle_since, self._idle_at = now, call.segment

    def end_of_call(self) -> None:
        """A task of the run function has ended, and nothing else runs."""
        self._idle_since = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """Do not count time between tasks that was ours: the import of an SDK."""
        self._idle_since += seconds

    # Hints ------------------------------------------------------------------------------------------

    def hint(self, text: str) -> None:
        """Add a hint to the header of the run."""
        if text not in self.hints:
            self.hints[text] = None
            self._feed.emit(Hinted(text))

    def warn(self, text: str) -> None:
        """Add a hint, and warn. Where warnings are errors, it is logged: an error here would undo what a body has done."""
        self.hint(text)
        try:
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        except RuntimeWarning:
            logger.warning(text)

    def lasting(self) -> list[str]:
        """The hints that the header still shows when the run is opened later."""
        passing = set(self._finishing.values())
        return [text for text in self.hints if text not in passing]

    def finishing(self, path: str, unfinished: int) -> None:
        """Hint that subtasks of a failed task still run."""
        subtasks = "1 subtask" if unfinished == 1 else f"{unfinished} subtasks"
        self._finishing[path] = text = (
            f"Still finishing: {subtasks} of {display_path(path)!r}, which has failed. What they return is kept."
        )
        self.hint(text)

    def finished(self, path: str) -> None:
        """Remove that hint."""
        text = self._finishing.pop(path, "")
        if text in self.hints:
            del self.hints[text]
            self._feed.emit(Hinted(text, over=True))
