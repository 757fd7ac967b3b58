"""Which statements of a notebook or script define, and what is said of the others."""

from __future__ import annotations

import ast

import pytest

from trigger_nb._cells import chosen_of_notebook, chosen_of_script
from trigger_nb.errors import InvalidOptionError


def chosen(folder, *cells, **options):
    return chosen_of_notebook(folder.notebook("a.ipynb", *cells, **options))


def kept(found):
    return [ast.unparse(each.node).split("\n")[0] for each in found.kept]


JOB = "@job\nasync def greet(payload, io):\n    return await io.run_task('a', body)"


def test_definitions_and_what_they_refer_to_are_kept(folder):
    found = chosen(
        folder,
        "import os\nfrom trigger_nb import job",
        "RATE = [1, 2]\nMODEL = os.environ.get('MODEL', 'x')\ndf = os.listdir()",
        "class Part:\n    size = RATE\ndef body():\n    return Part, MODEL",
        JOB + "\nawait greet.run(1)",
        "greet.start(2)\nrun = greet.start(3)\nrun",
    )
    assert kept(found) == [
        "import os", "from trigger_nb import job", "RATE = [1, 2]", "MODEL = os.environ.get('MODEL', 'x')",
        "class Part:", "def body():", "@job",
    ]  # fmt: skip
    assert found.told("a.ipynb") == [
        "a.ipynb, code cell 2: left out `df = os.listdir()`",
        "a.ipynb, code cell 4: left out `await greet.run(1)`",
        "a.ipynb, code cell 5: left out `greet.start(2)` and 1 more statement",
    ]


def test_parts_of_what_is_needed_are_set_and_python_is_set_up(folder):
    found = chosen(
        folder,
        "import os, sys, logging\nfrom trigger_nb import register_codec\nsys.path.append('..')\nos.environ['A'] = '1'",
        "CONFIG = {}\nCONFIG['a'] = 1\nCONFIG['a'] += 1\nOTHER = object()\nOTHER.x = 1",
        "def body():\n    return CONFIG",
        "register_codec(int, str, int)\nlogging.basicConfig(level='INFO')\nprint(CONFIG)",
    )
    assert kept(found)[2:] == [
        "sys.path.append('..')", "os.environ['A'] = '1'", "CONFIG = {}", "CONFIG['a'] = 1", "CONFIG['a'] += 1",
        "def body():", "register_codec(int, str, int)", "logging.basicConfig(level='INFO')",
    ]  # fmt: skip


def test_nothing_that_starts_a_job_is_kept_whoever_refers_to_it(folder):
    found = chosen(
        folder,
        "import asyncio\nfrom trigger_nb import job",
        "rows = await load()\nother = greet.run_sync(3)\nthird = asyncio.run(main())\nrun = greet.start()",
        "def body():\n    return rows, other, third, run",
        JOB,
        "if __name__ == '__main__':\n    def late(): pass",
    )
    assert kept(found) == ["import asyncio", "from trigger_nb import job", "def body():", "@job"]
    assert found.told("a.ipynb")[0] == (
        "a.ipynb, code cell 2: left out `rows = await load()` and 3 more statements, and rows is missing, which a definition "
        "refers to"
    )


def test_a_tagged_cell_is_kept_as_a_whole(folder):
    found = chosen(folder, "print(1)\nx = await f()", "print(2)", tags={1: "trigger_nb", 2: "other"})
    assert kept(found) == ["print(1)", "x = await f()"]


def test_magics_are_left_out_and_texts_with_percent_signs_stay(folder):
    found = chosen(
        folder,
        "%load_ext autoreload\n!pip list\nimport os",
        'TEXT = """\n% of what?\n!important\n"""\ndef body():\n    return TEXT',
        "%%bash\nls",
        "body?",
        "x = !ls",
    )
    assert kept(found) == ["import os", "TEXT = '\\n% of what?\\n!important\\n'", "def body():"]
    told = found.told("a.ipynb")
    assert "code cell 3: left out, it is no Python" in told[1]
    assert [line.split(":")[0][-1] for line in told] == ["1", "3", "4", "5"]


def test_what_is_said_is_bounded(folder):
    told = chosen(folder, *["print('" + "x" * 500 + "')"] * 30).told("a.ipynb")
    assert len(told) == 11
    assert told[-1] == "a.ipynb: … and 20 more cells"
    assert max(map(len, told)) < 120


def test_conditions_around_definitions_are_kept(folder):
    found = chosen(
        folder,
        "try:\n    import tomllib\nexcept ImportError:\n    tomllib = None",
        "if True:\n    def a(): pass\nelse:\n    a = 1",
        "if True:\n    def b(): pass\n    print(b())",
    )
    assert kept(found) == ["try:", "if True:"]


def test_a_script_is_kept_but_for_what_starts_jobs(folder):
    file = folder.script(
        "a.py",
        "import asyncio\nprint('set up')\n@job\ndef greet(payload): pass\nprint(greet.run_sync(1))\nasyncio.run(main())\n"
        "if __name__ == '__main__':\n    greet.run_sync(2)\n",
        prelude=False,
    )
    found = chosen_of_script(file)
    assert kept(found) == ["import asyncio", "print('set up')", "@job"]
    assert found.told("a.py") == ["a.py: left out `print(greet.run_sync(1))` and 1 more statement"]


@pytest.mark.parametrize(
    "text", ["", "no", "[]", '{"cells": 7}', '{"cells": [{"cell_type": "code"}]}', '{"cells": [7]}']
)
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    (tmp_path / "a.ipynb").write_text(text)
    with pytest.raises(InvalidOptionError, match=r"a\.ipynb is no notebook"):
        chosen_of_notebook(tmp_path / "a.ipynb")
