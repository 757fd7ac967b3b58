"""Whether a body awaits anything but calls of `io`.

If it does not, and all its subtasks have results, another attempt would do the same with the same values. A body that takes
`task`, or belongs to an integration, is not looked at: the keys of its subtasks may differ from attempt to attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from .._concurrency.interrupt import calls_user_code
from .._records.status import TaskStatus

if TYPE_CHECKING:
    from .._tasks.call import Scope
    from .ledger import Ledger


class OnlyIo:
    """Awaits a body. Its scope's `only_io` is true as long as the body has awaited calls of `io` alone, one by one."""

    def __init__(self, steps: Generator[Any, Any, Any], scope: Scope) -> None:
        self._steps = steps  # of the body, see `contexts.py`
        self._scope = scope

    @calls_user_code
    def __await__(self) -> Generator[Any, Any, Any]:
        scope, steps = self._scope, self._steps
        scope.only_io = True
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                awaited = resume()
            except StopIteration as stop:
                return stop.value
            if not scope.subtasks:  # the body waits, and not for a task of its own
                scope.only_io = False
            try:
                sent = yield awaited
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  # thrown into the body
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, sent)


def has_only_results(scope: Scope, ledger: Ledger) -> bool:
    """Whether the body of this scope has started subtasks, and all of them have results."""
    records = [ledger.glance(scope.prefix + segment) for segment in scope.seen]
    return bool(records) and all(
        record is not None and record.status == TaskStatus.COMPLETED for record in records
    )
