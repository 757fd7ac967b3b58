"""Notebooks as modules: their functions, classes and jobs, for tests. Cells that run jobs are left out."""

from __future__ import annotations

import ast
import atexit
import json
import linecache
import os
import re
import shutil
import symtable
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InvalidOptionError

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_COMMAND = re.compile(r"^\s*[%!?].*$|^.*\?\s*$", re.MULTILINE)  # of IPython, and not of Python


def load_notebook(path: str | os.PathLike[str], **given: object) -> ModuleType:
    """The imports, functions, classes and jobs of a notebook, as a module. No job runs.

    Of other cells only the assignments are executed that these definitions refer to, such as
    `client = TriggerClient("orders")`. Its jobs get a store of their own, in a temporary folder.

    - `given`: values for names that the notebook assigns, in place of what it assigns to them:
      `load_notebook("train.ipynb", cluster=None)`.

    Raises `OSError`, `InvalidOptionError` for a file that is no notebook, and what the cells raise.

    ```
    shop = load_notebook("notebooks/shop.ipynb")
    run = shop.order.test({"id": 7}, stubs={"fetch-user": {"name": "Ana"}})
    ```
    """
    file = Path(path).absolute()
    statements = list(_statements(file))
    needed = _needed(statements, set(given))
    module = ModuleType(f"{file.stem}_ipynb")
    module.__file__ = str(file)
    vars(module).update(given)
    sys.modules[module.__name__] = module  # where classes are looked up by name
    with _as_in_its_folder(file.parent):
        for name, statement in needed:
            code = compile(ast.Module([statement], []), name, "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102  # the user's notebook
    vars(module).update(given)
    return module


def _statements(file: Path) -> Iterator[tuple[str, ast.stmt]]:
    """The statements of the code cells, each with the name of its cell for tracebacks."""
    try:
        cells: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidOptionError(f"{file} is no notebook: {error!r}") from None
    for number, source in enumerate(sources, 1):
        if source.lstrip().startswith("%%"):
            continue
        plain = _COMMAND.sub("", source)
        name = f"{file.name}, code cell {number}"
        linecache.cache[name] = (len(plain), None, plain.splitlines(keepends=True), name)
        try:
            tree = compile(
                plain, name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
        except SyntaxError:  # a cell that does not run either
            continue
        assert isinstance(tree, ast.Module)
        yield from ((name, statement) for statement in tree.body)


def _needed(statements: list[tuple[str, ast.stmt]], given: set[str]) -> list[tuple[str, ast.stmt]]:
    """The definitions, and the assignments of names that they refer to, in their order."""
    wanted = {id(statement) for _, statement in statements if _defines(statement)}
    names = {name for _, statement in statements if id(statement) in wanted for name in _read(statement)}
    while True:
        more = [
            statement
            for _, statement in statements
            if id(statement) not in wanted
            and not _awaits(statement)
            and (bound := _bound(statement)) & names
            and not bound <= given
        ]
        if not more:
            return [(name, statement) for name, statement in statements if id(statement) in wanted]
        wanted.update(map(id, more))
        names.update(name for statement in more for name in _read(statement))


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


def _defines(statement: ast.stmt) -> bool:
    """Whether a statement is an import or a definition, or a condition around some."""
    if isinstance(statement, (ast.If, ast.Try)):
        return any(map(_defines, statement.body)) and not _awaits(statement)
    return isinstance(statement, _DEFINITIONS)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that an assignment binds; none for any other statement."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    nodes = [node for target in targets for node in ast.walk(target)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _awaits(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Await) for node in ast.walk(statement))


@contextmanager
def _as_in_its_folder(folder: Path) -> Generator[None]:
    """Import modules beside the notebook, and keep stores apart from the real ones."""
    before = os.environ.get("TRIGGER_NB_DIR")
    stores = tempfile.mkdtemp(prefix="trigger-nb-")
    atexit.register(shutil.rmtree, stores, ignore_errors=True)
    sys.path.insert(0, str(folder))
    os.environ["TRIGGER_NB_DIR"] = stores
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if before is None:
            del os.environ["TRIGGER_NB_DIR"]
        else:
            os.environ["TRIGGER_NB_DIR"] = before
