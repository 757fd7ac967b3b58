"""Which errors are equal but for what they name: `no user 17` and `no user 4`."""

from __future__ import annotations

import re
from functools import lru_cache

GAP = "…"
_READ, _KEPT = 600, 300  # characters of a message that count, and of the result
# A status of HTTP is no number like others: 404 and 429 are different errors.
_STATUS = r"(?:^|(?i:(?<=status )|(?<=error )|(?<=code )|(?<=code: )|(?<=http )))[45]\d\d(?=$|[ :]+[^\W\d_])"
# An apostrophe is no quotation mark.
_QUOTED = "|".join(
    rf"(?<!\w){left}[^{right}\n]*{right}(?!\w)" for left, right in ("''", '""', "``", "‘’", "“”", "«»")
)
_ADDRESS = r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+|(?<![\w.+-])[\w.+-]+@\w[\w.-]*\w"
# A word with a digit in it: a number, an identifier.
_NAMED = r"(?<![\w.%-])[-+]?[\w.%-]*\d(?:[\w.%-]*[\w%])?(?:,\d{3}\b)*(?:\.\d+)?(?:(?<=[eE])\+\d+)?"
_PARTS = re.compile(f"(?P<status>{_STATUS})|(?P<quoted>{_QUOTED})|{_ADDRESS}|{_NAMED}")
_QUOTED_STATUS = re.compile(r".[45]\d\d [^\W\d_]")


@lru_cache(maxsize=1000)
def common_text(message: str) -> str:
    """The message without what it names: quoted text, numbers, identifiers and addresses.

    >>> common_text("422 item 17 of 'articles' has 9,204 tokens")
    "422 item … of '…' has … tokens"
    >>> common_text("Client error '404 Not Found' for url 'https://example.com/7'")
    "Client error '404 Not Found' for url '…'"
    """
    return _PARTS.sub(_gap, message[:_READ])[:_KEPT]


def _gap(found: re.Match[str]) -> str:
    text = found.group()
    if found["status"] or (found["quoted"] and _QUOTED_STATUS.match(text)):
        return text
    return f"{text[0]}{GAP}{text[-1]}" if found["quoted"] else GAP
