"""What is kept of a task and of a run, and its text form.

A record's attributes are the keys of one JSON object, and a default is simply not written. So a
record is read by parsing its text and putting the result under the class's defaults (no field is
copied one by one: replaying thousands of tasks is mostly this), and it can be read in the store
with any SQLite tool.
"""

from __future__ import annotations

import re
from functools import cache
from json.encoder import encode_basestring_ascii
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from .._values.json_text import dumps, loads
from .._values.names import kind_of
from ..errors import CorruptRecordError, InvalidOptionError
from .status import RunStatus, TaskStatus

# What keys of the store's rows begin with, and what its rows are tagged with, besides the ids of runs.
RESERVED = frozenset({"run", "runs", "event", "events", "kv", "export", "deleted"})
# Kinds of nodes whose children are items: independent of each other, and walked in every pass (C2).
FAN_OUT = frozenset({"parallel", "map"})


class _Record:
    """A JSON object as attributes over class-level defaults."""

    # Attributes kept beside the record but not in its text.
    _beside: ClassVar[frozenset[str]] = frozenset()
    _statuses: ClassVar[frozenset[str]] = frozenset()

    status: str
    is_damaged: bool = False  # It stands in for a row that cannot be read.

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """The record of a parsed text; it takes `data` over."""
        record = cls.__new__(cls)
        record.__dict__ = data
        return record

    @classmethod
    def loads(cls, text: str) -> Self:
        """The record of a stored text. Raises `CorruptRecordError` for what this package does not write."""
        try:
            data: dict[str, Any] = loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptRecordError(f"it is no JSON: {error}") from None
        if kind_of(data) is not dict:
            raise CorruptRecordError(f"it is a {type(data).__name__} and not an object")
        fields = _fields(cls)
        # A name that no record has is damaged, too: its field would be left at a default that is wrong.
        if not fields.issuperset(zip(data, map(type, data.values()), strict=True)):
            wrong = next(name for name, value in data.items() if (name, type(value)) not in fields)
            raise CorruptRecordError(f"its field {wrong!r:.40} is {data[wrong]!r:.40}")
        if data.get("status", cls.status) not in cls._statuses:
            raise CorruptRecordError(f"its status is {data['status']!r:.40}")
        return cls.parse(data)

    def dumps(self) -> str:
        """The text to store: attributes that differ from their defaults, as ASCII JSON."""
        return self._text_without(self._beside)

    def _text_without(self, names: frozenset[str]) -> str:
        cls = type(self)
        return dumps(
            {
                name: value
                for name, value in self.__dict__.items()
                if name not in names and value != getattr(cls, name, None)
            }
        )

    def copy(self, **changes: Any) -> Self:
        """A shallow copy with some attributes replaced."""
        fresh = self.parse(dict(self.__dict__))
        fresh.__dict__.update(changes)
        return fresh

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inside})"


_JSON_TYPES = frozenset({dict, list, str, int, float, bool, NoneType})


@cache
def _fields(cls: type[_Record]) -> frozenset[tuple[str, type[Any]]]:
    """The names of a record's fields, each with every type that it can have when it is read."""
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name in vars(cls)}
    return frozenset((name, kind) for name, hint in hints.items() for kind in _types_of(hint))


def _types_of(hint: Any) -> frozenset[Any]:
    if hint is Any:
        return _JSON_TYPES
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    found = frozenset(get_origin(kind) or kind for kind in kinds)
    return found | {int} if float in found else found


class TaskRecord(_Record):
    """What is kept of one task. Times are UTC seconds since the epoch.

    `started` and `ended` are *ordinals*: the run counts its starts and ends across all passes, and
    "first started after it ended" (rule R9) is decided by them, never by clocks.
    """

    _beside = frozenset({"path", "measured", "is_damaged"})
    _statuses = frozenset(TaskStatus)

    path: str = ""  # The normal form; it is the row's key, so it is not in the text.
    measured: int = 0  # Of the text that it was read from, see `dumps_result`; of no meaning otherwise.
    status: str = TaskStatus.COMPLETED
    kind: str = "task"  # "task", "wait", "log", "parallel", "map", "status" or "run" (a child run)
    # Rises only when a completed result is forgotten on purpose (I6, R9). Of two results of one
    # generation the first committed one wins (C5).
    generation: int = 0
    started: int = 0  # Ordinal of the first start in this generation.
    ended: int = 0  # Ordinal of the end; 0 while it has none.
    # Ordinal of the end of the first completed generation, once that is forgotten: with `started` it is
    # the task's place among the others.
    settled: int = 0
    started_at: float = 0.0
    ended_at: float | None = None
    attempt: int = 1  # The attempt this record speaks of, from 1.
    executor: str = ""  # What the body runs in, where that is not this kernel.
    crashes: int = 0  # Recorded starts in a row that never came to an end (A1).
    began: int = 0  # On a RUNNING record: the ordinal at which this start was recorded.
    next_at: float | None = None  # When a wait ends or the next attempt begins.
    forced: bool = False  # Forgotten on purpose: the next pass runs it, whatever its status.
    interrupted: bool = False  # PENDING because its pass was stopped while the body ran.
    # How long the call had waited, in seconds, when the user's own code cancelled it (A8). On a
    # COMPLETED record: the caller was gone when the result came from the body's thread.
    canceled: float | None = None

    # Fingerprints (R6); "" is "unknown", which never counts as a change.
    code: str = ""  # of the body's code
    inputs: str = ""  # of its params
    codec: str = ""  # of a codec other than the default one
    on_change: str = ""  # what the task itself says is to be done when they change
    body: str = ""  # "module:qualname" of the body, to find what it is now

    # The value: `form` says how `value` is to be read.
    #   ""         plain JSON, `value` is it
    #   "tagged"   JSON with tags, for the codec
    #   "file"     `value` is {"file", "size", "sha256", "form"}: the text lies beside the database
    #   "signed"   a signed pickle (opt-in)
    #   "unstored" `value` is {"type", "path", "reason"}: the task is done, its value could not be kept
    #   "apart"    in memory only: the value is long and stays in the store until asked for, see `abridged`
    form: str = ""
    value: Any = None
    # As data, see `_codec.exceptions`. On a COMPLETED record: the caller had got this error (a
    # timeout) before the result came from the body's thread.
    error: dict[str, Any] | None = None

    # For the eye.
    name: str = ""
    icon: str = ""
    style: str = "normal"
    description: str = ""
    display_key: str = ""
    params: Any = None  # A bounded, redacted preview in plain JSON.
    properties: list[dict[str, Any]] = []  # noqa: RUF012  # a default, never changed in place
    output_properties: list[dict[str, Any]] = []  # noqa: RUF012
    redact: list[str] = []  # noqa: RUF012
    # What the body printed and logged: pieces of [stream, text], see `_prints`. Left as it is by `redact`.
    prints: list[list[str]] = []  # noqa: RUF012
    # Of a map that has ended: its "items", and how many of them have "failed".
    tally: dict[str, int] = {}  # noqa: RUF012
    level: str = ""  # of a log line
    data: Any = None  # of a log line, or of a status: see `_statuses`

    @property
    def is_apart(self) -> bool:
        """Whether its value is left in the store: such a record is to be looked at, never to be written."""
        return self.form == APART

    def dumps(self) -> str:
        """The text to store: attributes that differ from their defaults, as ASCII JSON."""
        self._check_whole()
        return super().dumps() if self.value is None else self.dumps_result(dumps(self.value))

    def dumps_result(self, value: str) -> str:
        """`dumps()` of a completed task, whose value's JSON text is at hand already.

        The text of a plain one begins with `plain_head`, and the value follows: so a replay compares
        the beginning and parses the value, and nothing else of the record. A long value stands at the end
        and what is before it is measured at the beginning: so the rest is read without it (`abridged`).
        """
        self._check_whole()
        if len(value) > LONG and self.form not in _DESCRIBED:
            rest = self._text_without(_AT_THE_END)[1:-1]
            if rest:
                form = f'"form":"{self.form}",' if self.form else ""
                return f'{_MEASURED}{len(rest)},{rest},{form}"value":{value}}}'
        plain = not (self.form or self.codec or self.error or self.canceled) and self.kind == "task"
        if not plain:
            return f'{self._text_without(_APART)[:-1]},"value":{value}}}'
        head = plain_head(opening(self.code), self.inputs)
        return f"{head}{value},{self._text_without(_IN_HEAD)[1:]}"

    def _check_whole(self) -> None:
        if self.is_apart:
            raise AssertionError(f"the value of task {self.path!r} is not at hand, and would be lost")

    @property
    def rank(self) -> int:
        """Orders records of one task for the store: a lower one never replaces a higher one.

        An odd one is a completed result, which no other of the same rank replaces either (C5).
        """
        return 2 * self.generation + (self.status == TaskStatus.COMPLETED)


# A value whose text has more characters is not kept in memory between two uses. About as many as the rest of
# a record: for a shorter one there would be less to save, and reading it by itself takes longer than parsing it.
LONG = 1024
APART = "apart"  # the form of a record in memory whose value is left in the store
_ABRIDGED = f'{{"form":"{APART}",'
_MEASURED = '{"measured":'
_DESCRIBED = frozenset({"file", "unstored"})  # forms whose value only speaks of one
# The same in SQL, of a column `value`.
ABRIDGED_SQL = (
    f"CASE WHEN substr(value, 1, {len(_MEASURED)}) = '{_MEASURED}' THEN '{_ABRIDGED}' || substr(value, "
    f"instr(value, ',') + 1, CAST(substr(value, {len(_MEASURED) + 1}, 9) AS INTEGER)) || '}}' ELSE value END"
)


def is_long(text: str) -> bool:
    """Whether a task's stored text holds a long value."""
    return text.startswith(_MEASURED)


def abridged(text: str) -> str:
    """A task's stored text without its value, if that is long: what memory keeps of it."""
    if not is_long(text):
        return text
    begin = text.find(",") + 1
    measure = text[len(_MEASURED) : begin - 1]
    if not measure.isdecimal():
        return text  # it is damaged, and whoever reads it says so
    end = begin + int(measure)
    return f"{_ABRIDGED}{text[begin:end]}}}"


_APART = frozenset({"path", "measured", "is_damaged", "value"})
_AT_THE_END = frozenset({*_APART, "form"})
_IN_HEAD = frozenset({*_APART, "code", "inputs"})


def plain_head(opening: str, inputs: str) -> str:
    """How the text of a completed task begins whose value is plain JSON, up to the value."""
    return f'{opening}"inputs":{encode_basestring_ascii(inputs)},"value":' if inputs else f'{opening}"value":'


def opening(code: str) -> str:
    """How its `plain_head` begins: the same for all tasks of one body."""
    return f'{{"code":{encode_basestring_ascii(code)},' if code else "{"


_DAMAGED = "its row in the store is damaged: "


def readable_task(path: str, text: str) -> TaskRecord:
    """A task's record, for whoever looks at all of them: of a damaged row as much as can be told.

    It counts as completed without a value, which is never wrong: its body is called again only on request.
    """
    try:
        record = TaskRecord.loads(text)
    except CorruptRecordError as error:
        record = TaskRecord(
            is_damaged=True, form="unstored", value={"type": "result", "path": "$", "reason": f"{_DAMAGED}{error}"},
            kind="log" if "~." in path else "task", name=_DAMAGED[:-2] if "~." in path else "",
            generation=_number(text, "generation"), started=_number(text, "started"), ended=_number(text, "ended"),
        )  # fmt: skip
    record.path = path
    return record


def readable_run(run_id: str, text: str) -> RunRecord:
    """A run's record, for whoever looks at all of them: of a damaged row as much as can be told."""
    try:
        record = RunRecord.loads(text)
    except CorruptRecordError:
        name = re.search(r'"job":"([^"\\]*)"', text)
        record = RunRecord(
            is_damaged=True, status=RunStatus.INTERRUPTED, job=name[1] if name else "", payload_preview=_DAMAGED[:-2],
            created_at=float(_number(text, "created_at")), passes=_number(text, "passes"),
        )  # fmt: skip
    record.id = run_id
    return record


def check_legible(run: RunRecord) -> None:
    """Raise `CorruptRecordError` for a run whose row is damaged: it cannot go on, nor begin anew."""
    if run.is_damaged:
        raise CorruptRecordError(
            f"the record of run {run.id!r} cannot be read: its row {'run/' + run.id!r} in the store is damaged. What its "
            "tasks did may be done, so it does not begin anew by itself. Bring the store back from a backup; or start a new "
            "run on purpose with fresh=True, and delete() this one."
        )


def _number(text: str, name: str) -> int:
    """A number that a damaged text still tells; 0 where it does not."""
    found = re.search(rf'"{name}":(\d{{1,18}})(?=[.,}}])', text)
    return int(found[1]) if found else 0


class RunRecord(_Record):
    """What is kept of one run. Times are UTC seconds since the epoch."""

    _beside = frozenset({"id", "is_damaged"})
    _statuses = frozenset(RunStatus)

    id: str = ""
    status: str = RunStatus.PENDING
    reason: str = ""  # why it is WAITING: "wait", "retry", "queued" or "paused"; else ""
    client: str = ""
    job: str = ""
    name: str = ""
    version: str = ""
    payload_form: str = ""
    payload: Any = None
    payload_preview: str = ""
    form: str = ""  # of the output, as in a TaskRecord
    output: Any = None
    error: dict[str, Any] | None = None
    # Paths of the task errors that ended the last pass: they are not final and run again (R5).
    ended_by: list[str] = []  # noqa: RUF012
    # Paths of errors that are replayed until the run comes to an end, though nothing may show that they
    # were handled: `retry(which=[...])` has chosen others, or they were handled in the run it is a fork of.
    kept: list[str] = []  # noqa: RUF012
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    passes: int = 0
    # A run that was taken up again has lasted as long as its passes, not the days between them.
    began_at: float | None = None  # when its last pass began
    worked: float = 0.0  # seconds of the passes before that, or of all once it has ended
    last_ending: str = ""  # the status in which the pass before this one ended
    is_test: bool = False
    parent: str = ""  # run id of the parent run
    parent_task: str = ""  # path of the task in the parent run
    depth: int = 0  # how many runs are above it, parent over parent
    forked: dict[str, str] = {}  # noqa: RUF012  # of a fork: {"run", "path", "key"}, see `_fork`
    event: dict[str, Any] | None = None
    code: str = ""  # fingerprint of the run function in the last pass
    counts: dict[str, int] = {}  # noqa: RUF012  # tasks by status, for the table of runs
    holder: dict[str, Any] | None = None  # the kernel that drives it, see `_lease`
    hints: list[str] = []  # noqa: RUF012  # what the header says of the last pass
    redact: list[str] = []  # noqa: RUF012


def is_queued(run: RunRecord) -> bool:
    """Whether a kernel has started it, and the limit of its job does not let it begin yet (C4)."""
    return run.reason == "queued" or (run.status == RunStatus.PENDING and run.holder is not None)


def check_run_id(run_id: object) -> None:
    """Raise `InvalidOptionError` for what no run can be named by its user."""
    if not isinstance(run_id, str) or not run_id:
        raise InvalidOptionError(f'run_id is text, such as "import-2024-05"; not {run_id!r:.100}')
    if "/" in run_id or run_id in RESERVED:
        # Its rows would be taken for another run's, or the store's own, and be deleted with them.
        raise InvalidOptionError(
            f'run_id is text without "/", and not a word of the store\'s own; not {run_id!r:.100}'
        )
