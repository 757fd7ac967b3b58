"""The styles of static HTML, and how a stylesheet is put into it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")


@cache
def stylesheet(path: Path = _STYLE) -> str:
    """The rules of a stylesheet on one line: in Markdown, a blank line would end the HTML."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};,>])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()
