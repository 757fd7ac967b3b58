"""R6: fingerprints of code: what counts as another body, and what does not."""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import inspect
import itertools
import json
import linecache
import os
import re
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.support.edits import EDITS
from trigger_nb._fingerprint import (
    definitions as definitions_module,
    fingerprints as fingerprints_module,
    shape as shape_module,
)
from trigger_nb._fingerprint.fingerprints import Fingerprints, differs, reference, resolve
from trigger_nb._fingerprint.source import shape_of
from trigger_nb._fingerprint.values import is_installed

ROOT = Path(__file__).parents[2]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def define(monkeypatch, cells: list[str]) -> object:
    """Run cells in a new `__main__` as a kernel does, and give their `body`."""
    notebook = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    for cell in cells:
        exec(compiled(cell), vars(notebook))
    return notebook.body


def compiled(cell: str) -> types.CodeType:
    """A cell's code. Its source is kept where Python looks for lines, as IPython does it."""
    name = f"/tmp/ipykernel_1/{shape_module.digest(cell)}.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    return compile(cell, name, "exec", dont_inherit=True)


# --- The table of edits -------------------------------------------------------------------------


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_counts_or_does_not(edit, monkeypatch):
    """R6: what counts as a change of a body's code."""
    before, after = edit.cells()
    stored = Fingerprints().of(define(monkeypatch, before))
    now = Fingerprints().of(define(monkeypatch, after))
    assert stored
    assert now
    assert differs(stored, now) == (edit.verdict == "changed"), edit.why


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_the_same_cells_give_the_same_fingerprint(edit, monkeypatch):
    _, cells = edit.cells()
    first = Fingerprints().of(define(monkeypatch, cells))
    assert Fingerprints().of(define(monkeypatch, cells)) == first
    kind = f"c{HERE}" if "exec(" in edit.after else "a1"
    assert re.fullmatch(re.escape(kind) + ":[0-9a-f]+", first)
    assert len(first) <= 16


def test_the_table_has_each_edit_once():
    assert len({edit.name for edit in EDITS}) == len(EDITS)
    assert len({(edit.before, edit.after) for edit in EDITS}) == len(EDITS)


# --- The same in every process, whoever is asked first ------------------------------------------

PRINT_ALL = """
import json, sys, types
from tests.support.edits import EDITS
from tests.fingerprint.test_fingerprint import compiled
from trigger_nb._fingerprint.fingerprints import Fingerprints

def of(source):
    notebook = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compiled(source), vars(notebook))
    return Fingerprints().of(notebook.body)

print(json.dumps({edit.name: [of("".join(cells)) for cells in edit.cells()] for edit in EDITS}))
"""


def test_two_processes_agree():
    """R6: nothing of an address, nor of the order of a set, gets into a fingerprint."""

    def run(seed: str) -> dict[str, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_ALL],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert run("1") == run("2")


MUTUAL = """
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def body(n): return odd(n) or third(n)
def third(n): return odd(n) or even(n) or body(n - 1)
"""


def test_who_is_asked_first_makes_no_difference():
    notebook = {"__name__": "__main__"}
    exec(MUTUAL, notebook)
    names = ["even", "odd", "body", "third"]
    results = set()
    for order in itertools.permutations(names):
        prints = Fingerprints()
        found = {name: prints.of(notebook[name]) for name in order}
        results.add(tuple(found[name] for name in names))
    assert len(results) == 1
    assert len(set(*results)) == len(names)


def test_what_a_helper_is_shared_with_makes_no_difference():
    """A wrapper holds the function as it was defined; after a restart the cells hold only one."""
    cells = "def f(x): return x\ndef wrap(f): return lambda x: f(x)\nwrapped = wrap(f)\n"
    body = "def body(x): return wrapped(x) + f(x)"
    fresh, edited = {"__name__": "__main__"}, {"__name__": "__main__"}
    exec(cells + body, fresh)
    exec(cells + "def f(x): return x\n" + body, edited)
    assert Fingerprints().of(fresh["body"]) == Fingerprints().of(edited["body"])


# --- Once a code object -------------------------------------------------------------------------


@pytest.fixture
def digests(monkeypatch):
    """The texts that were hashed."""
    texts = []

    def digest(text):
        texts.append(text)
        return shape_module.digest(text)

    for module in (fingerprints_module, definitions_module):
        monkeypatch.setattr(module, "digest", digest)
    return texts


def test_a_lambda_made_5000_times_is_hashed_once(digests):
    """R6: computed once a code object a pass."""
    prints = Fingerprints()

    def make(item):
        return lambda: [item, digests]

    first = prints.of(make({"id": 0}))
    once = len(digests)
    assert {prints.of(make({"id": number})) for number in range(5_000)} == {first}
    assert len(digests) == once > 0


def test_a_lambda_with_a_default_is_read_once_and_its_default_each_time(monkeypatch):
    read = []
    describe = fingerprints_module.describe_function
    monkeypatch.setattr(
        fingerprints_module,
        "describe_function",
        lambda *args, **kw: read.append(args) or describe(*args, **kw),
    )
    prints = Fingerprints()
    found = {prints.of(lambda item=item: item) for item in [*range(100), True, 1.0, "1"]}
    assert len(found) == 103
    assert len(read) == 1


def test_wrappers_of_one_decorator_are_told_apart():
    """They share a code object, and differ in what their closures hold."""

    def twice(function):
        return lambda: function() * 2

    one, two = twice(lambda: 1), twice(lambda: 2)
    assert one.__code__ is two.__code__
    prints = Fingerprints()
    assert len({prints.of(one), prints.of(two)}) == 2


def test_a_closure_that_holds_data_first_and_code_later():
    def make(held):
        return lambda: held

    prints = Fingerprints()
    data, more = prints.of(make(1)), prints.of(make([2]))
    code = prints.of(make(lambda: 1))
    assert data == more != code
    assert prints.of(make(lambda: 2)) != code


def test_a_pass_sees_what_its_globals_were_at_first():
    notebook = {"__name__": "__main__", "LIMIT": 1}
    exec("def body(): return LIMIT", notebook)
    prints = Fingerprints()
    before = prints.of(notebook["body"])
    notebook["LIMIT"] = 2
    assert prints.of(notebook["body"]) == before
    assert Fingerprints().of(notebook["body"]) != before


def test_threads_may_share_them():
    bodies = [eval(f"lambda: {number}") for number in range(50)]
    prints = Fingerprints()
    expected = [Fingerprints().of(body) for body in bodies]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append([prints.of(body) for body in bodies])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


# --- Layout, on real code -----------------------------------------------------------------------

REAL = ["argparse", "dataclasses", "doctest", "inspect", "mailbox", "socket", "webbrowser"]


def functions(code: types.CodeType):
    """The code objects of all functions in a module, methods too."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant
            else:
                yield from functions(constant)


def without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
    return tree


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("relaid", [lambda tree: tree, without_docstrings], ids=["relaid", "undocumented"])
@pytest.mark.parametrize("module", REAL)
def test_layout_of_real_code_does_not_count(module, relaid):
    """R6: it is written again from its tree, without comments and in one style."""
    source = inspect.getsource(importlib.import_module(module))
    before = list(functions(compiled(source)))
    after = list(functions(compiled(ast.unparse(relaid(ast.parse(source))))))
    assert len(before) == len(after) > 10
    shapes = [(a.co_qualname, shape_of(a), shape_of(b)) for a, b in zip(before, after, strict=True)]
    assert [name for name, a, b in shapes if a != b] == []
    assert all(shape.portable for _, shape, _ in shapes)


class Mutate(ast.NodeTransformer):
    """Makes the change of that number, of those that make other code of a function."""

    def __init__(self, number: int) -> None:
        self.left = number

    def here(self) -> bool:
        self.left -= 1
        return self.left == -1

    def visit_Constant(self, node):
        if isinstance(node.value, str | bytes | int | float) and self.here():
            return ast.copy_location(ast.Constant([node.value] and f"other than {node.value!r}"), node)
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if self.here():
            node.attr += "_other"
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if self.here():
            node.op = ast.Pow() if not isinstance(node.op, ast.Pow) else ast.Add()
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        if self.here():
            node.ops[0] = ast.IsNot() if not isinstance(node.ops[0], ast.IsNot) else ast.In()
        return node

    def visit_If(self, node):
        self.generic_visit(node)
        if self.here():
            node.test = ast.copy_location(ast.Name("another_condition", ast.Load()), node)
        return node

    def visit_Expr(self, node):
        self.generic_visit(node)
        return (
            ast.copy_location(ast.Pass(), node) if isinstance(node.value, ast.Call) and self.here() else node
        )

    def visit_While(self, node):
        if isinstance(node.test, ast.Constant):  # Any other true constant would be the same.
            node.body = [self.visit(statement) for statement in node.body]
            return node
        return self.generic_visit(node)

    def visit_JoinedStr(self, node):
        return node  # Parts of an f-string have to stay what they are.


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("module", ["heapq", pytest.param("shlex", marks=pytest.mark.slow)])
def test_every_change_of_real_code_counts(module):
    """R6: the other side of it: no mutation goes unseen."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    unseen, made = [], 0
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        source = ast.unparse(function)
        before = shape_of(next(functions(compiled(source))))
        for number in itertools.count():
            tree_now = without_docstrings(ast.parse(source))
            mutate = Mutate(number)
            tree_now.body[0].body = [mutate.visit(statement) for statement in tree_now.body[0].body]
            if mutate.left >= 0:
                break
            made += 1
            after = shape_of(next(functions(compiled(ast.unparse(tree_now)))))
            if not seen(before, after):
                unseen.append((function.name, number, ast.unparse(tree_now)))
    assert unseen == []
    assert made > 50


def seen(before, after) -> bool:
    """Whether the shapes differ, or the globals that they use."""
    return (before.text, before.globals) != (after.text, after.globals)


# --- Where the source is ------------------------------------------------------------------------

SOURCE = """
import math
RATES = {"eur": 1.5, "usd": (1, 2)}

class Row:
    size = 1
    def area(self, by=2): return self.size * by

def helper(x: int) -> float:
    '''Gives x.'''
    return math.sqrt(x) + RATES["eur"]

def body(rows, *, limit=3, **options):
    found = [helper(row) for row in rows if row not in {"b", "a"}]
    try:
        text = f"{len(found):>{limit}}" f"{found!r} of {rows}"
    except* OSError as error:
        raise ValueError(text) from error
    match options:
        case {"row": Row(size=n), **rest}: return lambda k=n: (k, rest, text)
    async def later(): return await Row().area()
    return later
"""


def test_a_fingerprint_is_the_same_in_every_python(monkeypatch):
    """R6: a notebook that is opened in a newer Python shows no change. Another text needs another kind than "a1"."""
    assert Fingerprints().of(define(monkeypatch, [SOURCE])) == "a1:4bb7f5dadab8a"


def test_a_cell_has_one_fingerprint_whether_it_is_compiled_whole_or_statement_by_statement(monkeypatch):
    """Python and IPython: they compile what is called on an imported module in different ways."""
    cell = "import math as m\ndef body(x): return m.sqrt(x)"
    whole = define(monkeypatch, [cell])
    name, statements = whole.__code__.co_filename, ast.parse(cell).body
    notebook = {"__name__": "__main__"}
    for statement in statements:
        exec(compile(ast.Module([statement], []), name, "exec", dont_inherit=True), notebook)
    assert notebook["body"].__code__ != whole.__code__ or sys.version_info[:2] != (3, 11)
    assert Fingerprints().of(notebook["body"]) == Fingerprints().of(whole) != ""
    assert Fingerprints().of(whole).startswith("a1:")


def beside(tmp_path, monkeypatch, source):
    """A module beside the notebook, and the path of its file."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "beside_the_notebook.py"
    path.write_text(source)
    monkeypatch.delitem(sys.modules, "beside_the_notebook", raising=False)
    return importlib.import_module("beside_the_notebook"), path


TWO = "def double(x):\n    return x * 2\n\ndef triple(x):\n    return x * 3\n"


def test_a_module_that_was_edited_and_not_loaded_again_counts_as_it_runs(tmp_path, monkeypatch):
    """The file has another `double`, but the one that is called is the old one."""
    module, path = beside(tmp_path, monkeypatch, TWO)
    triple = Fingerprints().of(module.triple)
    path.write_text("# A longer file.\n\n" + TWO.replace("x * 2", "x * 22"))
    linecache.checkcache()
    old = Fingerprints().of(module.double)
    assert old.startswith(f"c{HERE}:")  # of the code that runs; its source is gone
    assert Fingerprints().of(module.triple) == triple

    loaded = importlib.reload(module)
    assert Fingerprints().of(loaded.triple) == triple
    assert Fingerprints().of(loaded.double).startswith("a1:")
    assert not differs(old, Fingerprints().of(loaded.double))  # unknown


def test_a_function_that_only_moved_in_an_edited_module_keeps_its_source(tmp_path, monkeypatch):
    module, path = beside(tmp_path, monkeypatch, TWO)
    path.write_text("# A longer file.\n\n" + TWO.replace("x * 2", "x * 22"))
    linecache.checkcache()
    assert Fingerprints().of(module.triple).startswith("a1:")
    assert Fingerprints().of(module.triple) == Fingerprints().of(importlib.reload(module).triple)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("body = lambda x: x + 1", "# A comment.\nbody = lambda x: x + 1", False),
        ("body = lambda x: x + 1", "body = lambda x: x + 2", True),
        ("body = lambda x: x.a", "body = lambda x: x.b", True),
        ("body = lambda: [1, lambda: 2]", "body = lambda: [1, lambda: 3]", True),
        ("def f(): return 1\ndef body(): return f()", "def f(): return 2\ndef body(): return f()", True),
        ("n = 1\ndef body():\n global n\n n += 1", "n = 2\ndef body():\n global n\n n += 1", False),
        ("n = []\ndef body(x): n.append(x)", "n = [1]\ndef body(x): n.append(x)", False),
        ("n = {}\ndef body(x): n[x] = x", "n = {1: 1}\ndef body(x): n[x] = x", False),
        ("n = [1]\ndef body(x): return x in n", "n = [2]\ndef body(x): return x in n", True),
    ],
)
def test_code_without_source_is_compared_as_it_was_compiled(before, after, verdict):
    """As under `%%time`, whose cells IPython keeps no source of."""

    def of(source):
        notebook = {"__name__": "__main__"}
        exec(source, notebook)
        return Fingerprints().of(notebook["body"])

    stored, now = of(before), of(after)
    assert stored.startswith(f"c{HERE}:")
    assert differs(stored, now) is verdict


def test_an_expression_too_deep_to_be_walked_is_compared_as_it_was_compiled(monkeypatch):
    terms = " + ".join(["x"] * 700)
    text = Fingerprints().of(define(monkeypatch, [f"body = lambda x: {terms}"]))
    assert text.startswith(f"c{HERE}:")


def test_a_warning_of_a_cell_is_not_given_twice(monkeypatch):
    """It came when the cell ran; looking at the code compiles it once more."""
    with pytest.warns(SyntaxWarning):
        body = define(monkeypatch, ["body = lambda x: x is 1"])
    assert Fingerprints().of(body).startswith("a1:")


def test_lambdas_of_a_loop_that_call_different_helpers_are_different(monkeypatch):
    """They share their code, and the helpers in their closures are code too; other values are not."""
    cell = """
        def one(x): return 1
        def two(x): return 2
        def make(helper, value): return lambda: helper(value)
        body = [make(one, 1), make(one, 2), make(two, 1)]
    """
    bodies = define(monkeypatch, [textwrap.dedent(cell)])
    prints = Fingerprints()
    first, other_value, other_helper = map(prints.of, bodies)
    assert first == other_value != other_helper
    assert [prints.of(body) for body in bodies] == [first, other_value, other_helper]


def test_what_is_bound_to_one_function_tells_partials_and_defaults_apart(monkeypatch):
    cell = "def body(x, y=1, *, z=2): return x"
    body, prints = define(monkeypatch, [cell]), Fingerprints()
    values = [0, 1, True, 1.0, -0.0, 0.0, "1", None, (1,), [1], "long" * 1_000, int("9" * 4_000) ** 2, min]
    bound = [functools.partial(body, value) for value in values]
    bound += [functools.partial(body, y=value) for value in values]
    bound += [functools.partial(body, z=value) for value in values]
    bound += [functools.partial(body, 1, 1), functools.partial(body)]
    for value in values:
        copy = types.FunctionType(body.__code__, body.__globals__, "copy", (value,))
        copy.__kwdefaults__ = {"z": 2}
        bound.append(copy)
        if value is not None:
            bound.append(types.FunctionType(body.__code__, body.__globals__, "copy", (value,)))
    found = [prints.of(each) for each in bound]
    assert all(found)
    assert len(set(found)) == len(found)
    assert [Fingerprints().of(each) for each in bound] == found


# --- Whatever a body is -------------------------------------------------------------------------


class Hostile:
    """Raises at every touch."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __call__(self):
        return 1

    def __repr__(self):
        raise RuntimeError("repr")

    def __eq__(self, other):
        raise RuntimeError("eq")

    def __hash__(self):
        raise RuntimeError("hash")


class Liar:
    """Says that it is something else, as proxies do."""

    __class__ = property(lambda self: types.FunctionType)


class HostileMeta(type):
    def __getattribute__(cls, name):
        raise RuntimeError(name)


def odd_objects():
    circle: list = []
    circle.append(circle)
    table: dict = {}
    table["self"] = table

    def with_empty_cell():
        return never_set

    if circle is None:
        never_set = 1

    def deep(n):
        return [deep(n - 1)] if n else []

    def of_itself():
        return of_itself

    of_itself.__defaults__ = (of_itself,)
    of_itself.__wrapped__ = of_itself
    no_globals = types.FunctionType(eval("lambda: missing").__code__, {})
    surrogate = eval(r"lambda: '\ud800'")
    surrogate.__qualname__ = "\ud800"
    huge = eval("lambda: 0x" + "f" * 5_000)
    enormous = {"__name__": "__main__", "ROWS": [list(range(1000))] * 1000, "MANY": set(range(100_000))}
    exec("def body(): return ROWS, MANY", enormous)
    partial = functools.partial(print, circle, k=table)
    partial.__setstate__((partial, (partial,), {}, {}))
    nested_partial = functools.partial(functools.partial(with_empty_cell))
    return [
        *(
            None,
            1,
            "text",
            b"",
            ...,
            NotImplemented,
            object(),
            Hostile(),
            Hostile,
            Liar(),
            HostileMeta("M", (), {}),
        ),
        *(
            circle,
            table,
            deep(200),
            with_empty_cell,
            of_itself,
            no_globals,
            surrogate,
            huge,
            enormous["body"],
        ),
        *(
            partial,
            nested_partial,
            len,
            "".join,
            [].append,
            str.upper,
            dict.fromkeys,
            int,
            type,
            object.__init__,
        ),
        *(sys, types.ModuleType("empty"), functools.cache(len), functools.singledispatch(len), os.environ),
        *(threading.local(), types.SimpleNamespace, classmethod(len), staticmethod(len), property(len)),
        *(operator for operator in (functools.partialmethod(len), types.MethodType(Hostile(), 1))),
        *((number for number in range(3)), itertools.count().__next__, re.compile("a"), st.integers()),
    ]


ODD = odd_objects()


@pytest.mark.parametrize("place", range(len(ODD)))
def test_odd_objects_never_raise(place):
    text = Fingerprints().of(ODD[place])
    assert isinstance(text, str)
    assert len(text) <= 16
    assert isinstance(reference(ODD[place]), str)


@given(st.data())
def test_nothing_that_odd_objects_are_put_in_raises(data):
    """R6: a fingerprint is a service; it never stands between a body and its call."""
    odd = st.integers(0, len(ODD) - 1).map(lambda place: ODD[place])
    values = st.recursive(
        odd,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.text(), inner)
        ),
        max_leaves=6,
    )
    value, other = data.draw(values), data.draw(values)

    def body(x=other):
        return value, x

    as_global = types.FunctionType(
        eval("lambda: CONFIG.a").__code__, {"__name__": "__main__", "CONFIG": value}
    )
    for odd_body in (body, functools.partial(body, value, k=other), as_global, value):
        text = Fingerprints().of(odd_body)
        assert isinstance(text, str)
        assert len(text) <= 16


@pytest.mark.parametrize("make", [Hostile, Liar, lambda: HostileMeta("M", (), {})])
def test_one_odd_global_does_not_hide_the_rest(make):
    def of(source):
        notebook = {"__name__": "__main__", "odd": make()}
        exec(source, notebook)
        return Fingerprints().of(notebook["body"])

    one, two = of("def body(): return odd, 1"), of("def body(): return odd, 2")
    assert one
    assert differs(one, two)


def of_global(value):
    notebook = {"__name__": "__main__", "rows": value}
    exec("def body(): return rows", notebook)
    return Fingerprints().of(notebook["body"])


def test_a_global_too_large_to_read_whole_still_has_a_type_and_a_beginning():
    large = list(range(1_000_000))
    assert of_global(large) == of_global([*large])
    assert of_global(large) != of_global(tuple(large))
    assert of_global(large) != of_global([-1, *large])


def test_long_texts_are_bounded_too(monkeypatch):
    """A list of pages that were fetched is not hashed whole at each pass."""
    hashed = []
    monkeypatch.setattr(
        definitions_module,
        "digest",
        lambda text: hashed.append(len(text)) or shape_module.digest(text),
    )
    pages = ["<html>" * 15_000] * 1_000
    assert of_global(pages) == of_global([*pages]) != of_global(["other", *pages])
    assert max(hashed) < 2_000_000


def test_a_large_set_is_the_same_in_any_order():
    """The order of a set is another one in each process, and a bound must not depend on it."""
    texts = [str(number) * 100 for number in range(9_000)]
    assert of_global(set(texts)) == of_global(set(texts[4_500:] + texts[:4_500]))
    assert of_global(set(range(50_000))) == of_global(set(range(49_999, -1, -1)))
    assert of_global(set(range(50_000))) != of_global(set(range(50_001)))


# --- What is part of the notebook ---------------------------------------------------------------


def test_a_file_beside_the_notebook_is_part_of_it(tmp_path, monkeypatch):
    """R6: helpers count, also those that were moved out of the notebook into a module."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "notebook_helpers.py"
    path.write_text("def double(x):\n    return scale(x)\n\ndef scale(x):\n    return x * 2\n")
    helpers = importlib.import_module("notebook_helpers")
    notebook = {"__name__": "__main__", "helpers": helpers, "double": helpers.double}
    exec("def by_module(x): return helpers.double(x)\ndef by_name(x): return double(x)", notebook)
    before = [Fingerprints().of(notebook[name]) for name in ("by_module", "by_name")]

    path.write_text(
        "def double(x):\n    # all of it\n    return scale(x)\n\ndef scale(x):\n    return x * 2  # twice\n"
    )
    notebook["double"] = importlib.reload(helpers).double
    assert [Fingerprints().of(notebook[name]) for name in ("by_module", "by_name")] == before

    path.write_text("def double(x):\n    return scale(x)\n\ndef scale(x):\n    return x * 3\n")
    notebook["double"] = importlib.reload(helpers).double
    after = [Fingerprints().of(notebook[name]) for name in ("by_module", "by_name")]
    assert all(map(differs, before, after))
    del sys.modules["notebook_helpers"]


def test_the_code_of_an_installed_library_does_not_count(tmp_path, monkeypatch):
    """Another release of a library is not an edit of the notebook."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = site / "some_library.py"
    path.write_text("def f(x): return 1\nclass C:\n    def g(self): return 1\n")
    library = importlib.import_module("some_library")
    notebook = {"__name__": "__main__", "lib": library, "f": library.f, "C": library.C, "c": library.C()}
    exec("def body(x): return lib.f(x), f(x), C, c.g()", notebook)
    before = Fingerprints().of(notebook["body"])
    assert Fingerprints().of(library.f)

    path.write_text("def f(x): return 2000\nclass C:\n    def g(self): return 2000\n")
    importlib.reload(library)
    notebook.update(f=library.f, C=library.C, c=library.C())
    assert Fingerprints().of(notebook["body"]) == before
    del sys.modules["some_library"]


def test_our_own_objects_count_by_type():
    """A body may refer to a client or a job: what is in it is no code of the body's."""
    assert is_installed(Fingerprints)
    assert is_installed(fingerprints_module)
    assert is_installed(reference)
    assert not is_installed(define)


# --- Names that lead back -----------------------------------------------------------------------


class Holder:
    def method(self):
        return 1

    @classmethod
    def of_class(cls):
        return 2

    @staticmethod
    def of_none():
        return 3

    class Inner:
        def method(self):
            return 4


@pytest.mark.parametrize(
    "body",
    [define, Holder, Holder.method, Holder.of_class, Holder.of_none, Holder.Inner.method, json.dumps, len],
    ids=lambda body: body.__qualname__,
)
def test_a_reference_leads_back(body, monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, types.SimpleNamespace(**globals()))
    text = reference(body)
    assert text == f"{body.__module__}:{body.__qualname__}"
    assert resolve(text) == body


def test_what_has_no_name_of_its_own_has_no_reference(monkeypatch):
    def local():
        return 1

    shadowed = eval("lambda: 1")
    shadowed.__module__, shadowed.__qualname__ = "json", "dumps"
    for body in (local, lambda: 1, functools.partial(define), Holder().method, Hostile(), 1, shadowed):
        assert reference(body) == ""


def test_a_reference_resolves_to_what_the_name_is_now(monkeypatch):
    first = define(monkeypatch, ["def body(): return 1"])
    text = reference(first)
    assert text == "__main__:body"
    second = define(monkeypatch, ["def body(): return 2"])
    assert resolve(text) is second
    assert reference(first) == ""


@pytest.mark.parametrize(
    "text", ["", ":", "json:", "json", "no_such_module:f", "json:nothing", "json:dumps.nothing"]
)
def test_what_is_not_there_resolves_to_none(text):
    assert resolve(text) is None


def test_resolving_imports_nothing(monkeypatch):
    """A module's `__getattr__` may import; it is not asked."""
    lazy = types.ModuleType("lazy_module")
    lazy.__getattr__ = lambda name: pytest.fail("asked")
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    assert resolve("lazy_module:attribute") is None
    assert "antigravity" not in sys.modules
    assert resolve("antigravity:fly") is None
    assert "antigravity" not in sys.modules


# --- Comparing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "now", "expected"),
    [
        ("a1:aa", "a1:aa", False),
        ("a1:aa", "a1:bb", True),
        ("c3.11:aa", "c3.11:bb", True),
        ("c3.11:aa", "c3.12:bb", False),
        ("c3.1:aa", "c3.11:bb", False),
        ("c3.11:aa", "a1:bb", False),  # the source is at hand now
        ("3.11:aa", "a1:bb", False),  # stored before fingerprints were made from the source
        ("3.11:aa", "c3.11:bb", False),
        ("", "a1:bb", False),
        ("a1:aa", "", False),
        ("", "", False),
    ],
)
def test_unknown_is_not_changed(stored, now, expected):
    """R6: fingerprints that were made in different ways are "unknown", not "changed"."""
    assert differs(stored, now) is expected


def test_examples_in_docstrings():
    assert doctest.testmod(fingerprints_module).failed == 0
