"""Values as records hold them: writing, reading, and the registration of the built-in codecs."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable
from typing import Any, get_origin

from ..errors import NotStorableError, StoreError, ValueNotLoadedError
from . import builtin_types, classes, errors, files, foreign_classes, models, times
from .error_parts import register_parts
from .error_reading import read_error
from .file_hashes import NotReadYetError
from .json_text import dumps, is_plain, loads, plain_text
from .names import kind_of, type_name
from .pieces import about
from .placeholders import Unstored
from .register import register_numpy, register_pandas, register_polars, register_pyarrow
from .signed_pickle import Place, decode_signed, encode_signed
from .tagged import Blobs, Encoded, Reader, Writer, add_late, add_reader

# The size in bytes above which a value's text is kept in a file beside the database.
INLINE_LIMIT = 32_768


# Writing -----------------------------------------------------------------------------------------


def encode(value: Any, blobs: Blobs, secrets: list[Any] | None = None) -> Encoded:
    """The text of a value, from which `decode` makes an equal value of the same type.

    The secrets in it are added to `secrets`. Raises `NotStorableError` with the path of the part that no codec can
    write.
    """
    if is_plain(value):
        text = plain_text(value)
        if text is not None:
            return Encoded("", text)
    return Encoded("tagged", write_value(Writer(blobs, secrets=secrets), value, dumps))


def write_value(writer: Writer, value: Any, write: Callable[[Any], str]) -> str:
    """The text of a value as JSON with tags; `write` makes the text."""
    try:
        return write(writer.write(value))
    except RecursionError:
        raise NotStorableError(writer.path, type_name(kind_of(value)), "nested too deep") from None


def dump(
    value: Any, blobs: Blobs, *, signed_for: Place | None = None, secrets: list[Any] | None = None
) -> Encoded:
    """The form and the JSON text of a value for its record; with a place, a signed pickle. Raises `NotStorableError`."""
    encoded = encode(value, blobs, secrets) if signed_for is None else encode_signed(value, blobs, signed_for)
    form, text = encoded
    if len(text) <= INLINE_LIMIT:
        return encoded
    name = blobs.put(text.encode("ascii"))
    return Encoded("file", json.dumps({"file": name, "form": form, "size": len(text), "about": about(value)}))


def dump_unstored(error: NotStorableError) -> Encoded:
    """The entry in a record for a value that cannot be stored (S4)."""
    return Encoded(
        "unstored", json.dumps({"type": error.type_name, "path": error.path, "reason": error.reason})
    )


def dump_or_describe(value: Any, blobs: Blobs, secrets: list[Any] | None = None) -> tuple[str, Any]:
    """The form and the parsed data of a value, or its description if it cannot be stored."""
    try:
        form, text = dump(value, blobs, secrets=secrets)
    except NotStorableError as error:
        form, text = dump_unstored(error)
    return form, json.loads(text)


# Reading -----------------------------------------------------------------------------------------


def decode(form: str, data: Any, blobs: Blobs | Reader, returns: Any = None) -> Any:
    """The value of a record with this `form` and this parsed text.

    For a plain value, that is `data` itself. The value is then validated into the type `returns`, unless it is
    an instance of this type already, or pydantic cannot check the type.
    """
    try:
        value = data if form == "" else _decode(form, data, blobs)
        return value if returns is None else as_type(value, returns)
    except (StoreError, ValueNotLoadedError, NotReadYetError):
        raise
    except Exception as error:  # codecs and classes of the user may raise anything
        raise ValueNotLoadedError(
            f"a stored value cannot be rebuilt here: {type(error).__name__}: {error}. It is still in the "
            "store and can be read with the libraries and classes that it was written with."
        ) from error


def load(
    form: str,
    data: Any,
    blobs: Blobs,
    returns: Any = None,
    secrets: Iterable[Any] = (),
    new_fields: set[tuple[str, str]] | None = None,
    place: Place | None = None,
    *,
    checks_files: bool = True,
    may_read: bool = True,
) -> Any:
    """Like `decode`, but also reads a value whose text is in a file (form "file").

    `secrets`, `new_fields`, `place`, `checks_files` and `may_read` are as for `Reader`. Raises `ValueNotLoadedError` or `StoreError` if the value cannot be read, for any reason.
    """
    if form == "file":
        try:
            form, name = data["form"], data["file"]
            data = loads(blobs.get(name).decode("ascii"))
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise ValueNotLoadedError(
                f"the text of a stored value is in a file, and the file or the record is damaged: {error}"
            ) from None
    reader = Reader(blobs, secrets, new_fields, place, checks_files=checks_files, may_read=may_read)
    return decode(form, data, reader, returns)


def _decode(form: str, data: Any, blobs: Blobs | Reader | None) -> Any:
    reader = blobs if isinstance(blobs, Reader) else Reader(blobs)
    if form == "tagged":
        return reader.read(data)
    if form == "signed" and reader.blobs is not None:
        return decode_signed(data, reader.blobs, reader.place)
    if form == "unstored":
        return Unstored("", **data)
    raise ValueNotLoadedError(
        f"a stored value has the form {form!r}, which this version of trigger_nb does not know"
    )


def as_type(value: Any, returns: Any) -> Any:
    """The value validated into a type, unless it is an instance already. Raises `ValueNotLoadedError`."""
    if returns is Any or _is_instance(value, returns) or isinstance(value, Unstored):
        return value
    import pydantic

    try:
        typed = _adapter(returns).validate_python(value)
    except pydantic.ValidationError as error:
        raise ValueNotLoadedError(
            f"a task's result does not fit the declared return type {returns!r}:\n{error}\n"
            "The result is kept: correct the type, and the task is replayed with it."
        ) from error
    # For Iterable[...], pydantic returns an iterator that can be read only once.
    return value if type(typed).__name__ == "ValidatorIterator" else typed


def is_model(kind: Any) -> bool:
    """Whether pydantic can make values of this type: a model, a pydantic dataclass, or a generic such as `list[Model]`."""
    return hasattr(kind, "__pydantic_validator__") or get_origin(kind) is not None


def parsed_into(kind: Any, value: Any) -> Any:
    """The value, or the JSON that is its text, validated into a type. Raises pydantic's `ValidationError`."""
    adapter = _adapter(kind)
    is_text = isinstance(value, (str, bytes, bytearray))
    return adapter.validate_json(value) if is_text else adapter.validate_python(value)


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

    # For a class that pydantic does not know, an instance check is enough. A type that pydantic cannot
    # resolve, such as an undefined name, accepts any value.
    for config in (None, pydantic.ConfigDict(arbitrary_types_allowed=True)):
        with contextlib.suppress(pydantic.PydanticUserError, pydantic.PydanticUndefinedAnnotation):
            adapter = pydantic.TypeAdapter[Any](returns, config=config)
            if adapter.pydantic_complete:
                return adapter
    return pydantic.TypeAdapter(Any)


builtin_types.register()
times.register()
models.register()
foreign_classes.register()
classes.register()
errors.register()
files.register()
add_reader("error", lambda reader, data: read_error(data["v"]))
register_parts()
add_late("numpy", register_numpy)
add_late("pandas", register_pandas)
add_late("polars", register_polars)
add_late("pyarrow", register_pyarrow)
