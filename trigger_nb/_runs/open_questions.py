"""The questions of all runs of a store that wait for an answer: `client.approvals()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from .._clock import to_datetime
from .._events.addresses import Addresses
from .._keys import display_path
from .._records.questions import KIND, Asks, answer_key, how_to_answer, question_of
from .._records.records import RunRecord, TaskRecord
from .._records.status import RunStatus
from .._view.render import question_table
from .due import is_driven, waiting_tasks
from .runtime import Runtime
from .task_info import moment

_OVER = frozenset({RunStatus.PENDING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED})


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question of a run that waits for its answer.

    - `run_id`, `job`: whose it is; `path`: its path, for `client.run(run_id).approve(path)`.
    - `asks`: "approval", or "input" for `io.ask`.
    - `prompt`, `choices`: what is asked, and the choices of an approval.
    - `fields`: the fields of its form, as plain data: "name", "kind" ("text", "integer", "number", "checkbox", "date",
      "choice", "written" for times and the like, or "json"), "required", "default", "choices", "limits", "about", as far as there are any.
    - `asked_at`, `until`: when it was asked, and its time limit, in UTC.
    - `is_driven`: whether a kernel drives the run, and will go on at once.
    - `to_type`: the line of code that answers it.
    - `url`: the page on which it is answered, for whoever has this address; None if nobody serves it (`client.serve`).
    """

    run_id: str
    job: str
    path: str
    asks: Asks
    prompt: str
    choices: tuple[str, ...]
    asked_at: datetime
    until: datetime | None
    is_driven: bool
    to_type: str
    fields: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    url: str | None = field(default=None, repr=False)


class Approvals(Sequence[OpenQuestion]):
    """Open questions, the oldest first: a sequence, shown as a table.

    ```
    for question in client.approvals():
        print(question.path, question.prompt)
    ```
    """

    def __init__(self, questions: Sequence[OpenQuestion], now: float) -> None:
        self._questions = tuple(questions)
        self._now = now

    @overload
    def __getitem__(self, index: int) -> OpenQuestion: ...
    @overload
    def __getitem__(self, index: slice) -> Approvals: ...
    def __getitem__(self, index: int | slice) -> OpenQuestion | Approvals:
        if isinstance(index, slice):
            return Approvals(self._questions[index], self._now)
        return self._questions[index]

    def __len__(self) -> int:
        return len(self._questions)

    def _repr_html_(self) -> str:
        return question_table.as_html(self._questions, self._now)

    def __repr__(self) -> str:
        return question_table.as_text(self._questions, self._now)


class AsksPeople:
    """The part of a client that lists open questions."""

    @property
    def runtime(self) -> Runtime:
        """The open store."""
        raise NotImplementedError

    def approvals(self) -> Approvals:
        """The questions that wait for an answer, of `io.wait_for_approval` and `io.ask`, the oldest first. Shown as a table.

        >>> client.approvals()
        no open questions
        """
        runtime = self.runtime
        found = list(open_questions(runtime))
        return Approvals(sorted(found, key=lambda each: each.asked_at), runtime.clock.time())


def open_questions(runtime: Runtime) -> Iterator[OpenQuestion]:
    """The open questions of all runs. Those of runs that have ended wait for nothing."""
    for run in runtime.each_run_record():
        if runtime.status_of(run) in _OVER:
            continue
        for record in waiting_tasks(runtime, run.id):
            if record.kind == KIND and not _has_answer(runtime, run, record):
                yield _open(runtime, run, record)


def _has_answer(runtime: Runtime, run: RunRecord, record: TaskRecord) -> bool:
    """Whether there is an answer that the run has not taken yet."""
    return runtime.store.get(answer_key(run.id, record.path, record.generation)) is not None


def _open(runtime: Runtime, run: RunRecord, record: TaskRecord) -> OpenQuestion:
    question = question_of(record)
    assert question is not None
    path, addresses = display_path(record.path), Addresses(runtime.store)
    return OpenQuestion(
        run_id=run.id,
        job=run.job,
        path=path,
        asks=question.asks,
        prompt=question.prompt,
        choices=question.choices,
        asked_at=to_datetime(record.started_at),
        until=moment(record.next_at),
        is_driven=is_driven(runtime, run),
        to_type=how_to_answer(record, f"client.run({run.id!r})"),
        fields=question.fields,
        url=addresses.of_question(run.id, path) if addresses.base is not None else None,
    )
