"""Thumbnails: small PNG or JPEG pictures of figures and images, and the check of those that come from a store."""

from __future__ import annotations

import base64
import io
import sys
import threading
from typing import Any, NamedTuple

from .libraries import import_library
from .names import kind_of

MOST_BYTES = 65_536  # of one picture
_WIDTH, _HEIGHT = 640, 480  # pixels that a picture is scaled down to
_LONGEST_SIDE = 4096  # pixels of a stored picture: a page that decodes a larger one may run out of memory
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_drawing = threading.Lock()  # matplotlib draws on one thread at a time


class Size(NamedTuple):
    """What the first bytes of a picture say: its type and its size in pixels."""

    type: str  # "png" or "jpeg"
    width: int
    height: int


def thumbnail(value: Any) -> bytes | None:
    """A picture of a figure or an image, of at most `MOST_BYTES`; None for another object, or if it cannot be drawn so small.

    The object stays as it is. Raises what its library raises.
    """
    kind = kind_of(value)
    if (figure := _figure_of(value, kind)) is not None:
        return _of_figure(figure)
    if _is_from(kind, "PIL.Image", "Image"):
        return _of_image(value)
    if _is_from(kind, "plotly.basedatatypes", "BaseFigure"):
        # Without Kaleido there is no picture, and to start it takes seconds: only where the user's code uses it already.
        return (
            _fitted(value.to_image(format="png", width=_WIDTH, height=400))
            if "kaleido" in sys.modules
            else None
        )
    return _of_itself(value, kind)


def drawn_by(value: Any) -> Any:
    """The figure that pyplot is drawing, for its module, as `plt.savefig` takes it; any other value itself."""
    is_pyplot = value is sys.modules.get("matplotlib.pyplot")
    return value.gcf() if is_pyplot and value.get_fignums() else value


def size_of(data: bytes) -> Size | None:
    """Type and size of a stored picture; None if it is no PNG or JPEG, or too large in bytes or pixels.

    >>> size_of(b"<svg onload=alert(1)>") is None
    True
    """
    if not 32 <= len(data) <= MOST_BYTES:
        return None
    if data.startswith(_PNG) and data[12:16] == b"IHDR":
        found = Size("png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    elif data.startswith(_JPEG):
        found = _size_of_jpeg(data)
    else:
        return None
    return found if found and 0 < found.width <= _LONGEST_SIDE and 0 < found.height <= _LONGEST_SIDE else None


def _size_of_jpeg(data: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the header of a frame
            height, width = (int.from_bytes(data[start : start + 2], "big") for start in (at + 5, at + 7))
            return Size("jpeg", width, height)
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None


def _is_from(kind: type[Any], module: str, name: str) -> bool:
    """Whether a class is, or derives from, one of a library that may not be loaded."""
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and issubclass(kind, base)


# Drawing -----------------------------------------------------------------------------------------


def _figure_of(value: Any, kind: type[Any]) -> Any:
    """The figure of matplotlib that a value is or belongs to: of axes, and of the grids of seaborn; else None."""
    if "matplotlib.figure" not in sys.modules:
        return None
    if _is_from(kind, "matplotlib.figure", "FigureBase"):
        return getattr(value, "figure", None) or value
    if _is_from(kind, "matplotlib.artist", "Artist") or kind.__module__.startswith("seaborn."):
        figure = getattr(value, "figure", None)
        return figure if _is_from(kind_of(figure), "matplotlib.figure", "FigureBase") else None
    return None


def _of_figure(figure: Any) -> bytes | None:
    inches: Any = figure.get_size_inches()
    dpi = min(100.0, _WIDTH / max(1.0, float(inches[0])), _HEIGHT / max(1.0, float(inches[1])))
    drawn = io.BytesIO()
    with _drawing:
        figure.savefig(drawn, format="png", dpi=dpi)
    return _fitted(drawn.getvalue())


def _of_itself(value: Any, kind: type[Any]) -> bytes | None:
    """The picture that an object offers to notebooks."""
    for name in ("_repr_png_", "_repr_jpeg_"):
        if not callable(getattr(kind, name, None)):
            continue
        found: Any = getattr(value, name)()
        if kind_of(found) is tuple:  # with metadata
            found = found[0]
        if isinstance(found, str):
            found = base64.b64decode(found)
        if isinstance(found, bytes):
            return _fitted(found)
    return None


def _fitted(data: bytes) -> bytes | None:
    """The picture, made smaller if it is too large for a thumbnail."""
    if size_of(data) is not None:
        return data
    try:
        pillow = import_library("PIL.Image")
    except ImportError:
        return None
    with pillow.open(io.BytesIO(data)) as image:
        return _of_image(image)


def _on_white(image: Any) -> Any:
    """The image in RGB: what is clear in it becomes white, as paper is."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    paper = import_library("PIL.Image").new("RGB", clear.size, "white")
    paper.paste(clear, mask=clear.getchannel("A"))
    return paper


def _of_image(image: Any) -> bytes | None:
    """An image of Pillow as a picture: PNG if that is small enough, else JPEG, else smaller."""
    width, height = image.size
    share = min(1.0, _WIDTH / max(1, width), _HEIGHT / max(1, height))
    while share * width >= 1 and share * height >= 1:
        size = (max(1, round(share * width)), max(1, round(share * height)))
        small = image.resize(size, reducing_gap=2.0) if size != (width, height) else image
        small = _on_white(small)
        for form, options in (("PNG", {}), ("JPEG", {"quality": 80}), ("JPEG", {"quality": 55})):
            written = io.BytesIO()
            small.save(written, format=form, **options)
            if written.tell() <= MOST_BYTES:
                return written.getvalue()
        share *= 0.6
    return None
