"""All exceptions that this package defines, drawn as a tree.

```
Exception
└── TriggerError                     the base class: `except TriggerError` catches all of them
    ├── UsageError                   a mistake in the calling code; never recorded, never retried
    │   ├── InvalidKeyError          a cache key that is neither text nor a tuple of plain values
    │   ├── DuplicateKeyError        a cache key used twice in one scope
    │   ├── NestingError             tasks nested deeper than `max_depth`
    │   ├── ScopeClosedError         an `io` used after its body had ended
    │   ├── ScopeUnknownError        an `io` used where its scope cannot be determined
    │   ├── SelfAwaitError           a run that waits for itself
    │   ├── InvalidOptionError       an option with an invalid value
    │   ├── MissingCredentialError   an integration without a token, key or password
    │   ├── MissingExtraError        an optional library that is not installed
    │   ├── InvalidFilterError       an event filter with invalid syntax
    │   ├── UnreadableFileError      a `File` or `Files` that is not there or cannot be read
    │   ├── NoStubError              a test of a job that would reach a service, because a stub is missing
    │   ├── UnknownStubError         a test of a job with a stub for a task that the job does not have
    │   └── ReplayMismatchError      a job whose code calls other tasks when it is replayed
    ├── InvalidPayloadError          a payload that the trigger's schema rejects
    ├── InvalidAnswerError           an answer that does not fit the question of a run
    ├── AlreadyAnsweredError         a second answer to a question of a run
    ├── InvalidSignatureError        a request to an endpoint that is not signed, or not rightly
    ├── NotStorableError             a value that no codec can write
    ├── ValueNotStoredError          the use of a result that could not be stored
    ├── ValueNotLoadedError          a stored value whose class is not loaded, or has changed too much
    ├── RedactedError                the use of a secret that was not stored
    ├── InputsNotKeptError           the arguments of a task are not in the store
    ├── RunStateError                an operation that the run's status does not allow
    ├── DetachError                  a run that cannot be moved to a worker; it goes on where it is
    ├── NotFoundError                a run, task or job that does not exist
    ├── RunCanceledError             raised by `await run` for a canceled run
    ├── RunInterruptedError          raised by `await run` for an interrupted or paused run
    ├── TaskError                    a task's error, when its own class is not loaded
    │   ├── ExitError                a body or a job was left by SystemExit, or by another exception that is no Exception
    │   ├── MapError                 an ExceptionGroup of the errors of a map's items
    │   ├── TaskTimeoutError         an attempt took longer than the task's `timeout`
    │   ├── ResponseTooLargeError    a response that is longer than `max_bytes` of its request
    │   ├── TaskCrashedError         a body during which the process died repeatedly
    │   └── WorkerLostError          an executor's worker died while it ran the body
    └── StoreError                   the store cannot be read or written
        ├── StoreBusyError           another process locked the database for too long
        ├── CorruptRecordError       a row or file is missing or damaged
        │   └── FileLostError        the file of a stored `File` is gone or was altered
        ├── PickleRefusedError       a pickled row, which is never loaded
        ├── BadSignatureError        a signed pickle with a wrong signature
        ├── RunLockedError           another kernel drives the run
        └── RunLostError             another kernel took over the run

BaseException
└── RunInterrupted                   unwinds a `def` job when its run is interrupted
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ._examples import examples, is_printed

__all__ = [
    "AlreadyAnsweredError",
    "BadSignatureError",
    "CorruptRecordError",
    "DuplicateKeyError",
    "ExitError",
    "FileLostError",
    "InputsNotKeptError",
    "InvalidAnswerError",
    "InvalidFilterError",
    "InvalidKeyError",
    "InvalidOptionError",
    "InvalidPayloadError",
    "InvalidSignatureError",
    "MapError",
    "MissingCredentialError",
    "MissingExtraError",
    "NestingError",
    "NoStubError",
    "NotFoundError",
    "NotStorableError",
    "PickleRefusedError",
    "RedactedError",
    "ReplayMismatchError",
    "ResponseTooLargeError",
    "RunCanceledError",
    "RunInterrupted",
    "RunInterruptedError",
    "RunLockedError",
    "RunLostError",
    "RunStateError",
    "ScopeClosedError",
    "ScopeUnknownError",
    "SelfAwaitError",
    "StoreBusyError",
    "StoreError",
    "TaskCrashedError",
    "TaskError",
    "TaskTimeoutError",
    "TriggerError",
    "UnknownStubError",
    "UnreadableFileError",
    "UsageError",
    "ValueNotLoadedError",
    "ValueNotStoredError",
    "WorkerLostError",
]


class TriggerError(Exception):
    """Base class of all exceptions that trigger_nb defines, except `RunInterrupted`."""


class UsageError(TriggerError):
    """A mistake in the calling code.

    A usage error is never recorded as a task's result and never retried. The run fails with it even if your
    code catches it: a run that continued could store results under the wrong keys.
    """


class InvalidKeyError(UsageError, ValueError):
    """A cache key is neither text nor a tuple of text, numbers, booleans, dates, UUIDs, enums and files."""


class DuplicateKeyError(UsageError):
    """A cache key was used twice in one scope.

    `path` is the task's path; `places` are the two places in your code.
    """

    def __init__(self, path: str, first: str, second: str, name: str = "") -> None:
        self.path = path
        self.places = (first, second)
        super().__init__(
            f"the cache key of task {name or path!r} is used twice in one scope:\n"
            f"  first at {first}\n"
            f"  again at {second}\n"
            "Keys name the stored results, so each needs its own. In a loop, make the item part of "
            'the key: io.run_task(("fetch", item.id), fetch, item). In a shared helper, take the key '
            "as a parameter, or wrap the calls in a parent task. To try a task again when it fails, give it retry=3 "
            "instead of a loop of your own."
        )


class NestingError(UsageError):
    """Tasks are nested deeper than the client's `max_depth`. `path` is the task that was refused."""

    def __init__(self, path: str, max_depth: int, name: str = "") -> None:
        self.path = path
        self.max_depth = max_depth
        super().__init__(
            f"task {name or path!r} would be nested {max_depth + 1} levels deep, and {max_depth} is the limit. "
            "Start it from a shallower body, make part of the work a child run "
            "(io.invoke_and_wait), or raise the limit: TriggerClient(..., max_depth=...)."
        )


class ScopeClosedError(UsageError):
    """An `io` was used after the body that received it had ended."""


class ScopeUnknownError(UsageError):
    """An `io` was used where the calling task's body cannot be determined, such as in a thread of your own."""


class SelfAwaitError(UsageError):
    """A run waits for itself, directly or through its children, and would never end."""


class InvalidOptionError(UsageError, ValueError):
    """An option has an invalid value, such as a datetime without a time zone."""


class MissingCredentialError(UsageError):
    """An integration has no credential. The message names the environment variable to set."""


class MissingExtraError(UsageError, ImportError):
    """An optional library is not installed. The message has the `pip install` command."""


class InvalidFilterError(UsageError, ValueError):
    """An event filter has invalid syntax. Raised when the trigger is defined."""


class UnreadableFileError(UsageError, OSError):
    """A `File` counts by its content, and there is no file, it is a folder, or it cannot be read.

    `path` is the absolute path. Also raised by `Files(...)` for a folder that does not exist.
    """

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class NoStubError(UsageError):
    """In a test (`job.test`), code reached for a service, and the task has no stub. Raised by `job.test`.

    `path` is the task; "" for code between tasks.
    """

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class UnknownStubError(UsageError):
    """In a test (`job.test`), a stub is for a path that no task of the run has. Raised by `job.test`."""


class ReplayMismatchError(UsageError, AssertionError):
    """A replay of a job called other tasks than the run before, or the same ones with other arguments.

    Raised by `trigger_nb.testing.replay_every_step` and `replay`. `path` is the first task that differs, and
    `place` is where the code calls it; "" if it does not.
    """

    def __init__(self, message: str, path: str = "", place: str = "") -> None:
        self.path = path
        self.place = place
        super().__init__(message)


class InvalidPayloadError(TriggerError, ValueError):
    """The trigger's schema rejects the payload. No run was started.

    `errors` is pydantic's list of errors, one mapping for each.
    """

    def __init__(self, message: str, errors: Iterable[dict[str, object]] = ()) -> None:
        self.errors = list(errors)
        super().__init__(message)


class InvalidAnswerError(TriggerError, ValueError):
    """An answer does not fit the question: its choice is none of those, or its schema refuses the data. Nothing was recorded.

    `errors` is pydantic's list of errors, one mapping for each; `fields` is what is wrong, by the name of the field.
    """

    def __init__(
        self, message: str, errors: Iterable[dict[str, object]] = (), fields: dict[str, str] | None = None
    ) -> None:
        self.errors = list(errors)
        self.fields = fields or {}
        super().__init__(message)


class AlreadyAnsweredError(TriggerError):
    """A question of a run has its answer: the first one counts. The message says whose it is.

    `choice` is what was chosen, `by` who has answered, and `at` when, in UTC; None where it is not known.
    """

    def __init__(
        self, message: str, choice: str | None = None, by: str | None = None, at: datetime | None = None
    ) -> None:
        self.choice = choice
        self.by = by
        self.at = at
        super().__init__(message)


class InvalidSignatureError(TriggerError):
    """A request to an endpoint has no signature, a wrong one, or one that is too old. It is answered with 401, and not recorded.

    A `verify=` function of yours may raise it, too; its message is sent as the answer.
    """


class NotStorableError(TriggerError, TypeError):
    """No codec can write a part of a value.

    `path` is the JSONPath of that part, such as `$.users[3].client`; `type_name` is its type.
    """

    def __init__(self, path: str, type_name: str, reason: str = "") -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        super().__init__(f"{path}: {type_name}" + (f" ({reason})" if reason else ""))


class ValueNotStoredError(TriggerError):
    """The value of a completed task could not be stored, and your code uses it."""


class ValueNotLoadedError(TriggerError):
    """A stored value cannot be rebuilt: its class is not loaded, or has changed too much.

    The value remains in the store; the message says what to define or change. The error ends the pass and
    is not raised by calls of `io`, where your `except` would take it for an error of the call. There is one
    exception: a call raises it if a new result does not fit the task's return type.
    """


class RedactedError(TriggerError):
    """Your code uses a secret that is not in the store. Read the secret inside the task that needs it."""


class InputsNotKeptError(TriggerError):
    """The arguments of a task are not in the store, so that they cannot be looked at, nor its body be called on them."""


class RunStateError(TriggerError):
    """The run's status does not allow the operation."""


class DetachError(TriggerError):
    """A run could not be moved to a worker, or back. It goes on where it was, and nothing is lost."""


class NotFoundError(TriggerError, LookupError):
    """No run, task or job has this name."""


class RunCanceledError(TriggerError):
    """The awaited run was canceled. Run its cell again to continue it."""


class RunInterruptedError(TriggerError):
    """The awaited run was interrupted or paused. Run its cell again to continue it."""


class TaskError(TriggerError):
    """A task's recorded error whose class is not loaded in this kernel.

    A replay raises a recorded error as an instance of its own class. If that class is not loaded, the
    instance's class derives from `TaskError` and from the nearest loaded base class, so that `except
    ThatBase` still catches it. `type_name` is the full name of the original class.
    """

    type_name: str = ""


class ExitError(TaskError):
    """A body, or the job's function, was left by an exception that is no `Exception`, its `__cause__`.

    `sys.exit()`, argparse and click raise `SystemExit`; a library that cancels work of its own may leave a
    `CancelledError`. Raised as it is, the first would end the kernel, and the second would look like a
    cancellation of your own code. An interrupt (`KeyboardInterrupt`) is none of these: it stops the run.
    """


class MapError(TaskError, ExceptionGroup[Exception]):
    """Items of a map failed. The group has their errors, in the items' order.

    Results of the other items are stored: the next pass runs only the failed items. Select errors by class
    with `except*`, or pass `return_errors=True` to get them in the list of results. The message counts the errors
    by class, and a traceback shows up to three examples.
    """

    @property
    def exceptions(self) -> tuple[Exception, ...]:
        """The errors of the failed items."""
        errors: tuple[Any, ...] = super().exceptions
        return examples(errors) if is_printed() else errors

    def derive(self, excs: Sequence[Any], /) -> MapError:
        """The `MapError` for a subgroup, as `split` and `except*` need it."""
        return MapError(self.message, excs)


class TaskTimeoutError(TaskError, TimeoutError):
    """An attempt of a task took longer than the task's `timeout`."""


class ResponseTooLargeError(TaskError):
    """A response is longer than `max_bytes` of `io.background_fetch` or `io.background_poll`."""


class TaskCrashedError(TaskError):
    """The process died repeatedly while the task's body ran.

    The run fails instead of running the body again. `run.retry()` tries again.
    """


class WorkerLostError(TaskError):
    """A worker of an `executor=` was lost while it ran a body, for example because it ran out of memory.

    The attempt fails with this error, and `retry=` runs the body again with the same idempotency key. How
    far the lost body had come is unknown. `__cause__` is the executor's own error.
    """


class StoreError(TriggerError):
    """The store cannot be read or written. Calls of `io` do not raise it: it ends the pass."""


class StoreBusyError(StoreError):
    """Another process held the database's write lock for too long."""


class CorruptRecordError(StoreError):
    """A row or a value file is missing or damaged."""


class FileLostError(CorruptRecordError):
    """A stored value has a `File` whose file is gone, or was altered since it was recorded.

    `path` is the absolute path. As the result of a task, such a file is a lost value: the task runs again with
    `repeatable=True`, and else its value is a placeholder that raises `ValueNotStoredError` when it is used.
    """

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class PickleRefusedError(StoreError):
    """A row holds a pickle. It is not loaded, because loading a pickle can run code."""


class BadSignatureError(StoreError):
    """A value written with `codec="pickle"` was not signed with this user's key."""


class RunLockedError(StoreError):
    """Another kernel drives the run. The message names it."""


class RunLostError(StoreError):
    """Another kernel took over the run. This kernel may no longer change the run's status."""


class RunInterrupted(BaseException):  # like KeyboardInterrupt: not an error
    """Unwinds the thread of a `def` job or body when its run is interrupted, canceled or paused.

    It derives from `BaseException`, so `except Exception` does not catch it. Every later `io` call of the
    same pass raises it again.
    """
