"""Placeholders for values that are not in the store: unstored results, redacted secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..errors import RedactedError, ValueNotStoredError


class _Absence(NamedTuple):
    """The error and the texts of a placeholder."""

    error: type[Exception]
    message: str
    shown: str


def _use(self: Any, *_: object, **__: object) -> Any:
    absence: _Absence = object.__getattribute__(self, "_absence")
    raise absence.error(absence.message)


class Placeholder:
    """A stand-in for a value. It can be passed on, copied, compared by `is` and shown; any other use raises."""

    __slots__ = ("__weakref__", "_absence")

    def __init__(self, error: type[Exception], message: str, shown: str) -> None:
        object.__setattr__(self, "_absence", _Absence(error, message, shown))

    def __repr__(self) -> str:
        absence: _Absence = object.__getattribute__(self, "_absence")
        return absence.shown

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        _use(self)

    if not TYPE_CHECKING:  # for a type checker, these would be overrides with wrong signatures
        __setattr__ = __delattr__ = __call__ = __getitem__ = __setitem__ = __delitem__ = _use
        __iter__ = __next__ = __reversed__ = __contains__ = __len__ = __length_hint__ = _use
        __enter__ = __exit__ = __aiter__ = __anext__ = __aenter__ = __aexit__ = _use
        __bool__ = __int__ = __float__ = __complex__ = __index__ = __bytes__ = __buffer__ = _use
        __str__ = __format__ = __fspath__ = __hash__ = __reduce_ex__ = _use
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _use
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _use
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _use
        __divmod__ = __rdivmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __invert__ = _use
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _use
        __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _use
        __round__ = __trunc__ = __floor__ = __ceil__ = _use


LOST_FILE = "File"  # the type of a result that is lost with the file of a `File` in it


class Unstored(Placeholder):
    """A placeholder for a result that could not be stored (rule S4), or that is lost.

    Using it raises `ValueNotStoredError`. `task` is the task with the result, `type` the type that no codec could
    write, and `path` its place in the result. For a lost file, `reason` says what happened to it.
    """

    __slots__ = ("_known",)

    def __init__(self, task: str, type: str, reason: str = "", path: str = "$") -> None:
        object.__setattr__(self, "_known", {"type": type, "reason": reason})
        of = f" of {task!r}" if task else ""
        if type == LOST_FILE:
            if task and task != "the run":  # for a value that this placeholder is a part of
                known_of(self)["reason"] = f"{reason}; it is of the result of task {task!r}"
            super().__init__(ValueNotStoredError, lost_file(task, reason), f"<lost{of}: {reason}>")
            return
        what = f"{path} is a {type}" + (f" ({reason})" if reason else "")
        super().__init__(
            ValueNotStoredError,
            f"the result{of} is used, but it could not be stored: {what}. The task is completed, so it does not run "
            "again by itself. Return plain data from it, or call register_codec() for that type, then rerun "
            "it. With repeatable=True, the task runs again whenever its value is needed.",
            f"<not stored{of}: {what}>",
        )


def lost_file(task: str, what: str) -> str:
    """What to say of the result of a task that is lost with its file; `what` says what happened to it."""
    is_known = task not in ("", "the run")
    rerun = f"run.rerun_from({task!r})" if is_known else "run.rerun_from(...) with the path of that task"
    return (
        f"the result{f' of {task!r}' if is_known else ''} is a lost value: {what}. The task is completed, so it does not run "
        f"again by itself. Put the file back as it was, or write it again: {rerun}. With repeatable=True, the task runs "
        "again whenever its file is lost."
    )


class UnstoredArgument(Placeholder):
    """A placeholder for an argument of an error that could not be stored.

    Unlike `Unstored`, it has the `repr` and `str` of the argument, so that the text of the error stays the same.
    """

    __slots__ = ("_known",)

    def __init__(self, type: str, shown: str, text: str) -> None:
        super().__init__(
            ValueNotStoredError,
            f"an argument of a stored error is used, but it could not be stored: it was a {type}. "
            "Give the error plain data, or call register_codec() or register_error() for it.",
            shown,
        )
        object.__setattr__(self, "_known", {"type": type, "shown": shown, "text": text})

    def __str__(self) -> str:
        return known_of(self)["text"]

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def known_of(value: Unstored | UnstoredArgument) -> dict[str, str]:
    """The data from which a placeholder was made."""
    return object.__getattribute__(value, "_known")


class Redacted(Placeholder):
    """A placeholder for a secret (rule S8), whose text is never stored."""

    __slots__ = ("_kind",)

    def __init__(self, kind: str = "SecretStr") -> None:
        super().__init__(
            RedactedError,
            f"a {kind} from a stored result is used, but secrets are never stored. Read the secret "
            "(from the environment, a vault or the kernel) inside the task that needs it.",
            f"<redacted {kind}>",
        )
        object.__setattr__(self, "_kind", kind)

    def __str__(self) -> str:
        return "**********"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def redacted_kind(value: Redacted) -> str:
    """The type of the secret that `value` stands for."""
    return object.__getattribute__(value, "_kind")
