"""What the body of one task printed and logged: its beginning and its end, in bounded size."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from ._redact import secrets

# What is kept of one task, in characters.
FIRST = 4_000
LAST = 12_000

# What is gathered before it is looked at, in writes and in characters: a write costs little more than `append`.
_WRITES = 256
_SIZE = 64_000
# An unfinished line as long as this is taken as it is; a shorter one may still be overwritten.
_LINE = 2_000

Piece = list[str]  # stream and text, as it is kept in a record


class Prints:
    """The text of one task's body, attempt after attempt, as pieces of `[stream, text]`.

    A stream is "out", "err", "log", or "note" for what is said here: which attempt begins, how much is
    left out. The texts of all pieces in a row read well. A line that overwrites itself by carriage
    returns, as progress bars do, is kept as it was left.

    `add` may be called from any thread, and by a finalizer that runs while this very thread is in here.
    """

    __slots__ = ("_attempt", "_first", "_fresh", "_last", "_last_size", "_left_out", "_line", "_lock", "_room",
                 "_size", "_sorting", "_stream", "attempt")  # fmt: skip

    def __init__(self) -> None:
        self.attempt = 1  # Whose body writes now.
        self._fresh: deque[tuple[int, str, str]] = deque()  # Written, and not looked at yet.
        self._size = 0  # About how many characters those are.
        self._lock = threading.RLock()
        # From here on: changed under the lock.
        self._sorting = False
        self._attempt = 1
        self._stream = ""
        self._line = ""  # The unfinished line of that stream.
        self._first: list[Piece] = []
        self._room = FIRST
        self._last: deque[Piece] = deque()
        self._last_size = 0
        self._left_out = 0

    def add(self, stream: str, text: str) -> None:
        """The body has written something."""
        self._fresh.append((self.attempt, stream, text))
        self._size += len(text)
        if self._size > _SIZE or len(self._fresh) > _WRITES:
            with self._lock:
                self._sort_in()

    def pieces(self) -> list[Piece]:
        """All that is kept, as it is kept in a record."""
        with self._lock:
            self._sort_in()
            middle: list[Piece] = []
            if self._left_out:
                middle = [["note", f"… {self._left_out:,} characters left out …\n"]]
            pieces = _joined([*self._first, *middle, *self._last, [self._stream, _left(self._line)]])
        return [[stream, secrets.hide(text)] for stream, text in pieces]

    def _sort_in(self) -> None:
        if self._sorting:  # This is the finalizer. What it has added stays for the next time.
            return
        try:
            self._sorting = True
            self._sort_in_all()
        finally:
            self._sorting = False

    def _sort_in_all(self) -> None:
        fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
        self._size = 0
        for (attempt, stream), writes in groupby(fresh, key=itemgetter(0, 1)):
            if attempt != self._attempt:
                self._attempt = attempt
                self._turn_to("note")
                self._keep(f"— attempt {attempt} —\n")
            self._turn_to(stream)
            text = "".join([text for _, _, text in writes])
            for at in range(0, len(text), _SIZE):
                self._take(text[at : at + _SIZE])

    def _turn_to(self, stream: str) -> None:
        if stream != self._stream:
            self._keep(_left(self._line))
            self._line, self._stream = "", stream

    def _take(self, text: str) -> None:
        """More text of the same stream: its finished lines are kept."""
        finished, end, line = (self._line + text).rpartition("\n")
        if "\r" in finished:
            finished = "\n".join(map(_left, finished.split("\n")))
        if "\r" in line:
            line = _returned(line)
        if len(line) > _LINE:
            finished, end, line = finished + end + _left(line), "", ""
        self._keep(finished + end)
        self._line = line

    def _keep(self, text: str) -> None:
        if self._room and text:
            self._first.append([self._stream, text[: self._room]])
            text = text[self._room :]
            self._room -= len(self._first[-1][1])
        if text:
            self._last.append([self._stream, text])
            self._last_size += len(text)
        while (excess := self._last_size - LAST) > 0:
            oldest = self._last[0]
            cut = len(oldest[1]) if oldest[0] == "note" else min(excess, len(oldest[1]))
            oldest[1] = oldest[1][cut:]
            if not oldest[1]:
                self._last.popleft()
            self._last_size -= cut
            self._left_out += cut


def _left(line: str) -> str:
    """What is left of a line once its carriage returns have done their work."""
    if "\r" not in line:
        return line
    shown = line.rstrip("\r")
    return shown[shown.rfind("\r") + 1 :].rstrip(" ")  # blanks are there to wipe out what was longer


def _returned(line: str) -> str:
    """An unfinished line without what its carriage returns have overwritten so far."""
    shown = line.rstrip("\r")
    last = "\r" if shown != line else ""  # What comes next overwrites it.
    return "\r" + shown[shown.rfind("\r") + 1 :] + last


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours of one stream as one piece, and each note on lines of its own."""
    joined: list[Piece] = []
    for stream, text in pieces:
        if not text:
            continue
        if stream == "note" and joined and not joined[-1][1].endswith("\n"):
            joined[-1][1] += "\n"
        if joined and joined[-1][0] == stream:
            joined[-1][1] += text
        else:
            joined.append([stream, text])
    return joined
