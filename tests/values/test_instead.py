"""Values that are no data, and what the error says to write instead: it must be data. S3."""

from __future__ import annotations

import array
import collections
import datetime as dt
import email.message
import functools
import re
import sqlite3
import types
import xml.etree.ElementTree as ET  # of no document of others

import numpy as np
import pandas as pd
import pytest

from tests.support.codec import round_trip
from trigger_nb._values.canonical import canonical
from trigger_nb.errors import NotStorableError


def mail():
    message = email.message.EmailMessage()
    message["To"] = "ana@example.com"
    message.set_content("Hello")
    return message


def sql_row():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select 1 as a").fetchone()
    connection.close()
    return row


def of(module, make):
    return make(pytest.importorskip(module))


CASES = [
    (lambda: re.match("(?P<a>x)", "x"), ".groupdict()", lambda value: value.groupdict()),
    (lambda: array.array("d", [1, 2]), "list(...)", list),
    (lambda: memoryview(b"abc"), "bytes(...)", bytes),
    (lambda: types.MappingProxyType({"a": 1}), "dict(...)", dict),
    (lambda: collections.ChainMap({"a": 1}, {"b": 2}), "dict(...)", dict),
    (lambda: collections.UserDict(a=1), "dict(...)", dict),
    (lambda: {"a": 1}.items(), "list(...)", list),
    (mail, ".as_bytes()", lambda value: value.as_bytes()),
    (sql_row, "dict(...)", dict),
    (lambda: ET.Element("a"), "tostring(...)", ET.tostring),
    (
        lambda: dt.datetime(2030, 1, 31).timetuple(),
        "datetime(*value[:6])",
        lambda value: dt.datetime(*value[:6]),
    ),
    (lambda: np.eye(2).view(np.matrix), "numpy.asarray(...)", np.asarray),
    (lambda: np.polynomial.Polynomial([1, 2]), ".coef", lambda value: value.coef),
    (lambda: np.random.default_rng(0), ".bit_generator.state", lambda value: value.bit_generator.state),
    (lambda: pd.Categorical(["a", "b"]), "pandas.Series(...)", pd.Series),
    (lambda: pd.array([1, None], dtype="Int64"), "pandas.Series(...)", pd.Series),
    (lambda: pd.offsets.MonthEnd(2), ".freqstr", lambda value: value.freqstr),
    (lambda: pd.DataFrame({"a": [1]}).groupby("a"), ".sum()", lambda value: value.sum()),
    (
        lambda: of("polars", lambda polars: polars.LazyFrame({"a": [1]})),
        ".collect()",
        lambda value: value.collect(),
    ),
    (lambda: of("pyarrow", lambda arrow: arrow.scalar(1)), ".as_py()", lambda value: value.as_py()),
    (lambda: of("httpx", lambda httpx: httpx.Response(200, json={})), ".json()", lambda value: value.json()),
    (lambda: of("httpx", lambda httpx: httpx.URL("http://a")), "str(...)", str),
    (lambda: of("httpx", lambda httpx: httpx.Headers({"a": "b"})), "dict(...)", dict),
    (lambda: of("packaging.version", lambda version: version.Version("1.0")), "str(...)", str),
    (
        lambda: of("PIL.Image", lambda image: image.new("RGB", (2, 2))),
        "return File(path)",
        lambda value: value.tobytes(),
    ),
]


@pytest.mark.parametrize(("make", "said", "instead"), CASES)
def test_a_refusal_says_what_to_write_instead(make, said, instead):
    """S3: the path, the type, and a conversion that a data scientist can type, which is data."""
    value = make()
    with pytest.raises(NotStorableError, match=re.escape(said)) as refused:
        canonical({"found": [value]})
    assert "$.found[0]" in str(refused.value)
    back = round_trip(instead(value))
    assert type(back) is type(instead(value))


def test_a_masked_array_is_two_arrays():
    """S3: values and mask, as the refusal says."""
    value = np.ma.array([1, 2], mask=[0, 1])
    with pytest.raises(NotStorableError, match=r"\(value\.data, value\.mask\)"):
        canonical(value)
    data, mask = round_trip((value.data, value.mask))
    assert (np.ma.array(data, mask=mask) == value).all()


def test_a_function_with_arguments_is_no_data():
    """S3: nothing to convert it to."""
    with pytest.raises(NotStorableError, match="a function with arguments is not data"):
        canonical(functools.partial(int, base=2))


def test_a_class_of_the_same_name_is_not_taken_for_another():
    """S3: the hint is for the library's class."""
    cls = type("Match", (), {"__module__": "notebook"})
    with pytest.raises(NotStorableError, match="register_codec"):
        canonical(cls())


@pytest.mark.parametrize(
    "pattern", [re.compile("(?i)a+", re.MULTILINE), re.compile(b"\\d"), re.compile("é", re.ASCII)]
)
def test_a_compiled_pattern_is_a_value(pattern):
    """S3, I1: the text and the flags, both count."""
    assert round_trip({"find": pattern}) == {"find": pattern}
    assert canonical(pattern) == canonical(re.compile(pattern.pattern, pattern.flags))
    assert canonical(pattern) != canonical(re.compile(pattern.pattern, pattern.flags ^ re.DOTALL))
    assert canonical(pattern) != canonical(pattern.pattern)


def test_a_pattern_that_prints_when_it_is_compiled_is_refused(capsys):
    """S3: each reading would print its parts."""
    with pytest.raises(NotStorableError, match=r"re\.DEBUG"):
        canonical(re.compile("a", re.DEBUG))
