"""An SQL statement with its parameters, and the rows of its result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import InvalidOptionError

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

Row: TypeAlias = dict[str, Any]
_WRITING = re.compile(r"\s*(insert|update|delete|merge|replace|truncate|create|alter|drop)\b", re.IGNORECASE)
_SHOWN = 80  # longest statement that a task's row shows, in characters


class Query:
    """A statement with its parameters."""

    def __init__(self, statement: Any, parameters: Any) -> None:
        self._given = statement
        self.parameters: Any = parameters
        self._text, self._values = self._described()

    @property
    def statement(self) -> Any:
        """The statement as an SQLAlchemy construct."""
        from sqlalchemy import text

        return text(self._given) if isinstance(self._given, str) else self._given

    def run(self, connection: Connection) -> CursorResult[Any]:
        """Execute it."""
        return connection.execute(self.statement, self.parameters)

    def params(self) -> dict[str, Any]:
        """The task's input: it is shown, and compared with the input of a stored result (R6)."""
        return {"statement": self._text, "parameters": self._values}

    def properties(self) -> dict[str, str]:
        """The text that the task's row shows."""
        line = " ".join(self._text.split())
        return {"Statement": line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"}

    def refuse_to_write(self) -> None:
        """Refuse a statement that writes: a read is rolled back, and its writes would be lost without a message."""
        if _WRITING.match(self._text):
            raise InvalidOptionError(
                "a fetch only reads, and this statement writes. Use execute, whose result has the rows that "
                "RETURNING gives: (await io.sql.execute(key, statement, parameters)).rows"
            )

    def _described(self) -> tuple[str, Any]:
        if isinstance(self._given, str):
            return self._given, self.parameters
        many = isinstance(self.parameters, (list, tuple))
        none: dict[str, Any] = {}
        first = next(iter(self.parameters), none) if many else self.parameters or none
        options: dict[str, Any] = {"compile_kwargs": {"render_postcompile": True}}
        if first and getattr(self._given, "is_dml", False):
            # Without own values, it sets the columns that its parameters name.
            options["column_keys"] = list(first)
        compiled = self._given.compile(**options)
        return str(compiled), self.parameters if many else {**plain(compiled.params or none), **first} or None


def all_rows(result: CursorResult[Any]) -> list[Row]:
    _check_names(result)
    return [plain(row) for row in result.mappings()]


def one(result: CursorResult[Any]) -> Row:
    _check_names(result)
    return plain(result.mappings().one())


def one_or_none(result: CursorResult[Any]) -> Row | None:
    _check_names(result)
    row = result.mappings().one_or_none()
    return None if row is None else plain(row)


def value(result: CursorResult[Any]) -> Any:
    return result.scalar_one()


def plain(row: Mapping[Any, Any]) -> Row:
    """Convert SQLAlchemy's own text class for names to `str`, which can be stored."""
    return {str(name): value for name, value in row.items()}


def _check_names(result: CursorResult[Any]) -> None:
    names = list(result.keys())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOptionError(
            f"a row has two columns named {twice[0]!r}, and a dict holds one. Name them apart: "
            f"SELECT a.{twice[0]} AS a_{twice[0]}, ..."
        )
