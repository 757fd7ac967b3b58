"""Modules beside the notebook in executors: a worker runs the code whose fingerprint is stored."""

from __future__ import annotations

import importlib
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.remote.conftest import make_pool
from trigger_nb._remote import modules as modules_module

OLD = """
from dataclasses import dataclass

@dataclass
class Found:
    what: str

def f(x):
    return Found("old")
"""


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A module beside the notebook, which workers import, too."""
    monkeypatch.setattr(modules_module, "notebook_modules", modules_module.NotebookModules())
    monkeypatch.setattr("trigger_nb._remote.dispatch.notebook_modules", modules_module.NotebookModules())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    file = tmp_path / "beside_the_notebook.py"
    file.write_text(OLD)
    importlib.invalidate_caches()

    def edit():
        file.write_text(OLD.replace("old", "new, and longer"))
        importlib.invalidate_caches()
        importlib.reload(sys.modules["beside_the_notebook"])

    yield importlib.import_module("beside_the_notebook"), edit
    del sys.modules["beside_the_notebook"]


@pytest.fixture
def spawned():
    with make_pool(1, "spawn") as pool:
        yield pool


@pytest.mark.parametrize("what", ["its function", "a cell that calls it", "a map"])
def test_a_worker_runs_a_module_as_it_was_edited_and_reloaded(
    client, beside, spawned: ProcessPoolExecutor, what
):
    module, edit = beside

    cell = {"module": module, "__name__": "__main__"}
    exec("def in_a_cell(x):\n    return module.f(x)", cell)
    in_a_cell = cell["in_a_cell"]

    async def job(payload, io):
        if what == "a map":
            return (await io.map("m", [1], in_a_cell))[0]
        return await io.run_task("t", module.f if what == "its function" else in_a_cell, 1)

    def run(**options):
        return client.job(id="job", executor=spawned)(job).run_sync(1, **options)

    assert run() == module.Found("old")
    edit()
    found = run(on_change="only")
    assert found == module.Found("new, and longer")
    assert type(found) is module.Found
    assert run() == found
    assert run(fresh=True) == found
