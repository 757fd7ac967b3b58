"""The text that one task prints and logs; of a long text, the beginning and the end are kept."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from .._redact import secrets

# Characters that are kept of one task.
FIRST = 4_000
LAST = 12_000
# New text is processed after this many writes or characters, so that a write costs little more than `append`.
_WRITES = 256
_SIZE = 64_000
# An unfinished line of this length is kept as it is; a shorter one may still be overwritten.
_LINE = 2_000
# The number of pieces at the end that have a time each. Before them, neighbours of one stream are one piece.
_TIMES = 300
# Stream, text, and the second in which the text was written, in digits since the epoch; as in a record. Notes have no
# time, and older records have none.
Piece = list[str]


class Prints:
    """The text of one task, attempt after attempt, as pieces of `[stream, text, second]`.

    A stream is "out", "err", "log", or "note" for remarks of this class: the start of an attempt, the number
    of omitted characters. The texts of all pieces can be joined. Of a line that is overwritten with carriage
    returns, as progress bars do, the last version is kept.

    `add` may be called from any thread, also by a finalizer that interrupts a method of this class.
    """

    __slots__ = (
        *("_attempt", "_first", "_fresh", "_last", "_last_size", "_left_out", "_line", "_lock", "_room"),
        *("_second", "_size", "_sorting", "_stream", "attempt"),
    )

    def __init__(self) -> None:
        self.attempt = 1  # the attempt that writes now
        self._fresh: deque[tuple[int, str, int, str]] = deque()  # writes that are not processed yet
        self._size = 0  # their approximate number of characters
        self._lock = threading.RLock()
        # All attributes below are protected by the lock.
        self._sorting = False
        self._attempt = 1
        self._stream = ""
        self._second = ""  # of the last write to that stream
        self._line = ""  # the unfinished line of that stream
        self._first: list[Piece] = []
        self._room = FIRST
        self._last: deque[Piece] = deque()
        self._last_size = 0
        self._left_out = 0

    def add(self, stream: str, text: str) -> None:
        """Add text that the task has written."""
        self._fresh.append((self.attempt, stream, int(time.time()), text))
        self._size += len(text)
        if self._size > _SIZE or len(self._fresh) > _WRITES:
            with self._lock:
                self._sort_in()

    def pieces(self) -> list[Piece]:
        """The kept text, as pieces for a record."""
        with self._lock:
            self._sort_in()
            middle: list[Piece] = []
            if self._left_out:
                middle = [["note", f"… {self._left_out:,} characters left out …\n", ""]]
            unfinished = [self._stream, _visible(self._line), self._second]
            pieces = _joined([*self._first, *middle, *self._last, unfinished])
        return [[stream, secrets.hide(text), *filter(None, [second])] for stream, text, second in pieces]

    def _sort_in(self) -> None:
        if self._sorting:  # called by a finalizer: its text is processed the next time
            return
        try:
            self._sorting = True
            self._sort_in_all()
        finally:
            self._sorting = False

    def _sort_in_all(self) -> None:
        fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
        self._size = 0
        for (attempt, stream, second), writes in groupby(fresh, key=itemgetter(0, 1, 2)):
            if attempt != self._attempt:
                self._attempt = attempt
                self._switch_to("note")
                self._keep(f"— attempt {attempt} —\n")
            self._switch_to(stream)
            self._second = str(second)
            text = "".join([text for *_, text in writes])
            for at in range(0, len(text), _SIZE):
                self._take(text[at : at + _SIZE])

    def _switch_to(self, stream: str) -> None:
        if stream != self._stream:
            self._keep(_visible(self._line))
            self._line, self._stream = "", stream

    def _take(self, text: str) -> None:
        """Keep the finished lines of more text of the current stream."""
        finished, end, line = (self._line + text).rpartition("\n")
        if "\r" in finished:
            finished = "\n".join(map(_visible, finished.split("\n")))
        if "\r" in line:
            line = _without_overwritten(line)
        if len(line) > _LINE:
            finished, end, line = finished + end + _visible(line), "", ""
        self._keep(finished + end)
        self._line = line

    def _keep(self, text: str) -> None:
        second = "" if self._stream == "note" else self._second
        if self._room and text:
            self._first.append([self._stream, text[: self._room], second])
            text = text[self._room :]
            self._room -= len(self._first[-1][1])
        if text:
            self._last.append([self._stream, text, second])
            self._last_size += len(text)
        while (excess := self._last_size - LAST) > 0:
            oldest = self._last[0]
            cut = len(oldest[1]) if oldest[0] == "note" else min(excess, len(oldest[1]))
            oldest[1] = oldest[1][cut:]
            if not oldest[1]:
                self._last.popleft()
            self._last_size -= cut
            self._left_out += cut


def _visible(line: str) -> str:
    """The visible part of a finished line after its carriage returns."""
    if "\r" not in line:
        return line
    shown = line.rstrip("\r")
    return shown[shown.rfind("\r") + 1 :].rstrip(" ")  # blanks only erase a longer text


def _without_overwritten(line: str) -> str:
    """An unfinished line without the parts that carriage returns have overwritten."""
    shown = line.rstrip("\r")
    last = "\r" if shown != line else ""  # the next text overwrites the line
    return "\r" + shown[shown.rfind("\r") + 1 :] + last


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with neighbours of one stream and second merged, and with each note on a separate line."""
    joined: list[Piece] = []
    timed_from = len(pieces) - _TIMES
    for at, (stream, text, second) in enumerate(pieces):
        if not text:
            continue
        last = joined[-1] if joined else ["", "\n", ""]
        if stream == "note" and not last[1].endswith("\n"):
            last[1] += "\n"
        if last[0] == stream and (last[2] == second or at < timed_from):
            last[1] += text
        else:
            joined.append([stream, text, second])
    return joined


def without_times(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces as `[stream, text]`, with neighbours of one stream merged."""
    return [piece[:2] for piece in _joined([[stream, text, ""] for stream, text, *_ in pieces])]
