"""The functions and globals that the code of a body uses, by name: they tell where it differs, when its fingerprint does."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import unified_diff
from types import FunctionType, MethodType
from typing import TypeAlias, cast

from .definitions import closure, defaults, describe, describe_value, global_parts, key_of
from .shape import Shape, digest
from .source import shape_of, text_of
from .values import Method, ValueWriter, is_installed, method_of

__all__ = ["Parts", "changed_parts", "difference_of", "parts_of", "sources_of"]
Parts: TypeAlias = dict[str, str]
"""A short digest of each part, by its name: "function helper", "global PROMPT"; "" is the body itself."""
_MOST = 60  # parts; the nearest come first
_LENGTH = 8


def parts_of(body: object) -> Parts:
    """The definitions and plain globals that a body reaches; empty if it cannot be inspected.

    >>> sorted(parts_of(lambda: 1))
    ['']
    """
    try:
        return dict(list(_parts(body))[:_MOST])
    except Exception:
        # An object that raises when it is inspected can still be called as a body.
        return {}


def sources_of(body: object) -> dict[str, str]:
    """The sources of these parts, by the same names: of functions their text, of globals their `repr`. Bounded.

    A part whose source is not available is not there.
    """
    found: dict[str, str] = {}
    left = _MOST_OF_ALL
    try:
        for name, definition in _definitions(body):
            function = definition.function if isinstance(definition, Method) else definition
            if not isinstance(function, FunctionType) or is_installed(function):
                continue
            texts = {name: text_of(function.__code__)}
            for each, _ in _globals(function, shape_of(function.__code__)):
                value = function.__globals__.get(each)
                texts.setdefault(
                    f"global {each}", f"{each} = {repr(value)[:_MOST_OF_ONE]}" if _is_plain(value) else ""
                )
            for each, text in texts.items():
                if text and each not in found and len(text) <= left:
                    found[each] = text[:_MOST_OF_ONE]
                    left -= len(found[each])
    except Exception:  # noqa: S110  # as in `parts_of`
        pass
    return found


_MOST_OF_ONE = 8_000  # characters of one part
_MOST_OF_ALL = 30_000
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def _is_plain(value: object, depth: int = 3) -> bool:
    """Whether the `repr` of a value is that of plain data, which calls no code of the user's."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth == 0 or kind not in (list, tuple, set, dict):
        return False
    items = cast("Sequence[object] | dict[object, object]", value)
    parts = [*items, *items.values()] if isinstance(items, dict) else [*items]
    return len(parts) <= _MOST_OF_ONE and all(_is_plain(each, depth - 1) for each in parts)


def difference_of(before: Mapping[str, str], now: Mapping[str, str], names: Iterable[str]) -> str:
    """The difference of the sources of some parts, as a unified diff; "" if no source is known.

    >>> print(difference_of({"global N": "N = 1"}, {"global N": "N = 2"}, ["global N"]))
    -N = 1
    +N = 2
    """
    found: list[str] = []
    for name in names:
        one, other = before.get(name), now.get(name)
        if one is None and other is None:
            continue
        lines = unified_diff((one or "").splitlines(), (other or "").splitlines(), lineterm="", n=2)
        found += [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(found[:_MOST_LINES])


_MOST_LINES = 200


def _parts(body: object) -> Iterator[tuple[str, str]]:
    for name, definition in _definitions(body):
        own, values = _texts(definition)
        yield name, digest(own)[:_LENGTH]
        for each, text in values:
            yield f"global {each}", digest(text)[:_LENGTH]


def _definitions(body: object) -> Iterator[tuple[str, object]]:
    """The definitions that a body reaches, by name, the nearest first; "" is the body itself."""
    root = method_of(body) if type(body) is MethodType else body
    is_definition = isinstance(root, (FunctionType, Method, type))
    waiting: list[object] = [root] if is_definition else list(describe_value(root).children)
    known = {key_of(each) for each in waiting}
    for place, definition in enumerate(waiting):  # grows during the loop, so it needs a limit
        if place == _MOST:
            return
        yield "" if definition is root else _name(definition), definition
        for child in describe(definition).children:
            if (key := key_of(child)) not in known:
                known.add(key)
                waiting.append(child)


def _texts(definition: object) -> tuple[str, Iterable[tuple[str, str]]]:
    """The text of a definition's own code, and those of the plain globals that it uses, by name."""
    function = definition.function if isinstance(definition, Method) else definition
    if not isinstance(function, FunctionType) or is_installed(function):
        return describe(definition).text, ()
    shape = shape_of(function.__code__)
    write = ValueWriter().value
    return "\x1f".join([shape.text, *map(write, defaults(function)), *closure(function)]), _globals(
        function, shape
    )


def _globals(function: FunctionType, shape: Shape) -> Iterator[tuple[str, str]]:
    namespace = function.__globals__
    for use in shape.globals:
        if use.name in namespace or not hasattr(builtins, use.name):
            texts = list(global_parts(ValueWriter(), use, namespace))
            if texts != ["@"]:  # a definition is a part of its own
                yield use.name, "\x1f".join(texts)


def _name(definition: object) -> str:
    if isinstance(definition, Method):
        return f"method {definition.owner.__name__}.{definition.function.__name__}"
    kind = "class" if isinstance(definition, type) else "function"
    return f"{kind} {getattr(definition, '__qualname__', '?').rpartition('<locals>.')[2]}"


def changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the parts that differ; none if that is not known.

    If a function was renamed, it is named as it was.
    """
    if not before or not now:
        return []
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]
