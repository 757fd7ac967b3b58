"""The folder that a test's commands run in."""

from __future__ import annotations

import pytest

from tests.cli.programs import Folder


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "nbs")
    yield made
    made.end()
