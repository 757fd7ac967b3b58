"""The records of tasks and runs, and their texts in the store.

A record's text is one JSON object with the record's attributes; attributes with their default value are
omitted. To read a record, the parsed object becomes the instance's `__dict__`, above the defaults of the
class. Copying field by field would make a replay of thousands of tasks slow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any
from zlib import crc32

from .._keys import hashed
from .._values.json_text import dumps
from .base import Record
from .status import RunStatus, TaskStatus

# Kinds of tasks whose children are independent items, all of which every pass visits (C2).
FAN_OUT = frozenset({"parallel", "map"})

FIRST_RESULT = 1  # the rank of a result of the first generation
NOT_REUSED = "-"  # `reuse` of an integration's task: one that has it inside is not reused


class TaskRecord(Record):
    """The record of one task. Times are UTC seconds since the epoch.

    `started` and `ended` are *ordinals*: a run numbers the starts and ends of its tasks across all passes.
    Ordinals, not clocks, decide which tasks "first started after it ended" (rule R9).
    """

    _beside = frozenset({"path", "measured", "is_damaged"})
    _statuses = frozenset(TaskStatus)

    path: str = ""  # in normal form; part of the row's key, so not in the text
    measured: int = 0  # only in texts, see `dumps_result`
    status: str = TaskStatus.COMPLETED
    kind: str = (
        "task"  # "task", "wait", "question", "log", "parallel", "map", "status" or "run" (a child run)
    )
    # Incremented only when a completed result is forgotten on request (I6, R9). Of two results of one
    # generation, the one that is committed first wins (C5).
    generation: int = 0
    started: int = 0  # ordinal of the first start in this generation
    ended: int = 0  # ordinal of the end; 0 before the end
    # Ordinal of the end of the first completed generation, set when its result is forgotten. Together with
    # `started`, it defines the task's place among the others.
    settled: int = 0
    started_at: float = 0.0
    ended_at: float | None = None
    attempt: int = 1  # the attempt that this record describes, from 1
    attempted_at: float = 0.0  # when that began, if it is not the first one
    # How many of the attempts ended with being told to wait: they do not count for `retry=`.
    refusals: int = 0
    executor: str = ""  # where the body runs, if not in this kernel
    crashes: int = 0  # consecutive recorded starts that never ended (A1)
    began: int = 0  # of a RUNNING task: ordinal of the recorded start
    next_at: float | None = None  # when a wait ends or the next attempt begins
    skipped: float = 0.0  # seconds of waiting, before this attempt or the end, that were skipped
    forced: bool = False  # forgotten on request: the next pass runs the task, whatever its status
    failed: bool = False  # forced, and had failed before
    interrupted: bool = False  # PENDING because the pass was stopped while the body ran
    # Of a task that had company: other calls of its scope were in flight at the same time. One more than its end's distance
    # from the first end in its bunch: results that are given out together, by a replay, too (R12).
    beside: int = 0
    # Seconds that the code around the call had run for when it cancelled the call (A8). On a COMPLETED record: the
    # call had been cancelled when the result arrived from the body's thread.
    canceled: float | None = None

    # Fingerprints (R6). "" means unknown, which never counts as a change.
    code: str = ""  # of the body's code
    inputs: str = ""  # of its params
    codec: str = ""  # of a codec other than the default one
    on_change: str = ""  # the task's own option for what to do when a fingerprint changes
    body: str = ""  # "module:qualname" of the body, to find its current code

    # Of a task with `reuse=`: the digest of code and params by which other runs find the result, see `_engine/reuse.py`.
    reuse: str = ""
    # Of a result that was made in another run: {"run", "path", "at"}, the last being when its body ended.
    reused_from: dict[str, Any] = {}  # noqa: RUF012

    # Of a task with subtasks that others may reuse: the fingerprints of their code, by "module:qualname".
    made_by: dict[str, str] = {}  # noqa: RUF012

    # The value. `form` defines how to read `value`:
    #   ""         plain JSON: `value` is the value itself
    #   "tagged"   JSON with tags
    #   "file"     `value` is {"file", "size", "form", "about"}: the text is in a file beside the database
    #   "signed"   a signed pickle (opt-in)
    #   "unstored" `value` is {"type", "path", "reason"}: the task is completed, its value could not be stored
    #   "apart"    in memory only: the value is long and stays in the store until it is needed, see `abridged`
    form: str = ""
    value: Any = None
    # The value is what `check=` returned: the type that the body returns does not apply.
    checked: bool = False
    # As data, see `_values.errors`. On a COMPLETED record: the error (a timeout) that the caller received
    # before the result arrived from the body's thread.
    error: dict[str, Any] | None = None
    # Of a task with several attempts: the last ones that failed, see `past_attempts.py`.
    attempts: list[dict[str, Any]] = []  # noqa: RUF012  # a default that is never changed in place

    # The arguments, if they are kept, or why they are not: see `given.py`.
    given: dict[str, Any] = {}  # noqa: RUF012
    by_hand: float | None = None  # when a person set the result (`run.set_output`)

    # Display fields
    name: str = ""
    icon: str = ""
    style: str = "normal"
    description: str = ""
    display_key: str = ""
    params: Any = None  # a short, redacted preview in plain JSON
    properties: list[dict[str, Any]] = []  # noqa: RUF012
    output_properties: list[dict[str, Any]] = []  # noqa: RUF012
    # What is shown of the result, and what the body showed: see `_values/pieces.py`. Passes read only how many there are.
    shown: list[dict[str, Any]] = []  # noqa: RUF012
    shows: int = 0
    redact: list[str] = []  # noqa: RUF012
    # The text that the body printed and logged: pieces of [stream, text, second], see `prints.py`. `redact` does not apply.
    prints: list[list[str]] = []  # noqa: RUF012
    # For a map that has ended: the number of its "items", and of those that "failed" and "not started".
    # "gave up" is there if it is not known how many did not start.
    tally: dict[str, int] = {}  # noqa: RUF012
    level: str = ""  # of a log line
    data: Any = None  # of a log line; of a status, see `statuses.py`; of a question, see `questions.py`

    @property
    def has_failed(self) -> bool:
        """Whether a task without a result had failed before: also one that is to run again on request."""
        return self.status == TaskStatus.ERRORED or self.failed

    @property
    def made_at(self) -> float:
        """When the body that made the result ended, here or in another run."""
        return self.reused_from.get("at") or self.ended_at or 0.0

    @property
    def is_shareable(self) -> bool:
        """Whether other runs may reuse the result: the task asked for it, has completed, and its result is stored and whole."""
        if self.reuse in ("", NOT_REUSED) or self.form in ("unstored", "signed"):
            return False
        is_whole = self.status == TaskStatus.COMPLETED and self.error is None and self.canceled is None
        return is_whole and self.kind == "task"

    @property
    def is_apart(self) -> bool:
        """Whether the value is only in the store. Such a record must not be written."""
        return self.form == APART

    @property
    def is_abridged(self) -> bool:
        """Whether the value, or what is shown of it, is only in the store."""
        return self.is_apart or len(self.shown) < self.shows

    def show(self, pieces: list[dict[str, Any]]) -> None:
        """Keep what is to be shown."""
        self.shown, self.shows = pieces, len(pieces)

    def dumps(self) -> str:
        """The text to store: attributes that differ from their defaults, as ASCII JSON."""
        self._check_whole()
        return super().dumps() if self.value is None else self.dumps_result(dumps(self.value))

    def dumps_result(self, value: str) -> str:
        """The text of a completed task. `value` is the JSON text of its value.

        The order of the fields serves reading. The text of a plain value begins with `plain_head`, followed by
        the value, so that a replay can compare the beginning and parse only the value (`plain_value`). A long
        value comes last, and what is shown after that, and the text begins with the length of the part before
        them, so that this part can be read alone (`abridged`).
        """
        self._check_whole()
        is_long, shown = len(value) > LONG and self.form not in _DESCRIBED, ""
        if self.shown and self.status == TaskStatus.COMPLETED:
            shown = f',"shown":{dumps(self.shown)}'
        if (is_long or shown) and (rest := self._text_without(_AT_THE_END)[1:-1]):
            if not is_long:
                rest = f'{rest},"form":"{self.form}","value":{value}'
                return f"{_MEASURED}{len(rest)},{rest}{shown}}}"
            form = f'"form":"{self.form}",' if self.form else ""
            return f'{_MEASURED}{len(rest)},{rest},{form}"value":{value}{shown}}}'
        plain = not (self.form or self.codec or self.error or self.canceled) and self.kind == "task"
        if not plain:
            return f'{self._text_without(_APART)[:-1]},"value":{value}}}'
        head = plain_head(opening(self.code), self.inputs)
        return f"{head}{value},{self._text_without(_IN_HEAD)[1:]}"

    def _check_whole(self) -> None:
        if self.is_apart:
            raise AssertionError(f"the value of task {self.path!r} is not in memory and would be lost")

    @property
    def rank(self) -> int:
        """The rank of the record's row: a record never replaces one of a higher rank.

        An odd rank means a completed result, which no record of the same rank replaces either (C5).
        """
        return 2 * self.generation + (self.status == TaskStatus.COMPLETED)


# The number of characters above which a value's text is not kept in memory between two uses. A shorter value
# would save little compared with the rest of its record, and take longer to query than to parse.
LONG = 1024
APART = "apart"  # the form of a record in memory whose value is left in the store
_ABRIDGED = f'{{"form":"{APART}",'
_MEASURED = '{"measured":'
_DESCRIBED = frozenset({"file", "unstored"})  # forms whose `value` only describes the value
# `abridged` as an SQL expression, for the column `value`.
ABRIDGED_SQL = (
    f"CASE WHEN substr(value, 1, {len(_MEASURED)}) = '{_MEASURED}' THEN '{_ABRIDGED}' || substr(value, "
    f"instr(value, ',') + 1, CAST(substr(value, {len(_MEASURED) + 1}, 9) AS INTEGER)) || '}}' ELSE value END"
)


def is_long(text: str) -> bool:
    """Whether a task's stored text holds a long value."""
    return text.startswith(_MEASURED)


def abridged(text: str) -> str:
    """The text of a task's record to keep in memory: without the value, if that is long."""
    if not is_long(text):
        return text
    begin = text.find(",") + 1
    measure = text[len(_MEASURED) : begin - 1]
    if not measure.isdecimal():
        return text  # damaged, which reading the record will report
    end = begin + int(measure)
    return f"{_ABRIDGED}{text[begin:end]}}}"


def checksums(key: str, text: str, rank: int) -> tuple[int, int | None]:
    """The checksum of a row for reading its text abridged, and that for reading it whole, if that is another one.

    A text of one row in the place of another's has the wrong checksum, and so has a row with another rank. The rank is
    added, so that a query can subtract it: that is cheaper than to read one more column.
    """
    short = abridged(text)
    whole = None if short is text else crc32(f"{key}{text}".encode()) + rank
    return crc32(f"{key}{short}".encode()) + rank, whole


_APART = frozenset({"path", "measured", "is_damaged", "value"})
_AT_THE_END = frozenset({*_APART, "form", "shown"})
_IN_HEAD = frozenset({*_APART, "code", "inputs"})


def plain_head(opening: str, inputs: str) -> str:
    """The text of a completed task with a plain value, up to the value."""
    return f'{opening}"inputs":{encode_basestring_ascii(inputs)},"value":' if inputs else f'{opening}"value":'


def opening(code: str) -> str:
    """The first part of `plain_head`, which is the same for all tasks of one body."""
    return f'{{"code":{encode_basestring_ascii(code)},' if code else "{"


# Parses the JSON value at an index of a text; returns the value and the index of its end.
scan: Callable[[str, int], tuple[Any, int]] = getattr(json.JSONDecoder(), "scan_once")  # noqa: B009  # not in its stub


def plain_value(text: str, opening: str, inputs: str, default: Any) -> Any:
    """The value in the text of a task's record that begins with its `plain_head`, else `default`.

    Raises `StopIteration` or `ValueError` for a damaged text. Nothing else of the record is parsed, which makes
    a replay fast.
    """
    head = plain_head(opening, inputs)
    if not text.startswith(head):
        return default
    value, end = scan(text, len(head))
    return value if text[end : end + 2] == ',"' else default  # without a next field, the row is damaged


_BESIDE = ',"beside":'
_ENDED = '"ended":'
_TAIL = len(_BESIDE) + 8  # of the text: the field with up to seven digits, and the brace


def end_in_text(text: str) -> tuple[int, int] | None:
    """`ended` and `beside` in the text of a task with a plain value; None for a task that had no company: the last field is
    not `beside`."""
    last = text.rfind(_BESIDE, -_TAIL)
    if last < 0:
        return None
    ended = text.rfind(_ENDED, 0, last) + len(_ENDED)
    return int(text[ended : text.find(",", ended)]), int(text[last + len(_BESIDE) : -1])


_STATUS = '{"status":"'


def status_in_text(text: str) -> str:
    """The status in the text of a task's record. The status comes first, unless it is the default."""
    if not text.startswith(_STATUS):
        return TaskRecord.status
    return text[len(_STATUS) : text.find('"', len(_STATUS))]


class RunRecord(Record):
    """The record of one run. Times are UTC seconds since the epoch."""

    _beside = frozenset({"id", "is_damaged", "wake_at", "asks", "is_left"})
    _statuses = frozenset(RunStatus)

    id: str = ""
    status: str = RunStatus.PENDING
    reason: str = ""  # of a WAITING run: "wait", "retry", "answer", "queued" or "paused"; "pausing"; else ""
    waits: str = ""  # "skip" if its waits are skipped
    # Only in a list of runs, and not in the text: see `_runs/due.py`.
    wake_at: float | None = None  # when its first wait is over
    asks: int = 0  # questions that wait for an answer
    is_left: bool = False  # no kernel drives it
    client: str = ""
    job: str = ""
    # The name of the file whose job made the run, "" for the first that had the job: see `owner.py`.
    source: str = ""
    name: str = ""
    version: str = ""
    payload_form: str = ""
    payload: Any = None
    payload_preview: str = ""
    # 1 if the class of an instance counts in the keys of map items and in fingerprints of params (I1), as it has
    # since November 2026.
    keys: int = 0
    form: str = ""  # of the output, as in a TaskRecord
    output: Any = None
    shown: list[dict[str, Any]] = []  # noqa: RUF012  # of the output
    error: dict[str, Any] | None = None
    # Paths of the failed tasks that ended the last pass: their errors are not final, and they run again (R5).
    ended_by: list[str] = []  # noqa: RUF012
    # Those of completed tasks whose calls were cancelled as the run failed, and got the results in a later pass: a replay
    # expects no cancellation (A8).
    uncanceled: list[str] = []  # noqa: RUF012
    # Those of failed tasks whose errors no code had looked at when the last pass ended: they are not final either.
    unseen: list[str] = []  # noqa: RUF012
    # Ordinal of the last completion: the run function had handled all errors before it. 0 if there was none, or if an older
    # version wrote it. See `forget.handled_in`.
    handled: int = 0
    # Paths of failed tasks whose errors are replayed until the run ends, even if nothing shows that they were
    # handled: `retry(which=[...])` selected others, or the original of this fork handled them.
    kept: list[str] = []  # noqa: RUF012
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    passes: int = 0
    # The duration of a resumed run is that of its passes, without the time between them.
    began_at: float | None = None  # when the last pass began
    worked: float = 0.0  # seconds of the passes before the last one, or of all passes of a run that has ended
    # How the last pass that ended has ended. Unlike `status`, it stays while a run is RUNNING or WAITING: ask this for
    # "has it completed".
    last_ending: str = ""
    is_test: bool = False
    parent: str = ""  # run id of the parent run
    parent_task: str = ""  # path of the task in the parent run
    depth: int = 0  # the number of ancestors: parent, its parent, ...
    forked: dict[str, str] = {}  # noqa: RUF012  # of a fork: {"run", "path", "key"}, see `fork.py`
    event: dict[str, Any] | None = None
    code: str = ""  # fingerprint of the run function in the last pass
    # By the fingerprint of a task's code: what it is made of, so that a change can be named.
    parts: dict[str, dict[str, str]] = {}  # noqa: RUF012
    stable_since: int = 0  # number of the first pass since which code and payload are the same; 0: not known
    counts: dict[str, int] = {}  # noqa: RUF012  # tasks by status, for the table of runs
    holder: dict[str, Any] | None = None  # the kernel that drives the run, see `lease.py`
    trace: str = ""  # the `traceparent` of the last pass, if OpenTelemetry is set up
    hints: list[str] = []  # noqa: RUF012  # the hints in the header after the last pass
    redact: list[str] = []  # noqa: RUF012

    def set_code(self, code: str) -> None:
        """Note the fingerprint of the run function for the next pass."""
        if code != self.code:
            self.code, self.stable_since = code, self.passes + 1


def first_ordinal(number: int) -> int:
    """The first ordinal of a pass, greater than those of all passes before. Passes are numbered from 1."""
    return (number << 32) + 1


def job_of(run: RunRecord) -> str:
    """The job of a run, as pointers to its results name it."""
    return hashed("", run.job, run.source)


def is_queued(run: RunRecord) -> bool:
    """Whether the run was started and waits for the concurrency limit of its job (C4)."""
    return run.reason == "queued" or (run.status == RunStatus.PENDING and run.holder is not None)


def has_handled_failures(run: RunRecord) -> bool:
    """Whether a run has completed although tasks of it failed."""
    return run.status == RunStatus.COMPLETED and bool(run.counts.get(TaskStatus.ERRORED))
