"""Which tasks an error comes from, however it was wrapped on its way (rules R5 and A4)."""

from __future__ import annotations

from collections.abc import Iterator

from .._keys import is_within
from .._values.errors import ORIGINS


def mark_origin(error: BaseException, directory: str, run_id: str, path: str) -> None:
    """Note on an error that it left a task."""
    error.__dict__.setdefault(ORIGINS, []).append((directory, run_id, path))


def origins(error: BaseException, directory: str, run_id: str) -> list[str]:
    """Paths of a run's tasks that an error came from: through groups, causes and contexts."""
    found: dict[str, None] = {}
    for each in related(error):
        found.update(dict.fromkeys(_marked(each, directory, run_id)))
    return list(found)


def comes_from_subtask(error: BaseException, directory: str, run_id: str, path: str) -> bool:
    """Whether an error is that of a task inside `path`: itself, a member of its group, or its cause."""
    pending = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if any(is_within(origin, path) for origin in _marked(each, directory, run_id)):
            return True
        pending += _members(each)
        if each.__cause__ is not None:
            pending.append(each.__cause__)
    return False


def _marked(error: BaseException, directory: str, run_id: str) -> list[str]:
    marks: list[tuple[str, str, str]] = error.__dict__.get(ORIGINS, [])
    return [path for where, run, path in marks if (where, run) == (directory, run_id)]


def related(error: BaseException | None) -> Iterator[BaseException]:
    """An error with all that it groups, comes from, or was raised while handling."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [*reversed(_members(each)), each.__context__, each.__cause__]  # popped from the end


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
