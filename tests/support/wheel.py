"""The wheel of this checkout, built as for a release but with what is installed: no network is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FRONT_END = """
import json
from trigger_nb._view.live import widget
print(json.dumps({"module": widget.module(), "styles": widget.styles()}))
"""


def unpacked_wheel(directory: Path) -> Path:
    """Build the wheel and unpack it; the folder to import the package from."""
    building = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(directory),
    ]
    built = subprocess.run(building, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = directory.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(directory / "unpacked")
    return directory / "unpacked"


def front_end(package: Path) -> dict[str, str]:
    """The module and the styles of the package in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    asking = [sys.executable, "-c", _FRONT_END]
    told = subprocess.run(asking, env=environment, cwd=package, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)
