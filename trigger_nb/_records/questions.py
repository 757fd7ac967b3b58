"""Questions that a run asks people, and their answers, as the store has them.

A question is a task of the kind "question"; its record's `data` says what is asked. An answer is a row of its own, which is
written once: of two answers, in whatever processes, the store refuses the second one. So to answer, nobody needs the lease
of the run, and an answer that comes while no kernel drives the run waits for the next one. The generation is part of the
key: a question that is asked again has no answer yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from .._keys import display_path
from ..errors import CorruptRecordError
from .records import TaskRecord

ANSWER = "answer"  # begins the keys and the tags of answers
KIND = "question"  # of the task
APPROVAL, INPUT = "approval", "input"
Asks: TypeAlias = Literal["approval", "input"]
REJECT = "reject"  # the choice that needs no data
FINAL = 1  # the rank of an answer's row: no other one replaces it
Field: TypeAlias = dict[str, Any]
"""A field of a form: "name", "label", "kind" (see `_io/forms.py`), and what else there is to say about it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: words, the choices of an approval, and the fields of a form."""

    asks: Asks = APPROVAL
    prompt: str = ""
    choices: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    # Whether the answer's data are an object with these fields, and not the value of the only one.
    has_names: bool = True
    is_open: bool = False  # whether names that are no field are allowed
    schema: str = ""  # its name
    answer: Mapping[str, Any] = field(
        default_factory=dict[str, Any]
    )  # who gave it, and when; without its data
    refused: str = ""  # why the last answer was not taken

    def data(self) -> dict[str, Any]:
        """The question as `data` of a record."""
        said = {
            "asks": self.asks,
            "prompt": self.prompt,
            "choices": list(self.choices),
            "fields": list(self.fields),
            "has_names": self.has_names,
            "is_open": self.is_open,
            "schema": self.schema,
        }
        return {name: value for name, value in said.items() if value not in ("", [], False)}


def question_of(record: TaskRecord) -> Question | None:
    """The question of a task's record; None if the task is none. What is damaged in it is left out."""
    given: object = record.data
    if record.kind != KIND or not isinstance(given, dict):
        return None
    data = cast("dict[str, Any]", given)
    objects = [cast("Field", each) for each in _list(data.get("fields")) if isinstance(each, dict)]
    fields = [each for each in objects if isinstance(each.get("name"), str)]
    answer: object = data.get("answer")
    return Question(
        asks=INPUT if data.get("asks") == INPUT else APPROVAL,
        prompt=str(data.get("prompt", "")),
        choices=tuple(map(str, _list(data.get("choices")))),
        fields=tuple(fields),
        has_names=bool(data.get("has_names")),
        is_open=bool(data.get("is_open")),
        schema=str(data.get("schema", "")),
        answer=cast("dict[str, Any]", answer) if isinstance(answer, dict) else {},
        refused=str(data.get("refused", "")),
    )


def how_to_answer(record: TaskRecord, run: str = "run") -> str:
    """The code that answers a question; `run` is the run's handle in it."""
    return " or ".join(code for _, code in ways_to_answer(record, run)[:2])


def ways_to_answer(record: TaskRecord, run: str = "run") -> list[tuple[str, str]]:
    """The choices of a question, each with the code that takes it; of a question for a value, one way without a choice."""
    question, name = question_of(record) or Question(), display_path(record.path)
    if question.asks == INPUT:
        return [("", f"{run}.answer({name!r}, ...)")]
    data = ", data={...}" if question.fields else ""
    ways: list[tuple[str, str]] = []
    for choice in question.choices:
        if choice == REJECT:
            code = f"{run}.reject({name!r})"
        else:
            code = f"{run}.approve({name!r}{'' if choice == 'approve' else f', {choice!r}'}{data})"
        ways.append((choice, code))
    return ways


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the choice, JSON data, who gave it, and when, in UTC seconds."""

    choice: str | None = None  # None for plain input, and for no answer in time
    data: Any = None
    by: str = ""
    at: float = 0.0
    timed_out: bool = False  # nobody has answered in time

    def dumps(self) -> str:
        """The text of the row."""
        said = {"data": self.data, "at": self.at}
        said |= {"choice": self.choice} if self.choice is not None else {}
        said |= {"by": self.by} if self.by else {}
        said |= {"timed_out": True} if self.timed_out else {}
        return json.dumps(said)

    @classmethod
    def loads(cls, text: str) -> Answer:
        """The answer of a row. Raises `CorruptRecordError`."""
        try:
            said = json.loads(text)
            choice, by, at = said.get("choice"), said.get("by", ""), said["at"]
            is_right = isinstance(choice, (str, type(None))) and isinstance(by, str)
            if not is_right or type(at) not in (int, float) or not 0 <= at < _LATEST:
                raise ValueError
            return cls(choice, said["data"], by, at, timed_out=said.get("timed_out") is True)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
            raise CorruptRecordError("the row of an answer is damaged") from None

    def told(self) -> dict[str, Any]:
        """What the record of the question says about it."""
        said = {"choice": self.choice, "by": self.by, "at": self.at, "timed_out": self.timed_out}
        return {name: value for name, value in said.items() if value}

    @property
    def words(self) -> str:
        """Who has answered and what, in words: `"approve" by ada`."""
        if self.timed_out:
            return "no answer in time"
        return (f'"{self.choice}"' if self.choice is not None else "answered") + (
            f" by {self.by}" if self.by else ""
        )


_LATEST = 253_402_300_799.0


def answers_tag(run_id: str) -> str:
    """The tag of all answers in a run."""
    return f"{ANSWER}/{run_id}"


def answer_key(run_id: str, path: str, generation: int) -> str:
    """The key of the answer to a question."""
    return f"{answers_tag(run_id)}/{generation}/{path}"
