"""`register_codec` and `register_error`: codecs that users add, and those of optional libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ..errors import InvalidOptionError
from .errors import add_error
from .names import class_name
from .tagged import REGISTERED, TAG, Reader, Writer, add_type


def register_codec(
    cls: type[Any], to_data: Callable[[Any], Any], from_data: Callable[[Any], Any], name: str | None = None
) -> None:
    """Have results of exactly the type `cls` stored as what `to_data` makes of them.

    `to_data(value)` returns anything that can be stored; `from_data(data)` gets that back, in this
    kernel or a later one, and returns an equal value. `name` is what the store knows the codec by;
    keep it when the class is renamed or moved.

        register_codec(Point, lambda p: [p.x, p.y], lambda data: Point(*data))
    """
    if not isinstance(cast("object", cls), type):
        raise InvalidOptionError(f"register_codec takes a class first, not {cls!r}")
    if cls in (type(None), bool, int, float, str, list, dict):
        raise InvalidOptionError(f"{cls.__name__} is JSON's own type and is always stored as it is")
    tag = f"{REGISTERED}{name or class_name(cls)}"

    def write(writer: Writer, value: Any) -> Any:
        return {TAG: tag, "v": writer.write(to_data(value))}

    def read(reader: Reader, data: dict[str, Any]) -> Any:
        return from_data(reader.read(data["v"]))

    add_type(cls, tag, write, read)


def register_numpy() -> None:
    from . import numpy_arrays

    numpy_arrays.register()


def register_pandas() -> None:
    from . import pandas_frames

    pandas_frames.register()


def register_polars() -> None:
    from . import arrow_tables

    arrow_tables.register_polars()


def register_pyarrow() -> None:
    from . import arrow_tables

    arrow_tables.register_pyarrow()


# -- errors
def register_error(
    cls: type[BaseException], to_data: Callable[[Any], Any], from_data: Callable[[Any], BaseException]
) -> None:
    """Have errors of exactly the class `cls` stored as what `to_data` makes of them.

    Needed only where the attributes that code branches on are not plain data. `to_data(error)`
    returns anything that can be stored, `from_data(data)` returns the error; its causes, notes and
    traceback are taken care of.

        register_error(ApiError, lambda e: [e.status, str(e)], lambda data: ApiError(*data))
    """
    if not isinstance(cast("object", cls), type) or not issubclass(cast("type[Any]", cls), BaseException):
        raise InvalidOptionError(f"register_error takes an exception class first, not {cls!r}")
    add_error(class_name(cls), to_data, from_data)
