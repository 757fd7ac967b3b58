"""The frames of a traceback as text, with those that repeat folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_LONGEST = 4  # frames that call one another in a circle


def folded(frames: Sequence[str]) -> Iterator[str]:
    """The frames; what repeats, one frame or a few, is given once and followed by how often it was repeated.

    >>> list(folded(["main", "walk", "walk", "walk", "leaf"]))
    ['main', 'walk', '    … repeated 2 times', 'leaf']
    """
    at = 0
    while at < len(frames):
        length, times = _repeats(frames, at)
        yield from frames[at : at + length]
        if times > 1:
            what = "repeated" if length == 1 else f"these {length} frames repeated"
            yield f"    … {what} {times - 1} times"
        at += length * times


def _repeats(frames: Sequence[str], at: int) -> tuple[int, int]:
    """The length of what repeats from an index on, and how many times it is there."""
    for length in range(1, _LONGEST + 1):
        block, times = frames[at : at + length], 1
        while frames[at + times * length : at + (times + 1) * length] == block:
            times += 1
        if times > 2:
            return length, times
    return 1, 1
