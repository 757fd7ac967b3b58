"""The paths of tasks as users give them: as text, as a list of keys or items, or as one key or item."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, TypeAlias, cast

from .._keys import ancestors, display_path, last_segment, normal_key
from .._maps.items import content_key
from .._records.records import TaskRecord
from ..errors import InvalidKeyError, NotFoundError

TaskPath: TypeAlias = object  # text, a list of keys or items of maps, or one key or item


class NormalPath(str):
    """A path in its normal form, which means one task, whatever other paths are shown alike."""

    __slots__ = ()


def find_path(records: Mapping[str, TaskRecord], run_id: str, path: TaskPath) -> TaskRecord:
    """The record of the task with this path. Raises `NotFoundError` if there is none, or more than one is shown so."""
    if isinstance(path, NormalPath):
        found = [path] if path in records else []
    elif isinstance(path, str):
        text = unicodedata.normalize("NFC", path)
        found = [each for each in records if text in (each, display_path(each), _shown(records, each))]
    else:
        found = [each for each in map("/".join, product(*map(_segments, _keys_of(path)))) if each in records]
    if len(found) == 1:
        return records[found[0]]
    if found:
        raise NotFoundError(
            f"run {run_id} has {len(found)} tasks whose path is shown as {path!r}: {_listed(sorted(found))}. Give the path as a "
            'list of keys, such as ["fetch", 7] or ["fetch", "7"], or take it from the task, run.tasks[0].path'
        )
    raise _no_task(records, run_id, path)


def _segments(key: object) -> Iterable[str]:
    """The segments that a key or an item of a map can have in a path."""
    found: dict[str, None] = {}
    # A number is no key by itself: as an item of a map it is one in a tuple.
    contents = (content_key(key), content_key(key, "set"))  # the second in a run of an older version
    keys: list[object] = [key] if isinstance(key, (str, tuple, list)) else [key, (key,)]
    for each in keys:
        with suppress(InvalidKeyError):
            found[normal_key(each)] = None
    for content in contents:
        if content is not None:
            found[content] = None
    return found


def _shown(records: Mapping[str, TaskRecord], path: str) -> str:
    """The path with the keys that the tree shows, of which `display_key=` replaces some."""
    around = [*reversed(ancestors(path)), path]
    keys = [records[each].display_key if each in records else "" for each in around]
    return "/".join(key or display_path(last_segment(each)) for key, each in zip(keys, around, strict=True))


def _no_task(records: Mapping[str, TaskRecord], run_id: str, path: TaskPath) -> NotFoundError:
    text = display_path(path) if isinstance(path, str) else "/".join(map(str, _keys_of(path)))
    paths = [display_path(each) for each, record in records.items() if record.kind != "log"]
    similar = difflib.get_close_matches(text, paths, n=3) or paths[:5]
    return NotFoundError(
        f"run {run_id} has no task {text!r}; there is {', '.join(map(repr, similar)) or 'none yet'}"
    )


def _keys_of(path: TaskPath) -> Sequence[Any]:
    return cast("list[Any]", path) if isinstance(path, list) else [path]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(map(repr, paths[:5])) + (", ..." if len(paths) > 5 else "")
