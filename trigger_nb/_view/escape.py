"""Makes text from any source safe and short enough to display.

Names, properties, errors and values come from users, services and files. All of it is displayed as text:
a control character, an ANSI sequence or a bidirectional override is written as an escape (`\\x1b`,
`\\u202e`), so that it cannot affect the terminal or the page.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

# Characters that are invisible or control the output: control and format characters, line and paragraph
# separators, surrogates. U+200D is not among them, because it joins emoji.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_in_line = re.compile(f"[{_HIDDEN}]")
_in_block = re.compile(
    f"[{_HIDDEN.replace(chr(0) + '-' + chr(31), chr(0) + '-' + chr(8) + chr(11) + '-' + chr(31))}]"
)
_SAFE_URL = re.compile(r"(?:https?://[^\s/]|mailto:[^\s])[^\s]*\Z", re.IGNORECASE)


def visible(text: object, limit: int = 200) -> str:
    """The text on one line: invisible characters are escaped, and text after `limit` characters is cut, between words.

    >>> visible("red: \\x1b[31m"), visible("abcdef", 3), visible("a word too long", 9)
    ('red: \\\\x1b[31m', 'abc… (6 characters)', 'a word… (15 characters)')
    """
    return _shown(text, limit, _in_line, between_words)


def visible_block(text: object, limit: int = 10_000) -> str:
    """Like `visible`, but keeps line breaks and tabs."""
    return _shown(str(text).replace("\r\n", "\n"), limit, _in_block, lambda text, limit: text[:limit])


def _shown(text: object, limit: int, hidden: re.Pattern[str], cut: Callable[[str, int], str]) -> str:
    text = str(text)
    note = ""
    if len(text) > limit:
        note = f"… ({len(text):,} characters)"
        text = cut(text, limit)
    return hidden.sub(_written_out, text) + note


def between_words(text: str, limit: int) -> str:
    """The first `limit` characters, without a word of which only a part would be left; a long word is cut."""
    kept = text[:limit]
    whole = kept if text[limit : limit + 1].isspace() else kept.rpartition(" ")[0]
    return (whole if 2 * len(whole) >= limit else kept).rstrip()


def _written_out(match: re.Match[str]) -> str:
    character = match.group()
    if character in "\n\t\r":
        return {"\n": "↵", "\t": " ", "\r": "\\r"}[character]
    number = ord(character)
    return (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
    )


def markup(text: object, limit: int = 200) -> str:
    """The text made `visible` and escaped for HTML, in elements and in quoted attributes."""
    return escaped(visible(text, limit))


def escaped(text: str) -> str:
    """Text that is `visible` already, escaped for HTML, in elements and in quoted attributes.

    Line breaks become `&#10;`: nbconvert puts the HTML into Markdown, where a blank line would end it.
    """
    return html.escape(text, quote=True).replace("\n", "&#10;").replace("\t", "    ")


def isolated(text: object, limit: int = 200) -> str:
    """Like `markup`, and `apart`."""
    return apart(markup(text, limit))


def apart(shown: str) -> str:
    """Markup kept apart from its surroundings, which text that is written from right to left would reorder.

    The isolates are characters and no style: a page that removes all styles keeps them. Other text gets none, to be copied as it is.
    """
    is_reordering = not shown.isascii() and any(
        unicodedata.bidirectional(each) in ("R", "AL") for each in shown
    )
    return f"\u2068{shown}\u2069" if is_reordering else shown


def safe_url(url: object) -> str | None:
    """The URL if its scheme is http, https or mailto (rule D5), else None."""
    if not isinstance(url, str) or len(url) > 2000 or _in_line.search(url) or not _SAFE_URL.match(url):
        return None
    return url


def columns(text: str) -> int:
    """The number of terminal columns that the text takes."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """The text, cut with an ellipsis if it takes more than `width` columns.

    >>> fit("onboarding", 6)
    'onboa…'
    """
    if columns(text) <= width:
        return text
    kept: list[str] = []
    used = 1  # the ellipsis
    for character in text:
        used += _width(character)
        if used > width:
            break
        kept.append(character)
    return between_words(text, len(kept)) + "…"
