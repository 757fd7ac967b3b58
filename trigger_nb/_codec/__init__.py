"""Values and errors as data: what the engine asks of all codecs together."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from typing import Any, cast

from ..errors import (
    InvalidOptionError,
    NotStorableError,
    StoreError,
    ValueNotLoadedError,
)
from . import classes, exceptions, json
from ._base import (
    REGISTERED,
    TAG,
    Blobs,
    Encoded,
    Reader,
    Redacted,
    Unstored,
    Writer,
    add_late,
    add_type,
    class_name,
    dumps,
    dumps_sorted,
    kind_of,
    loads,
    type_name,
)
from .exceptions import add_error, decode_error, encode_error, raised_error
from .json import is_plain, plain_text
from .preview import preview
from .signed import decode_signed, encode_signed

__all__ = [
    "Blobs",
    "Encoded",
    "Redacted",
    "Unstored",
    "canonical",
    "decode",
    "decode_error",
    "encode",
    "encode_error",
    "encode_signed",
    "fingerprint_inputs",
    "load",
    "preview",
    "raised_error",
    "register_codec",
    "register_error",
]


# -- values


def encode(value: Any, blobs: Blobs) -> Encoded:
    """`value` as text, such that `decode` gives an equal value of the same type.

    Raises `NotStorableError` with the path of the part that no codec can write.
    """
    if is_plain(value):
        text = plain_text(value)
        if text is not None:
            return Encoded("", text)
    return Encoded("tagged", _write(Writer(blobs), value, dumps))


def _write(writer: Writer, value: Any, write: Callable[[Any], str]) -> str:
    try:
        return write(writer.write(value))
    except RecursionError:
        raise NotStorableError(writer.path, type_name(kind_of(value)), "nested too deep") from None


def decode(form: str, data: Any, blobs: Blobs, returns: Any = None) -> Any:
    """The value whose record has this `form` and this text, parsed.

    A plain value is `data` itself. `returns` is a type that the value is then validated into,
    unless it is an instance of it already or the type is none that pydantic can check.
    """
    try:
        value = data if form == "" else _decode(form, data, blobs)
        return value if returns is None else _as_type(value, returns)
    except (StoreError, ValueNotLoadedError):
        raise
    except Exception as error:  # also of a codec, or a class, of the user's
        raise ValueNotLoadedError(
            f"a stored value cannot be rebuilt here: {type(error).__name__}: {error}. It is still in the "
            "store; where its libraries and classes are as they were, it can be read."
        ) from error


def load(form: str, data: Any, blobs: Blobs, returns: Any = None) -> Any:
    """As `decode`, also of a value whose text lies in a file (form "file").

    Raises `ValueNotLoadedError` and `StoreError`, whatever keeps the value from being read.
    """
    if form == "file":
        try:
            form, name = data["form"], data["file"]
            data = loads(blobs.get(name).decode("ascii"))
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise ValueNotLoadedError(
                f"its record says that it lies in a file, and is damaged: {error}"
            ) from None
    return decode(form, data, blobs, returns)


def _decode(form: str, data: Any, blobs: Blobs) -> Any:
    if form == "tagged":
        return Reader(blobs).read(data)
    if form == "signed":
        return decode_signed(data, blobs)
    if form == "unstored":
        return Unstored("", **data)
    raise ValueNotLoadedError(
        f"a stored value has the form {form!r}, which this version of trigger_nb does not know"
    )


def _as_type(value: Any, returns: Any) -> Any:
    if returns is Any or _is_instance(value, returns) or isinstance(value, Unstored):
        return value
    import pydantic

    try:
        typed = _adapter(returns).validate_python(value)
    except pydantic.ValidationError as error:
        raise ValueNotLoadedError(
            f"a task's result does not fit the type that it is said to return, {returns!r}:\n{error}\n"
            "The result is kept: correct the type, and this task is replayed with it."
        ) from error
    # For Iterable[...] pydantic makes an iterator, which can be read once.
    return value if type(typed).__name__ == "ValidatorIterator" else typed


def _is_instance(value: Any, returns: Any) -> bool:
    try:
        return isinstance(value, returns)
    except TypeError:  # a generic such as list[User], a TypedDict
        return False


def _adapter(returns: Any) -> Any:
    try:
        return _cached_adapter(returns)
    except TypeError:  # a type that cannot be hashed, such as Annotated[int, {}]
        return _cached_adapter.__wrapped__(returns)


@functools.lru_cache(maxsize=256)
def _cached_adapter(returns: Any) -> Any:
    import pydantic

    # A class that pydantic does not know: being an instance of it will do. What it cannot make out
    # at all, such as a name that is not defined, types nothing.
    for config in (None, pydantic.ConfigDict(arbitrary_types_allowed=True)):
        with contextlib.suppress(pydantic.PydanticUserError, pydantic.PydanticUndefinedAnnotation):
            adapter = pydantic.TypeAdapter[Any](returns, config=config)
            if adapter.pydantic_complete:
                return adapter
    return pydantic.TypeAdapter(Any)


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


def _register_numpy() -> None:
    from . import arrays

    arrays.register()


def _register_pandas() -> None:
    from . import frames

    frames.register()


def _register_polars() -> None:
    from . import tables

    tables.register_polars()


def _register_pyarrow() -> None:
    from . import tables

    tables.register_pyarrow()


json.register()
classes.register()
exceptions.register()
add_late("numpy", _register_numpy)
add_late("pandas", _register_pandas)
add_late("polars", _register_polars)
add_late("pyarrow", _register_pyarrow)


# -- identity


def canonical(value: Any) -> str:
    """A text that two values share when they count as the same for a run's identity (rule I1).

    The order of keys and of sets does not count, types do: 1, 1.0 and True differ. A model counts
    by the fields that were set, a table by its schema and values, a secret not at all.
    Raises `NotStorableError` for a part that no codec can write.
    """
    if is_plain(value):
        text = plain_text(value, dumps_sorted)
        if text is not None:
            return text
    return _write(Writer(_Digests(), canonical=True), value, dumps_sorted)


class _Digests:
    """Takes the place of files where only their content counts."""

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def get(self, name: str) -> bytes:
        raise NotImplementedError


def fingerprint_inputs(params: Any) -> str:
    """A short text that changes when `params` does; "" when a part of them cannot be told."""
    if type(params) is not tuple:
        return _fingerprint(params)
    args = cast("tuple[Any, ...]", params)
    if len(args) == 1 and type(args[0]) is int and -(2**63) < args[0] < 2**63:
        return f"({args[0]})"  # a loop over numbers: the shortest way to the same text
    items = list(args)
    text = plain_text(items, dumps_sorted) if is_plain(items) else None
    return _fingerprint(args) if text is None else _shortened(f"({text[1:-1]})")


def _fingerprint(params: Any) -> str:
    try:
        return _shortened(canonical(params))
    except NotStorableError:
        return ""


def _shortened(text: str) -> str:
    return text if len(text) <= 64 else hashlib.sha256(text.encode()).hexdigest()[:16]


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
