"""Pieces of values: heads of tables, thumbnails, texts (issue 15, Tables, pictures; S3, S8)."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pydantic import BaseModel, SecretStr

from trigger_nb._redact import secrets
from trigger_nb._values import pieces, thumbnails
from trigger_nb._values.pieces import about, of_object, of_result
from trigger_nb._values.thumbnails import MOST_BYTES, size_of, thumbnail

mpl.use("Agg")


def frame(rows: int = 200) -> pd.DataFrame:
    dates = pd.date_range("2024-01-01", periods=rows)
    return pd.DataFrame({"id": range(rows), "name": [f"n{at}" for at in range(rows)], "when": dates})


def table(value, patterns=()):
    """The table of the piece of a value, which is JSON."""
    (made,) = of_result("tagged", value, patterns)
    assert json.loads(json.dumps(made.piece)) == made.piece
    assert made.piece["part"] == ""
    return made.piece["table"]


# -- Tables ---------------------------------------------------------------------------------------


def test_the_head_of_a_dataframe():
    """Shape, dtypes and first rows; an index of numbers from 0 says nothing."""
    (made,) = of_result("tagged", frame(), ())
    head = made.piece["table"]
    assert made.piece["about"] == "DataFrame 200 × 3"
    assert head["columns"] == ["id", "name", "when"]
    assert head["types"] == ["int64", str(frame()["name"].dtype), str(frame()["when"].dtype)]
    assert head["rows"][:2] == [[0, "n0", "2024-01-01"], [1, "n1", "2024-01-02"]]
    assert (len(head["rows"]), head["of"]) == (10, [200, 3])
    assert "index" not in head


def test_the_labels_of_rows_are_columns_before_the_others():
    series = pd.Series([1.5, float("nan")], index=pd.Index(["a", "b"], name="key"), name="x")
    assert table(series) == {
        "columns": ["key", "x"],
        "types": ["", "float64"],
        "rows": [["a", 1.5], ["b", "nan"]],
        "of": [2],
        "index": 1,
    }
    grouped = frame(4).assign(kind=["a", "a", "b", "b"]).groupby(["kind", "name"])[["id"]].sum()
    head = table(grouped)
    assert head["columns"] == ["kind", "name", "id"]
    assert (head["rows"][0], head["index"]) == (["a", "n0", 0], 2)


def test_tables_of_polars_and_pyarrow():
    head = table(pl.DataFrame({"a": [1, None], "when": [pd.Timestamp("2024-01-01 12:00"), None]}))
    assert head["types"] == ["Int64", "Datetime(us)"]
    assert head["rows"] == [[1, "2024-01-01 12:00:00"], [None, None]]
    assert table(pl.Series("s", [[1, 2]]))["rows"] == [["[1, 2]"]]
    assert table(pa.table({"a": [1, 2], "b": ["x", None]})) == {
        "columns": ["a", "b"],
        "types": ["int64", "string"],
        "rows": [[1, "x"], [2, None]],
        "of": [2, 2],
    }


@pytest.mark.parametrize(
    "odd",
    [
        pd.DataFrame(),
        pd.DataFrame(index=["a", "b"]),
        pd.DataFrame({"a": []}),
        pd.DataFrame([[1, 2]], columns=["same", "same"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
        pd.DataFrame({"a": [pd.NA, pd.NaT, None, {"x": [1]}, object(), b"x" * 9000, 10**400]}),
        pd.DataFrame({number: ["y" * 10_000] * 50 for number in range(500)}),
        pl.DataFrame(),
        pa.table({}),
    ],
    ids=lambda odd: f"{type(odd).__module__}-{odd.shape}",
)
def test_odd_tables_have_bounded_heads(odd):
    """A piece is bounded, whatever the table."""
    (made,) = of_result("tagged", odd, ())
    text = json.dumps(made.piece, allow_nan=False)
    assert len(text) < 20_000
    assert len(made.piece["table"]["columns"]) <= 13


def test_records_are_a_table_when_their_text_is_in_a_file():
    """A list of dicts, models or dataclasses, each with its own fields."""

    class User(BaseModel):
        id: int
        password: SecretStr = SecretStr("s3cret-of-ana")

    @dataclass
    class Point:
        x: float

    users = [User(id=number) for number in range(2000)]
    (made,) = of_result("file", users, ())
    assert made.piece["about"] == "list of 2,000"
    assert made.piece["table"]["rows"][0] == [0, "••••••"]
    (made,) = of_result("file", [{"a": 1}, {"b": {"c": 2}}], ())
    assert made.piece["table"]["rows"] == [[1, None], [None, '{"c": 2}']]
    (made,) = of_result("file", [Point(0.5)] * 3, ())
    assert made.piece["table"]["columns"] == ["x"]
    (made,) = of_result("file", ["x" * 90_000, 1], ())
    assert made.piece["about"] == "list of 2"
    assert len(made.piece["value"][0]) < 600


def test_tables_and_pictures_in_a_dict_are_shown_by_themselves():
    value = {"train": frame(), "n": 1, "plot": Figure(), "rest": [frame()]}
    found = of_result("tagged", value, ())
    assert [(made.piece["part"], made.piece["about"]) for made in found] == [
        ("train", "DataFrame 200 × 3"),
        ("plot", "Figure"),
    ]
    assert len(of_result("tagged", tuple(frame(2) for _ in range(9)), ())) == 4


def test_what_is_plain_costs_nothing(monkeypatch):
    """A scalar, a short text or a plain list is shown from its record: nothing is made for it."""
    monkeypatch.setattr(pieces, "_of_result", None)  # a call would raise
    assert [of_result("", value, ()) for value in (1, "x", [{"a": 1}], None)] == [[]] * 4


# -- Hidden parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["name", "*.name", "name.*", "3.name"])
def test_redact_hides_columns_of_tables(pattern):
    """S8: the path may mean rows of columns, or columns of rows."""
    head = table(frame(), [pattern])
    hidden = [row[1] for row in head["rows"]]
    assert hidden[3] == "•••"
    assert set(hidden) == {"•••"} or pattern == "3.name"
    assert head["rows"][3][0] == 3


def test_redact_hides_in_records_in_parts_and_in_long_column_names():
    """S8."""
    long = "e" * 300
    rows = [{"user": {"email": "ana@x.org", "id": 1}, long: "ana@x.org"}] * 40
    (made,) = of_result("file", rows, ["*.user.email", f"*.{long}"])
    assert "ana@x.org" not in json.dumps(made.piece)
    (made,) = of_result("tagged", {"users": frame()}, ["users.name"])
    assert "n0" not in json.dumps(made.piece)
    assert of_result("tagged", {"users": frame(), "plot": Figure()}, ["users", "plot"]) == []
    (made,) = of_result("file", {"token": "t0p", "rest": "x" * 50_000}, ["token"])
    assert "t0p" not in json.dumps(made.piece)
    doubled = pd.DataFrame([["a", "b", 1]], columns=["same", "same", "id"])
    assert table(doubled, ["id"])["rows"] == [["a", "b", "•••"]]


def test_credentials_are_in_no_piece():
    """S8: of an integration, and in URLs."""
    secrets.add("sk_live_0123456789")
    rows = pd.DataFrame(
        {"sk_live_0123456789": ["at sk_live_0123456789", "https://ana:pw123456@x.org/?token=abc"]}
    )
    for made in (*of_result("tagged", rows, ()), of_object("sk_live_0123456789", label="sk_live_0123456789")):
        text = json.dumps(made.piece)
        assert "sk_live" not in text
        assert "pw123456" not in text
        assert "token=abc" not in text


# -- Pictures -------------------------------------------------------------------------------------


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    bands = {"RGB": 3, "RGBA": 4}[mode]
    data = np.random.default_rng(1).integers(0, 255, (height, width, bands), "uint8")
    return Image.fromarray(data, mode)


def drawn(figsize=(6, 4)) -> Figure:
    figure = Figure(figsize=figsize)
    figure.add_subplot().plot([1, 3, 2])
    return figure


def test_a_figure_is_a_picture_and_stays_as_it_is():
    figure = drawn()
    dpi, canvas = figure.dpi, figure.canvas
    for value in (figure, figure.axes[0], figure.axes[0].lines[0]):
        data = thumbnail(value)
        assert data is not None
        assert size_of(data) == ("png", 600, 400)
    assert (figure.dpi, figure.canvas) == (dpi, canvas)
    assert size_of(thumbnail(drawn((30, 3)))).width <= 640
    assert thumbnail(np.arange(3)) is None


def test_pyplot_is_its_current_figure():
    """As `plt.savefig` takes it; without one there is nothing to draw."""
    import matplotlib.pyplot as plt

    plt.close("all")
    assert of_object(plt).piece["about"] == "module"
    assert plt.get_fignums() == []
    plt.plot([1, 2])
    assert of_object(plt).picture is not None
    plt.close("all")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_has_at_most_64_kb(mode):
    image = noise(2000, 1500, mode)
    data = thumbnail(image)
    assert data is not None
    assert len(data) <= MOST_BYTES
    assert size_of(data).width >= 200
    assert image.size == (2000, 1500)
    figure = Figure(figsize=(12, 9))
    figure.add_subplot().imshow(np.asarray(noise(500, 500)))
    assert len(thumbnail(figure)) <= MOST_BYTES


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_images_of_all_kinds(mode):
    data = thumbnail(Image.new(mode, (900, 10)))
    assert data is not None
    assert size_of(data) == ("png", 640, 7)


def test_objects_that_offer_a_picture_to_notebooks():
    written = io.BytesIO()
    noise(1200, 900).save(written, "PNG")

    class Own:
        def _repr_png_(self):
            return written.getvalue(), {"width": 5}

    class Broken:
        def _repr_png_(self):
            raise OSError("no display")

    (made,) = of_result("unstored", Own(), ())
    assert made.picture is not None
    assert len(made.picture) <= MOST_BYTES
    assert made.piece == {"part": "", "about": "Own"}
    assert made.kept(lambda _: "f" * 64) == {"part": "", "about": "Own", "file": "f" * 64}
    assert of_result("unstored", Broken(), ()) == []


def test_a_figure_of_plotly_is_a_picture_only_where_kaleido_is_in_use(monkeypatch):
    """Else it would take seconds to start a browser for each."""
    png = thumbnail(drawn())

    class BaseFigure:
        def to_image(self, **options):
            assert options["format"] == "png"
            return png

    module = ModuleType("plotly.basedatatypes")
    module.BaseFigure = BaseFigure
    monkeypatch.setitem(sys.modules, "plotly.basedatatypes", module)
    monkeypatch.delitem(sys.modules, "kaleido", raising=False)
    assert thumbnail(BaseFigure()) is None
    monkeypatch.setitem(sys.modules, "kaleido", ModuleType("kaleido"))
    assert thumbnail(BaseFigure()) == png


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_the_size_of_a_stored_picture_is_read_from_its_bytes(suffix):
    written = io.BytesIO()
    noise(60, 40).save(written, suffix)
    data = written.getvalue()
    assert size_of(data) == (suffix.lower(), 60, 40)
    assert size_of(data[:20]) is None
    assert size_of(data + b"\0" * MOST_BYTES) is None


def test_other_bytes_are_no_picture():
    """D5: SVG may hold scripts, and a few bytes may say that they are a picture of ten gigapixels."""
    png = bytearray(thumbnail(drawn()))
    png[16:20] = (100_000).to_bytes(4, "big")
    hostile = [
        b"<svg onload='alert(1)'>" + b" " * 99,
        b"GIF89a" + b"\0" * 99,
        b"\xff\xd8\xff" + b"\0" * 99,
        bytes(png),
    ]
    assert [size_of(data) for data in hostile] == [None] * 4
    assert size_of(b"\xff\xd8\xff\xc0" + b"\xff" * 99) is None


# -- Texts and other objects ----------------------------------------------------------------------


def test_markdown_and_html_are_kept_as_text():
    """D5: whoever shows them escapes them."""
    from IPython.display import HTML, Markdown

    assert thumbnails.thumbnail(Markdown("# a")) is None
    assert of_object(Markdown("# Title"), "note").piece == {
        "label": "note",
        "about": "Markdown",
        "text": "# Title",
    }
    (made,) = of_result("unstored", HTML("<b onclick=x>bold</b>"), ())
    assert made.piece == {"part": "", "about": "HTML", "text": "<b onclick=x>bold</b>"}
    assert len(of_object("x" * 90_000).piece["text"]) < 4_100


def test_any_object_has_a_piece():
    class Broken:
        def __repr__(self):
            raise RuntimeError

        def __len__(self):
            raise RuntimeError

    assert of_object({"a": 1}).piece == {"label": "", "about": "dict of 1", "value": {"a": 1}}
    assert of_object([{"a": 1}]).piece["table"]["rows"] == [[1]]
    assert "Broken" in of_object(Broken(), "odd").piece["value"]
    assert of_object(SecretStr("s3cret")).piece["value"] == "••••••"
    assert of_object(np.arange(3), None).piece == {
        "label": "",
        "about": "ndarray 3",
        "text": "array([0, 1, 2])",
    }
    assert len(of_object(np.zeros((9000, 9000))).piece["text"]) < 500


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0] * 2000, "list of 2,000"),
        ({"a": 1}, "dict of 1"),
        ("x" * 1200, "text of 1,200 characters"),
        (frame(), "DataFrame 200 × 3"),
        (np.zeros((3, 4)), "ndarray 3 × 4"),
        (b"x", "bytes"),
    ],
    ids=["list", "dict", "text", "frame", "array", "bytes"],
)
def test_what_a_value_is(value, text):
    assert about(value) == text
