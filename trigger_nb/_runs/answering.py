"""Answers to the questions of a run: see `Run.approve`. An answer needs no lease: the first one counts, in the store."""

from __future__ import annotations

import getpass
from contextlib import suppress
from typing import Any

from .._clock import to_datetime
from .._events.post import due_row
from .._io.forms import as_json, check_by_fields, check_names
from .._keys import display_path
from .._records.questions import (
    APPROVAL,
    FINAL,
    INPUT,
    REJECT,
    Answer,
    Question,
    answer_key,
    answers_tag,
    how_to_answer,
    question_of,
)
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._store.protocol import Row
from ..errors import AlreadyAnsweredError, CorruptRecordError, InvalidAnswerError, RunStateError
from .commands import _allowed, _on_home
from .runtime import ActiveRun, Runtime
from .task_info import find_tasks
from .task_paths import TaskPath

_PATIENCE = 5.0  # seconds to wait for another process's transaction


def choose(
    runtime: Runtime, run_id: str, path: TaskPath, choice: object, data: object = None, by: str | None = None
) -> None:
    """Answer an approval."""
    task, question = _open_question(runtime, run_id, path)
    name = display_path(task.path)
    if question.asks != APPROVAL:
        raise InvalidAnswerError(f"{name!r} asks for a value, and for no choice: {how_to_answer(task)}")
    if choice not in question.choices:
        raise InvalidAnswerError(
            f"the choices of {name!r} are {', '.join(map(repr, question.choices))}; not {choice!r:.100}"
        )
    if data is not None and not question.fields:
        raise InvalidAnswerError(f"{name!r} takes no data: leave out data={data!r:.100}")
    needs_data = bool(question.fields) and not (choice == REJECT and data is None)
    given: object = {} if data is None and question.has_names and needs_data else data
    _record(runtime, run_id, task, question, str(choice), as_json(given), by, needs_data=needs_data)


def give(runtime: Runtime, run_id: str, path: TaskPath, value: object, by: str | None = None) -> None:
    """Answer a question for a value."""
    task, question = _open_question(runtime, run_id, path)
    if question.asks != INPUT:
        raise InvalidAnswerError(f"{display_path(task.path)!r} asks for a choice: {how_to_answer(task)}")
    _record(runtime, run_id, task, question, None, as_json(value), by, needs_data=True)


def _open_question(runtime: Runtime, run_id: str, path: TaskPath) -> tuple[TaskRecord, Question]:
    """A question that waits for its answer. Raises an error that says why there is none."""
    _allowed(runtime, run_id, "answer")
    (task,) = find_tasks(runtime, run_id, [path])
    question, name = question_of(task), display_path(task.path)
    if question is None:
        raise RunStateError(
            f"task {name!r} of run {run_id} asks nothing: only io.wait_for_approval and io.ask do"
        )
    if task.status == TaskStatus.COMPLETED:
        said = question.answer
        if not said:
            raise AlreadyAnsweredError(f"{name!r} of run {run_id} has its result: a person set it")
        raise _answered(
            name,
            run_id,
            Answer(
                said.get("choice"),
                None,
                said.get("by", ""),
                said.get("at", 0.0),
                said.get("timed_out") is True,
            ),
        )
    if task.status != TaskStatus.WAITING:
        raise RunStateError(f"{name!r} of run {run_id} is {task.status}, and waits for no answer now")
    return task, question


def _record(
    runtime: Runtime,
    run_id: str,
    task: TaskRecord,
    question: Question,
    choice: str | None,
    data: Any,
    by: str | None,
    *,
    needs_data: bool,
) -> None:
    name = display_path(task.path)
    if by is not None and not isinstance(by, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
        raise InvalidAnswerError(f'by is who answers, as text such as "ada", not {by!r:.100}')
    active = runtime.executions.get(run_id)
    call = None if active is None or active.pass_ is None else active.pass_.questions.open.get(task.path)
    answer = Answer(choice, data, _who() if by is None else by[:200], round(runtime.clock.time(), 3))
    if needs_data:
        check_names(question, data)
        if call is not None:
            call.build(answer)
        else:
            check_by_fields(question, data, repr(name))
    key = answer_key(run_id, task.path, task.generation)
    row = Row(key, answers_tag(run_id), answer.dumps(), FINAL)
    # A kernel that listens goes on with a run that no kernel drives.
    rows = [row] if active is not None else [row, due_row(run_id, 0.0)]
    if row in runtime.journal.commit(rows, patience=_PATIENCE):
        raise _answered(name, run_id, _stored(runtime, key))
    if active is not None:
        _tell(active)
    else:
        runtime.post.tell()


def _tell(active: ActiveRun) -> None:
    """Wake the question in this kernel."""
    pass_ = active.pass_
    if pass_ is not None:
        _on_home(active, pass_.questions.look)


def _stored(runtime: Runtime, key: str) -> Answer:
    with suppress(CorruptRecordError):
        return Answer.loads(runtime.store.get(key) or "")
    return Answer()


def _answered(name: str, run_id: str, answer: Answer) -> AlreadyAnsweredError:
    at = to_datetime(answer.at) if answer.at else None
    when = "" if at is None else f" at {at:%Y-%m-%d %H:%M:%S} UTC"
    if answer.timed_out:
        text = f"{name!r} of run {run_id} had no answer in time: it ended{when}"
    else:
        text = f"{name!r} of run {run_id} has its answer: {answer.words}{when}. The first answer counts"
    return AlreadyAnsweredError(
        f"{text}. rerun_from({name!r}) asks again", answer.choice, answer.by or None, at
    )


def _who() -> str:
    """The user of this process; "" if the system does not tell."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""
