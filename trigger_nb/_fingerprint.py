"""Short texts that tell whether the code of a body is still what it was (rule R6).

The code of a body is a graph: its nodes are the *definitions* of the notebook that it reaches
(functions, methods, classes), its edges are "refers to". A definition is described by what it does,
not by where it stands or what it is called; the graph is brought into one canonical order, and a
hash of that is the fingerprint.

- Instructions, constants, signatures, defaults and the names of attributes count. Comments,
  docstrings, layout, annotations of functions, and the names of cells, files, functions and local
  variables do not.
- A global name counts as what it denotes now: a definition of the notebook with its code, plain
  data with value and type, a module or a library's function by its own name, any other object by
  its type. So another alias for the same thing is no change.
- What a closure holds counts when it is code, as in a decorator's wrapper. A closure's data does
  not: data is handed over as `args` or `params`, which have fingerprints of their own.
- A global that the code itself writes to is its state, not its input: it counts by name.

"Of the notebook" is every module that is not installed: `__main__`, and the files beside it.
"""

from __future__ import annotations

import builtins
import enum
import functools
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple, cast

from ._bytecode import SCALARS, Global, canonical_order, digest, shape_of

__all__ = ["Fingerprints", "differs", "reference", "resolve"]

# Bytecode differs from one Python to the next: fingerprints of two of them cannot be compared.
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}:"
_LENGTH = 16

# What lies beyond these bounds does not count, so that one look never costs more than milliseconds.
_MAX_DEFINITIONS = 2_000
_MAX_ITEMS = 10_000
_ITEM_LENGTH = 100  # Longer texts count as several items.
_MAX_DEPTH = 20


class Fingerprints:
    """The fingerprints of one pass, each computed once a code object.

    >>> prints = Fingerprints()
    >>> prints.of(max) == prints.of(min)
    False
    """

    def __init__(self) -> None:
        # By the id of a code object or a body, or by a tuple of ids. What the ids belong to is kept
        # alive below, so that none of them is given to another object.
        self._known: dict[Hashable, str] = {}
        self._alive: list[object] = []
        # Types of closure contents that were met and are data.
        self._data_types: set[type] = set()
        self._descriptions: dict[Hashable, _Description] = {}
        self._installed: dict[tuple[object, object], bool] = {}

    def of(self, body: object) -> str:
        """The fingerprint of what `body` does, at most 16 characters; "" when it cannot be told.

        It is asked once a task, so what was met before must be found without a further call.
        """
        try:
            if type(body) is FunctionType:
                known = self._known.get(id(body.__code__))
                if known is None:
                    known = self._known.get(id(body))
                    if known is not None:
                        return known
                elif body.__defaults__ is None and body.__kwdefaults__ is None:
                    closure = body.__closure__
                    if closure is None:
                        return known
                    for cell in closure:
                        if type(cell.cell_contents) not in self._data_types:
                            break
                    else:
                        return known
        except ValueError:
            pass  # A cell of the closure is still empty.
        try:
            return self._compute(body)
        except Exception:
            # Whatever an odd object does when it is looked at, its body can still be called.
            return ""

    def _compute(self, body: Any) -> str:
        kind = cast("type[Any]", type(body))
        if kind is FunctionType:
            return self._bound(self._of_function(body), _defaults(body))
        if kind is functools.partial:
            function, *values = _partial_parts(body)
            return self._bound(self.of(function), ["partial", *values])
        node = body
        key: Hashable = None
        if kind is MethodType:
            node = _method(body)
        elif not _is_code(body) and isinstance(kind.__call__, FunctionType):
            # Code that the object holds counts, as in a closure: it may be a decorator.
            node = (_Method(kind.__call__, kind), *_held_code(body))
            key = tuple(map(_key, node))
        return self._fingerprint(key or _key(node), node, lambda: self._describe_value(node))

    def _of_function(self, function: FunctionType) -> str:
        """Without the defaults, which may differ each time a lambda is made."""
        code = function.__code__
        contents = _closure(function).values()
        captured = [content for content in contents if _is_code(content)]
        self._data_types.update(type(content) for content in contents if not _is_code(content))
        key = (id(code), *map(id, captured)) if captured else id(code)
        describe = functools.partial(self._describe_function, function, defaults=False)
        text = self._fingerprint(key, (code, captured), describe)
        if captured and len(captured) == len(contents) and not _defaults(function):
            # A decorator's wrapper. Holding no data, it can be kept to be known again at once.
            self._known[id(function)] = text
            self._alive.append(function)
        return text

    def _fingerprint(self, key: Hashable, alive: object, describe: Callable[[], _Description]) -> str:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _short(self._graph(describe()))
            self._alive.append(alive)
        return known

    def _bound(self, function: str, values: Sequence[object]) -> str:
        """The fingerprint of a function together with what is bound to its parameters."""
        if not function or not values:
            return function
        writer = _Writer(self)
        text = writer.value(values)
        parts = [function, text, *map(self.of, writer.children)]
        return _short("\n".join(parts)) if all(parts) else ""

    # The graph of definitions.

    def _graph(self, root: _Description) -> str:
        """What `root` stands at the head of, as one text."""
        nodes: dict[Hashable, _Description] = {"root": root}
        waiting = list(root.children)
        for child in waiting:  # It grows as it is walked, so the nearest definitions come first.
            key = _key(child)
            if key not in nodes:
                nodes[key] = self._description(child) if len(nodes) < _MAX_DEFINITIONS else _unread(child)
                waiting.extend(nodes[key].children)
        edges = {key: [_key(child) for child in node.children] for key, node in nodes.items()}
        head = next(iter(nodes))
        order = canonical_order(head, lambda key: nodes[key].text, edges.__getitem__)
        return "\n".join(f"{nodes[key].text} {successors}" for key, successors in order)

    def _description(self, definition: object) -> _Description:
        key = _key(definition)
        known = self._descriptions.get(key)
        if known is None:
            try:
                known = self._describe(definition)
            except Exception:
                known = _unread(definition)
            self._descriptions[key] = known
        return known

    def _describe(self, definition: object) -> _Description:
        if isinstance(definition, _Method):
            return self._describe_method(definition)
        if isinstance(definition, FunctionType):
            return self._describe_function(definition)
        return self._describe_class(cast("type", definition))

    def _describe_value(self, value: object) -> _Description:
        writer = _Writer(self)
        return writer.description(value, [writer.value(value)])

    def _describe_function(self, function: FunctionType, *, defaults: bool = True) -> _Description:
        writer = _Writer(self)
        return writer.description(function, self._function_parts(writer, function, defaults=defaults))

    def _function_parts(
        self, writer: _Writer, function: FunctionType, *, defaults: bool = True
    ) -> Iterator[str]:
        if self.is_installed(function):
            # A library's wrapper: its own code does not count, what it wraps does.
            yield _name(function)
            yield from [writer.value(content) for content in _closure(function).values() if _is_code(content)]
        else:
            yield from self._code_parts(writer, function)
        if defaults:
            yield from map(writer.value, _defaults(function))
        if "__wrapped__" in function.__dict__:
            yield writer.value(function.__dict__["__wrapped__"])

    def _code_parts(self, writer: _Writer, function: FunctionType) -> Iterator[str]:
        shape = shape_of(function.__code__)
        closure = _closure(function)
        yield shape.text
        for name in shape.free:
            content = closure.get(name)
            # `__class__` serves `super()`; what a method reaches of its class is looked for by name.
            yield writer.value(content) if _is_code(content) and name != "__class__" else "data"
        for use in shape.globals:
            yield from self._global_parts(writer, use, function.__globals__)

    def _global_parts(self, writer: _Writer, use: Global, namespace: Mapping[str, object]) -> Iterator[str]:
        """What a global name denotes; of a module of the notebook, also what is taken from it."""
        value = namespace.get(use.name, vars(builtins).get(use.name, _MISSING))
        is_state = use.assigned or (use.mutated and type(value) in _CONTAINERS)
        if is_state or value is _MISSING:
            yield f"name {use.name}"
            return
        yield writer.value(value)
        for attribute in use.attributes:
            if not isinstance(value, ModuleType) or self.is_installed(value):
                return
            value = vars(value).get(attribute)
            yield writer.value(value)

    def _describe_method(self, method: _Method) -> _Description:
        """A function, and the members of its class whose names it mentions."""
        writer = _Writer(self)
        function, owner = method
        parts = list(self._function_parts(writer, function))
        if not self.is_installed(function):
            for name in sorted(shape_of(function.__code__).attributes):
                for klass in owner.__mro__:
                    if name in vars(klass) and not self.is_installed(klass):
                        parts += [name, writer.member(vars(klass)[name], owner)]
        return writer.description(method, parts)

    def _describe_class(self, klass: type) -> _Description:
        writer = _Writer(self)
        parts = ["class", writer.value(type(klass)), *map(writer.value, klass.__bases__)]
        attributes = vars(klass)
        for name in sorted(attributes):
            if not _is_bookkeeping(name, attributes[name]):
                parts += [name, writer.member(attributes[name])]
        for name, annotation in _annotations(attributes):
            parts += [name, writer.annotation(annotation)]
        for name, field in _fields(attributes):
            parts += [name, writer.field(field)]
        if isinstance(klass, enum.EnumMeta):
            members = cast("Mapping[str, enum.Enum]", klass.__members__)
            parts += [f"{name}={writer.value(member._value_)}" for name, member in members.items()]
        return writer.description(klass, parts)

    def is_installed(self, definition: ModuleType | FunctionType | type) -> bool:
        """Whether it comes with Python or a package, and not from the notebook."""
        if isinstance(definition, FunctionType):
            namespace = definition.__globals__
        elif isinstance(definition, ModuleType):
            namespace = vars(definition)
        else:
            module = sys.modules.get(definition.__module__)
            namespace = vars(module) if module is not None else {"__name__": definition.__module__}
        key = (namespace.get("__name__"), namespace.get("__file__"))
        known = self._installed.get(key)
        if known is None:
            known = self._installed[key] = _is_installed(*key)
        return known


def reference(body: object) -> str:
    """The text "module:qualname" of a body, or "" when that name does not lead back to it.

    >>> import json
    >>> reference(json.dumps), reference(lambda: 1)
    ('json:dumps', '')
    """
    try:
        text = f"{cast('Any', body).__module__}:{cast('Any', body).__qualname__}"
        if "<" in text:  # <lambda>, <locals>
            return ""
        found = resolve(text)
        leads_back = found is body or (type(body) is MethodType and found == body)
    except Exception:
        return ""
    return text if leads_back else ""


def resolve(reference: str) -> object | None:
    """What a reference leads to now, or None. Nothing is imported for it.

    >>> resolve("json:no_such_name") is None
    True
    """
    name, _, path = reference.partition(":")
    module = sys.modules.get(name)
    if module is None or not path:
        return None
    first, *rest = path.split(".")
    try:
        found: object = vars(module).get(first)  # A module's `__getattr__` may import.
        for name in rest:
            found = getattr(found, name)
    except Exception:
        return None
    return found


def differs(stored: str, now: str) -> bool:
    """Whether two fingerprints are known to be of different code.

    "" is unknown, and so is the fingerprint from another Python: they are no difference.

    >>> differs("3.11:aa", "3.11:bb"), differs("3.11:aa", "3.12:bb"), differs("", "3.11:bb")
    (True, False, False)
    """
    if not stored or not now or stored == now:
        return False
    return stored.partition(":")[0] == now.partition(":")[0]


class _Description(NamedTuple):
    """A definition's own text, and the definitions that it refers to."""

    text: str
    children: tuple[object, ...]
    described: object  # Kept alive, since definitions are told apart by their ids.


class _Method(NamedTuple):
    """A function as a member of a class."""

    function: FunctionType
    owner: type


class _Writer:
    """Writes values into the description of one definition, and gathers the definitions in them."""

    def __init__(self, prints: Fingerprints) -> None:
        self._prints = prints
        self._items = 0
        self.children: list[object] = []

    def description(self, described: object, parts: Iterable[str]) -> _Description:
        text = digest("\x1f".join(parts))
        return _Description(text, tuple(self.children), described)

    def value(self, value: object, depth: int = 0) -> str:
        """Code as a reference, plain data with value and type, anything else by its type."""
        self._items += 1
        if self._items > _MAX_ITEMS or depth > _MAX_DEPTH:
            return "..."
        kind = type(value)
        if kind in SCALARS:
            if isinstance(value, str | bytes):
                self._items += len(value) // _ITEM_LENGTH
            return SCALARS[kind](value)
        if kind in _CONTAINERS:
            return self._container(cast("Iterable[object]", value), depth + 1)
        try:
            return (self._code if _is_code(value) else self._object)(value, kind, depth + 1)
        except Exception:
            return _type_name(kind)

    def _container(self, value: Iterable[object], depth: int) -> str:
        # Copied before they are walked: another thread may be filling them.
        kind = type(value)
        if isinstance(value, set | frozenset):
            inside = self._members(cast("set[object]", value), depth)
        elif isinstance(value, dict):
            items = list(cast("dict[object, object]", value).items())
            inside = [f"{self.value(key, depth)}:{self.value(item, depth)}" for key, item in items]
        else:
            inside = [self.value(item, depth) for item in list(value)]
        return f"{kind.__name__}({','.join(inside)})"

    def _members(self, value: set[object], depth: int) -> list[str]:
        """Sorted, and each with bounds of its own: the order of a set is another in the next process.

        For the same reason definitions in a set count only as being there.
        """
        if len(value) > _MAX_ITEMS:
            return [f"{len(value)} items"]
        return sorted(_Writer(self._prints).value(item, depth) for item in list(value))

    def _code(self, value: Any, kind: type, depth: int) -> str:
        if issubclass(kind, ModuleType):
            return f"module {value.__name__}"
        if issubclass(kind, type):
            return _name(value) if self._prints.is_installed(value) else self._child(value)
        if kind is FunctionType:
            bare = value.__closure__ is None and "__wrapped__" not in value.__dict__
            return _name(value) if bare and self._prints.is_installed(value) else self._child(value)
        if issubclass(kind, functools.partial):
            return f"partial({','.join(self.value(part, depth) for part in _partial_parts(value))})"
        if kind is MethodType:
            method = _method(value)
            return self._child(method) if type(method) is _Method else self.value(method, depth)
        if kind is _LRU_CACHE:
            return f"cached({self.value(value.__wrapped__, depth)})"
        return _name(value)

    def _child(self, definition: object) -> str:
        self.children.append(definition)
        return "@"

    def _object(self, value: object, kind: type, depth: int) -> str:
        if kind is _Method:
            return self._child(value)
        text = self.value(kind, depth)
        with suppress(Exception):  # A proxy may raise at every touch: its type is what counts.
            return f"{text}{self._data(value, kind, depth)}"
        return text

    def _data(self, value: Any, kind: type[Any], depth: int) -> str:
        """What counts of an object beside its type: the value, when it is plain data, else nothing."""
        if issubclass(kind, enum.Enum):
            return f".{value._name_}={self.value(value._value_, depth)}"
        if tuple in kind.__mro__ and hasattr(kind, "_fields"):
            return self._container(tuple(value), depth)
        for base in (str, int, float, bytes):
            if base in kind.__mro__:
                return f"({base.__repr__(value)})"
        if kind is re.Pattern:
            return f"({value.pattern!r},{value.flags})"
        if kind.__module__.partition(".")[0] in _VALUE_MODULES:
            return f"({value!r})"
        if _is_frozen_dataclass(kind):
            parts = {name: getattr(value, name) for name, _ in _fields(vars(kind))}
            return self._container(parts, depth)
        if "__wrapped__" in _instance_dict(value) or hasattr(kind, "__wrapped__"):
            return f"({self.value(value.__wrapped__, depth)})"
        return ""

    def member(self, member: object, owner: type | None = None) -> str:
        """What stands under a name in a class: of a method, seen from `owner`, or of the whole class."""
        if isinstance(member, staticmethod | classmethod):
            wrapper = "staticmethod" if isinstance(member, staticmethod) else "classmethod"
            return f"{wrapper} {self.member(cast('Any', member).__func__, owner)}"
        if isinstance(member, property):
            parts = (member.fget, member.fset, member.fdel)
            return f"property {','.join(self.member(part, owner) for part in parts)}"
        if isinstance(member, functools.cached_property):
            return f"property {self.member(cast('Any', member).func, owner)}"
        if owner and isinstance(member, FunctionType) and not self._prints.is_installed(member):
            return self._child(_Method(member, owner))
        return self.value(member)

    def annotation(self, annotation: object, depth: int = 0) -> str:
        """A type, a text that stands for one, or a generic of them."""
        arguments: object = getattr(annotation, "__args__", None)
        if isinstance(arguments, tuple) and depth < _MAX_DEPTH:
            head = getattr(annotation, "__origin__", type(annotation))
            inside = [self.annotation(part, depth + 1) for part in cast("tuple[object, ...]", arguments)]
            inside += map(self.value, getattr(annotation, "__metadata__", ()))
            return f"{self.annotation(head, depth + 1)}[{','.join(inside)}]"
        if type(annotation).__module__ == "typing":
            return repr(annotation)
        return self.value(annotation)

    def field(self, field: object) -> str:
        """A field of a dataclass or of a model: what it takes, and what it starts with."""
        parts = [f"{name}={self.value(getattr(field, name, None))}" for name in _FIELD_PARTS]
        return ",".join([self.annotation(getattr(field, "annotation", None)), *parts])


_FIELD_PARTS = (
    "default", "default_factory", "init", "kw_only", "compare", "alias", "validation_alias", "metadata",
    "exclude",
)  # fmt: skip

_CONTAINERS = (list, tuple, dict, set, frozenset)

# Modules whose types are plain data with a `repr` that tells all.
_VALUE_MODULES = frozenset({"datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "zoneinfo"})

_LRU_CACHE: type[object] = type(functools.cache(len))

_CODE = (
    BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, ModuleType, WrapperDescriptorType,
    functools.partial, type, _LRU_CACHE,
)  # fmt: skip

_MISSING = object()


def _short(text: str) -> str:
    return (_PYTHON + digest(text))[:_LENGTH]


def _is_code(value: object) -> bool:
    # A proxy lies about its class, but not about its type.
    return issubclass(type(value), _CODE)


def _is_frozen_dataclass(kind: type) -> bool:
    return bool(getattr(getattr(kind, "__dataclass_params__", None), "frozen", False))


def _name(definition: object) -> str:
    kind = type(definition)
    module: object = getattr(definition, "__module__", "")
    return f"{kind.__name__} {module}:{getattr(definition, '__qualname__', kind.__qualname__)}"


def _type_name(kind: type) -> str:
    return type.__repr__(kind)  # A metaclass may have another one.


def _unread(definition: object) -> _Description:
    """Stands for a definition that cannot be read, or is one too many."""
    named = definition.function if isinstance(definition, _Method) else definition
    return _Description(_type_name(named) if isinstance(named, type) else _name(named), (), definition)


def _key(definition: object) -> Hashable:
    """What a definition is told apart by, as long as it is kept alive."""
    if isinstance(definition, _Method):
        return id(definition.function), id(definition.owner)
    return id(definition)


def _method(method: MethodType) -> object:
    function: object = method.__func__
    owner = method.__self__ if isinstance(method.__self__, type) else type(method.__self__)
    return _Method(function, owner) if isinstance(function, FunctionType) else function


def _partial_parts(partial: functools.partial[object]) -> tuple[object, object, object]:
    return partial.func, partial.args, sorted(partial.keywords.items())


def _defaults(function: FunctionType) -> list[object]:
    if function.__defaults__ is None and function.__kwdefaults__ is None:
        return []
    return [function.__defaults__, sorted((function.__kwdefaults__ or {}).items())]


def _closure(function: FunctionType) -> dict[str, object]:
    contents: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # It is still empty.
            contents[name] = cell.cell_contents
    return contents


def _instance_dict(value: object) -> dict[str, object]:
    try:
        return object.__getattribute__(value, "__dict__")
    except Exception:
        return {}


def _held_code(value: object) -> list[object]:
    return [held for _, held in sorted(_instance_dict(value).items()) if _is_code(held)]


def _is_bookkeeping(name: str, member: object) -> bool:
    """Whether Python or a library made a class's attribute, of things that count elsewhere."""
    if name.startswith(("__pydantic_", "_abc_")):
        return True
    if isinstance(member, MemberDescriptorType | GetSetDescriptorType):
        return True
    special = name.startswith("_") and name.endswith("_")  # also the single underscores of `enum`
    return special and not isinstance(member, FunctionType | classmethod | staticmethod | property)


def _annotations(members: Mapping[str, Any]) -> list[tuple[str, object]]:
    # From 3.14 on they are a function, which is among the members.
    annotations: dict[str, object] = members.get("__annotations__", {})
    return [] if "__annotate_func__" in members else list(annotations.items())


def _fields(members: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The fields of a dataclass or of a pydantic model."""
    for kept in (
        "__dataclass_fields__",
        "__pydantic_fields__",
        "model_fields",
    ):  # the last up to pydantic 2.9
        if isinstance(members.get(kept), dict):
            return list(cast("dict[str, object]", members[kept]).items())
    return []


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


def _is_installed(name: object, file: object) -> bool:
    root = name.partition(".")[0] if isinstance(name, str) else ""
    if root in ("", "__main__"):
        return False
    if root == __name__.partition(".")[0]:
        return True
    if not isinstance(file, str):
        return root in sys.stdlib_module_names
    folders = file.replace("\\", "/").split("/")
    return file.startswith(_STANDARD_LIBRARY) or "site-packages" in folders or "dist-packages" in folders
