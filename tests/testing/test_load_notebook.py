"""`load_notebook`: a notebook's jobs in a test, without running its cells."""

from __future__ import annotations

import json
import os
import sys

import pytest

from trigger_nb.errors import InvalidOptionError, NoStubError
from trigger_nb.testing import load_notebook, replay


def notebook(path, *cells):
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Text"]}, *made]}))
    return path


def test_definitions_are_loaded_and_no_job_runs(tmp_path):
    file = notebook(
        tmp_path / "shop.ipynb",
        "%pip install nothing\n!ls\nimport asyncio\nfrom trigger_nb import TriggerClient",
        'RATE = 2\nclient = TriggerClient("shop")\nunused = 1 / 0',
        "def double(n):\n    return RATE * n\n\n\n@client.job\nasync def order(payload, io):\n    run = await io.run_task('double', double, payload)\n    return run\n\nawait order.run(4)",
        "run = order.start(4)\nrun",
        "%%time\n1 / 0",
        "client.runs()?",
        "for number in range(3): print(order.nothing)",
    )
    shop = load_notebook(file)
    assert shop.order.test(4).output == 8
    assert list(shop.client.runs()) == []
    assert not hasattr(shop, "unused")
    assert not hasattr(shop, "run")
    assert not (tmp_path / ".trigger_nb").exists()


def test_given_values_stand_for_what_the_notebook_assigns(tmp_path):
    file = notebook(
        tmp_path / "shop.ipynb",
        "from trigger_nb import job\ncluster = 1 / 0",
        "@job\nasync def where(payload, io):\n    return await io.run_task('where', lambda: str(cluster))",
    )
    with pytest.raises(ZeroDivisionError):
        load_notebook(file)
    assert load_notebook(file, cluster=None).where.test().output == "None"


def test_modules_beside_the_notebook_are_found(tmp_path):
    (tmp_path / "beside_shop.py").write_text("def price(): return 3")
    file = notebook(
        tmp_path / "shop.ipynb",
        "from beside_shop import price\nfrom trigger_nb import job",
        "@job\ndef order(payload, io):\n    return io.run_task('price', price)",
    )
    before = list(sys.path), os.environ["TRIGGER_NB_DIR"]
    assert load_notebook(file).order.test().output == 3
    assert (list(sys.path), os.environ["TRIGGER_NB_DIR"]) == before


def test_a_notebook_named_as_a_library_does_not_take_its_place(tmp_path):
    file = notebook(tmp_path / "random.ipynb", "import random\nfrom trigger_nb import job")
    assert load_notebook(file).random.random() < 1


def test_places_name_the_cell(tmp_path):
    file = notebook(
        tmp_path / "shop.ipynb",
        "import socket\nfrom trigger_nb import job",
        "@job\nasync def order(payload, io):\n    await io.run_task('reach', socket.create_connection, ('203.0.113.7', 1))",
    )
    with pytest.raises(NoStubError, match=r"called at shop.ipynb, code cell 2, line 3"):
        load_notebook(file).order.test()


def test_a_run_that_a_notebook_froze_replays_in_a_test(tmp_path):
    """Classes of a notebook are in `__main__` there, and in the notebook's module here."""
    cells = (
        "from dataclasses import dataclass\nfrom trigger_nb import job",
        "@dataclass\nclass Part:\n    number: int",
        "@job\nasync def order(payload, io):\n    part = await io.run_task('part', lambda: Part(7))\n    return part.number",
    )
    shop = load_notebook(notebook(tmp_path / "shop.ipynb", *cells))
    file = shop.order.test().freeze(tmp_path / "order.json")
    text = file.read_text()
    assert "shop_ipynb:Part" in text
    file.write_text(text.replace("shop_ipynb:Part", "__main__:Part"))
    assert replay(shop.order, file) == 7


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text("no")
    with pytest.raises(InvalidOptionError, match="is no notebook"):
        load_notebook(tmp_path / "a.ipynb")
