"""The widgets that are kept although nothing happens in them any more."""

from __future__ import annotations

from typing import Protocol

_ROWS = 50_000  # that the kept displays may have in all, to bound the memory


class Display(Protocol):
    """A display with a widget."""

    @property
    def in_use(self) -> bool:
        """Whether the widget must stay."""
        ...

    @property
    def size(self) -> int:
        """The number of its rows."""
        ...

    def close(self) -> None:
        """Close the widget; the page shows its snapshot instead."""
        ...


class Kept:
    """The latest displays, at most `most`. Older ones are closed, unless they are in use."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._displays: list[Display] = []

    def put(self, display: Display) -> None:
        """Keep a display as the latest one."""
        self._displays = [each for each in self._displays if each is not display]
        idle = [each for each in self._displays if not each.in_use]
        rows = display.size + sum(each.size for each in idle)
        for count, oldest in zip(range(len(idle), 0, -1), idle, strict=True):
            if count < self._most and rows <= _ROWS:
                break
            rows -= oldest.size
            self._displays.remove(oldest)
            oldest.close()
        self._displays.append(display)
