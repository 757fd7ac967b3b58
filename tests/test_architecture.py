"""The house: a file imports only from lower floors (section 5 of the design), so there are no circles.

A new file needs a line in `FLOORS`. Imports in functions and under `TYPE_CHECKING` count too: a circle
that is hidden is still a circle. What a file imports in order to run at all is kept small as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "trigger_nb"

# The ground floor first. A file may import from any floor below its own, never from its own. The numbers
# are the design's floors, some of which are split here; where a file fits on several, it is on the lowest.
FLOORS = [
    "_fingerprint_order.py _fingerprint_shape.py",
    "_fingerprint_code.py _fingerprint_tree.py _fingerprint_values.py",
    "_fingerprint_source.py",
    "_fingerprint_definitions.py",
    "errors.py _pickling.py _limits/__init__.py _maps/__init__.py _plans/__init__.py _remote/__init__.py",  # 0
    "_redact.py _remote/reporter.py",
    "_bodies.py _bytecode.py _clock.py _crashpoints.py _executors.py _files.py _interrupt.py _localdisk.py _prints.py view/words.py",
    "_scope.py _plans/virtual.py view/escape.py",
    "_bodies.py _clock.py _crashpoints.py _executors.py _files.py _interrupt.py _prints.py view/words.py",
    "_limits/gates.py _scope.py _plans/virtual.py view/escape.py",
    "_fingerprint.py _limits/limiter.py _valuefiles.py",
    "_codec/_base.py _keys.py _limits/places.py filters.py retry.py",  # 1
    "_origins.py",
    "_codec/arrays.py _codec/classes.py _codec/exceptions.py _codec/frames.py _codec/signed.py",  # 2
    "_codec/json.py _codec/preview.py _codec/tables.py _records.py triggers.py",
    "_estimate.py _statuses.py",
    "_codec/__init__.py _feed.py _forget.py _operations.py",  # 3
    "_maps/items.py _remote/worker.py _store_protocol.py _task.py _tee.py _values.py view/rows.py",  # 4
    "_remote/reports.py view/items.py view/outlook.py view/statuses.py",
    "_store_errors.py",
    "_store_database.py",
    "_store.py",
    "_maps/items.py _remote/worker.py _store.py _task.py _tee.py _values.py view/rows.py",  # 4
    "_remote/reports.py view/items.py view/statuses.py",
    "_maps/items.py _remote/worker.py _store.py _task.py _tee.py _values.py view/rows.py view/values.py",  # 4
    "_remote/reports.py view/items.py view/outlook.py view/run_status.py view/statuses.py",
    "_commit.py _flights.py _lease.py view/icons.py view/model.py",  # 5
    "_call.py",
    "_remote/pools.py _still.py view/bars.py view/excerpt.py view/hints.py integrations/openai/_answers.py integrations/openai/_stream.py",
    "view/text.py",
    "_remote/outsource.py view/details.py integrations/openai/_bodies.py",
    "view/fields.py view/wire.py",
    "view/html.py",
    "_ledger.py view/stream.py view/tables.py view/widget.py",
    "_maps/batch.py _maps/parallel.py _changes.py _status.py",
    "_maps/walk.py",
    "_maps/iterator.py",
    "_engine.py view/pump.py view/store.py view/table.py",  # 6
    "view/notebook.py",
    "_io.py view/__init__.py",  # 7
    "_blocking.py",  # 8
    "_runtime.py integrations/_base.py integrations/_resend_client.py integrations/_verdicts.py",
    "integrations/_http_exchange.py",
    "integrations/_sql_errors.py integrations/_sql_query.py integrations/_sql_writes.py",
    "integrations/_replicate_transport.py integrations/_resend_answers.py",
    "_awaiting.py _controls.py _diff.py _fork.py _housekeeping.py _taskinfo.py",
    "_plans/rehearsal.py integrations/_github_api.py integrations/openai/_methods.py",
    "_plans/plan.py run.py integrations/_github_git.py integrations/openai/_assistants.py",  # 9
    "_runlist.py integrations/_stripe_errors.py integrations/openai/__init__.py",
    "runs.py integrations/_stripe_answers.py",
    "integrations/github.py integrations/resend.py integrations/slack.py integrations/stripe.py",
    "integrations/airtable.py integrations/replicate.py integrations/sendgrid.py integrations/supabase.py",
    "integrations/http.py integrations/sql.py",
    "integrations/__init__.py",
    "job.py",  # 10
    "client.py",  # 11
    "testing/clock.py testing/services/_server.py",
    "testing/services/_openai_stream.py",
    "testing/services/github.py testing/services/openai.py testing/services/resend.py",
    "testing/services/slack.py testing/services/stripe.py",
    "testing/services/__init__.py testing/_check_integration.py",
    "testing/__init__.py",  # 13
    "__init__.py",
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}

# Only these may name a library at all, in a function or out of it.
ONLY_IN = {"diskcache": {"_store_database.py"}}

# Not imported by `import trigger_nb`: they are slow to import, or need not be installed.
LATE = {
    *("IPython", "anywidget", "diskcache", "ipywidgets", "pydantic", "tenacity"),
    *("cloudpickle", "httpx", "numpy", "pandas", "polars", "pyarrow", "requests", "trio"),
    *("distributed", "ipyparallel"),
    *("githubkit", "openai", "resend", "slack_sdk", "sqlalchemy", "stripe"),
    *("pyairtable", "replicate", "sendgrid", "supabase"),
}
# Files that are nothing without such a library, and are themselves imported late.
MAY_IMPORT_EARLY = {
    "_codec/arrays.py": {"numpy"},
    "_codec/frames.py": {"numpy"},
    "view/widget.py": {"anywidget", "ipywidgets"},
}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def parse(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


# --- Our own imports ----------------------------------------------------------------------------


def own_imports(name: str, tree: ast.Module) -> list[tuple[int, str]]:
    """Line and file of everything of this package that a file imports."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = absolute(name, node)
            found += [(node.lineno, file) for one in node.names for file in files_of(module, one.name)]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, file) for one in node.names for file in files_of(one.name, None)]
    return found


def absolute(name: str, node: ast.ImportFrom) -> str:
    """The module a `from ... import` names: `._base` in `_codec/json.py` is `trigger_nb._values._base`."""
    if node.level == 0:
        return node.module or ""
    package = ["trigger_nb", *Path(name).parts[:-1]]
    above = package[: len(package) - (node.level - 1)]
    return ".".join([*above, *([node.module] if node.module else [])])


def files_of(module: str, attribute: str | None) -> list[str]:
    """The file of this package where a module, or `attribute` imported from it, is."""
    top, *parts = module.split(".")
    if top != "trigger_nb":
        return []
    inside = "/".join(parts)
    candidates = [f"{inside}.py", f"{inside}/__init__.py".lstrip("/")]
    if attribute is not None:  # `from .view import text` can name a module too.
        below = f"{inside}/{attribute}".lstrip("/")
        candidates = [f"{below}.py", f"{below}/__init__.py", *candidates]
    return [file for file in candidates if (PACKAGE / file).is_file()][:1] or [
        f"{inside or module} (no such file)"
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_lower_floors(name):
    assert name in FLOOR_OF, f"trigger_nb/{name} is new: give it a floor in FLOORS"
    wrong = {
        f"line {line} imports {file}, which is not on a lower floor"
        for line, file in own_imports(name, parse(name))
        if FLOOR_OF.get(file, len(FLOORS)) >= FLOOR_OF[name]
    }
    assert wrong == set()


@pytest.mark.parametrize(
    ("name", "line", "file"),
    [
        ("_store.py", "from ._codec._base import Blobs", "_codec/_base.py"),
        ("_store.py", "from ._codec import encode", "_codec/__init__.py"),
        ("_store.py", "from . import errors", "errors.py"),
        ("_store.py", "from . import __version__", "__init__.py"),
        ("_store.py", "from .view import text", "view/text.py"),
        ("_store.py", "import trigger_nb", "__init__.py"),
        ("_store.py", "import trigger_nb.errors as e", "errors.py"),
        ("_store.py", "from trigger_nb.retry import Retry", "retry.py"),
        ("_codec/_base.py", "from ..errors import TriggerError", "errors.py"),
        ("_codec/_base.py", "from . import _base", "_codec/_base.py"),
        ("_codec/__init__.py", "from ._base import Blobs", "_codec/_base.py"),
        ("_store.py", "def f():\n    from .errors import TriggerError", "errors.py"),
        ("_store.py", "if TYPE_CHECKING:\n    from .errors import TriggerError", "errors.py"),
    ],
)
def test_an_import_is_traced_to_its_file(name, line, file):
    assert [found for _, found in own_imports(name, ast.parse(line))] == [file]


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
def test_a_library_is_touched_only_in_its_room(name):
    """S1: everything that touches diskcache is in one module."""
    touched = libraries(ast.walk(parse(name)))
    assert [library for library, rooms in ONLY_IN.items() if library in touched and name not in rooms] == []


@pytest.mark.parametrize("name", FILES)
def test_slow_and_optional_libraries_are_imported_late(name):
    early = libraries(run_at_import(parse(name))) & LATE
    assert early - MAY_IMPORT_EARLY.get(name, set()) == set()


def test_importing_the_package_loads_none_of_them():
    code = f"import sys, trigger_nb; print(*sorted({LATE!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
