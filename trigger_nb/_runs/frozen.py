"""Frozen runs: a run as a JSON file for a repository, from which a test replays it against the job's code of today.

The file has what decides a replay, and nothing that differs from run to run: no times, durations, ids, tracebacks
or fingerprints. So to freeze the same run twice gives the same text, and a diff shows what the job does differently.
What `redact=` and credentials hide in exports is "•••" in the file too; a replay gets that.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from .._keys import ancestors, parent_path
from .._records.records import FAN_OUT, RunRecord, TaskRecord, first_ordinal
from .._records.status import RunStatus, TaskStatus
from .._redact import HIDDEN, redact, redact_tagged, secrets, with_causes
from .._store.protocol import Row
from .._values.json_text import loads
from ..errors import InvalidOptionError
from .runtime import Runtime
from .task_info import in_order

FORMAT = 1
RUN_ID = "run_frozen"
# Keys of texts that code relies on.
_NAMES = frozenset({"$", "of", "module", "type", "path", "kind", "status"})
_FILE = re.compile(r'"(?:blob|file)": ?"([0-9a-f]{64})"')
_OPAQUE = re.compile(r'"(?:blob|b64|file)":')  # parts that cannot be searched for what is to be hidden
_DONE = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})
# What is kept of an error of which `redact=` may hide parts.
_OF_HIDDEN_ERROR = frozenset(
    {"module", "type", "bases", "cause", "context", "context_is_cause", "suppress_context", "errors", "attrs"}
)


def freeze(runtime: Runtime, run: RunRecord, records: Sequence[TaskRecord], path: Path) -> None:
    """Write a run to a file. Raises `OSError`, and `StoreError` for a long value that cannot be read."""
    data = _Freezer(runtime, run, records).data()
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class _Freezer:
    def __init__(self, runtime: Runtime, run: RunRecord, records: Sequence[TaskRecord]) -> None:
        self._runtime = runtime
        self._run = run
        self._records = [each for each in _stable(records) if each.kind != "log"]
        self._blobs = runtime.store.blobs(run.id)
        self._files: dict[str, str] = {}  # of values, as base64
        self._turns = _turns(self._records)

    def data(self) -> dict[str, Any]:
        run = self._run
        data: dict[str, Any] = {
            "frozen run": FORMAT,
            "job": run.job,
            "version": run.version,
            "status": str(self._runtime.status_of(run)),
            "payload": self._value(run.payload_form, run.payload, run.redact),
            "tasks": [self._task(self._runtime.whole(run.id, record)) for record in self._records],
        }
        if run.last_ending == RunStatus.COMPLETED:
            data["output"] = self._value(run.form, run.output, run.redact)
        if run.error is not None:
            data["error"] = _error(run.error)
        data = secrets.hide_in(data, _NAMES)
        return data | ({"files": self._files} if self._files else {})

    def _task(self, record: TaskRecord) -> dict[str, Any]:
        data: dict[str, Any] = {"path": record.path}
        if record.kind != "task":
            data["kind"] = record.kind
        if record.status != TaskStatus.COMPLETED:
            data["status"] = str(record.status)
        if record.status == TaskStatus.COMPLETED and record.kind not in {*FAN_OUT, "wait"}:
            data["output"] = self._value(record.form, record.value, record.redact)
        if record.error is not None and record.status in _DONE:
            data["error"] = _error(record.error)
        if record.checked:
            data["checked"] = True
        if record.canceled is not None:
            data["canceled"] = record.canceled
        if record.path in self._turns:
            data["turn"] = self._turns[record.path]
        return data

    def _value(self, form: str, value: Any, patterns: Sequence[str]) -> Any:
        """A value as the file has it: plain data as it is, any other as {"form", "value"}."""
        if form == "file":
            form, value = value["form"], loads(self._blobs.get(value["file"]).decode("ascii"))
        if form == "signed":
            return _form(
                "unstored", {"type": "pickle", "path": "$", "reason": "a frozen run holds no pickles"}
            )
        if form == "":
            plain = cast("object", redact(patterns, value))
            return _form("", plain) if _is_described(plain) else plain
        if form == "tagged":
            text = json.dumps(value)
            if patterns and _OPAQUE.search(text):
                return _form(
                    "unstored", {"type": "value", "path": "$", "reason": "redact= may hide parts of it"}
                )
            value = redact_tagged(patterns, value)
            self._keep_files(text)
        return _form(form, value)

    def _keep_files(self, text: str) -> None:
        for name in _FILE.findall(text):
            if name not in self._files:
                self._files[name] = base64.b64encode(self._blobs.get(name)).decode("ascii")


def _form(form: str, value: Any) -> dict[str, Any]:
    return {"form": form, "value": value}


def _stable(records: Sequence[TaskRecord]) -> list[TaskRecord]:
    """The records in the order of the code: items of a map, which start in any order, by path."""
    kinds = {record.path: record.kind for record in records}
    shelf: dict[str, list[TaskRecord]] = {}
    for record in in_order(records):
        shelf.setdefault(parent_path(record.path), []).append(record)

    def below(path: str) -> Iterator[TaskRecord]:
        children = shelf.pop(path, [])
        if kinds.get(path) == "map":
            children.sort(key=lambda record: record.path)
        for child in children:
            yield child
            yield from below(child.path)

    return list(below(""))


def _turns(records: Iterable[TaskRecord]) -> dict[str, str]:
    """Of tasks that ran beside each other: the places of their start and end among all of these, and the gap (R12)."""
    beside = [record for record in records if record.beside]
    ordinals = sorted({each for record in beside for each in (record.started, record.ended)})
    rank = {ordinal: number for number, ordinal in enumerate(ordinals, 1)}
    return {record.path: f"{rank[record.started]} {rank[record.ended]} {record.beside}" for record in beside}


def _error(stored: dict[str, Any]) -> dict[str, Any]:
    """An error without its traceback, and as exports show it: of one that may be redacted only the shown text."""
    data: dict[str, Any] = json.loads(json.dumps(stored))
    for node in with_causes(data):
        node.pop("traceback", None)
        shown = node.pop("shown", None)
        if shown is None:
            continue
        for name in [name for name in node if name not in _OF_HIDDEN_ERROR]:
            del node[name]
        attributes = cast("dict[str, Any]", node.get("attrs") or {})
        node["attrs"] = {
            name: value if value is None or isinstance(value, (int, float)) else HIDDEN
            for name, value in attributes.items()
        }
        message = shown.get("message", HIDDEN)
        node |= {"message": message, "args": [message], "notes": shown.get("notes", [])}
        if "errors" in node:
            node["text"] = message
    return data


# Thawing ------------------------------------------------------------------------------------------


class FrozenRun:
    """A frozen run, read from its file. Raises `InvalidOptionError` for a file that is none, and `OSError`.

    Classes that a notebook had defined are those of the module `main` now.
    """

    def __init__(self, path: Path, main: str) -> None:
        text = path.read_text(encoding="utf-8")
        if main != "__main__":
            text = text.replace('"__main__:', f'"{main}:').replace(
                '"module": "__main__"', f'"module": "{main}"'
            )
        try:
            self._data: dict[str, Any] = json.loads(text)
            version = self._data["frozen run"]
            self.job: str = self._data["job"]
            self.status = RunStatus(self._data["status"])
            self._tasks: list[dict[str, Any]] = self._data["tasks"]
            self.kinds: dict[str, str] = {each["path"]: each.get("kind", "task") for each in self._tasks}
        except (ValueError, LookupError, TypeError) as error:
            raise InvalidOptionError(
                f"{path} is no frozen run, as run.freeze(path) writes one: {error!r}"
            ) from None
        if version != FORMAT:
            raise InvalidOptionError(
                f"{path} has format {version!r}, and this version of trigger_nb reads {FORMAT}"
            )

    @property
    def is_over(self) -> bool:
        """Whether the run had ended by itself, so that it called all its tasks."""
        return self.status in (RunStatus.COMPLETED, RunStatus.FAILED)

    @property
    def expected(self) -> list[str]:
        """The paths that a replay calls again: not the subtasks of a task that is replayed as a value."""
        done = {each["path"] for each in self._tasks if each.get("status", "COMPLETED") in _DONE}
        return [
            path
            for path in self.kinds
            if all(self.kinds.get(above) in FAN_OUT for above in ancestors(path)) and path in done
        ]

    def thaw(self, runtime: Runtime) -> RunRecord:
        """Store the run, and return its record."""
        blobs = runtime.store.blobs(RUN_ID)
        for name, text in self._data.get("files", {}).items():
            if blobs.put(base64.b64decode(text)) != name:
                raise InvalidOptionError(f"the file {name!r} in the frozen run was changed")
        records = list(self._records())
        form, payload = _thawed(self._data["payload"])
        run = RunRecord(
            id=RUN_ID,
            job=self.job,
            version=self._data["version"],
            payload_form=form,
            payload=payload,
            keys=1,
            status=self.status,
            last_ending=self.status if self.is_over else "",
            passes=1,
            kept=[record.path for record in records if record.status == TaskStatus.ERRORED],
        )
        rows = [Row(f"{RUN_ID}/{each.path}", RUN_ID, each.dumps(), each.rank) for each in records]
        runtime.save_run(run, rows)
        return run

    def _records(self) -> Iterator[TaskRecord]:
        """The tasks that had ended: others would run."""
        first = first_ordinal(1)
        for number, task in enumerate(self._tasks):
            status = task.get("status", TaskStatus.COMPLETED)
            if status not in (*_DONE, TaskStatus.CANCELED):
                continue
            started, ended, beside = map(int, task.get("turn", f"{number} {number} 0").split())
            form, value = _thawed(task.get("output"))
            yield TaskRecord(
                path=task["path"],
                kind=task.get("kind", "task"),
                status=status,
                started=first + started,
                ended=first + ended,
                beside=beside,
                form=form,
                value=value,
                error=task.get("error"),
                checked=task.get("checked", False),
                canceled=task.get("canceled"),
            )


def _thawed(data: Any) -> tuple[str, Any]:
    return (data["form"], data["value"]) if _is_described(data) else ("", data)


def _is_described(data: Any) -> bool:
    """Whether data looks like that of a value with a form. Plain data that does is given the form ""."""
    return isinstance(data, dict) and cast("dict[str, Any]", data).keys() == {"form", "value"}
