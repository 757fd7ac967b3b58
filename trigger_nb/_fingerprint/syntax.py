"""The shape of a function from its syntax tree, which is the same in every Python version.

The tree is written as text, node by node, without the parts that do not affect the function: docstrings, `pass`,
and annotations of the function itself. Local variables are numbered in order of appearance, so that their names
do not count. A syntax tree has no comments and no layout.
"""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import TypeAlias, cast

from .shape import MUTATORS, Global, Shape, constant, digest

__all__ = ["FunctionNode", "shape_of_tree"]
FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension: TypeAlias = ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp
# Fields that follow from other fields, or describe the notation only.
_NOT_WRITTEN = frozenset({"ctx", "kind", "simple", "type_comment"})
# Fields that hold the name of a variable.
_BINDING = frozenset(
    {(ast.ExceptHandler, "name"), (ast.MatchAs, "name"), (ast.MatchStar, "name"), (ast.MatchMapping, "rest")}
)


def shape_of_tree(node: FunctionNode, code: CodeType, owner: str) -> Shape:
    """The shape of a `def` or lambda. `code` is its code object, `owner` the name of the class around it."""
    root = _Scope(_bound_in(node), owner=owner, free=code.co_freevars)
    writer = _TreeWriter(root)
    writer.function(node)
    return Shape(
        text=digest("".join(writer.written)),
        globals=tuple(
            [
                Global(name, taken, assigned=name in writer.assigned, mutated=name in writer.mutated)
                for name, taken in writer.globals
            ]
        ),
        free=tuple([name for name in root.numbers if name in code.co_freevars]),
        attributes=frozenset(writer.attributes),
        portable=True,
    )


class _Names:
    """The names that a piece of code binds, and the names that it declares `global`."""

    def __init__(self, nodes: Iterable[ast.AST], parameters: Iterable[str] = ()) -> None:
        self.bound = set(parameters)
        self.declared_global: set[str] = set()
        waiting = list(nodes)
        declared: set[str] = set()
        for node in waiting:  # grows during the loop
            match node:
                case ast.Name(ctx=ast.Store() | ast.Del()):
                    self.bound.add(node.id)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self.bound.add(node.name)
                case ast.alias():
                    self.bound.add(node.asname or node.name.partition(".")[0])
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                    self.bound.add(name)
                case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                    self.bound.add(name)
                case ast.Global():
                    self.declared_global.update(node.names)
                case ast.Nonlocal():
                    declared.update(node.names)
                case _:
                    pass
            waiting.extend(_evaluated_here(node))
        self.bound -= declared | self.declared_global


def _evaluated_here(node: ast.AST) -> Iterable[ast.AST]:
    """The children of a node that are evaluated in the same scope."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *_defaults(node.args)]
        case ast.Lambda():
            return _defaults(node.args)
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *node.keywords]
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
            # Its targets are local to it, but `:=` binds names of the enclosing function.
            walrus = (each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
            return [node.generators[0].iter, *walrus]
        case _:
            return ast.iter_child_nodes(node)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]


def _bound_in(node: FunctionNode) -> _Names:
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    names = [each.arg for each in _parameters(node.args)]
    names += [each.name for each in getattr(node, "type_params", ())]
    return _Names(body, names)


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    collectors = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *collectors]


class _Scope:
    """The variables of a function, class or comprehension."""

    def __init__(
        self,
        names: _Names,
        outer: _Scope | None = None,
        *,
        owner: str = "",
        free: Sequence[str] = (),
        is_class: bool = False,
    ) -> None:
        self.outer = outer
        self.owner = owner or (outer.owner if outer else "")  # the name of the class around it
        self.is_class = is_class
        self.numbers: dict[str, str] = {}
        self._bound = names.bound.union(free)
        self._declared_global = names.declared_global
        self._count: list[str] = outer._count if outer else []

    def of(self, name: str) -> _Scope | None:
        """The scope of the variable that a name refers to here; None if the name is global."""
        scope: _Scope | None = self
        while scope is not None and name not in scope._declared_global:
            if name in scope._bound and (scope is self or not scope.is_class):
                return scope
            scope = scope.outer
        return None

    def variable(self, name: str) -> str:
        if self.is_class:
            return f"member {name}"  # assignments in a class body make attributes, which count by name
        if name not in self.numbers:
            self.numbers[name] = f"v{len(self._count)}"
            self._count.append(name)
        return self.numbers[name]

    def mangled(self, name: str) -> str:
        """A name after Python's mangling of private names: `_Owner__name`."""
        owner = self.owner.lstrip("_")
        is_private = name.startswith("__") and not name.endswith("__")
        return f"_{owner}{name}" if owner and is_private else name


class _TreeWriter(ast.NodeVisitor):
    """Writes one function as text and collects the names that it uses."""

    def __init__(self, root: _Scope) -> None:
        self.written: list[str] = []
        self.globals: list[tuple[str, tuple[str, ...]]] = []
        self.assigned: set[str] = set()
        self.mutated: set[str] = set()
        self.attributes: set[str] = set()
        self._scope = root

    def function(self, node: FunctionNode) -> None:
        """Write the parameters and the body. Parameters count by name, because arguments are passed by name."""
        for each in _parameters(node.args):
            self._scope.variable(each.arg)
        groups = (node.args.posonlyargs, node.args.args, node.args.kwonlyargs)
        collectors = (node.args.vararg, node.args.kwarg)
        parameters = [[each.arg for each in group] for group in groups]
        parameters += [[each.arg] if each else [] for each in collectors]
        kind = "async function" if isinstance(node, ast.AsyncFunctionDef) else "function"
        body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
        self._write(f"{kind} {parameters}", body=body)

    @contextmanager
    def _inside(self, scope: _Scope) -> Generator[None]:
        self._scope = scope
        yield
        assert scope.outer is not None
        self._scope = scope.outer

    # All nodes ----------------------------------------------------------------------------------

    def generic_visit(self, node: ast.AST) -> None:
        kind = type(node)
        fields = {name: getattr(node, name, None) for name in node._fields if name not in _NOT_WRITTEN}
        bound = [fields.pop(name) for name in node._fields if (kind, name) in _BINDING]
        self._write(kind.__name__, **fields)
        for name in bound:
            if name is not None:
                self._bind(name)

    def _write(self, kind: str, /, **fields: object) -> None:
        """Write a node without its empty fields, since a newer Python adds fields that are empty in older code."""
        self.written.append(f"{kind}(")
        for name, value in fields.items():
            if isinstance(value, list):
                value = list(_effective(cast("list[ast.AST]", value), self._scope))  # noqa: PLW2901
            if value is not None and value != []:
                self.written.append(f" {name}=")
                self._value(value)
        self.written.append(")")

    def _value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.visit(value)
        elif isinstance(value, list):
            self.written.append("[")
            for each in cast("list[object]", value):
                self._value(each)
                self.written.append(",")
            self.written.append("]")
        else:
            self.written.append(repr(value))

    # Names --------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name, taken: tuple[str, ...] = ()) -> None:
        owner = self._scope.of(node.id)
        if owner is not None or not isinstance(node.ctx, ast.Load):
            self._bind(node.id)
            return
        self.globals.append((self._scope.mangled(node.id), taken))
        if taken and taken[0] in MUTATORS:
            self.mutated.add(self._scope.mangled(node.id))
        self.written.append("global")

    def _bind(self, name: str) -> None:
        """Write a variable, or a global name that the code assigns or deletes."""
        owner = self._scope.of(name)
        if owner is None:
            self.assigned.add(self._scope.mangled(name))
        self.written.append(f"global {name}" if owner is None else owner.variable(name))

    def visit_Attribute(self, node: ast.Attribute, taken: tuple[str, ...] = ()) -> None:
        if isinstance(node.ctx, ast.Load):
            self.attributes.add(self._scope.mangled(node.attr))
            taken = (node.attr, *taken)
        self.written.append(f".{node.attr} of ")
        match node.value:
            case ast.Attribute() as value:
                self.visit_Attribute(value, taken)
            case ast.Name() as value:
                self.visit_Name(value, taken)
            case value:
                self.visit(value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        changed = node.value if not isinstance(node.ctx, ast.Load) else None
        if isinstance(changed, ast.Name) and self._scope.of(changed.id) is None:
            self.mutated.add(self._scope.mangled(changed.id))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            self.written.append(f"import {each.name} {'whole' if each.asname else 'top'} ")
            self._bind(each.asname or each.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for each in node.names:
            self.written.append(f"from {'.' * node.level}{node.module or ''} import {each.name} ")
            self._bind(each.asname or each.name)

    # Code with several notations ----------------------------------------------------------------

    def visit_Constant(self, node: ast.Constant) -> None:
        self.written.append(constant(node.value))

    def visit_Set(self, node: ast.Set) -> None:
        constants = [each.value for each in node.elts if isinstance(each, ast.Constant)]
        if len(constants) < len(node.elts):
            self.generic_visit(node)
        else:
            self.written.append(f"Set {constant(frozenset(constants))}")  # in any order

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Write an f-string. Python versions split its text into different pieces."""
        text = ""
        pieces: list[str | ast.expr] = []
        for each in node.values:
            if isinstance(each, ast.Constant):
                text += str(each.value)
            else:
                pieces += [text, each]
                text = ""
        self._write("JoinedStr", values=[*pieces, text])

    def visit_Return(self, node: ast.Return) -> None:
        says_none = isinstance(node.value, ast.Constant) and node.value.value is None
        self._write("Return", value=None if says_none else node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self._scope.is_class:  # it defines a field
            self.generic_visit(node)
        elif node.value is not None:
            self._write("Assign", targets=[node.target], value=node.value)
        else:
            self.visit(node.target)

    # Inner scopes -------------------------------------------------------------------------------

    def _comprehension(self, node: _Comprehension) -> None:
        # The first iterable is evaluated in the outer scope.
        self._write(type(node).__name__, iter=node.generators[0].iter)
        with self._inside(_Scope(_Names(each.target for each in node.generators), self._scope)):
            for place, each in enumerate(node.generators):
                iterable = each.iter if place else None
                self._write("for", target=each.target, iter=iterable, ifs=each.ifs, is_async=each.is_async)
            if isinstance(node, ast.DictComp):
                self._write("item", key=node.key, value=node.value)
            else:
                self.visit(node.elt)

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_DictComp = _comprehension

    def _nested_function(self, node: FunctionNode) -> None:
        """Write a nested function. Its defaults and annotations are evaluated in the outer scope."""
        annotations = [each.annotation for each in _parameters(node.args) if each.annotation is not None]
        outside = (node.args.defaults, node.args.kw_defaults, annotations)
        if isinstance(node, ast.Lambda):
            self._write("lambda", outside=[*outside])
        else:
            self._write("def", outside=[*outside], returns=node.returns, decorators=node.decorator_list)
        with self._inside(_Scope(_bound_in(node), self._scope)):
            self.function(node)
        if not isinstance(node, ast.Lambda):
            self._bind(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _nested_function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outside = [*node.bases, *node.keywords]
        self._write(f"class {node.name}", outside=outside, decorators=node.decorator_list)
        parameters = [each.name for each in getattr(node, "type_params", ())]
        with self._inside(_Scope(_Names(node.body, parameters), self._scope, owner=node.name, is_class=True)):
            self._write("body", body=node.body)
        self._bind(node.name)


def _effective(items: Iterable[ast.AST], scope: _Scope) -> Iterator[ast.AST]:
    """The nodes without statements that do nothing: docstrings, `pass`, declarations, unreachable branches."""
    for item in items:
        match item:
            case ast.Pass() | ast.Global() | ast.Nonlocal() | ast.Expr(ast.Constant()):
                pass
            case ast.AnnAssign(target=ast.Name(), value=None) if not scope.is_class:
                pass
            case ast.If(ast.Constant(value)):
                yield from _effective(item.body if value else item.orelse, scope)
            case _:
                yield item
