"""The failed items of one map: when there are too many of them, and the error that the map ends in."""

from __future__ import annotations

from collections import Counter

from ..errors import MapError

IN_A_ROW = 20  # after this many failures without a success, no new item starts
_NAMED = 5  # classes of errors that the message counts


class Failures:
    """The failures of one pass, and whether the map gave up because of them.

    Only items that fail for the first time count towards giving up: an item that failed in an earlier pass too says
    nothing about the service, and must not keep new items from their turn.
    """

    def __init__(self, most: float | None) -> None:
        self.gave_up = False  # and started no further item
        self._most = most  # of `max_failures=`; None: `IN_A_ROW`
        self._counted = 0  # failures that count: all, or those since the last success
        self._errors: list[tuple[int, Exception]] = []

    def add(self, index: int, error: Exception, *, counts: bool) -> None:
        """Note that the item with this index failed. `counts`: towards giving up."""
        self._errors.append((index, error))
        self._counted += counts
        if counts and self._counted >= (IN_A_ROW if self._most is None else self._most):
            self.gave_up = True

    def note_success(self) -> None:
        """Note that an item completed."""
        if self._most is None:
            self._counted = 0

    def __len__(self) -> int:
        return len(self._errors)

    def error(self, name: str, taken: int, total: int | None) -> MapError:
        """The error of the map `name`, with those of the items in their order. An error of a whole batch is there once.

        `taken` items were started, of `total` if that is known.
        """
        ordered = [error for _, error in sorted(self._errors, key=lambda each: each[0])]
        text = f"{len(ordered):,} of {total or taken:,} items of map {name!r} failed: {_counts(ordered)}"
        if self.gave_up and total != taken:
            most = f"{IN_A_ROW} failures in a row" if self._most is None else f"{self._counted:,} failures"
            rest = "the rest" if total is None else f"the other {total - taken:,}"
            text += f"; after {most} {rest} did not start (max_failures=)"
        return MapError(text, list({id(error): error for error in ordered}.values()))


def _counts(errors: list[Exception]) -> str:
    """How many errors there are of each class: "30 × ValueError, 6 × KeyError"."""
    counted = Counter(type(error).__name__ for error in errors).most_common()
    said = [f"{count:,} × {name}" for name, count in counted[:_NAMED]]
    if left := sum(count for _, count in counted[_NAMED:]):
        said.append(f"{left:,} others")
    return ", ".join(said)
