"""`register_codec` and `register_error` for users, and the registration of optional libraries."""

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
    """Register a codec, with which results of the type `cls` are stored.

    `to_data(value)` returns data that can be stored. `from_data(data)` receives this data, in this kernel or a later
    one, and returns an equal value. Subclasses of `cls` are not included. `name` identifies the codec in the store,
    by default by the name of the class: set it if the class may be renamed or moved. Raises `InvalidOptionError` for
    types of JSON, which are stored as they are.

        register_codec(Point, lambda p: [p.x, p.y], lambda data: Point(*data))
    """
    if not isinstance(cast("object", cls), type):
        raise InvalidOptionError(f"the first argument of register_codec is a class, not {cls!r}")
    if cls in (type(None), bool, int, float, str, list, dict):
        raise InvalidOptionError(
            f"register_codec cannot change {cls.__name__}: JSON types are always stored as they are"
        )
    tag = f"{REGISTERED}{name or class_name(cls)}"

    def write(writer: Writer, value: Any) -> Any:
        return {TAG: tag, "v": writer.write(to_data(value))}

    def read(reader: Reader, data: dict[str, Any]) -> Any:
        return from_data(reader.read(data["v"]))

    add_type(cls, tag, write, read)


def register_numpy() -> None:
    """Register NumPy's types."""
    from . import numpy_arrays

    numpy_arrays.register()


def register_pandas() -> None:
    """Register pandas' types."""
    from . import pandas_frames

    pandas_frames.register()


def register_polars() -> None:
    """Register polars' types."""
    from . import arrow_tables

    arrow_tables.register_polars()


def register_pyarrow() -> None:
    """Register pyarrow's types."""
    from . import arrow_tables

    arrow_tables.register_pyarrow()


def register_error(
    cls: type[BaseException], to_data: Callable[[Any], Any], from_data: Callable[[Any], BaseException]
) -> None:
    """Register an adapter, with which errors of the class `cls` are stored.

    Only needed for errors with attributes that are not plain data and that your code depends on. `to_data(error)`
    returns data that can be stored; `from_data(data)` receives this data and returns an equal error. Causes, notes
    and traceback are stored automatically. Subclasses of `cls` are not included. Raises `InvalidOptionError` if
    `cls` is not an exception class.

        register_error(ApiError, lambda e: [e.status, str(e)], lambda data: ApiError(*data))
    """
    if not isinstance(cast("object", cls), type) or not issubclass(cast("type[Any]", cls), BaseException):
        raise InvalidOptionError(f"the first argument of register_error is an exception class, not {cls!r}")
    add_error(class_name(cls), to_data, from_data)
