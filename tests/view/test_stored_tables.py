"""Tables, arrays and bytes in a line, from values as the codecs write them (D2)."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trigger_nb._values.codec import dump
from trigger_nb._view.model.readable import value_text

MANY = 100_000  # rows: the values are in a file
ZONED = pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin")


class Files(dict[str, bytes]):
    """Files that are written and never opened."""

    def put(self, data: bytes) -> str:
        self[name := str(len(self))] = data
        return name

    def get(self, name: str) -> bytes:
        raise AssertionError("a file was opened")


def shown(value: object) -> str:
    form, text = dump(value, Files())
    return value_text(form, json.loads(text), [], 2000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pd.DataFrame({"order": [1, 2], "name": ["a", "b"]}), "DataFrame 2 × 2: order int64, name str"),
        (pd.DataFrame({"x": np.zeros(MANY), 7: range(MANY)}), "DataFrame 100,000 × 2: x float64, 7 int64"),
        (pd.DataFrame({"at": ZONED}), "DataFrame 3 × 1: at datetime64[us, Europe/Berlin]"),
        (pd.DataFrame({"n": pd.array([1, None], "Int64")}), "DataFrame 2 × 1: n Int64"),
        (pd.DataFrame({"c": pd.Categorical(["x"])}), "DataFrame 1 × 1: c category"),
        (pd.DataFrame({"o": [{}, 1]}), "DataFrame 2 × 1: o object"),
        (pd.DataFrame(np.zeros((2, 3))), "DataFrame 2 × 3: 0 float64, 1 float64, 2 float64"),
        (pd.DataFrame({f"c{n}": [1] for n in range(20)}), None),
        (pd.DataFrame(), "DataFrame 0 × 0"),
        (pd.DataFrame({("a", "b"): [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])), "DataFrame 1 × 1"),
        (pd.Series([1.5, 2.0], name="price"), "Series 2: price float64"),
        (pd.Series(range(MANY)), "Series 100,000: int64"),
        (pd.Index(["a", "b"]), "Index 2: str"),
        (pd.Timestamp("2024-02-29 12:00"), "2024-02-29 12:00:00"),
        (np.zeros((3, 4)), "ndarray float64 (3, 4)"),
        (np.zeros((300, 4000), "i2"), "ndarray int16 (300, 4000)"),
        (np.array(["x", None], dtype=object), "ndarray object (2,)"),
        (np.array(["2024-01-01"], "M8[D]"), "ndarray datetime64[D] (1,)"),
        (np.int64(-3), "-3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "True"),
        (b"x" * 12_000, "bytes, 12 kB"),
        (bytearray(b"abc"), "bytearray, 3 B"),
        (pl.DataFrame({"a": [1], "b": ["x"]}), "DataFrame 1 × 2: a Int64, b String"),
        (pl.DataFrame({"a": range(MANY)}), "DataFrame 100,000 × 1: a Int64"),
        (pl.Series("s", [1, 2]), "Series 2: Int64"),
        (pa.table({"a": [1]}), "Table 1 × 1: a int64"),
    ],
)
def test_what_is_told(value, text):
    """No file is opened, whatever its size."""
    if text is None:
        text = "DataFrame 1 × 20: " + ", ".join(f"c{n} int64" for n in range(12)) + ", …"
    assert shown(value) == text


def test_no_library_is_imported_to_describe_a_table():
    form, text = dump(pd.DataFrame({"order": [1, 2]}), Files())
    code = f"""
import json, sys
from trigger_nb._view.model.readable import value_text
print(value_text({form!r}, json.loads({text!r}), [], 2000), *sys.modules.keys() & {{"pandas", "numpy"}})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "DataFrame 2 × 1: order int64"
