"""The hints in the header of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._callsite import show_place, warn_at_place
from .._keys import display_key, display_path
from .._records.feed import Feed, Hinted

if TYPE_CHECKING:
    from .._callsite import Place


class Header:
    """The hints of a pass, told to the feed as they come."""

    def __init__(self, feed: Feed) -> None:
        self.hints: dict[str, None] = {}  # in order; there can be one for each of thousands of tasks
        self._finishing: dict[str, str] = {}  # by path of a failed task: the hint that its subtasks still run
        self._feed = feed

    def hint(self, text: str) -> None:
        """Add a hint to the header of the run, unless the text is empty."""
        if text and text not in self.hints:
            self.hints[text] = None
            self._feed.emit(Hinted(text))

    def warn(self, text: str, place: Place) -> None:
        """Add a hint, and warn at the place of a call."""
        self.hint(text)
        warn_at_place(text, place)

    def lasting(self) -> list[str]:
        """The hints that the header still shows when the run is opened later."""
        passing = set(self._finishing.values())
        return [text for text in self.hints if text not in passing]

    def slow_code(self, after: str, before: Place, seconds: float) -> None:
        """Hint at long code between a task, given by its key, and the place of the next one (R10)."""
        self.hint(
            f"Code between task {display_key(after)!r} and {show_place(before)} took {seconds:.1f} s. "
            "It runs again on every pass; move it into a task to run it once."
        )

    def finishing(self, path: str, unfinished: int) -> None:
        """Hint that subtasks of a failed task still run."""
        subtasks = "1 subtask" if unfinished == 1 else f"{unfinished} subtasks"
        self._finishing[path] = text = (
            f"Still finishing: {subtasks} of {display_path(path)!r}, which has failed. What they return is kept."
        )
        self.hint(text)

    def finished(self, path: str) -> None:
        """Remove that hint."""
        self.over(self._finishing.pop(path, ""))

    def over(self, text: str) -> None:
        """Remove a hint."""
        if text in self.hints:
            del self.hints[text]
            self._feed.emit(Hinted(text, over=True))
