"""Codecs for tables of polars and pyarrow, in Arrow's stream format.

Each library is imported when its first table is written or read.
"""

from __future__ import annotations

import importlib
import io
from typing import Any

from .arrow_stream import check_stream
from .preview import table_text
from .tagged import TAG, Reader, Writer, add_finder, add_reader, add_type


# As `Any`: pyarrow has no type annotations, and the tables are not known in advance.
def _polars() -> Any:
    return importlib.import_module("polars")


def _pyarrow() -> Any:
    return importlib.import_module("pyarrow")


# polars ------------------------------------------------------------------------------------------


def _write_polars(writer: Writer, frame: Any) -> dict[str, Any]:
    pl = _polars()

    if writer.canonical:
        return {
            "schema": [[name, repr(dtype)] for name, dtype in frame.schema.items()],
            **_polars_identity(writer, frame),
        }
    file = io.BytesIO()
    try:
        frame.write_ipc_stream(file, compat_level=pl.CompatLevel.newest())
        data = file.getvalue()
        back = pl.read_ipc_stream(io.BytesIO(data))
        exact = back.schema == frame.schema and back.equals(frame, null_equal=True)
    except (
        Exception,
        pl.exceptions.PanicException,
    ) as error:  # `PanicException` does not derive from `Exception`
        writer.refuse(frame, f"Arrow cannot hold it: {error}")
    if not exact:
        writer.refuse(frame, "Arrow changes one of its columns; cast it to a plainer type")
    return {**writer.data(data), "about": table_text(frame)}


def _polars_identity(writer: Writer, frame: Any) -> dict[str, Any]:
    """The parts of a frame that count for its identity: not its chunks, nor the data behind nulls and categories."""
    pl = _polars()

    plain = frame.rechunk().select(
        [
            column.cast(pl.String) if column.dtype in (pl.Categorical, pl.Enum) else column
            for column in frame.get_columns()
        ]
    )
    nulls = plain.select(pl.all().is_null())
    filled = plain.with_columns(
        pl.col(name).fill_null(strategy="zero")
        for name, dtype in plain.schema.items()
        if dtype.is_numeric() or dtype == pl.Boolean
    )
    parts: dict[str, Any] = {}
    for name, part in (("nulls", nulls), ("values", filled)):
        file = io.BytesIO()
        part.rechunk().write_ipc_stream(file)
        parts[name] = writer.data(file.getvalue())
    return parts


def _write_polars_frame(writer: Writer, value: Any) -> Any:
    return {TAG: "polars.DataFrame", **_write_polars(writer, value)}


def _read_polars_frame(reader: Reader, data: dict[str, Any]) -> Any:
    pl = _polars()

    stream = reader.data(data)
    check_stream(stream)
    try:
        return pl.read_ipc_stream(io.BytesIO(stream))
    except pl.exceptions.PanicException as error:  # it does not derive from `Exception`
        raise ValueError(f"polars cannot read it: {error}") from None


def _write_polars_series(writer: Writer, value: Any) -> Any:
    data = _write_polars(writer, value.to_frame())
    if "about" in data:
        data["about"] = table_text(value)
    return {TAG: "polars.Series", **data}


def _read_polars_series(reader: Reader, data: dict[str, Any]) -> Any:
    return _read_polars_frame(reader, data).to_series()


def register_polars() -> None:
    """Register polars' types."""
    pl = _polars()

    add_type(pl.DataFrame, "polars.DataFrame", _write_polars_frame, _read_polars_frame)
    add_type(pl.Series, "polars.Series", _write_polars_series, _read_polars_series)


# pyarrow -----------------------------------------------------------------------------------------


def _write_stream(writer: Writer, value: Any, table: Any) -> dict[str, Any]:
    pa = _pyarrow()

    if writer.canonical:
        table = table.combine_chunks()
    sink = pa.BufferOutputStream()
    try:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = sink.getvalue().to_pybytes()
        back = _read_stream(data)
        exact = back.schema.equals(table.schema, check_metadata=True) and back.num_rows == table.num_rows
    except Exception as error:
        writer.refuse(value, f"Arrow's stream format cannot hold it: {error}")
    if not exact:
        writer.refuse(value, "Arrow's stream format changes its schema")
    about = {} if writer.canonical else {"about": table_text(value)}
    return {**writer.data(data), **about}


def _read_stream(data: bytes) -> Any:
    pa = _pyarrow()

    check_stream(data)
    with pa.ipc.open_stream(data) as stream:
        table = stream.read_all()
    # Arrow trusts the offsets and indexes of a stream, and would read memory where they point.
    table.validate(full=True)
    return table


def _write_arrow_table(writer: Writer, value: Any) -> Any:
    return {TAG: "pyarrow.Table", **_write_stream(writer, value, value)}


def _read_arrow_table(reader: Reader, data: dict[str, Any]) -> Any:
    return _read_stream(reader.data(data))


def _write_batch(writer: Writer, value: Any) -> Any:
    pa = _pyarrow()

    return {TAG: "pyarrow.RecordBatch", **_write_stream(writer, value, pa.Table.from_batches([value]))}


def _read_batch(reader: Reader, data: dict[str, Any]) -> Any:
    pa = _pyarrow()

    table = _read_stream(reader.data(data)).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _write_chunked(writer: Writer, value: Any) -> Any:
    pa = _pyarrow()

    return {TAG: "pyarrow.ChunkedArray", **_write_stream(writer, value, pa.table({"": value}))}


def _read_chunked(reader: Reader, data: dict[str, Any]) -> Any:
    return _read_stream(reader.data(data)).column(0)


def _write_array(writer: Writer, value: Any) -> Any:
    pa = _pyarrow()

    return {TAG: "pyarrow.Array", **_write_stream(writer, value, pa.table({"": value}))}


def _read_array(reader: Reader, data: dict[str, Any]) -> Any:
    pa = _pyarrow()

    column = _read_stream(reader.data(data)).column(0)
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def register_pyarrow() -> None:
    """Register pyarrow's types."""
    pa = _pyarrow()

    add_type(pa.Table, "pyarrow.Table", _write_arrow_table, _read_arrow_table)
    add_type(pa.RecordBatch, "pyarrow.RecordBatch", _write_batch, _read_batch)
    add_type(pa.ChunkedArray, "pyarrow.ChunkedArray", _write_chunked, _read_chunked)
    add_finder(lambda cls: _write_array if issubclass(cls, pa.Array) else None)
    add_reader("pyarrow.Array", _read_array)
