"""Makes a test of each Markdown page of the docs: its Python blocks have to run (see tests/support/doc_blocks.py)."""

from __future__ import annotations

import compileall
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
WRITES_BYTECODE = not sys.dont_write_bytecode
# Until all is collected, also where `PYTHONDONTWRITEBYTECODE` is set: pytest's own copies of the tests, which each
# worker would make anew at each start, twenty seconds of the processor. No test sees the difference.
sys.dont_write_bytecode = False
gc.disable()  # what is imported stays, and a collector that looks through it again and again finds nothing


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path == ROOT / "README.md" or (file_path.suffix == ".md" and ROOT / "docs" in file_path.parents):
        return Page.from_parent(parent, path=file_path)
    return None


# Marks of whole folders, and of tests that use a fixture: `make test-fast` leaves them out.
_MARKS = {
    "kernel": "kernel",
    "browser": "browser",
    "crash": "slow",
    "remote": "slow",
    "docs": "slow",
    "cli": "slow",
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A folder that `-m "not ..."` leaves out is not imported: what it imports takes seconds."""
    mark = _MARKS.get(collection_path.name)
    return True if mark and f"not {mark}" in config.getoption("markexpr") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folders = item.path.relative_to(ROOT).parts
        if isinstance(item, Blocks):
            item.add_marker("slow")
        elif mark := next((_MARKS[each] for each in folders if each in _MARKS), None):
            item.add_marker(mark)
        if {"kernel", "one_kernel"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kernel")


def pytest_configure(config: pytest.Config) -> None:
    """Thousands of processes import the package. Where Python is to write no bytecode, as images often say, each of them
    would compile it: half of what a kernel does until it is ready."""
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist
        for folder in (ROOT / "trigger_nb", ROOT / "tests" / "support"):
            compileall.compile_dir(folder, quiet=2)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not walk through it, half a second each time."""
    gc.collect()
    gc.freeze()
    gc.enable()
    sys.dont_write_bytecode = not WRITES_BYTECODE


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More workers than cores: tests wait for kernels, browsers and processes about a third of the time."""
    return (os.cpu_count() or 1) * 3 // 2 or 1


class Page(pytest.File):
    """A Markdown page."""

    def collect(self):
        yield Blocks.from_parent(self, name="blocks")


class Blocks(pytest.Item):
    """All Python blocks of a page, each of which builds on those before."""

    def runtest(self):
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [sys.executable, "-m", "tests.support.doc_blocks", str(self.path)],
                cwd=directory,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise PageError(done.stdout + done.stderr)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, PageError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, f"code blocks of {self.path.relative_to(ROOT)}"


class PageError(Exception):
    """A block did not run; the text is what the page printed and the traceback."""
