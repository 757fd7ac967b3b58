"""Tables of pandas or polars made from columns, and values flattened to columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from .._values.fields import fields_of
from .._values.libraries import import_library
from .._values.names import kind_of
from ..errors import InvalidOptionError, MissingExtraError

Library: TypeAlias = Literal["pandas", "polars"]
LIBRARIES: tuple[Library, ...] = ("pandas", "polars")
MOST = 200  # columns that values are flattened to
_DEEPEST = 6
_Flat: TypeAlias = dict[str, Any]


def make_frame(columns: Mapping[str, Sequence[Any]], library: str | None) -> Any:
    """The columns as a DataFrame of this library, or of the first one that is installed.

    Raises `InvalidOptionError` for another name, and `MissingExtraError` with the command that installs it.
    """
    if library is not None and library not in LIBRARIES:
        raise InvalidOptionError(f'library is "pandas" or "polars"; not {library!r:.100}')
    for name in [library] if library else LIBRARIES:
        try:
            module = import_library(name)
        except ModuleNotFoundError:
            continue
        return _pandas_frame(module, columns) if name == "pandas" else _polars_frame(module, columns)
    wanted = library or "pandas"
    other = "" if library else ", or polars: pip install 'trigger-nb[polars]'"
    raise MissingExtraError(
        f"to_frame() needs {wanted}, which is not installed here: pip install 'trigger-nb[{wanted}]'{other}"
    )


def _pandas_frame(pandas: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    series = {name: _pandas_series(pandas, values) for name, values in columns.items()}
    return pandas.DataFrame(series)


def _pandas_series(pandas: Any, values: Sequence[Any]) -> Any:
    # Containers stay what they are: pandas would look into them for a type that they have in common.
    is_plain = all(value is None or kind_of(value) in _SCALARS for value in values)
    series = pandas.Series(list(values), dtype=None if is_plain and values else object)
    return series if is_plain else series.infer_objects()


_SCALARS = frozenset[type]({int, float, bool, str})


def _polars_frame(polars: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    return polars.DataFrame([_polars_series(polars, name, values) for name, values in columns.items()])


def _polars_series(polars: Any, name: str, values: Sequence[Any]) -> Any:
    try:
        return polars.Series(name, values)
    except Exception:  # noqa: BLE001  # values of several types, or of types that polars does not know
        return polars.Series(name, values, dtype=polars.Object)


def flattened(values: Iterable[Any], whole: str, taken: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Columns made from values: of dicts, models, dataclasses and named tuples one for each field, under dotted names.

    Other values are in a column `whole`, and fields named as a column in `taken` have "output." before their name. None
    stands for a field that a value does not have. If there are too many different fields, only the outer ones are columns,
    and if these are too many, there is only the column `whole`.
    """
    listed = list(values)
    for deepest in (_DEEPEST, 1, 0):
        rows = [_flat(value, deepest) for value in listed]
        names = dict.fromkeys(name for row in rows for name in row)
        if len(names) <= MOST or not deepest:
            break
    names.pop(WHOLE, None)
    has_whole = any(row.get(WHOLE) is not None for row in rows) or not names
    used = {*taken, *([whole] if has_whole else [])}
    columns: dict[str, list[Any]] = {whole: [row.get(WHOLE) for row in rows]} if has_whole else {}
    for name in names:
        columns[f"{whole}.{name}" if name in used else name] = [row.get(name) for row in rows]
    return columns


WHOLE = ""


def _flat(value: Any, deepest: int) -> _Flat:
    fields = _fields(value) if deepest else None
    if not fields:
        return {WHOLE: value}
    found: _Flat = {}
    _collect(found, fields, "", deepest - 1)
    return found


def _collect(found: _Flat, fields: Mapping[str, Any], prefix: str, deepest: int) -> None:
    for name, value in fields.items():
        inner = _fields(value) if deepest else None
        if inner:
            _collect(found, inner, f"{prefix}{name}.", deepest - 1)
        else:
            found[f"{prefix}{name}"] = value


def _fields(value: Any) -> Mapping[str, Any] | None:
    kind = kind_of(value)
    if issubclass(kind, dict):
        mapping = cast("dict[Any, Any]", value)
        return mapping if all(isinstance(key, str) for key in mapping) else None
    return fields_of(value, kind)
