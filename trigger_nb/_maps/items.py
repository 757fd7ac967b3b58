"""The items of a map: reading them, and their keys and display names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar
from unicodedata import is_normalized

from .. import _values
from .._keys import display_path, is_sequence, normal_key
from .._redact import secrets
from .._tasks.call import Scope, current_scope
from .._values.files import File, file_text
from .._values.names import kind_of
from .._values.tagged import Counts
from ..errors import (
    DuplicateKeyError,
    InvalidKeyError,
    InvalidOptionError,
    NotStorableError,
    UnreadableFileError,
)

Item = TypeVar("Item")
Items: TypeAlias = Iterable[Item] | AsyncIterable[Item]
Body: TypeAlias = Callable[..., Any]  # the user's function for an item, or for a batch of them
LAST: Final = object()  # returned by `Source.next` after the last item
_LONGEST_KEY = 60  # for longer text the key is a digest
_LONGEST_NAME = 80
_SCALARS = frozenset[type]({int, float, bool})


def check_items(items: object) -> None:
    """Raise `InvalidOptionError` for a value that is no collection of items, such as text."""
    kind = kind_of(items)
    if issubclass(kind, (str, bytes, bytearray, Mapping)):
        instead = "its .items(), or a list of what you mean" if issubclass(kind, Mapping) else "[items]"
        raise InvalidOptionError(
            f"the items of a map must be a collection, and a {kind.__name__} counts as one value: pass {instead}"
        )
    if kind.__name__ == "DataFrame":
        raise InvalidOptionError(
            "iterating over a data frame gives its columns: pass its rows, such as frame.to_dict('records') with "
            "pandas or frame.to_dicts() with polars"
        )
    if not isinstance(items, (Iterable, AsyncIterable)):
        raise InvalidOptionError(f"the items of a map must be an iterable, sync or async, not {items!r:.100}")


class Source:
    """Reads the items one by one, from a sync or an async iterable.

    The iterable's code runs in the scope around the map, so tasks that it calls do not belong to an item.
    """

    def __init__(self, items: Items[object], scope: Scope | None) -> None:
        self._scope = scope
        # One of the two.
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)

    @property
    def is_async(self) -> bool:
        """Whether reading may yield to the event loop."""
        return self._async is not None

    async def next(self) -> object:
        """The next item, or `LAST`."""
        token = current_scope.set(self._scope)
        try:
            if self._async is not None:
                return await anext(self._async, LAST)
            return next(self._sync, LAST) if self._sync is not None else LAST
        finally:
            current_scope.reset(token)

    async def close(self) -> None:
        """Close the iterable, so that a generator that has not ended cleans up now."""
        if (aclose := getattr(self._async, "aclose", None)) is not None:
            await aclose()
        elif (close := getattr(self._sync, "close", None)) is not None:
            close()


def size_of(items: Items[object]) -> int | None:
    """The number of items, if known beforehand."""
    return len(items) if isinstance(items, Sized) else None


class Keys:
    """Computes the key of each item from its content, so that inserting an item changes no other key (C2).

    In a run of a version up to November 2026, an item whose result has the key of that version keeps it: `has_record`
    is then given, and says whether a path has a record.
    """

    def __init__(
        self,
        item_key: Callable[..., object] | None,
        node: str,
        has_record: Callable[[str], bool] | None = None,
    ) -> None:
        self._item_key = item_key
        self._node = node
        # By key: the number of items with it; with `item_key`, the index of the first one.
        self._met: dict[str, int] = {}
        self._has_record = has_record
        self._met_before: dict[str, int] = {}  # by the key of that version

    def of(self, item: object, index: int) -> str:
        """The segment of an item's path. Raises `InvalidKeyError`, `DuplicateKeyError`, `UnreadableFileError`."""
        if self._item_key is not None:
            return self._given(self._item_key(item), index)
        try:
            content = content_key(item)
        except UnreadableFileError as error:
            name = display_path(self._node)
            raise UnreadableFileError(
                f"item {index} of map {name!r} has a File, which counts by its content: {error}", error.path
            ) from None
        if content is None:
            raise InvalidKeyError(
                f"item {index} of map {display_path(self._node)!r} ({type(item).__name__}) has no content that "
                "can be a key: pass one, item_key=lambda item: item.id"
            )
        if self._has_record is not None:
            before = _counted(content_key(item, "set") or content, self._met_before)
            if self._has_record(f"{self._node}/{before}"):
                return before
        return _counted(content, self._met)

    def _given(self, key: object, index: int) -> str:
        segment = normal_key(key if isinstance(key, str) or is_sequence(key) else (key,))
        first = self._met.setdefault(segment, index)
        if first != index:
            path = f"{self._node}/{segment}"
            raise DuplicateKeyError(path, f"item {first}", f"item {index} (by item_key)", display_path(path))
        return segment


def _counted(content: str, met: dict[str, int]) -> str:
    """A key that tells equal items apart: the first, the second."""
    count = met[content] = met.get(content, 0) + 1
    return content if count == 1 else f"{_opened(content)},~i{count})"


def content_key(item: object, counts: Counts = "changed") -> str | None:
    """The key made from an item's content; None if the content cannot be a key. `counts` is as for `canonical`."""
    kind = kind_of(item)
    if (
        isinstance(item, str)
        and kind is str
        and 0 < len(item) <= _LONGEST_KEY
        and secrets.hide(item) == item
        # A key is normalised, and content is not: text in another normal form gets a digest as its key.
        and (item.isascii() or counts == "set" or is_normalized("NFC", item))
    ):
        return _of_text(item)
    if kind in _SCALARS and item == item:  # noqa: PLR0124  # NaN
        return normal_key((item,))
    if isinstance(item, File):
        return _of_file(item, counts)
    return _digest(item, counts)


def _digest(item: object, counts: Counts = "changed") -> str | None:
    try:
        text = _values.canonical(item, counts)
    except NotStorableError:
        return None
    return f"~(#,{hashlib.sha256(text.encode()).hexdigest()[:20]})"


def _of_text(text: str) -> str:
    try:
        return normal_key(text)
    except InvalidKeyError:  # half a surrogate pair, which text in a key must not hold
        return f"~(#,{hashlib.sha256(_values.canonical(text).encode()).hexdigest()[:20]})"


def _of_file(item: File, counts: Counts) -> str | None:
    if len(item.given) <= _LONGEST_KEY and secrets.hide(item.given) == item.given:
        with suppress(InvalidKeyError):  # a path that is no text
            return normal_key((item,))
    return _digest(item, counts)


def _opened(segment: str) -> str:
    """A key as the beginning of a longer tuple: "paris" and "~(7)" as "~(paris" and "~(7"."""
    return segment[:-1] if segment.startswith("~(") else "~(" + segment.replace(",", "~2")


def display_name(item: object, segment: str) -> str | None:
    """The display name of a file, or of an item whose key is a digest; None for others."""
    if isinstance(item, File):
        return file_text(item)
    if not segment.startswith("~(#,"):
        return None
    shown = _values.preview(item, _LONGEST_NAME)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def short_name(name: object) -> str:
    """A name as it is recorded: on one line, and not too long."""
    text = " ".join(str(name).split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def checked_function(options: dict[str, object], name: str) -> Callable[..., object] | None:
    """Take an option that is a function of the item out of `options`. Raises `InvalidOptionError` if it is none."""
    function = options.pop(name, None)
    if function is not None and not callable(function):
        raise InvalidOptionError(f"{name} must be a function, {name}(item), not {function!r:.100}")
    return function
