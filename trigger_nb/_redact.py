"""Redaction (S8): credentials, and parts of values that `redact=["user.email", "items.*.token"]` names.

`redact=` hides parts wherever a value is shown. The record keeps the whole value, because a replay needs it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from .errors import InvalidOptionError

HIDDEN = "•••"
# Characters. Shorter texts, such as "a" or "1", occur in the middle of unrelated words.
_SHORTEST_SCRUBBED = 4
# Characters of the shortest credential.
_SHORTEST_SECRET = 6
# The parts to hide, by key or index; None: the whole value.
_Tree: TypeAlias = "dict[str, _Tree | None]"
T = TypeVar("T")  # JSON data


class Secrets:
    """The credentials in use in this process, which no stored or shown text may contain.

    Services repeat credentials in their errors, and libraries in their logs. The return value of a body is
    left as it is, since a replay must return the same value.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()  # longest first: one may be the beginning of another
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Hide this text from now on."""
        if len(secret) < _SHORTEST_SECRET or secret in self._known:
            return
        with self._lock:
            forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
            self._known = tuple(sorted({*self._known, *forms}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """`text` with the credentials replaced."""
        return _without(self._known, text)

    def hide_in_bytes(self, data: bytes) -> bytes:
        """`data` with the credentials replaced, for the body of a response."""
        for secret in self._known:
            data = data.replace(secret.encode(), HIDDEN.encode())
        return data

    def hide_in(self, data: T, names: frozenset[str] = frozenset()) -> T:
        """A copy of JSON data with the credentials replaced; `data` itself if no credential is known.

        A credential that is a plain word, such as "postgres", is not replaced in keys or in values of the
        keys `names`: it may be there by chance, and code relies on these texts to read the data.
        """
        if not self._known:
            return data
        no_words = tuple(secret for secret in self._known if not secret.isalpha())

        def hidden(data: object, known: tuple[str, ...]) -> object:
            if isinstance(data, str):
                return _without(known, data)
            if isinstance(data, dict):
                return {
                    _without(no_words, key): hidden(value, no_words if key in names else known)
                    for key, value in cast("dict[str, object]", data).items()
                }
            if isinstance(data, list):
                return [hidden(value, known) for value in cast("list[object]", data)]
            return data

        return cast("T", hidden(data, self._known))

    def hide_in_error(self, error: BaseException) -> None:
        """Replace the credentials in an error and its causes, in place: user code or a cell may show them."""
        if not self._known:
            return
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            each = pending.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            with contextlib.suppress(Exception):  # the error's class can raise anything; its record is clean
                self._clean(each)
            pending += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                pending += cast("BaseExceptionGroup[BaseException]", each).exceptions

    def _clean(self, error: BaseException) -> None:
        hidden = tuple(self.hide_in(argument) for argument in error.args)
        if hidden != error.args:
            error.args = hidden
        attributes: dict[str, object] = vars(error)
        texts = {name: value for name, value in attributes.items() if issubclass(type(value), (str, list))}
        for name, value in texts.items():
            if (clean := self.hide_in(value)) != value:
                setattr(error, name, clean)


def _without(known: tuple[str, ...], text: str) -> str:
    for secret in known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


secrets = Secrets()


def check_redact(patterns: object) -> list[str]:
    """The patterns of `redact=` as a list. Raises `InvalidOptionError` for invalid ones."""
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise InvalidOptionError(
            f'redact= is a list of paths such as ["user.email", "items.*.token"], not {patterns!r}'
        )
    checked: list[str] = []
    for pattern in cast("Iterable[object]", patterns):
        if not isinstance(pattern, str) or not all(_steps(pattern)):
            raise InvalidOptionError(
                f"redact= has the invalid path {pattern!r}. A path has keys and list indexes, joined "
                'by dots, with "*" for any of them: "user.email", "items.*.token"'
            )
        checked.append(pattern)
    return checked


def redact(patterns: Sequence[str], value: Any) -> Any:
    """A copy of JSON data, with the parts that the patterns name replaced by "•••".

    >>> redact(["items.*.token"], {"items": [{"id": 1, "token": "s3cret"}]})
    {'items': [{'id': 1, 'token': '•••'}]}
    """
    return _hide(_compiled(tuple(patterns)), value) if patterns else value


def scrub(patterns: Sequence[str], value: object, text: str) -> str:
    """`text` with the texts and numbers replaced that the patterns hide in `value`.

    Error messages need this, because they repeat parts of the input.

    >>> scrub(["email"], {"email": "ana@example.org"}, "no account for ana@example.org")
    'no account for •••'
    """
    hidden = {found for pattern in patterns for found in _found(_steps(pattern), value)}
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SCRUBBED:
            text = text.replace(secret, HIDDEN)
    return text


def scrub_error(patterns: Sequence[str], inputs: Sequence[object], data: dict[str, Any]) -> None:
    """Add a redacted message and notes to the data of an error and of its causes.

    A replay needs the original message, so the redacted text is added under "shown". Tracebacks are only
    shown, so they are redacted in place.
    """

    def scrubbed(text: str) -> str:
        for value in inputs:
            text = scrub(patterns, value, text)
        return text

    for node in with_causes(data):
        node["shown"] = {
            "message": scrubbed(str(node.get("message", ""))),
            "notes": [scrubbed(str(note)) for note in node.get("notes", ())],
        }
        if "traceback" in node:
            node["traceback"] = [scrubbed(str(line)) for line in node["traceback"]]


def with_causes(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data of an error, of its causes, and of the members of a group."""
    pending: list[Any] = [data]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            node = cast("dict[str, Any]", each)
            yield node
            pending += [node.get("cause"), node.get("context"), *node.get("errors", ())]


def _steps(pattern: str) -> list[str]:
    """The steps of a path. A JSONPath with "$." and "[*]" is accepted as well."""
    plain = pattern.removeprefix("$").removeprefix(".").replace("[", ".").replace("]", "")
    return plain.split(".")


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> _Tree:
    tree: _Tree = {}
    for pattern in patterns:
        *above, last = _steps(pattern)
        branch: _Tree | None = tree
        for step in above:
            # A step that is hidden as a whole needs no further steps.
            branch = branch.setdefault(step, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None
    return tree


def _hide(tree: _Tree, value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        return {key: _hide_item(tree, key, item) for key, item in items.items()}
    if isinstance(value, list):
        return [_hide_item(tree, str(index), item) for index, item in enumerate(cast("list[object]", value))]
    return value


def _hide_item(tree: _Tree, step: str, item: object) -> object:
    for branch in (tree[name] for name in (step, "*") if name in tree):
        if branch is None:
            return HIDDEN
        item = _hide(branch, item)
    return item


def _found(steps: list[str], value: object) -> Iterable[str]:
    """The texts and numbers at and below a path."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        items = ((str(index), item) for index, item in enumerate(cast("list[object]", value)))
    else:
        if not steps and value is not None and not isinstance(value, bool):
            yield str(value)
        return
    for key, item in items:
        if not steps:
            yield from _found([], item)
        elif steps[0] in (key, "*"):
            yield from _found(steps[1:], item)


SENSITIVE = re.compile(
    r"authorization|cookie|api-?key|(auth|access|csrf|security|private|refresh|session|id)-?token|secret|password"
)
