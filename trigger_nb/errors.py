"""Every exception this package raises of its own accord, drawn as a tree.

```
Exception
└── TriggerError                     the root: `except TriggerError` catches all of ours
    ├── UsageError                   a mistake in the calling code; never recorded, never retried
    │   ├── InvalidKeyError          a cache key that is neither text nor a tuple of plain values
    │   ├── DuplicateKeyError        a cache key met twice in one scope
    │   ├── NestingError             tasks nested deeper than `max_depth`
    │   ├── ScopeClosedError         an `io` used after the body it was made for had ended
    │   ├── ScopeUnknownError        an `io` used where its scope cannot be told
    │   ├── SelfAwaitError           a run that waits for itself
    │   ├── InvalidOptionError       an option whose value cannot be meant
    │   ├── MissingCredentialError   an integration that has no token, key or password
    │   ├── MissingExtraError        an integration whose library is not installed
    │   └── InvalidFilterError       an event filter that is not well formed
    ├── InvalidPayloadError          a payload that does not fit the trigger's schema
    ├── NotStorableError             a value no codec can write (raised by the codec, see rule S4)
    ├── ValueNotStoredError          the use of a result that could not be kept
    ├── ValueNotLoadedError          a stored value whose class is not loaded here, or no longer fits it
    ├── RedactedError                the use of a secret that was never written
    ├── RunStateError                an operation that the run's status does not allow
    ├── NotFoundError                a run, task or job that is not there
    ├── RunCanceledError             what `await run` raises for a canceled run
    ├── RunInterruptedError          what `await run` raises for an interrupted or paused run
    ├── TaskError                    stands in for an error whose class is not loaded here
    │   ├── MapError                 items of a map failed; an ExceptionGroup of their errors
    │   ├── TaskTimeoutError         an attempt took longer than its `timeout`
    │   ├── TaskCrashedError         a body under which the process died again and again
    │   └── WorkerLostError          the worker of an executor died while it ran the body
    └── StoreError                   the store cannot be read or written
        ├── StoreBusyError           another process holds the database for too long
        ├── CorruptRecordError       a row or file is not what was written
        ├── PickleRefusedError       a pickled row, which is never loaded
        ├── BadSignatureError        a signed pickle whose signature does not fit
        ├── RunLockedError           the run is driven by another kernel
        └── RunLostError             another kernel took the run over from this one

BaseException
└── RunInterrupted                   unwinds a `def` job whose run was interrupted
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "BadSignatureError",
    "CorruptRecordError",
    "DuplicateKeyError",
    "InvalidFilterError",
    "InvalidKeyError",
    "InvalidOptionError",
    "InvalidPayloadError",
    "MapError",
    "MissingCredentialError",
    "MissingExtraError",
    "NestingError",
    "NotFoundError",
    "NotStorableError",
    "PickleRefusedError",
    "RedactedError",
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
    "UsageError",
    "ValueNotLoadedError",
    "ValueNotStoredError",
    "WorkerLostError",
]


class TriggerError(Exception):
    """The root of every exception that trigger_nb raises of its own accord."""


class UsageError(TriggerError):
    """A mistake in the calling code.

    It is never recorded as a task's result and never retried, and the run fails
    with it even when the code around it swallows it: a run that goes on past its
    own mistake would store results under the wrong names.
    """


class InvalidKeyError(UsageError, ValueError):
    """A cache key is text, or a tuple of text, numbers, booleans, dates, UUIDs and enums."""


class DuplicateKeyError(UsageError):
    """A cache key was used twice in one scope; `path` and both `places` say where."""

    def __init__(self, path: str, first: str, second: str, name: str = "") -> None:
        self.path = path
        self.places = (first, second)
        super().__init__(
            f"the cache key of task {name or path!r} is used twice in one scope:\n"
            f"  first at {first}\n"
            f"  again at {second}\n"
            "Keys name the stored results, so each needs its own. In a loop, make the item part of "
            'the key: io.run_task(("fetch", item.id), fetch, item). In a shared helper, take the key '
            "as a parameter, or wrap the calls in a parent task."
        )


class NestingError(UsageError):
    """Tasks are nested deeper than the client's `max_depth`."""

    def __init__(self, path: str, max_depth: int, name: str = "") -> None:
        self.path = path
        self.max_depth = max_depth
        super().__init__(
            f"task {name or path!r} would be nested {max_depth + 1} levels deep, and {max_depth} is the limit. "
            "Start it from a shallower body, make part of the work a child run "
            "(io.invoke_and_wait), or raise the limit: TriggerClient(..., max_depth=...)."
        )


class ScopeClosedError(UsageError):
    """An `io` was used after the body that it was made for had ended."""


class ScopeUnknownError(UsageError):
    """An `io` was used where it cannot be told which task's body is calling."""


class SelfAwaitError(UsageError):
    """A run waits for itself, directly or through its children, and would never end."""


class InvalidOptionError(UsageError, ValueError):
    """An option has a value that cannot be meant, such as a naive datetime."""


class MissingCredentialError(UsageError):
    """An integration was used that has no credential; the message names the variable to set."""


class MissingExtraError(UsageError, ImportError):
    """An integration was used whose library is not installed; the message has the line that installs it."""


class InvalidFilterError(UsageError, ValueError):
    """An event filter is not well formed; found when the trigger is defined."""


class InvalidPayloadError(TriggerError, ValueError):
    """The payload does not fit the trigger's schema; no run was started.

    `errors` holds pydantic's own list of what is wrong, one mapping a fault.
    """

    def __init__(self, message: str, errors: Iterable[dict[str, object]] = ()) -> None:
        self.errors = list(errors)
        super().__init__(message)


class NotStorableError(TriggerError, TypeError):
    """A value has a part that no codec can write; `path` is a JSONPath such as `$.users[3].client`."""

    def __init__(self, path: str, type_name: str, reason: str = "") -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        super().__init__(f"{path}: {type_name}" + (f" ({reason})" if reason else ""))


class ValueNotStoredError(TriggerError):
    """A task ended well, but its value could not be kept, and now it is used."""


class ValueNotLoadedError(TriggerError):
    """A stored value cannot be rebuilt here: its class is not loaded, or no longer fits it.

    The value is still in the store; the message says what to define or change first. It ends the pass, and is
    never raised from `io`: the code around a call would take it for an error of that call. Only of a new result
    that does not fit the type that its task is said to return it is one.
    """


class RedactedError(TriggerError):
    """A secret is used that was never written to the store."""


class RunStateError(TriggerError):
    """The run's status does not allow the operation."""


class NotFoundError(TriggerError, LookupError):
    """There is no run, task or job of that name."""


class RunCanceledError(TriggerError):
    """The awaited run was canceled. Running its cell again takes it up where it was."""


class RunInterruptedError(TriggerError):
    """The awaited run was interrupted or paused. Running its cell again takes it up where it was."""


class TaskError(TriggerError):
    """An error that a task ended in, when its own class is not loaded in this kernel.

    On replay a recorded error is raised as an instance of its own class. Where that
    class is not loaded, it is raised as a class that derives from `TaskError` and from
    the nearest loaded base, so that `except ThatBase` still takes the same branch.
    `type_name` is the original class's full name.
    """

    type_name: str = ""


class MapError(TaskError, ExceptionGroup[Exception]):
    """Items of a map failed: an `ExceptionGroup` of their errors, in the items' order.

    The results of the others are kept; in the next pass only what failed runs again. `except*` takes
    the errors by class, and with `return_errors=True` they are handed over as results instead.
    """

    def derive(self, excs: Sequence[Any], /) -> MapError:
        """A part of it, as `split` and `except*` make one, is a `MapError`, too."""
        return MapError(self.message, excs)


class TaskTimeoutError(TaskError, TimeoutError):
    """One attempt of a task took longer than its `timeout`."""


class TaskCrashedError(TaskError):
    """The process died repeatedly while this task's body was running.

    The run stops and asks instead of killing the kernel once more: `run.retry()`
    tries again.
    """


class WorkerLostError(TaskError):
    """The worker of an `executor=` was lost while it ran a body: it was killed, or ran out of memory.

    It is an error of the attempt: `retry=` tries again. Its `__cause__` is the engine's own error. What
    the body had done by then is not known; the next attempt gets the same idempotency key.
    """


class StoreError(TriggerError):
    """The store cannot be read or written. Never a statement about the user's own call."""


class StoreBusyError(StoreError):
    """Another process has held the database's write lock for too long."""


class CorruptRecordError(StoreError):
    """A row or a value file is missing or is not what was written."""


class PickleRefusedError(StoreError):
    """A row holds a pickle. Loading one can run code, so it is refused unread."""


class BadSignatureError(StoreError):
    """A value written with `codec="pickle"` has a signature that does not fit this user's key."""


class RunLockedError(StoreError):
    """The run is driven by another living kernel, which the message names."""


class RunLostError(StoreError):
    """Another kernel has taken this run over; this one may no longer change its status."""


class RunInterrupted(BaseException):  # like KeyboardInterrupt: not an error
    """Unwinds the thread of a `def` job or body when its run is interrupted, canceled or paused.

    It derives from `BaseException` so that `except Exception` does not stop it. After it,
    every `io` call of that pass raises it again.
    """
