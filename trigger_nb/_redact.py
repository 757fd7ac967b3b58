"""Hiding parts of values from the eye (rule S8): `redact=["user.email", "items.*.token"]`.

The value in the record stays whole, because a replay needs it; what is shown does not.
"""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

from .errors import InvalidOptionError

HIDDEN = "•••"
# Shorter texts, such as "a" or "1", would be cut out of the middle of everything.
_SHORTEST_SCRUBBED = 4

# As short as a credential that is worth the name can be.
_SHORTEST_SECRET = 6

# What is hidden below a key or index; None: the whole of it.
_Tree: TypeAlias = "dict[str, _Tree | None]"


class Secrets:
    """The credentials in use in this process: no text that is kept or shown has one of them in it.

    Services repeat a credential in their errors, libraries in what they log. What a body *returns* is not
    touched: a value is replayed as it was.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()  # the longest first: one may be the beginning of another
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """From now on, hide this text."""
        if len(secret) < _SHORTEST_SECRET or secret in self._known:
            return
        with self._lock:
            forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
            self._known = tuple(sorted({*self._known, *forms}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """`text` without any of them."""
        return _without(self._known, text)

    def hide_in_bytes(self, data: bytes) -> bytes:
        """As `hide`, for the body of a response."""
        for secret in self._known:
            data = data.replace(secret.encode(), HIDDEN.encode())
        return data

    def hide_in(self, data: Any, names: frozenset[str] = frozenset()) -> Any:
        """A copy of plain JSON without any of them; `data` itself while none is known.

        Keys, and what stands under the keys `names`, are what the data is read by. A credential that is
        a word, "postgres" or "message", may be in there by chance, and is left.
        """
        if not self._known:
            return data
        no_words = tuple(secret for secret in self._known if not secret.isalpha())

        def hidden(data: Any, known: tuple[str, ...]) -> Any:
            if isinstance(data, str):
                return _without(known, data)
            if isinstance(data, dict):
                return {
                    _without(no_words, key): hidden(value, no_words if key in names else known)
                    for key, value in cast("dict[str, Any]", data).items()
                }
            if isinstance(data, list):
                return [hidden(value, known) for value in cast("list[Any]", data)]
            return data

        return hidden(data, self._known)

    def hide_in_error(self, error: BaseException) -> None:
        """Take them out of what an error says. In place: it is the user's to catch, and shown when it is not."""
        if not self._known:
            return
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            each = pending.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            with contextlib.suppress(
                Exception
            ):  # of the error's own making; its record is clean all the same
                self._clean(each)
            pending += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                pending += cast("BaseExceptionGroup[Any]", each).exceptions

    def _clean(self, error: BaseException) -> None:
        hidden = tuple(self.hide_in(argument) for argument in error.args)
        if hidden != error.args:
            error.args = hidden
        for name, value in list(vars(error).items()):
            if isinstance(value, (str, list)) and self.hide_in(value) != value:
                setattr(error, name, self.hide_in(value))


def _without(known: tuple[str, ...], text: str) -> str:
    for secret in known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


secrets = Secrets()


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
