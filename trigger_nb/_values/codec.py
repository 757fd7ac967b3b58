"""Values and errors as data: what the engine asks of all codecs together."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from typing import Any

from .. import _values
from ..errors import NotStorableError, StoreError, ValueNotLoadedError
from . import builtin_types, classes, errors
from .error_parts import register_parts
from .json_text import dumps, is_plain, loads, plain_text
from .names import kind_of, type_name
from .placeholders import Unstored
from .register import register_numpy, register_pandas, register_polars, register_pyarrow
from .signed_pickle import decode_signed
from .tagged import Blobs, Encoded, Reader, Writer, add_late


# -- values
def encode(value: Any, blobs: Blobs) -> Encoded:
    """`value` as text, such that `decode` gives an equal value of the same type.

    Raises `NotStorableError` with the path of the part that no codec can write.
    """
    if is_plain(value):
        text = plain_text(value)
        if text is not None:
            return Encoded("", text)
    return Encoded("tagged", write_value(Writer(blobs), value, dumps))


def write_value(writer: Writer, value: Any, write: Callable[[Any], str]) -> str:
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


builtin_types.register()

classes.register()

errors.register()

register_parts()

add_late("numpy", register_numpy)

add_late("pandas", register_pandas)

add_late("polars", register_polars)

add_late("pyarrow", register_pyarrow)

# A longer value text lies in a file beside the database, in bytes.
INLINE_LIMIT = 32_768


def dump(value: Any, blobs: Blobs, *, signed: bool = False) -> Encoded:
    """A value as a record holds it: a form and its JSON text. Raises `NotStorableError`."""
    encoded = _values.encode_signed(value, blobs) if signed else _values.encode(value, blobs)
    form, text = encoded
    if len(text) <= INLINE_LIMIT:
        return encoded
    name = blobs.put(text.encode("ascii"))
    return Encoded("file", json.dumps({"file": name, "form": form, "size": len(text)}))


def dump_unstored(error: NotStorableError) -> Encoded:
    """What a record holds of a value that cannot be kept (S4)."""
    return Encoded(
        "unstored", json.dumps({"type": error.type_name, "path": error.path, "reason": error.reason})
    )


def dump_or_describe(value: Any, blobs: Blobs) -> tuple[str, Any]:
    """Form and parsed data of a value, or a description of it where it cannot be kept."""
    try:
        form, text = dump(value, blobs)
    except NotStorableError as error:
        form, text = dump_unstored(error)
    return form, json.loads(text)
