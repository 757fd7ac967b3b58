"""What `import trigger_nb` costs in a new process, and what it must leave unloaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

OURS = "import trigger_nb"
THEIRS = """
import anyio
import pydantic
class Model(pydantic.BaseModel):
    x: int
"""
UNWANTED = ("IPython", "ipywidgets", "tenacity")

_TIMED = """
import sys, time
before = time.perf_counter()
{code}
print(time.perf_counter() - before, *[name for name in {unwanted!r} if name in sys.modules])
"""


def seconds_of(code: str) -> float:
    """How long a new interpreter, once it has started, takes for `code`."""
    return float(_run(code)[0])


def loaded() -> list[str]:
    """Which of `UNWANTED` are loaded by `import trigger_nb`."""
    return _run(OURS)[1:]


def _run(code: str) -> list[str]:
    script = _TIMED.format(code=code, unwanted=UNWANTED)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()
