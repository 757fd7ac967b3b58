"""The folder that a test's commands run in, and commands without a process of their own."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.cli.programs import Folder
from trigger_nb import _main_file, client as client_module
from trigger_nb._cli.app import app
from trigger_nb._runs import runtime as runtime_module


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "nbs")
    yield made
    made.end()


@pytest.fixture
def typed(folder, monkeypatch):
    """A command in this process: each call is as good as a process of its own, and takes no time to start."""
    monkeypatch.delenv("TRIGGER_NB_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("JPY_SESSION_NAME", "")
    monkeypatch.chdir(folder.path)

    def call(*arguments, code=0, given=None):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", sys.modules["__main__"])
            patch.setattr(sys, "path", list(sys.path))
            patch.setattr(_main_file, "_known", {})
            patch.setattr(client_module, "_default", {})
            patch.setattr(runtime_module, "_runtimes", {})
            patch.chdir(folder.path)
            done = CliRunner().invoke(app, arguments, input=given)
            for runtime in runtime_module._runtimes.values():
                runtime.store.close()
        assert done.exit_code == code, f"{done.exit_code}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
        return SimpleNamespace(stdout=done.stdout, stderr=done.stderr)

    assert os.getcwd() == str(folder.path)
    return call
