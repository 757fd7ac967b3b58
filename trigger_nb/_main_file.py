"""The file that this process runs: a notebook or a script, or none that is known.

JupyterLab tells its kernels the notebook's path. Programs that execute notebooks (nbconvert, papermill, jupyter
execute) do not: there the notebook is the one that contains the cells that were executed, among those named in the
program's command and those in the kernel's folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ._callsite import is_cell

_TEXT_NOTEBOOKS = frozenset({".py", ".md", ".rmd", ".qmd"})  # as jupytext and Quarto have them
_NOTEBOOKS = _TEXT_NOTEBOOKS | {".ipynb"}
_MARK_OF_TEXT_NOTEBOOK = re.compile(r"^(# %%|# \+|```+ *\{|#? *jupyter:)", re.MULTILINE)
_OUTPUT_OPTIONS = ("--output", "--output-dir", "-o", "-w", "--cwd")
_MOST_FILES = 200  # that are read to find the notebook
_MOST_BYTES = 20_000_000  # of a file that is read
_MOST_MARKS = 200
_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class MainFile(NamedTuple):
    """The notebook or script of this process."""

    path: Path | None  # absolute
    is_notebook: bool
    twins: tuple[Path, ...] = ()  # other notebooks that contain the executed cells just as well: copies
    began_in: Path | None = None  # the folder in which the kernel started; None outside a kernel

    @property
    def name(self) -> str:
        """A name for what belongs to the file: that of a notebook without its suffix. "default" if none is known."""
        if self.path is None:
            return "default"
        if self.path.name == "__main__.py":
            return self.path.parent.name
        return self.path.stem if self.is_notebook else self.path.name


_known: dict[
    int, MainFile
] = {}  # by process id: the notebook of this kernel once it is found, or what it serves


def main_file() -> MainFile:
    """The notebook or script of this process."""
    if os.getpid() in _known:
        return _known[os.getpid()]
    shell = _shell()
    main = sys.modules.get("__main__")
    if shell is None or not hasattr(shell, "kernel"):
        path = _existing(getattr(main, "__file__", None))
        if path is None and _is_worker() and (session := os.environ.get("JPY_SESSION_NAME", "")):
            return MainFile(Path(os.path.abspath(session)), is_notebook=True)
        return MainFile(path, is_notebook=False)
    found = _of_kernel(shell)
    if found.path is not None and not found.twins:  # else further cells may tell
        _known[os.getpid()] = found
    return found


def serve(path: Path) -> None:
    """Take a notebook or script for the file of this process, which executes its definitions without a kernel."""
    is_notebook = path.suffix == ".ipynb"
    _known[os.getpid()] = MainFile(path, is_notebook, began_in=path.parent if is_notebook else None)


def prefer(twin: Path) -> None:
    """Take one of the twins of the notebook for the notebook."""
    _known[os.getpid()] = main_file()._replace(path=twin, twins=())


def near(path: Path) -> str:
    """A path as it may be published: relative to the notebook's folder or to that of packages, else its last two parts."""
    known = _known.get(os.getpid())
    folders = [Path.cwd(), *([known.path.parent] if known is not None and known.path is not None else [])]
    for folder in folders:
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    return "/".join(("…", *path.parts[-2:])) if path.is_absolute() else path.as_posix()


def near_places(text: str) -> str:
    """A text, such as a traceback, with the files of places in the code as they may be published."""

    def short(match: re.Match[str]) -> str:
        file = next(filter(None, match.groups()))
        return match.group().replace(file, near(Path(file)))

    return _PLACE.sub(short, text)


_PLACE = re.compile(r'(?:File "([^"\n]+)"|((?:/|[A-Za-z]:\\)[^\s"\n,]+))(?=, line \d)')


def have_same_cells(one: Path, other: Path) -> bool:
    """Whether two notebooks have the same cells, as a notebook and an output of it have."""
    return {source for _, source in _cells(_text_of(one))} == {
        source for _, source in _cells(_text_of(other))
    }


def file_of(function: Callable[..., object]) -> Path | None:
    """The file that a function is defined in: for a function of a cell, the notebook."""
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    shell = _shell()
    if shell is not None and is_cell(file):
        inner = _existing(shell.user_ns.get("__file__"))  # while `%run other.ipynb` executes its cells
        return inner if inner is not None and inner.suffix == ".ipynb" else main_file().path
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return _existing(getattr(module, "__file__", None)) or _existing(file) or main_file().path


def marks_of(path: Path | None) -> frozenset[str]:
    """The ids of a file's cells, or digests of its parts: a file that shares some of them is the same one, renamed."""
    if path is None:
        return frozenset()
    executing = {_executing_cell()} - {""} if path == main_file().path else set[str]()
    with contextlib.suppress(OSError):
        status = path.stat()
        return _marks_of(path, status.st_mtime_ns, status.st_size) | executing
    return frozenset(executing)


@lru_cache(maxsize=100)
def _marks_of(path: Path, _changed_at: int, _size: int) -> frozenset[str]:
    text = _text_of(path)
    if path.suffix == ".ipynb":
        cells = list(_cells(text))
        marks = [cell_id for cell_id, _ in cells if cell_id] or [_digest(source) for _, source in cells]
    else:
        marks = [_digest(part) for part in re.split(r"\n\s*\n", text)]
    return frozenset(list(filter(None, marks))[:_MOST_MARKS])


# Kernels ------------------------------------------------------------------------------------------


def _of_kernel(shell: Any) -> MainFile:
    began_in = Path(getattr(shell, "starting_dir", None) or Path.cwd())
    editor = getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)
    if isinstance(editor, str):
        return MainFile(Path(os.path.abspath(editor)), is_notebook=True, began_in=began_in)
    launcher = _Launcher.find()
    session = os.environ.get("JPY_SESSION_NAME", "")
    if Path(session).suffix.lower() in _NOTEBOOKS and not (
        launcher and launcher.has("JPY_SESSION_NAME", session)
    ):
        path = Path(os.path.abspath(began_in / session))
        if not path.exists():
            path = _renamed(path, began_in)
        return MainFile(path, is_notebook=True, began_in=began_in)
    best = _executed_by(
        launcher, began_in, [cell for cell in shell.history_manager.input_hist_raw if cell.strip()]
    )
    if best:
        return MainFile(best[0], is_notebook=True, twins=tuple(best[1:]), began_in=began_in)
    return MainFile(_existing(shell.user_ns.get("__file__")), is_notebook=True, began_in=began_in)


def _renamed(path: Path, folder: Path) -> Path:
    """Where the notebook with this path is, if it or its folder was renamed since the kernel started."""
    if (folder / path.name).exists():
        return folder / path.name
    cell_id = _executing_cell()
    notebooks = [each for each in _listed(folder) if each.suffix == ".ipynb"] if cell_id else []
    return next(
        (each for each in notebooks if any(id_ == cell_id for id_, _ in _cells(_text_of(each)))), path
    )


def _executed_by(launcher: _Launcher | None, began_in: Path, cells: list[str]) -> list[Path]:
    """The notebooks that contain most of the executed cells, the likeliest first."""
    named = [] if launcher is None else launcher.notebooks()
    scores = {path: _score(path, cells) for path in named}
    if not any(score == len(cells) for score in scores.values()):
        beside = [path for path in _listed(began_in) if path.suffix == ".ipynb" and path not in scores]
        scores |= {path: _score(path, cells) for path in beside}
    most = max(scores.values(), default=0)
    if most:
        best = (_input_of(path, began_in) for path, score in scores.items() if score == most)
        return list(dict.fromkeys(best))
    notebooks = [path for path in named if path.suffix == ".ipynb"]
    return notebooks if len(notebooks) == 1 else []  # whose cells were changed before they were executed


def _input_of(path: Path, folder: Path) -> Path:
    """The notebook of which papermill has made this one, with one more cell: the parameters. Else the same path."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        made = json.loads(_text_of(path))["metadata"]["papermill"]
        before = Path(os.path.abspath(folder / made["input_path"]))
        if Path(made["output_path"]).name == path.name and before.is_file():
            return before
    return path


def _listed(folder: Path) -> list[Path]:
    """The files of a folder, the oldest first: outputs of a notebook are younger than the notebook."""
    try:
        files = [path for path in folder.iterdir() if path.is_file()][:_MOST_FILES]
        return sorted(files, key=lambda path: (path.stat().st_mtime, len(path.name), path.name))
    except OSError:
        return []


def _score(path: Path, cells: list[str]) -> int:
    """How many of the executed cells a notebook contains."""
    text = _text_of(path)
    if path.suffix == ".ipynb":
        sources = {source.strip() for _, source in _cells(text)}
        return sum(cell.strip() in sources for cell in cells)
    return sum(cell.strip() in text for cell in cells) if _MARK_OF_TEXT_NOTEBOOK.search(text) else 0


class _Launcher:
    """The program that started this kernel."""

    def __init__(self, pid: int, command: list[str]) -> None:
        self._pid = pid
        self._command = command

    @classmethod
    def find(cls) -> _Launcher | None:
        """Of this process's ancestors the first that is no wrapper of its command. None where that is not known."""
        connection = next((each for each in sys.argv[1:] if each.endswith(".json")), "")
        pid = os.getppid()
        while command := _proc(pid, "cmdline").strip("\0").split("\0"):
            if not any(command):
                return None
            if not connection or not any(connection in part for part in command):
                return cls(pid, command)
            fields = _proc(pid, "stat").rpartition(")")[2].split()
            pid = int(fields[1]) if len(fields) > 1 else 0
        return None

    def has(self, name: str, value: str) -> bool:
        """Whether it has this environment variable, which the kernel inherits: it is about another notebook."""
        return f"{name}={value}" in _proc(self._pid, "environ").split("\0")

    def notebooks(self) -> list[Path]:
        """The notebooks that its command names, other than the output."""
        with contextlib.suppress(OSError):
            folder = Path(os.readlink(f"/proc/{self._pid}/cwd"))
            pairs = zip(self._command, self._command[1:], strict=False)
            parts = [
                part for before, part in pairs if before not in _OUTPUT_OPTIONS and not part.startswith("-")
            ]
            paths = [Path(os.path.abspath(folder / part)) for part in parts if len(part) < 4096]
            return [
                path for path in dict.fromkeys(paths) if path.suffix.lower() in _NOTEBOOKS and path.is_file()
            ]
        return []


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return ""


def _is_worker() -> bool:
    """Whether this process belongs to a pool of another one: the jobs of modules that it imports are the notebook's."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and processes.parent_process() is not None


def _executing_cell() -> str:
    """The id of the cell that is executing, which JupyterLab sends with it; "" if it is not known."""
    try:
        cell_id = _shell().parent_header["metadata"]["cellId"]
        return cell_id if _CELL_ID.match(cell_id) else ""
    except (AttributeError, KeyError, TypeError):
        return ""


def _shell() -> Any:
    """IPython's shell, None outside IPython."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


# Files --------------------------------------------------------------------------------------------


def _existing(file: object) -> Path | None:
    if not isinstance(file, str) or not file:
        return None
    path = Path(os.path.abspath(file))
    return path if path.is_file() else None


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace") if path.stat().st_size <= _MOST_BYTES else ""
    except OSError:
        return ""


def _cells(text: str) -> Iterator[tuple[str, str]]:
    """The id and the source of each code cell of a notebook, given by its text; the id is "" in older formats."""
    try:
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                source, cell_id = cell["source"], cell.get("id", "")
                yield (
                    cell_id if _CELL_ID.match(cell_id) else "",
                    source if isinstance(source, str) else "".join(source),
                )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _digest(text: str) -> str:
    return (
        hashlib.sha256(text.strip().encode(errors="replace")).hexdigest()[:16]
        if len(text.strip()) > 20
        else ""
    )
