"""A worker process that is started for one run. It has a session of its own, and outlives this process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from inspect import unwrap
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from .._keys import hashed
from .._main_file import main_file
from .._store.files import check_file, create_file, make_folder
from ..errors import DetachError
from .runtime import Runtime

T = TypeVar("T")
_MODULE = "trigger_nb._cli.detached"
_LOGS = "logs"  # a folder in the store
_MOST = 80  # characters of a run's id in the name of its log
_PATIENCE = 300.0  # seconds for which a file's definitions may take: they may load a model
# Of a kernel alone: about its notebook, its terminal and its parent.
_NOT_PASSED_ON = ("JPY_SESSION_NAME", "JPY_PARENT_PID", "JPY_INTERRUPT_EVENT", "TRIGGER_NB_PARENT_PIPE")
_INLINE = "module://matplotlib_inline.backend_inline"  # which draws below cells
# The same on Windows.
_FLAGS = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_children: list[subprocess.Popen[bytes]] = []  # to ask now and then whether they have ended


def log_of(runtime: Runtime, run_id: str) -> Path:
    """The file with what a run's worker writes."""
    name = quote(run_id, safe=" .-_@+=")
    if len(name) > _MOST or name.startswith("."):
        name = hashed("run_", run_id)
    return runtime.store.directory / _LOGS / f"{name}.log"


def file_for(function: Callable[..., object]) -> str:
    """The notebook, script or module that a worker has a job from. Raises `DetachError` if there is none."""
    path = main_file().path
    if path is not None and path.suffix in (".ipynb", ".py") and path.is_file():
        return str(path)
    module = getattr(unwrap(function), "__module__", None) or "__main__"
    if module != "__main__" and module in sys.modules:
        return module
    name = getattr(function, "__name__", "job")
    if path is not None and not path.exists():
        raise DetachError(f"there is no file {path}: save the notebook, then detach the run")
    if path is not None:
        raise DetachError(
            f"{path.name} is neither a notebook (.ipynb) nor a script (.py), which a worker can execute"
        )
    raise DetachError(
        f"{name} is defined in no file, as in an interactive shell, and a worker would not know it: save the notebook, or "
        "put the job into a script or module"
    )


class OwnWorker:
    """A worker process, which waits for the run until its kernel leaves it."""

    def __init__(self, runtime: Runtime, run_id: str, file: str, name: str, code: str) -> None:
        self.log = log_of(runtime, run_id)
        order = {
            "file": file,
            "run": run_id,
            "store": str(runtime.store.directory),
            "name": name,
            "code": code,
        }
        make_folder(self.log.parent)
        check_file(self.log)
        with suppress(FileExistsError):
            os.close(create_file(self.log))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # this Python, and no shell
                [sys.executable, "-m", _MODULE, json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                # A session of its own: no signal for this process reaches it, and it stays when this one is gone.
                start_new_session=True,
                creationflags=_FLAGS,
            )
        _reap()
        _children.append(self._process)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    async def ready(self) -> str:
        """Wait until it knows the job; "" then, else the reason why it cannot have the run."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            line = await asyncio.wait_for(_in_thread(stdout.readline), _PATIENCE)
        except TimeoutError:
            return f"the worker was not ready in {_PATIENCE:g} s"
        stdout.close()
        answer: Any = None
        with suppress(ValueError):
            answer = json.loads(line)
        if isinstance(answer, dict) and "why" in answer:
            return str(answer["why"])  # pyright: ignore[reportUnknownArgumentType]
        return f"the worker has died (exit code {await self.end()}); its log is {self.log}"

    def tell_to_end(self) -> None:
        """Tell it to end: it has not begun with the run, or leaves it to the next process."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def end(self) -> int:
        """End it, and wait for that."""
        self.tell_to_end()
        try:
            return await _in_thread(lambda: self._process.wait(10.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await _in_thread(self._process.wait)


async def _in_thread(call: Callable[[], T]) -> T:
    """Wait for a call that blocks, in a thread that does not keep this process from ending."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    ended: Future[T] = Future()

    def work() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            ended.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="trigger_nb worker", daemon=True).start()
    await done.wait()
    return ended.result()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    if kept.get("MPLBACKEND") == _INLINE:
        kept["MPLBACKEND"] = "agg"
    # What this process can import, as from the folder of the notebook, or from one that a cell has added.
    paths = [os.path.abspath(each or ".") for each in sys.path]
    before = kept.get("PYTHONPATH", "").split(os.pathsep)
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, [*before, *_own_paths(paths)])))
    return kept


def _own_paths(paths: list[str]) -> list[str]:
    """Those of the paths that another Python process does not have by itself."""
    installed = (sys.prefix, sys.base_prefix)
    return [
        each
        for each in paths
        if os.path.isdir(each) and not each.startswith(installed) and "site-packages" not in each
    ]


def _reap() -> None:
    _children[:] = [each for each in _children if each.poll() is None]
