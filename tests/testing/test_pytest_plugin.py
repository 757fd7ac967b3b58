"""The pytest plugin: fixtures for users' tests, which cost nothing until a test asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = """
import sys

EARLY = [name for name in sys.modules if name.split(".")[0] in ("trigger_nb", "diskcache", "pydantic", "anyio")]


def test_nothing_of_the_package_is_imported_at_the_start():
    assert EARLY == []


def test_a_client_of_its_own(trigger_client, fake_clock, tmp_path):
    @trigger_client.job
    async def job(payload, io):
        await io.wait("pause", days=3)
        return await io.run_task("double", lambda: 2 * payload)

    before = fake_clock.time()
    assert job.run_sync(21) == 42
    assert fake_clock.time() - before == 3 * 86400
    assert trigger_client.dir.parent == tmp_path


def test_another_test_has_another_client(trigger_client):
    assert list(trigger_client.runs()) == []
"""


def test_the_fixtures_work_and_are_imported_late(tmp_path):
    (tmp_path / "test_job.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:anyio", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"trigger_nb": "trigger_nb_pytest"}
    assert "trigger_nb_pytest.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert (ROOT / "trigger_nb_pytest.py").exists()
