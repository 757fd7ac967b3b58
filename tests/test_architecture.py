"""The architecture: rooms import one way, no circle among files, and `import trigger_nb` stays light.

The contracts on imports are in pyproject.toml, and `make check` holds them, too. They count imports in functions and under
`TYPE_CHECKING`: a circle that is hidden is still a circle.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import rooms

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "trigger_nb"

# Not imported by `import trigger_nb`: they are slow to import, or need not be installed.
LATE = {
    *("IPython", "anywidget", "diskcache", "ipywidgets", "pydantic", "tenacity"),
    *("cloudpickle", "httpx", "numpy", "pandas", "polars", "pyarrow", "requests", "trio"),
    *("distributed", "ipyparallel"),
    *("githubkit", "openai", "resend", "slack_sdk", "sqlalchemy", "stripe"),
    *("pyairtable", "replicate", "sendgrid", "supabase"),
    *("starlette", "uvicorn"),
}
# Files that are nothing without such a library, and are themselves imported late.
MAY_IMPORT_EARLY = {
    "_serve/app.py": {"starlette"},
    "_serve/pages.py": {"starlette"},
    "_values/numpy_arrays.py": {"numpy"},
    "_values/pandas_frames.py": {"numpy"},
    "_view/live/widget.py": {"anywidget", "ipywidgets"},
}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def parse(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


# --- Rooms --------------------------------------------------------------------------------------


def lint_imports(package: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on a copy of the package."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=package.parent,
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_rooms_import_one_way_and_files_in_no_circle():
    done = lint_imports(PACKAGE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("_store/disk.py", "from .._engine import decide", "rooms import from the rooms below"),
        ("_store/disk.py", "def f():\n    from .._engine import decide", "rooms import from the rooms below"),
        ("_values/tagged.py", "if TYPE_CHECKING:\n    from .codec import encode", "no circle among files"),
        ("_view/model/rows.py", "from ..render import text", "rooms import from the rooms below"),
        ("job.py", "import diskcache", "diskcache"),
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path, file, line, broken):
    copy = tmp_path / "trigger_nb"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / file).write_text((copy / file).read_text(encoding="utf-8") + "\n" + line + "\n", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode == 1
    assert broken in done.stdout.lower()


def test_the_drawing_of_the_rooms_is_true():
    """Run `python -m tests.support.rooms` to draw it again."""
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert page == rooms.drawn_into(page)


@pytest.mark.parametrize("page", sorted(rooms.PAGE.parent.glob("*.md")), ids=lambda page: page.stem)
def test_what_a_page_for_contributors_names_exists(page):
    """Files, as `_engine/decide.py`, and members of classes, as `Changes.difference`."""
    named = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    files = {name for name in named if re.fullmatch(r"[\w/]+/\w+\.py", name)}
    assert {name for name in files if not ((PACKAGE / name).exists() or (ROOT / name).exists())} == set()
    assert {name for name in named if re.fullmatch(r"[A-Z]\w+\.[a-z_]+", name)} - members() == set()


def members() -> set[str]:
    """The methods and attributes of the package's classes."""
    classes = [cls for name in FILES for cls in ast.walk(parse(name)) if isinstance(cls, ast.ClassDef)]
    found = {f"{cls.name}.{method}" for cls in classes for method in methods_of(cls)}
    for cls in classes:
        written = (node for node in ast.walk(cls) if isinstance(node, (ast.Attribute, ast.Name)))
        assigned = (node for node in written if isinstance(node.ctx, ast.Store))
        found |= {f"{cls.name}.{getattr(node, 'attr', None) or node.id}" for node in assigned}
    return found


# --- Other people's libraries -------------------------------------------------------------------


def libraries(nodes) -> set[str]:
    """The top names of all that these nodes import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def run_at_import(node: ast.AST):
    """The nodes that are executed when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


@pytest.mark.parametrize("name", FILES)
def test_slow_and_optional_libraries_are_imported_late(name):
    early = libraries(run_at_import(parse(name))) & LATE
    assert early - MAY_IMPORT_EARLY.get(name, set()) == set()


def test_importing_the_package_loads_none_of_them():
    code = f"import sys, trigger_nb; print(*sorted({LATE!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- Sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_over_450_lines_and_no_class_over_30_methods(name):
    assert len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) <= 450
    classes = (node for node in ast.walk(parse(name)) if isinstance(node, ast.ClassDef))
    methods = {each.name: len(set(methods_of(each))) for each in classes}
    assert {cls: count for cls, count in methods.items() if count > 30} == {}


def methods_of(cls: ast.ClassDef):
    """The names of a class's own methods, with its properties. The overloads of a method are one."""
    return (node.name for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
