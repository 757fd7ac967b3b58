"""Stubs: what the tasks of a trial give in place of what their bodies would."""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast
from unicodedata import normalize

from .._keys import display_key, display_path, normal_key, parent_path
from .._records.records import FAN_OUT
from ..errors import InvalidKeyError, InvalidOptionError, UnknownStubError

# Any: a mapping is invariant in its keys, and a dict of the user's may have any tuples among them.
StubMap: TypeAlias = Mapping[Any, object]
"""Stubs by the path of their task: text as the tree shows it, or one key that is a tuple. `*` is any part of a key."""
Forms: TypeAlias = tuple[str, str, str]  # see `_forms`
_ANY = re.escape("*")
_INSIDE = "\0"


@dataclass(frozen=True, slots=True)
class _Stub:
    name: str | tuple[object, ...]  # as the user wrote it
    text: str  # the name, as the tree shows a path
    value: object
    exact: str  # the form of a path that it names
    pattern: re.Pattern[str] | None  # for a name with `*`: the whole of one of these forms

    def names(self, forms: Forms) -> bool:
        return self.exact in forms

    def matches(self, forms: Forms) -> bool:
        return self.names(forms) or (self.pattern is not None and any(map(self.pattern.fullmatch, forms)))


class Stubs:
    """The stubs of one trial, and how often the stub of each task was called."""

    def __init__(self, given: StubMap | None) -> None:
        if given is not None and not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(
                f'stubs is a mapping of task paths to outputs, such as {{"fetch-user": {{"name": "Ana"}}}}, not {given!r:.100}'
            )
        self._stubs = [_stub(name, value) for name, value in (given or {}).items()]
        self._calls: Counter[str] = Counter()

    def find(self, path: str) -> Callable[[], object] | None:
        """How to get the next output of the task, which may raise, or be a function to call; None if it has no stub."""
        forms = _forms(path)
        found = next((each for each in self._stubs if each.names(forms)), None)
        found = found or next((each for each in self._stubs if each.matches(forms)), None)
        if found is None:
            return None
        self._calls[path] += 1
        value = _of_call(found.value, self._calls[path])
        return lambda: _raised_or(value)

    def check(self, met: Mapping[str, str], *, has_ended: bool) -> None:
        """Raise `UnknownStubError` for a stub that no task has. `met`: the kinds of the tasks that there were, by path.

        If the run failed (not `has_ended`), it may not have come as far as a stub's task: then only a name that resembles
        that of a task without a stub counts.
        """
        forms = {path: _forms(path) for path in met}
        for stub in self._stubs:
            named = [path for path in met if stub.names(forms[path])]
            for path in named:
                _check_kind(stub, path, met[path])
            if named or any(map(stub.matches, forms.values())):
                continue
            nodes = [path for path, kind in met.items() if kind in FAN_OUT]
            if stub.pattern is not None and any(stub.text.startswith(f"{forms[path][1]}/") for path in nodes):
                continue  # a map without items
            likely = met if has_ended else [path for path in met if not self._is_stubbed(forms[path])]
            near = difflib.get_close_matches(stub.text, map(display_path, likely), n=3)
            if near or has_ended:
                raise UnknownStubError(_unknown(stub, near, met))

    def _is_stubbed(self, forms: Forms) -> bool:
        return any(each.matches(forms) for each in self._stubs)

    def near(self, path: str, met: Iterable[str]) -> str:
        """The name of a stub without a task that resembles a path; "" if there is none."""
        forms = [_forms(each) for each in met]
        idle = [each.text for each in self._stubs if not any(map(each.matches, forms))]
        return next(iter(difflib.get_close_matches(display_path(path), idle, n=1)), "")


def _stub(name: object, value: object) -> _Stub:
    part = "[^/]*"
    if isinstance(name, str) and name:
        text = form = normalize("NFC", name)
    elif isinstance(name, tuple):
        try:
            form = normal_key(cast("tuple[object, ...]", name))
        except InvalidKeyError as error:
            raise InvalidOptionError(f"the stub {name!r:.100} names no task: {error}") from None
        text, part = display_key(form), "[^/,]*"
    else:
        raise InvalidOptionError(
            f'a stub is for the path of a task, such as "parent/child", or a key such as ("fetch", 7); not {name!r:.100}'
        )
    wild = re.escape(form).replace("/", f"[/{_INSIDE}]").replace(_ANY, part)
    pattern = re.compile(wild) if "*" in form else None
    return _Stub(cast("Any", name), text, value, form, pattern)


def stub_name(path: str) -> str:
    """The name of a stub for a path, as code: a key that is a tuple of text and numbers as the tuple."""
    parts = path[2:-1].split(",") if path.startswith("~(") and "/" not in path else []
    if parts and not any(part.startswith("~") and not part.startswith("~i") for part in parts):
        return repr(tuple(int(part[2:]) if part.startswith("~i") else display_key(part) for part in parts))
    return repr(display_path(path))


def _forms(path: str) -> Forms:
    """A path in its normal form, as the tree shows it, and as that with the slashes inside of keys told from those between."""
    shown = "/".join(display_key(key).replace("/", _INSIDE) for key in path.split("/"))
    return path, shown.replace(_INSIDE, "/"), shown


def _of_call(value: object, number: int) -> object:
    """A list with an error among its members has one for each call; the last one stands for all after it."""
    if isinstance(value, list):
        members = cast("list[object]", value)
        if any(map(_is_error, members)):
            return members[min(number, len(members)) - 1]
    return cast("object", value)


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException))


def _raised_or(value: object) -> object:
    if isinstance(value, BaseException):
        raise _copied(value)
    if _is_error(value):
        raise cast("type[BaseException]", value)
    return value


def _copied(error: BaseException) -> BaseException:
    """A copy of an error, if it has one: each task marks the error that it raises as its own."""
    try:
        other = copy.copy(error)
        is_alike = (type(other), other.args, str(other)) == (type(error), error.args, str(error))
    except Exception:  # noqa: BLE001  # of the user's class, or of what a library has registered to copy it with
        return error
    return other if is_alike else error


def _check_kind(stub: _Stub, path: str, kind: str) -> None:
    if kind in FAN_OUT:
        raise UnknownStubError(
            f"the stub {stub.name!r} is for a {kind}, whose result consists of its items': give its items stubs, "
            f'{{"{display_path(path)}/*": ...}}, such as a function of the item'
        )
    if kind == "wait":
        raise UnknownStubError(
            f"the stub {stub.name!r} is for a wait, which takes no time in a test: leave it out"
        )


def _unknown(stub: _Stub, near: list[str], met: Mapping[str, str]) -> str:
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    else:
        tops = [display_path(path) for path in met if not parent_path(path)]
        hint = f"its tasks are {', '.join(map(repr, tops[:5])) or 'none'}" + (
            ", ..." if len(tops) > 5 else ""
        )
    return f"no task of the run has the path of the stub {stub.name!r}; {hint}"
