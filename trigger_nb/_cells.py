"""The statements of a notebook or script that define something, apart from those that do something.

So the jobs of a notebook can be had without running it: its imports, functions, classes and jobs, the assignments that these
refer to, constants, and the few calls that set Python up. A cell with the tag `trigger_nb` belongs to it as a whole.
"""

from __future__ import annotations

import ast
import json
import linecache
import re
import symtable
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from .errors import InvalidOptionError

TAG = "trigger_nb"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_STARTING = frozenset({"run", "start", "run_sync", "plan", "test"})  # methods of a job
_STARTING_ANYWHERE = frozenset({"run_sync", "send_event", "send_events"})
# Calls that set Python up for what follows, by what the call looks like.
_SET_UP = re.compile(
    r"sys\.path\.(append|insert|extend)|(dotenv\.)?load_dotenv|logging\.basicConfig"
    r"|warnings\.(filterwarnings|simplefilter)|([\w.]+\.)?register_(codec|error)|([\w.]+\.)?keep_in_errors"
)
_COMMAND = re.compile(r"^\s*[%!?].*$|^\s*[\w.]+\?+\s*$", re.MULTILINE)  # of IPython, and not of Python
# What IPython makes of a command, and how it was typed.
_TYPED = (
    (re.compile(r"get_ipython\(\)\.(?:system|getoutput)\((['\"])(.*)\1\)"), r"!\2"),
    (re.compile(r"get_ipython\(\)\.run_line_magic\('(\w+)', (['\"])(.*)\2\)"), r"%\1 \3"),
)
_MOST_SHOWN = 60  # characters of a statement


class Statement(NamedTuple):
    """A statement at the top level of a cell."""

    cell: int  # the number of the code cell, from 1; 0 in a script
    file: str  # the name of its cell for tracebacks, or the path of the script
    node: ast.stmt
    tagged: bool = False  # whether its cell has the tag

    @property
    def shown(self) -> str:
        """The statement for a message, on one line."""
        line = ast.unparse(self.node).split("\n", 1)[0]
        for made, typed in _TYPED:
            line = made.sub(typed, line)
        return line if len(line) <= _MOST_SHOWN else line[: _MOST_SHOWN - 1] + "…"


class Chosen(NamedTuple):
    """What is to be executed of a file, in its order, and what is not."""

    kept: list[Statement]
    left_out: list[Statement]
    unreadable: list[int]  # numbers of cells that are no Python
    needed: frozenset[str]  # names that what is kept refers to

    def told(self, name: str, most: int = 10) -> list[str]:
        """What is left out, in a line for each cell."""
        by_cell: dict[int, list[Statement]] = {}
        for each in self.left_out:
            by_cell.setdefault(each.cell, []).append(each)
        lines: dict[int, str] = {
            cell: f"{_cell(name, cell)}: left out, it is no Python" for cell in self.unreadable
        }
        for cell, statements in by_cell.items():
            # A name that is missing matters more than a call whose result nobody uses.
            first = next((each for each in statements if self._missing(each)), statements[0])
            missing = self._missing(first)
            needs = f", and {', '.join(missing)} is missing, which a definition refers to" if missing else ""
            others = len(statements) - 1
            more = f" and {others} more statement{'s'[: others > 1]}" if others else ""
            lines[cell] = f"{_cell(name, cell)}: left out `{first.shown}`{more}{needs}"
        told = [lines[cell] for cell in sorted(lines)]
        rest = len(told) - most
        return told if rest <= 0 else [*told[:most], f"{name}: … and {rest} more cells"]

    def _missing(self, statement: Statement) -> list[str]:
        return sorted(_bound(statement.node) & self.needed - _bound_by_any(self.kept))


def _cell(name: str, cell: int) -> str:
    return f"{name}, code cell {cell}" if cell else name


def chosen_of_notebook(file: Path, given: Collection[str] = (), *, tagged: bool = True) -> Chosen:
    """The statements of a notebook that define, and those of tagged cells. `given`: names that need no assignment.

    Raises `OSError`, and `InvalidOptionError` for a file that is no notebook.
    """
    unreadable: list[int] = []
    statements = [each._replace(tagged=each.tagged and tagged) for each in _of_notebook(file, unreadable)]
    return _choose(statements, set(given), unreadable)


def chosen_of_script(file: Path) -> Chosen:
    """All statements of a script but those that start jobs: `if __name__ == "__main__"`, `run_sync`, `asyncio.run`.

    Raises `OSError`, and `SyntaxError` for a file that is no Python.
    """
    tree = ast.parse(file.read_bytes(), str(file))
    statements = [Statement(0, str(file), node) for node in tree.body]
    jobs = _jobs_of(statements)
    kept = [each for each in statements if not (_is_main_guard(each.node) or _starts(each.node, jobs))]
    # Whoever writes a main guard knows that it is not for whoever imports.
    left = [each for each in statements if each not in kept and not _is_main_guard(each.node)]
    return Chosen(kept, left, [], frozenset(name for each in kept for name in _read(each.node)))


def _of_notebook(file: Path, unreadable: list[int]) -> Iterator[Statement]:
    try:
        cells: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = [
            ("".join(cell["source"]), TAG in _tags_of(cell.get("metadata")))
            for cell in cells
            if cell["cell_type"] == "code"
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidOptionError(f"{file} is no notebook: {error!r}") from None
    for number, (source, tagged) in enumerate(sources, 1):
        if not source.strip():
            continue
        plain, tree = _parsed(source)
        if tree is None:
            unreadable.append(number)
            continue
        name = f"{file.name}, code cell {number}"
        linecache.cache[name] = (len(plain), None, plain.splitlines(keepends=True), name)
        yield from (Statement(number, name, node, tagged) for node in tree.body)


def _tags_of(metadata: Any) -> Collection[str]:
    return metadata.get("tags", ()) if metadata else ()


def _parsed(source: str) -> tuple[str, ast.Module | None]:
    """A cell as Python, and its tree; None for a cell that is none, as one with `%%bash`."""
    for plain in _versions(source):
        with suppress(SyntaxError, ValueError):
            # `await` at the top level is an error only for the compiler.
            return plain, ast.parse(plain)
    return source, None


def _versions(source: str) -> Iterator[str]:
    yield source
    if source.lstrip().startswith("%%"):
        return
    with suppress(ImportError):
        from IPython.core import inputtransformer2

        with suppress(SyntaxError):  # of the cell
            yield cast("Any", inputtransformer2).TransformerManager().transform_cell(source)
    yield _COMMAND.sub("", source)


# What defines ---------------------------------------------------------------------------------------


def _choose(statements: list[Statement], given: set[str], unreadable: list[int]) -> Chosen:
    jobs = _jobs_of(statements)
    wanted = {id(each.node) for each in statements if each.tagged or _defines(each.node)}
    names = {name for each in statements if id(each.node) in wanted for name in _read(each.node)}
    imported = {
        name
        for each in statements
        if isinstance(each.node, (ast.Import, ast.ImportFrom))
        for name in _imported(each.node)
    }
    quiet = [each for each in statements if id(each.node) not in wanted and not _starts(each.node, jobs)]
    while True:
        more = [
            each.node
            for each in quiet
            if id(each.node) not in wanted
            and _belongs(each.node, names, imported)
            and not _only(each.node, given)
        ]
        if not more:
            break
        wanted.update(map(id, more))
        names.update(name for node in more for name in _read(node))
    kept = [each for each in statements if id(each.node) in wanted]
    left = [
        each
        for each in statements
        if id(each.node) not in wanted and not _is_idle(each.node) and not _only(each.node, given)
    ]
    return Chosen(kept, left, unreadable, frozenset(names - given))


def _belongs(node: ast.stmt, names: set[str], imported: set[str]) -> bool:
    """Whether a statement that starts nothing belongs to the definitions, which refer to these names."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _SET_UP.fullmatch(ast.unparse(node.value.func)) is not None
    if bound := _bound(node):
        return bool(bound & names) or _is_literal(node)
    return bool(_changed(node) & (names | imported))


def _only(node: ast.stmt, given: set[str]) -> bool:
    """Whether an assignment binds only names that are given."""
    bound = _bound(node)
    return bool(bound) and bound <= given


def _defines(node: ast.stmt) -> bool:
    """Whether a statement is an import or a definition, or a condition around such."""
    if isinstance(node, (ast.If, ast.Try)) and not _is_main_guard(node):
        inner = [*node.body, *node.orelse]
        if isinstance(node, ast.Try):
            inner += [*node.finalbody, *(each for handler in node.handlers for each in handler.body)]
        return any(map(_defines, inner)) and all(
            _defines(each) or _is_idle(each) or bool(_bound(each)) for each in inner
        )
    return isinstance(node, _DEFINITIONS) or type(node).__name__ == "TypeAlias"


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(node.test)
    )


def _is_idle(node: ast.stmt) -> bool:
    """Whether a statement does nothing: `pass`, a text, a name or a number to look at."""
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, (ast.Constant, ast.Name, ast.Attribute))
    )


def _is_literal(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    with suppress(ValueError, TypeError, RecursionError):
        ast.literal_eval(cast("ast.expr", value))
        return True
    return False


# What starts jobs -----------------------------------------------------------------------------------


def _jobs_of(statements: Iterable[Statement]) -> set[str]:
    """The names of the jobs that are defined with a decorator."""
    return {
        each.node.name
        for each in statements
        if isinstance(each.node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and any(_is_job(decorator) for decorator in each.node.decorator_list)
    }


def _is_job(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "job"


def _starts(node: ast.stmt, jobs: set[str]) -> bool:
    """Whether a statement waits for something or starts a job, itself and not in a function that it defines."""
    if isinstance(node, _DEFINITIONS):
        return False
    return any(isinstance(each, ast.Await) or _is_start(each, jobs) for each in _outside_functions(node))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _outside_functions(child)


def _is_start(node: ast.AST, jobs: set[str]) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    name, of = node.func.attr, node.func.value
    if name in _STARTING_ANYWHERE:
        return True
    owner = of.id if isinstance(of, ast.Name) else ""
    return (name in _STARTING and owner in jobs) or (name == "run" and owner in ("asyncio", "anyio"))


# Names ----------------------------------------------------------------------------------------------


def _read(statement: ast.stmt) -> set[str]:
    """The global names that a statement refers to, now or when its functions are called."""
    top = symtable.symtable(ast.unparse(statement), "cell", "exec")
    tables, found = [top], set[str]()
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                found.add(symbol.get_name())
    return found


def _targets(node: ast.stmt) -> Sequence[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []


def _bound(node: ast.stmt) -> set[str]:
    """The names that an assignment binds; none for any other statement."""
    nodes = (each for target in _targets(node) for each in ast.walk(target))
    return {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _bound_by_any(statements: Iterable[Statement]) -> set[str]:
    return {name for each in statements for name in _bound(each.node)}


def _changed(node: ast.stmt) -> set[str]:
    """The names of the objects of which an assignment sets a part: `CONFIG` for `CONFIG["x"] = 1`."""
    found: set[str] = set()
    for target in _targets(node):
        inner = target
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            inner = inner.value
        if inner is not target and isinstance(inner, ast.Name):
            found.add(inner.id)
    return found


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        yield alias.asname or alias.name.partition(".")[0]
