"""The file whose jobs a command runs: a notebook, a script or a module. Its definitions are executed, and no job starts."""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import functools
import importlib
import importlib.util
import inspect
import io
import os
import sys
import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

from .. import _main_file
from .._callsite import PACKAGE_FOLDER
from .._cells import Chosen, Statement, chosen_of_notebook, chosen_of_script
from .._runs.runtime import open_runtimes
from ..client import TriggerClient
from ..errors import InvalidOptionError
from ..job import AnyJob
from .problems import Problem, similar

_FUTURE = [getattr(__future__, name) for name in __future__.all_feature_names]
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# The module that was `__main__` before: without a reference, Python clears it.
_replaced: list[ModuleType] = []


@dataclass
class Program:
    """The jobs of a file, in this process."""

    name: str
    jobs: list[AnyJob]
    left_out: list[str] = field(default_factory=list[str])  # lines for the user

    @property
    def clients(self) -> list[TriggerClient]:
        """The clients of the jobs, each store once."""
        found: dict[int, Any] = {id(job.client.runtime): job.client for job in self.jobs}  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
        return list(found.values())

    def job(self, job_id: str | None) -> AnyJob:
        """The job with an id, or the only one. Raises `Problem`."""
        names = sorted(job.id for job in self.jobs)
        found = [job for job in self.jobs if job_id in (None, job.id, getattr(job.fn, "__name__", ""))]
        if len(found) == 1:
            return found[0]
        if not names:
            raise Problem(f"{self.name} defines no job: put @job above a function")
        listed = ", ".join(f"{self.name}:{name}" for name in names[:10])
        if job_id is None or found:
            raise Problem(f"{self.name} defines {len(names)} jobs; say which one: {listed}")
        raise Problem(f"{self.name} defines no job {job_id!r}{similar(job_id, names)}. It has {listed}")

    async def close(self) -> None:
        """Close the clients of integrations, which belong to this event loop."""
        for job in self.jobs:
            with contextlib.suppress(Exception):
                await job._close_clients()


def split(name: str) -> tuple[str, str | None]:
    """FILE[:JOB] as the file and the id of the job."""
    file, colon, job = name.rpartition(":")
    if not colon or Path(name).exists() or not file or (len(file) == 1 and job[:1] in "\\/"):
        return name, None
    return file, job or None


async def load(name: str) -> Program:
    """Execute what a file defines. Raises `Problem` if there is no such file, or if it fails."""
    path, file = Path(name), _file_at(name)
    try:
        if file is not None:
            chosen = await _load_file(file)
            return Program(name, _jobs(), chosen.told(file.name))
        if _is_module(name):
            _import(name)
            return Program(name, _jobs())
    except Problem:
        raise
    except (OSError, SyntaxError, InvalidOptionError) as error:
        raise Problem(f"{name} cannot be read: {error}") from None
    beside = [str(each) for each in _files_beside(path)]
    raise Problem(
        f"there is no file {name!r} here{similar(name, beside)}. FILE is a notebook (.ipynb), a script (.py), or the name of a "
        "module that can be imported"
    )


def _file_at(name: str) -> Path | None:
    path = Path(os.path.abspath(name))
    return path if path.is_file() else None


def _files_beside(path: Path) -> Iterable[Path]:
    with contextlib.suppress(OSError):
        yield from (each for each in path.parent.iterdir() if each.suffix in (".ipynb", ".py"))


def _jobs() -> list[AnyJob]:
    return [job for runtime in open_runtimes() for job in runtime.jobs.values()]


async def _load_file(path: Path) -> Chosen:
    """Execute the definitions of a notebook or script as `__main__`, as its kernel or Python does.

    Not under another name: classes of the file are found by the name of their module, and code is compared with what
    the kernel had.
    """
    if path.suffix not in (".ipynb", ".py"):
        raise Problem(f"{path.name} is neither a notebook (.ipynb) nor a script (.py)")
    is_notebook = path.suffix == ".ipynb"
    chosen = chosen_of_notebook(path) if is_notebook else chosen_of_script(path)
    main = ModuleType("__main__")
    _replaced.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    sys.path.insert(0, str(path.parent))
    _main_file.serve(path)
    if is_notebook:
        os.chdir(path.parent)  # where its kernel runs
        os.environ["JPY_SESSION_NAME"] = str(path)  # for messages of other processes, and for pools
        _furnish(main, chosen.needed)
    else:
        main.__file__ = str(path)
    await _execute(chosen.kept, main, path)
    return chosen


async def _execute(statements: list[Statement], main: ModuleType, path: Path) -> None:
    flags = _FLAGS
    for each in statements:
        try:
            code = compile(ast.Module([each.node], []), each.file, "exec", flags, dont_inherit=True)
            flags |= _future(code)  # counts for the cells after it, too
            with contextlib.redirect_stdout(sys.stderr):
                result = eval(code, vars(main))  # noqa: S307  # the user's own code
                if inspect.iscoroutine(result):
                    await result
        except (Exception, SystemExit) as error:  # noqa: BLE001  # of the user's code
            raise Problem(_failure(each, path, error)) from None


def _future(code: CodeType) -> int:
    return sum(feature.compiler_flag for feature in _FUTURE if code.co_flags & feature.compiler_flag)


def _failure(statement: Statement, path: Path, error: BaseException) -> str:
    """What a statement of the file has raised, and where."""
    where = f"{path.name}, code cell {statement.cell}" if statement.cell else path.name
    return f"{where} fails: {_told(error)}"


def _told(error: BaseException) -> str:
    """An error with its traceback, without frames of this package and of Python's import system."""
    stack = traceback.TracebackException.from_exception(error)
    stack.stack = traceback.StackSummary.from_list(
        [each for each in stack.stack if not each.filename.startswith((PACKAGE_FOLDER, "<frozen"))]
    )
    return "".join(stack.format()).replace("Traceback (most recent call last):\n", "\n", 1).rstrip()


def _furnish(main: ModuleType, needed: Collection[str]) -> None:
    """What kernels put into the namespace of notebooks, and code may refer to: `display`, and an `open` of their own."""
    if "open" in needed:
        vars(main)["open"] = _open
    if "display" not in needed:
        return
    with contextlib.suppress(ImportError):
        from IPython import display

        if not hasattr(builtins, "display"):
            setattr(builtins, "display", vars(display)["display"])  # noqa: B010  # not in its stub


@functools.wraps(io.open)
def _open(*arguments: Any, **options: Any) -> Any:
    """As IPython's `open`, which is a wrapper too: so code that uses it is the same here and there."""
    return cast("Any", io.open)(*arguments, **options)


def _is_module(name: str) -> bool:
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False


def _import(name: str) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # of the user's module
        raise Problem(f"the module {name} fails: {_told(error)}") from None
