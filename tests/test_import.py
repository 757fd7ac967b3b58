"""What costs time to import is imported when it is needed, not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.kernels import ROOT

SLOW = {
    "IPython",
    "ipywidgets",
    "anywidget",
    "tenacity",
    "pydantic",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "trio",
}

PLAIN_RUN = """
from trigger_nb import TriggerClient
client = TriggerClient("plain")

@client.job
async def plain(payload, io):
    async def parent(io):
        return await io.run_task("child", lambda: {"rows": [1, 2.5, None]})
    await io.run_task("parent", parent)
    await io.parallel("all", range(3), lambda item: item)
    io.logger.info("done")
    return (1, {2})

assert plain.run_sync({"id": 7}) == (1, {2})
assert plain.run_sync({"id": 7}) == (1, {2})
plain.runs()[0].tree()
"""

RETRYING_RUN = """
from trigger_nb import TriggerClient
client = TriggerClient("retrying")

@client.job
async def retrying(payload, io):
    def body(task):
        assert task.attempt == 2
    await io.run_task("a", body, retry=2)

retrying.run_sync()
"""


def imported(code: str, cwd) -> set[str]:
    code += f"\nimport sys; print(*sorted({SLOW!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import trigger_nb", PLAIN_RUN])
def test_nothing_slow_is_imported_for_a_plain_job(code, tmp_path):
    assert imported(code, tmp_path) == set()


def test_a_retry_imports_tenacity_alone(tmp_path):
    assert imported(RETRYING_RUN, tmp_path) <= {"tenacity"}
