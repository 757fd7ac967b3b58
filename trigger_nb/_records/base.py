"""The base of records: a JSON object as attributes over class-level defaults."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from .._values.json_text import dumps, loads
from .._values.names import kind_of
from ..errors import CorruptRecordError


class Record:
    """A JSON object as attributes over class-level defaults."""

    # Attributes that are not in the text.
    _beside: ClassVar[frozenset[str]] = frozenset()
    _statuses: ClassVar[frozenset[str]] = frozenset()

    status: str
    is_damaged: bool = False  # the record stands in for a row that cannot be read

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """The record of a parsed text. `data` becomes the record's `__dict__`."""
        record = cls.__new__(cls)
        record.__dict__ = data
        return record

    @classmethod
    def loads(cls, text: str) -> Self:
        """The record of a stored text. Raises `CorruptRecordError` for a text that this package does not write."""
        try:
            data: dict[str, Any] = loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptRecordError(f"it is not JSON: {error}") from None
        if kind_of(data) is not dict:
            raise CorruptRecordError(f"it is a {type(data).__name__}, not an object")
        fields = _fields(cls)
        # An unknown name is damage, too: the field it stands for would silently have its default.
        if not fields.issuperset(zip(data, map(type, data.values()), strict=True)):
            wrong = next(name for name, value in data.items() if (name, type(value)) not in fields)
            raise CorruptRecordError(f"its field {wrong!r:.40} is {data[wrong]!r:.40}")
        if data.get("status", cls.status) not in cls._statuses:
            raise CorruptRecordError(f"its status is {data['status']!r:.40}")
        return cls.parse(data)

    def dumps(self) -> str:
        """The text to store: attributes that differ from their defaults, as ASCII JSON."""
        return self._text_without(self._beside)

    def _text_without(self, names: frozenset[str]) -> str:
        cls = type(self)
        return dumps(
            {
                name: value
                for name, value in self.__dict__.items()
                if name not in names and value != getattr(cls, name, None)
            }
        )

    def copy(self, **changes: Any) -> Self:
        """A shallow copy with some attributes replaced."""
        fresh = self.parse(dict(self.__dict__))
        fresh.__dict__.update(changes)
        return fresh

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inside})"


_JSON_TYPES = frozenset({dict, list, str, int, float, bool, NoneType})


@cache
def _fields(cls: type[Record]) -> frozenset[tuple[str, type[Any]]]:
    """The names of a record's fields, each paired with every type that the field can have in a text."""
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name in vars(cls)}
    return frozenset((name, kind) for name, hint in hints.items() for kind in _types_of(hint))


def _types_of(hint: Any) -> frozenset[Any]:
    if hint is Any:
        return _JSON_TYPES
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    found = frozenset(get_origin(kind) or kind for kind in kinds)
    return found | {int} if float in found else found
