"""Arrays and tables as data (S3, S5, I1)."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.support.codec import MemoryBlobs, round_trip, same
from trigger_nb._values import preview
from trigger_nb._values.canonical import canonical
from trigger_nb._values.codec import encode
from trigger_nb.errors import NotStorableError

# -- NumPy

ARRAYS = [
    np.arange(5),
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.asfortranarray([[1.5, np.nan], [-0.0, np.inf]]),
    np.zeros((0, 3), dtype="f4"),
    np.array(3),
    np.array(["a", "é"]),
    np.array([b"a"]),
    np.array([True]),
    np.array(["2024-01-01", "NaT"], dtype="M8[D]"),
    np.array([1, 2], dtype="m8[ms]"),
    np.array([1 + 2j]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([1, None, "x", (1, [2])], dtype=object),
    np.arange(100_000),
    np.arange(10)[::2],
]
SCALARS = [
    np.float64(1.5),
    np.float64("nan"),
    np.float32(-0.0),
    np.int8(3),
    np.uint64(2**64 - 1),
    np.longlong(3),
    np.bool_(True),
    np.str_("é"),
    np.str_(""),
    np.bytes_(b"x"),
    np.complex64(1j),
    np.datetime64("2024-01-01", "s"),
    np.datetime64("NaT"),
    np.timedelta64(5, "us"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_are_exact(array):
    """S3: NumPy arrays as .npy: values, dtype, byte order and shape."""
    back = round_trip({"a": array})["a"]
    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    if array.dtype == object:
        assert same(back.tolist(), array.tolist())
    else:
        assert back.tobytes() == array.tobytes()
    back[...] = back  # it can be written to


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
def test_scalars_are_exact(scalar):
    """S3: a np.float64 is not a float, and comes back as what it was."""
    back = round_trip([scalar])[0]
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    assert back.tobytes() == scalar.tobytes()


def test_large_arrays_are_files_and_no_pickle():
    """S5, S2: the bytes lie in a file, as .npy."""
    blobs = MemoryBlobs()
    round_trip(np.arange(100_000), blobs)
    (data,) = blobs.files.values()
    assert data.startswith(b"\x93NUMPY")


class Subclass(np.ndarray):
    pass


CHANGED_BY_NPY = {
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "subclass": np.array([1]).view(Subclass),
    "record": np.rec.array([(1, 2)], dtype=[("a", int), ("b", int)]),
    "structured object": np.array([(1, object())], dtype=[("a", int), ("b", object)]),
    "object": np.array([object()], dtype=object),
}
if hasattr(np.dtypes, "StringDType"):  # from NumPy 2 on
    CHANGED_BY_NPY["StringDType"] = np.array(["a"], dtype=np.dtypes.StringDType())


@pytest.mark.parametrize("array", CHANGED_BY_NPY.values(), ids=CHANGED_BY_NPY)
def test_arrays_that_npy_would_change_are_refused(array):
    """S3: exact or refused."""
    with pytest.raises(NotStorableError, match=r"\$\.a"):
        encode({"a": array}, MemoryBlobs())


# -- pandas

FRAMES = {
    "plain": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, np.nan], "d": [True, False]}),
    "objects": pd.DataFrame({"a": [[1], {"k": (1,)}], "b": [1, "x"], "c": [None, pd.NaT], "d": [pd.NA, 1.0]}),
    "empty": pd.DataFrame(),
    "no columns": pd.DataFrame(index=[1, 2]),
    "no rows": pd.DataFrame({"a": pd.array([], dtype="Int64")}),
    "same names": pd.DataFrame([[1, 2.0]], columns=["a", "a"]),
    "odd names": pd.DataFrame({1: [1], "1": [2], None: [3], ("a", 1): [4]}),
    "multi columns": pd.DataFrame({("a", 1): [1], ("b", 2): [2]}),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "u": pd.array([1, None], dtype="UInt8"),
            "f": pd.array([1.5, None], dtype="Float32"),
            "b": pd.array([True, None], dtype="boolean"),
        }
    ),
    "strings": pd.DataFrame(
        {
            "na": pd.array(["é", None], dtype="string"),
            "python": pd.array(["a", None], dtype=pd.StringDtype("python")),
            "nan": pd.array(["a", None], dtype=pd.StringDtype(na_value=np.nan)),
        }
    ),
    "category": pd.DataFrame(
        {
            "a": pd.Categorical(["x", None, "y"], categories=["y", "x", "unused"], ordered=True),
            "b": pd.Categorical([1, 2, 1]),
        }
    ),
    "times": pd.DataFrame(
        {
            "zoned": pd.date_range("2024-10-26 22:00", periods=3, freq="h", tz="Europe/Paris"),
            "naive": pd.to_datetime(["2024-01-01", None, "2024-01-02"]),
            "s": np.array(["2024-01-01", "NaT", "1600-01-01"], dtype="M8[s]"),
            "delta": pd.to_timedelta([1, None, 2]),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
            "interval": pd.interval_range(0, 3, closed="left"),
        }
    ),
    "arrow": pd.DataFrame({"a": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64()))}),
    "dates": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2, freq="MS", name="when")),
    "multi index": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    ),
    "range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 14, 2, name="r")),
    "wide": pd.DataFrame(np.arange(10_000.0).reshape(10, 1000)),
    "large": pd.DataFrame({"a": np.arange(5000), "s": [f"row {n}" for n in range(5000)]}),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_are_exact(frame):
    """S3: pandas: values, dtypes, index, names, frequencies."""
    back = round_trip([frame])[0]
    assert type(back) is pd.DataFrame
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True, check_column_type=True)
    assert list(back.dtypes) == list(frame.dtypes)
    assert same(list(back.columns), list(frame.columns))
    for column in range(frame.shape[1]):
        if frame.dtypes.iloc[column].kind == "O":
            for left, right in zip(back.iloc[:, column], frame.iloc[:, column], strict=True):
                assert left is right or same(left, right)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_columns_are_exact_as_series(frame):
    """S3: each of those columns alone, and each index."""
    for column in range(frame.shape[1]):
        series = frame.iloc[:, column]
        back = round_trip(series)
        assert type(back) is pd.Series
        pd.testing.assert_series_equal(back, series, check_exact=True, check_freq=True)
        assert same(back.name, series.name)
    for index in (frame.index, frame.columns):
        back = round_trip(index)
        assert type(back) is type(index)
        assert back.identical(index)


@pytest.mark.parametrize(
    "scalar",
    [
        pd.Timestamp("2024-01-01T00:00:00.123456789"),
        pd.Timestamp("2024-01-01", tz="Europe/Paris"),
        pd.Timestamp("2024-10-27 02:30").tz_localize("Europe/Paris", ambiguous=False),
        pd.Timestamp("2024-01-01").as_unit("s"),
        pd.Timedelta("1s"),
        pd.Timedelta(5, "ns"),
        pd.Period("2024-03", "M"),
        pd.Interval(0, 1.5, closed="both"),
        pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025")),
    ],
    ids=repr,
)
def test_pandas_scalars_are_exact(scalar):
    """S3"""
    back = round_trip([scalar])[0]
    assert type(back) is type(scalar)
    assert back == scalar
    assert getattr(back, "unit", None) == getattr(scalar, "unit", None)
    assert getattr(back, "fold", None) == getattr(scalar, "fold", None)


def test_zones_of_pytz():
    """S3: what pandas 2 makes of a zone's name; a datetime of the standard library needs zoneinfo."""
    pytz = pytest.importorskip("pytz")
    paris = pytz.timezone("Europe/Paris")
    series = pd.Series(pd.date_range("2024-10-26 22:00", periods=3, freq="h", tz=paris))
    pd.testing.assert_series_equal(round_trip(series), series, check_exact=True)
    stamp = pd.Timestamp("2024-07-01", tz=paris)
    assert (round_trip(stamp), repr(round_trip(stamp))) == (stamp, repr(stamp))
    assert round_trip(datetime(2024, 1, 1, tzinfo=pytz.utc)).tzinfo is pytz.utc
    for zone in (paris.localize(datetime(2024, 7, 1)).tzinfo, pytz.FixedOffset(60)):
        with pytest.raises(NotStorableError):
            encode(datetime(2024, 1, 1, tzinfo=zone), MemoryBlobs())


def test_missing_values_are_the_singletons():
    """S3: `x is pd.NA` holds after a replay too."""
    back = round_trip([pd.NA, pd.NaT])
    assert back[0] is pd.NA
    assert back[1] is pd.NaT


def test_attrs_and_flags_come_back():
    """S3"""
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = ("api", 1)
    frame.flags.allows_duplicate_labels = False
    back = round_trip(frame)
    assert same(back.attrs, {"source": ("api", 1)})
    assert not back.flags.allows_duplicate_labels


def test_a_frame_is_one_file():
    """S5: not one for each of its columns."""
    blobs = MemoryBlobs()
    round_trip(pd.DataFrame(np.zeros((2000, 50))), blobs)
    assert len(blobs.files) == 1


class FrameOfOurs(pd.DataFrame):
    pass


@pytest.mark.parametrize(
    ("frame", "path"),
    [
        (pd.DataFrame({"a": [1, object()]}), "$.f.a[1]"),
        (pd.DataFrame({"a b": [1, object()]}), '$.f["a b"][1]'),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), "$.f.a"),
        (FrameOfOurs({"a": [1]}), "$.f"),
    ],
    ids=["object", "name", "sparse", "subclass"],
)
def test_frames_that_cannot_be_exact_are_refused_by_path(frame, path):
    """S3"""
    with pytest.raises(NotStorableError) as caught:
        encode({"f": frame}, MemoryBlobs())
    assert caught.value.path == path


cells = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5)


@given(st.lists(st.tuples(cells, cells), max_size=5), st.sampled_from([object, None]))
def test_frames_of_anything_are_exact(rows, dtype):
    """S3: whatever pandas makes of a list of records."""
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=dtype)
    back = round_trip(frame)
    assert list(back.dtypes) == list(frame.dtypes)
    assert back.index.identical(frame.index)
    for name in frame.columns:
        assert all(same(a, b) or (a is b) for a, b in zip(back[name], frame[name], strict=True))


# -- polars and pyarrow

POLARS = {
    "plain": pl.DataFrame({"a": [1, None], "b": ["x", None], "c": [1.5, float("nan")]}),
    "nested": pl.DataFrame({"a": [[1], [2, 3]], "b": [{"x": 1}, {"x": 2}]}),
    "empty": pl.DataFrame(),
    "no rows": pl.DataFrame(schema={"a": pl.Int8}),
    "types": pl.DataFrame(
        {
            "cat": pl.Series(["a", "b"], dtype=pl.Categorical),
            "enum": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "date": pl.Series(["2024-01-01", None]).str.to_date(),
            "time": pl.Series([1, 2]).cast(pl.Datetime("ms", "Europe/Paris")),
            "delta": pl.Series([1, 2]).cast(pl.Duration("us")),
            "dec": pl.Series(["1.10", "2.20"]).cast(pl.Decimal(10, 2)),
            "bin": pl.Series([b"a", b"b"]),
            "arr": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
        }
    ),
    "large": pl.DataFrame({"a": range(10_000)}),
    "chunks": pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False),
}


@pytest.mark.parametrize("frame", POLARS.values(), ids=POLARS)
def test_polars_frames_are_exact(frame):
    """S3"""
    back = round_trip([frame])[0]
    assert type(back) is pl.DataFrame
    assert back.schema == frame.schema
    assert back.equals(frame, null_equal=True)
    for series in frame:
        again = round_trip(series)
        assert (type(again), again.name, again.dtype) == (pl.Series, series.name, series.dtype)
        assert again.equals(series, null_equal=True)


@pytest.mark.parametrize(
    "value",
    [
        pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"k": "v"}),
        pa.table({}),
        pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
        pa.array([1, 2, None], pa.int8()),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([1, 2, 3])[1:],
        pa.array([{"a": [1]}]),
        pa.chunked_array([], type=pa.int8()),
        pa.chunked_array([[1], [2]]),
        pa.RecordBatch.from_pydict({"a": [1]}),
        pa.RecordBatch.from_pydict({"a": pa.array([], pa.int8())}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_arrow_is_exact(value):
    """S3"""
    back = round_trip([value])[0]
    assert type(back) is type(value)
    assert back.equals(value)
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        assert back.schema.equals(value.schema, check_metadata=True)


@pytest.mark.parametrize(
    "value",
    [pl.DataFrame({"a": [object()]}), pl.LazyFrame({"a": [1]}), pa.schema([])],
    ids=["object", "lazy", "schema"],
)
def test_tables_that_arrow_cannot_hold_are_refused(value):
    """S3"""
    with pytest.raises(NotStorableError, match=r"\$\[0\]"):
        encode([value], MemoryBlobs())


# -- identity, previews and late imports

TABLES = [*ARRAYS, *FRAMES.values(), *POLARS.values(), pa.table({"a": [1, None]})]


@pytest.mark.parametrize("table", TABLES, ids=[f"{n} {type(t).__name__}" for n, t in enumerate(TABLES)])
def test_tables_count_by_schema_and_values(table):
    """I1: a copy is the same, and its text is short."""
    text = canonical({"t": table})
    assert text == canonical({"t": round_trip(table)})
    json.dumps(preview([table]), allow_nan=False)


def test_what_counts_for_the_identity_of_a_table():
    """I1: schema, values and attrs do; chunks and memory order do not."""
    frame = pd.DataFrame({"a": [1, 2]})
    noted = frame.copy()
    noted.attrs["x"] = 1
    assert canonical(frame) != canonical(noted)
    different = [frame, frame.astype("float64"), frame.rename(columns={"a": "b"}), frame[::-1], frame + 1]
    assert len({canonical(one) for one in different}) == len(different)
    array = np.arange(6).reshape(2, 3)
    assert canonical(array) == canonical(np.asfortranarray(array))
    assert canonical(array) != canonical(array.reshape(3, 2)) != canonical(array.astype("i4"))
    assert canonical(POLARS["chunks"]) == canonical(pl.DataFrame({"a": [1, 2]}))
    nulls = pl.DataFrame({"a": [1, 5]}).with_columns(pl.when(pl.col("a") < 3).then("a").alias("a"))
    assert canonical(nulls) == canonical(pl.DataFrame({"a": [1, None]}))
    assert canonical(nulls) != canonical(pl.DataFrame({"a": [1, 0]}))
    chunked = pa.table({"a": pa.chunked_array([[1], [2]])})
    assert canonical(chunked) == canonical(pa.table({"a": [1, 2]}))
    assert canonical(chunked) != canonical(pa.table({"a": pa.array([1, 2], pa.int8())}))


def test_no_library_is_imported_for_the_sake_of_its_types():
    """A plain value pays for no library; a stored array is read in a kernel that has not loaded NumPy yet."""
    encoded = encode(np.arange(3), MemoryBlobs())
    code = f"""
import json, sys
from trigger_nb._values import canonical, decode, encode, preview
for value in ({{"a": (1,)}}, object):
    preview(value)
    try: canonical(value)
    except Exception: pass
loaded = sorted({{"numpy", "pandas", "polars", "pyarrow", "pydantic"}} & set(sys.modules))
print(loaded, decode("tagged", json.loads({encoded.text!r}), None).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] [0, 1, 2]"
