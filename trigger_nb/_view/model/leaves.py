"""The leaves of a stored value: the fields of dicts and models one by one, under dotted names.

Values are not decoded: no class of the user is looked up, and no code of the user is called.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from ..._redact import redact, redact_tagged
from ..._values.json_text import dumps_sorted
from ..pretty import Bare
from .readable import readable, value_text

WHOLE = ""  # the name of the one leaf of a value without fields
MOST = 100  # leaves of one value
_DEEPEST = 6
_WITH_FIELDS = frozenset({"model", "dataclass", "attrs", "namespace", "namedtuple"})
_PAIRS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
_Parts: TypeAlias = dict[str, Any]


class Leaf(NamedTuple):
    """A part of a stored value: its JSON, and whether that has tags."""

    data: Any
    is_tagged: bool = False

    def text(self, limit: int) -> str:
        """The leaf for a reader: text without quotes, anything else as in the details."""
        if self.data is None:
            return "None"
        shown = readable(self.data) if self.is_tagged else self.data
        if isinstance(shown, str) and not isinstance(shown, Bare):
            return shown if len(shown) <= limit else shown[:limit] + "…"
        return value_text("tagged" if self.is_tagged else "", self.data, [], limit)

    @property
    def number(self) -> float | None:
        """The number that it is; None for anything else, also for True and False."""
        if isinstance(self.data, (int, float)) and not isinstance(self.data, bool):
            try:
                return float(self.data)
            except OverflowError:
                return None
        return None


def same_data(here: Any, there: Any) -> bool:
    """Whether JSON data is the same: 1, 1.0 and True differ, and the order of keys does not count."""
    if here != there:
        return False
    # Faster than text for long lists of numbers; the order of keys counts.
    return marshal.dumps(here, 2) == marshal.dumps(there, 2) or dumps_sorted(here) == dumps_sorted(there)


def leaves(form: str, value: Any, redacted: Sequence[str] = ()) -> dict[str, Leaf]:
    """The leaves of a value in a record, by dotted name; `{WHOLE: ...}` for a value without fields.

    A value that is not in the record itself, such as one in a file, has none. `redacted` hides parts.

    >>> leaves("", {"label": "spam", "usage": {"tokens": 7}})
    {'label': Leaf(data='spam', is_tagged=False), 'usage.tokens': Leaf(data=7, is_tagged=False)}
    """
    if form not in ("", "tagged"):
        return {}
    is_tagged = form == "tagged"
    data = (redact_tagged if is_tagged else redact)(redacted, value)
    parts = _parts(data, is_tagged)
    if not parts or len(parts) > MOST:
        return {WHOLE: Leaf(data, is_tagged)}
    found: dict[str, Leaf] = {}
    _collect(found, parts, "", is_tagged, 1)
    return found if len(found) <= MOST else {name: Leaf(each, is_tagged) for name, each in parts.items()}


def _collect(found: dict[str, Leaf], parts: _Parts, prefix: str, is_tagged: bool, depth: int) -> None:
    for name, data in parts.items():
        inner = _parts(data, is_tagged) if depth < _DEEPEST else None
        if inner and len(found) <= MOST:
            _collect(found, inner, f"{prefix}{name}.", is_tagged, depth + 1)
        else:
            found[f"{prefix}{name}"] = Leaf(data, is_tagged)


def _parts(data: Any, is_tagged: bool) -> _Parts | None:
    """The fields of JSON data, with their data; None if it has no fields."""
    if not isinstance(data, dict):
        return None
    mapping = cast("_Parts", data)
    tag = mapping.get("$") if is_tagged else None
    if not isinstance(tag, str):
        return mapping
    inner = mapping.get("v")
    if tag in _WITH_FIELDS and isinstance(inner, dict):
        extra = _of_pairs(mapping["extra"]["v"]) if isinstance(mapping.get("extra"), dict) else None
        return {**cast("_Parts", inner), **(extra or {})}
    return _of_pairs(inner) if tag in _PAIRS else None


def _of_pairs(pairs: Any) -> _Parts | None:
    if not isinstance(pairs, list):
        return None
    found: _Parts = {}
    for pair in cast("list[Any]", pairs):
        if not (isinstance(pair, list) and len(cast("list[Any]", pair)) == 2 and isinstance(pair[0], str)):
            return None
        found[pair[0]] = pair[1]
    return found
