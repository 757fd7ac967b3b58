"""Results that no codec can write, which this kernel keeps (S4). A pass does not change them for the next one."""

from __future__ import annotations

import io
import operator
import pickle
from types import ModuleType
from typing import Any, TypeAlias

from .._fingerprint.values import is_installed
from .._values.names import kind_of
from .._values.one_shot import holds_one_shot

_MOST = 16 * 1024 * 1024  # bytes of a picture; a larger object is handed out as it is
_OF_COPYING = frozenset(
    {"__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__del__", "__copy__", "__deepcopy__"}
)
_DATA = frozenset({"builtins", "collections", "datetime", "decimal", "uuid", "types"})


class LiveResult:
    """An object that is kept alive. Each pass gets it as the body returned it.

    The object itself, as long as it was not changed; else a copy of what it was. Only what belongs to the notebook is
    copied; objects of libraries, such as connections, are shared.
    """

    def __init__(self, value: Any) -> None:
        self._value = value
        self._before = _picture(value)
        self._taken = False

    @property
    def value(self) -> Any:
        """The object, for displays."""
        return self._value

    @property
    def is_spent(self) -> bool:
        """Whether it can be read only once, and was handed out."""
        return self._taken and holds_one_shot(self._value)

    def take(self) -> Any:
        """The object for a call."""
        if self._taken and self._before is not None:
            now = _picture(self._value)
            if now is not None and not _is_same(now, self._before):
                self._value = _developed(*self._before)
        self._taken = True
        return self._value


_Picture: TypeAlias = "tuple[bytes, list[Any]]"


def _is_same(one: _Picture, other: _Picture) -> bool:
    (data, shared), (other_data, other_shared) = one, other
    return data == other_data and all(map(operator.is_, shared, other_shared))


def _picture(value: Any) -> _Picture | None:
    """The data of an object, and the parts that are shared with it; None if there is no picture."""
    file = _Bounded()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    except Exception:  # too large, or from code of the user's  # noqa: BLE001
        return None
    return file.getvalue(), pickler.shared


def _developed(data: bytes, shared: list[Any]) -> Any:
    reader = _Unpickler(io.BytesIO(data))
    reader.shared = shared
    return reader.load()


class _Bounded(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > _MOST:
            raise ValueError("too large")
        return super().write(data)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.shared: list[Any] = []
        self._places: dict[int, int] = {}

    def persistent_id(self, obj: Any, /) -> int | None:
        kind = kind_of(obj)
        if kind.__module__ in _DATA and not issubclass(kind, (type, ModuleType)) and not callable(obj):
            return None
        if not issubclass(kind, type) and not callable(obj) and _is_copyable(kind):
            return None
        if id(obj) not in self._places:
            self._places[id(obj)] = len(self.shared)
            self.shared.append(obj)
        return self._places[id(obj)]


class _Unpickler(pickle.Unpickler):  # of what was pickled in this process
    shared: list[Any]

    def persistent_load(self, pid: Any, /) -> Any:
        return self.shared[pid]


def _is_copyable(kind: type[Any]) -> bool:
    """Whether a class is the notebook's, and leaves it to Python how its instances are copied."""
    own = {name for base in kind.__mro__[:-1] for name in vars(base)}
    return not is_installed(kind) and own.isdisjoint(_OF_COPYING)
