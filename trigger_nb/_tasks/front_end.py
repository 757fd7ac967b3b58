"""What the code of a run asks of a notebook's front end: `clear_output()` would remove the tree of the run, and the
question of `input()` would outlive the run that asks it, and take the answer to a later one."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._concurrency.interrupt import waits_for_user
from ..errors import RunInterrupted
from .call import current_scope

if TYPE_CHECKING:
    from .call import Scope, StoppingApi


def listen() -> None:
    """Stand in front of the notebook's functions. Called at the start of each pass."""
    get_ipython: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    publisher, kernel = getattr(shell, "display_pub", None), getattr(shell, "kernel", None)
    if hasattr(publisher, "clear_output") and "clear_output" not in vars(publisher):
        _keep_trees(publisher)
    if hasattr(kernel, "_input_request") and "_input_request" not in vars(kernel):
        _end_questions(kernel)


# clear_output -------------------------------------------------------------------------------------
def _keep_trees(publisher: Any) -> None:
    before: Callable[..., object] = publisher.clear_output

    def clear_output(wait: bool = False) -> None:
        scope = current_scope.get()
        if scope is None or not scope.owner.feed.watched or _is_in_widget(publisher):
            before(wait)

    publisher.clear_output = clear_output


def _is_in_widget(publisher: Any) -> bool:
    """Whether an `ipywidgets.Output` captures what is displayed now: then it is cleared, and not the cell."""
    message = getattr(publisher, "parent_header", {}).get("msg_id")
    widgets: dict[str, object] = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    return any(getattr(each, "msg_id", None) == message for each in list(widgets.values()) if message)


# input, getpass -----------------------------------------------------------------------------------
class _Question:
    """One call of `input()`."""

    def __init__(self, scope: Scope | None, cell: float) -> None:
        self.scope = scope
        self.cell = cell  # when the cell was run that asks: the page shows no questions of earlier ones
        self.is_asked = False  # whether the notebook waits for its answer. Changed under the guard


class _AskLater(BaseException):
    """A later cell asks."""


_guard = threading.Lock()
# Under the guard, by the id of a thread. An entry is gone before its thread leaves `ask`.
_questions: dict[int, _Question] = {}
_LOOK_EVERY = 0.05  # how often a thread that waits for its turn looks whether it has come, in seconds


def _end_questions(kernel: Any) -> None:
    before: Callable[..., str] = kernel._input_request

    @waits_for_user
    def ask(prompt: object, ident: object, parent: Any, *args: Any, **options: Any) -> str:
        thread, question = threading.get_ident(), _Question(current_scope.get(), _time_of(parent))
        try:
            _enter(thread, question)
            while True:
                try:
                    while not _take_turn(thread, question):
                        time.sleep(_LOOK_EVERY)
                    answer = before(prompt, ident, parent, *args, **options)
                    _leave(thread)
                    return answer  # noqa: TRY300  # a later cell may ask until here
                except _AskLater:
                    _ask_again(thread, question)
        finally:
            try:
                _leave(thread)
            finally:
                _leave(thread)  # the first call may have been interrupted

    kernel._input_request = ask


def _time_of(request: Any) -> float:
    """When the cell was run that a request of the notebook is about; 0.0 if that is not known."""
    try:
        return request["header"]["date"].timestamp()
    except (AttributeError, LookupError, TypeError):
        return 0.0


def _enter(thread: int, question: _Question) -> None:
    scope = question.scope
    with _guard:
        if scope is not None and scope.owner.stopping.why is not None:
            scope.interrupted = True
            raise RunInterrupted
        _questions[thread] = question
        for other, asked in _questions.items():
            if asked.is_asked and asked.cell < question.cell:
                asked.is_asked = False
                _raise_in(other, _AskLater)


def _take_turn(thread: int, question: _Question) -> bool:
    """Whether the question can be asked: one at a time, as nothing in an answer says which one it answers. The cells that were
    run last come first."""
    with _guard:
        first = min(_questions, key=lambda each: (-_questions[each].cell, not _questions[each].is_asked))
        question.is_asked = first == thread
        return question.is_asked


def _ask_again(thread: int, question: _Question) -> None:
    with _guard:
        question.is_asked = False
        _questions[thread] = question


def _leave(thread: int) -> None:
    with _guard:
        _questions.pop(thread, None)


def end_questions(stopping: StoppingApi) -> None:
    """End the questions of a pass that ends: nobody can see them any more, and their tasks ask again in the next pass."""
    with _guard:
        for thread, question in _questions.items():
            scope = question.scope
            is_here = thread == threading.get_ident()  # then it is interrupted itself
            if (
                scope is not None
                and scope.owner.stopping is stopping
                and not scope.interrupted
                and not is_here
            ):
                scope.interrupted = True
                _raise_in(thread, RunInterrupted)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise an error in a thread that is in `ask`: it cannot leave that without the guard, which the caller holds."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
