"""Notebooks as modules: their functions, classes and jobs, for tests. Cells that run jobs are left out."""

from __future__ import annotations

import ast
import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from .._cells import chosen_of_notebook


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
    chosen = chosen_of_notebook(file, given, tagged=False)
    module = ModuleType(f"{file.stem}_ipynb")
    module.__file__ = str(file)
    vars(module).update(given)
    sys.modules[module.__name__] = module  # where classes are looked up by name
    with _as_in_its_folder(file.parent):
        for each in chosen.kept:
            code = compile(ast.Module([each.node], []), each.file, "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102  # the user's notebook
    vars(module).update(given)
    return module


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
