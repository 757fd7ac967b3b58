"""Hiding parts of values from the eye (rule S8): `redact=["user.email", "items.*.token"]`.

The value in the record stays whole, because a replay needs it; what is shown does not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

from .errors import InvalidOptionError

HIDDEN = "•••"
# Shorter texts, such as "a" or "1", would be cut out of the middle of everything.
_SHORTEST_SCRUBBED = 4

# What is hidden below a key or index; None: the whole of it.
_Tree: TypeAlias = "dict[str, _Tree | None]"


def check_redact(patterns: object) -> list[str]:
    """`patterns` as a list, or `InvalidOptionError` when they cannot be meant."""
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise InvalidOptionError(
            f'redact= is a list of paths such as ["user.email", "items.*.token"], not {patterns!r}'
        )
    checked: list[str] = []
    for pattern in cast("Iterable[object]", patterns):
        if not isinstance(pattern, str) or not all(_steps(pattern)):
            raise InvalidOptionError(
                f"redact= has the path {pattern!r}. A path is names of keys and numbers of items, joined "
                'by dots, with "*" for any of them: "user.email", "items.*.token"'
            )
        checked.append(pattern)
    return checked


def redact(patterns: Sequence[str], value: Any) -> Any:
    """A copy of plain JSON with what the patterns name replaced by "•••".

    >>> redact(["items.*.token"], {"items": [{"id": 1, "token": "s3cret"}]})
    {'items': [{'id': 1, 'token': '•••'}]}
    """
    return _hide(_compiled(tuple(patterns)), value) if patterns else value


def scrub(patterns: Sequence[str], value: Any, text: str) -> str:
    """`text` without the texts and numbers that the patterns hide in `value`.

    For messages of errors, which repeat parts of the input.

    >>> scrub(["email"], {"email": "ana@example.org"}, "no account for ana@example.org")
    'no account for •••'
    """
    hidden = {found for pattern in patterns for found in _found(_steps(pattern), value)}
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SCRUBBED:
            text = text.replace(secret, HIDDEN)
    return text


def scrub_error(patterns: Sequence[str], inputs: Sequence[Any], data: dict[str, Any]) -> None:
    """Have an error's data say, beside what it holds, what of it may be shown.

    A replay needs the message as it was; so what may be seen goes under "shown", in every error of
    the tree. The traceback is there for the eye only and is scrubbed in place.
    """

    def scrubbed(text: str) -> str:
        for value in inputs:
            text = scrub(patterns, value, text)
        return text

    pending: list[Any] = [data]
    while pending:
        each = pending.pop()
        if not isinstance(each, dict):
            continue
        node = cast("dict[str, Any]", each)
        node["shown"] = {
            "message": scrubbed(str(node.get("message", ""))),
            "notes": [scrubbed(str(note)) for note in node.get("notes", ())],
        }
        if "traceback" in node:
            node["traceback"] = [scrubbed(str(line)) for line in node["traceback"]]
        pending += [node.get("cause"), node.get("context"), *node.get("errors", ())]


def _steps(pattern: str) -> list[str]:
    """The steps of a path; a JSONPath's "$." in front and "[*]" are taken too."""
    plain = pattern.removeprefix("$").removeprefix(".").replace("[", ".").replace("]", "")
    return plain.split(".")


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> _Tree:
    tree: _Tree = {}
    for pattern in patterns:
        *above, last = _steps(pattern)
        branch: _Tree | None = tree
        for step in above:
            # Below a step that is hidden as a whole there is nothing left to hide.
            branch = branch.setdefault(step, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None
    return tree


def _hide(tree: _Tree, value: Any) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {key: _hide_item(tree, key, item) for key, item in items.items()}
    if isinstance(value, list):
        return [_hide_item(tree, str(index), item) for index, item in enumerate(cast("list[Any]", value))]
    return value


def _hide_item(tree: _Tree, step: str, item: Any) -> Any:
    for branch in (tree[name] for name in (step, "*") if name in tree):
        if branch is None:
            return HIDDEN
        item = _hide(branch, item)
    return item


def _found(steps: list[str], value: Any) -> Iterable[str]:
    """The texts at and below a path."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        items = ((str(index), item) for index, item in enumerate(cast("list[Any]", value)))
    else:
        if not steps and value is not None and not isinstance(value, bool):
            yield str(value)
        return
    for key, item in items:
        if not steps:
            yield from _found([], item)
        elif steps[0] in (key, "*"):
            yield from _found(steps[1:], item)
