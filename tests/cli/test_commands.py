"""The commands of `trigger-nb` in real processes: what they print, on which stream, and their exit codes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pty
import re
import selectors
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.programs import TIMEOUT
from trigger_nb._cli.values import as_json

JOBS = """
client = TriggerClient("shop")

@client.job(redact=["token"])
async def order(payload, io):
    print("from the body")
    name = await io.run_task("fetch", lambda: {"name": "Ana", "n": 7})
    effect("order")
    return {"hello": name["name"], "token": "s3cret"}

@client.job
async def fails(payload, io):
    def body():
        effect("body")
        if not os.path.exists(HOME + "/mended"):
            raise ValueError("not yet")
        return 1
    await io.run_task("before", lambda: effect("before"))
    return await io.run_task("body", body)

@client.job
async def waits(payload, io):
    await io.wait("for ever", days=7)
"""


@pytest.fixture
def shop(folder):
    folder.script("shop.py", JOBS)
    return folder


@pytest.fixture
def runs(typed):
    return lambda *arguments: json.loads(typed("runs", "--json", *arguments).stdout)


# Running --------------------------------------------------------------------------------------------


def test_a_run_prints_its_output_as_json_and_all_else_on_stderr(shop):
    done = shop.call("run", "shop.py:order", "--payload", '{"id": 1}')
    assert json.loads(done.stdout) == {"hello": "Ana", "token": "•••"}
    assert "✔ order · COMPLETED" in done.stderr
    assert "from the body" in done.stderr
    again = shop.call("run", "shop.py:order", "--payload", '{"id": 1}', "--quiet")
    assert again.stderr == "from the body\n"
    assert again.stdout == done.stdout
    assert len(shop.runs()) == 1
    shop.call("run", "shop.py:order", "--payload", '{"id": 1}', "--fresh")
    assert len(shop.runs()) == 2


def test_a_payload_comes_from_a_file_or_from_standard_input(shop, typed, runs):
    (shop.path / "payload.json").write_text('{"id": 1}')
    typed("run", "shop.py:order", "--payload", "@payload.json")
    typed("run", "shop.py:order", "--payload", "-", given='{"id": 1}')
    assert [run["payload"] for run in runs()] == [{"id": 1}]


def test_a_run_id_is_continued_with_its_stored_payload(shop, typed, runs):
    typed("run", "shop.py:order", "--run-id", "mine", "--payload", "7")
    typed("run", "shop.py:order", "--run-id", "mine")
    (run,) = runs()
    assert (run["id"], run["payload"], run["passes"]) == ("mine", 7, 2)


def test_a_failed_run_ends_with_1_and_retry_finds_its_file_and_runs_what_failed(shop, typed, runs):
    done = typed("run", "shop.py:fails", code=1)
    assert done.stdout == ""
    assert "ValueError: not yet" in done.stderr
    (run,) = runs("--status", "failed")
    assert f"trigger-nb retry {run['id']}" in done.stderr
    shop.signal("mended")
    assert json.loads(typed("retry", run["id"]).stdout) == 1
    assert shop.effects == ["before", "body", "body"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "shop.py"], "shop.py defines 3 jobs; say which one: shop.py:fails, shop.py:order, shop.py:waits"),
        (["run", "shop.py:ordr"], "no job 'ordr' (did you mean 'order'?)"),
        (["run", "shp.py"], "there is no file 'shp.py' here (did you mean 'shop.py'?)"),
        (["run", "shop.txt"], "neither a notebook (.ipynb) nor a script (.py)"),
        (["run", "broken.py"], "broken.py fails"),
        (["run", "wrong.py"], "wrong.py cannot be read"),
        (["run", "empty.py"], "empty.py defines no job"),
        (["run", "shop.py:order", "--payload", "Ana"], ("""--payload is no JSON: Expecting value: line 1 column 1 (char 0). """
            """A text needs quotes of its own: --payload '"Ana"'""")),
        (["run", "shop.py:order", "--payload", "@none.json"], "No such file"),
        (["run", "shop.py:order", "--run-id", "a/b"], "run_id must not contain"),
        (["show", "run_nope"], "there is no run 'run_nope' in "),
        (["show", ""], "there is no run ''"),
        (["runs", "--status", "FINE"], "the status of a run is one of"),
        (["runs", "--store", "nowhere"], "there is no store in nowhere"),
        (["retry", "run_nope"], "there is no run"),
        (["prune"], "so say which: --older-than 30d"),
        (["prune", "--older-than", "soon"], "--older-than is a number with a unit, such as 30d"),
        (["export", "mine", "a.pdf"], "PATH ends in .html, .json or .txt, not in '.pdf'"),
        (["export", "mine", "no/where.html"], "no/where.html cannot be written"),
        (["pause", "mine"], "it has completed"),
        (["resume", "mine"], "it has completed; rerun_from"),
        (["work", "shop.py", "--log-level", "loud"], "--log-level is one of debug"),
    ],
)  # fmt: skip
def test_a_mistake_ends_with_2_and_a_message_that_says_what_to_type(shop, arguments, told, typed):
    typed("run", "shop.py:order", "--run-id", "mine")
    shop.script("shop.txt", "")
    shop.script("broken.py", "import nothing_of_that_name")
    shop.script("wrong.py", "def (")
    shop.script("empty.py", "x = 1")
    done = typed(*arguments, code=2)
    assert told in re.sub(r"\s+", " ", done.stderr)
    assert "Traceback" not in done.stderr.replace("broken.py", "")
    assert done.stdout == ""


def test_a_cell_that_fails_is_named_with_its_line(folder, typed):
    folder.notebook("a.ipynb", "x = 1", "\nimport nothing_of_that_name\n")
    done = typed("run", "a.ipynb", code=2)
    assert "a.ipynb, code cell 2 fails" in done.stderr
    assert "import nothing_of_that_name" in done.stderr
    assert "trigger_nb/" not in done.stderr.replace("trigger_nb/nbs", "")


def test_a_module_is_imported_under_its_name(folder, typed):
    folder.script("jobs/__init__.py", "", prelude=False)
    folder.script(
        "jobs/letters.py",
        "from trigger_nb import TriggerClient\nclient = TriggerClient('letters')\n"
        "@client.job\ndef where(payload, io):\n    return where.fn.__module__\n",
        prelude=False,
    )
    assert json.loads(typed("run", "jobs.letters:where").stdout) == "jobs.letters"
    assert json.loads(typed("run", "jobs/letters.py:where", "--fresh").stdout) == "__main__"


def test_what_is_no_json_in_an_output_is_written_as_its_fields_or_its_repr():
    @dataclasses.dataclass
    class Part:
        number: object

    value = {"part": Part(Part(1)), "at": dt.date(2030, 1, 31), "many": {1}, "pair": (1, 2)}
    assert json.loads(as_json(value)) == {
        "part": {"number": {"number": 1}}, "at": "2030-01-31", "many": "{1}", "pair": [1, 2],
    }  # fmt: skip
    assert json.loads(as_json({(1, 2): float("nan")})) == "{(1, 2): nan}"


# Looking --------------------------------------------------------------------------------------------


def test_runs_and_show_give_text_and_json(shop, typed, runs):
    typed("run", "shop.py:order", "--payload", '{"token": "abc", "id": 1}')
    typed("run", "shop.py:fails", code=1)
    failed, done = runs()
    assert (done["job"], done["status"], done["payload"], done["output"]) == (
        "order", "COMPLETED", {"token": "•••", "id": 1}, {"hello": "Ana", "token": "•••"},
    )  # fmt: skip
    assert (failed["status"], failed["error"]) == ("FAILED", "ValueError: not yet")
    table = typed("runs", "--job", "order").stdout
    assert done["id"] in table
    assert failed["id"] not in table
    assert "abc" not in table
    tree = typed("show").stdout  # the newest
    assert "✘ fails · FAILED" in tree
    assert "run.retry()" not in tree
    whole = json.loads(typed("show", done["id"][:9], "--json").stdout)
    assert [(task["path"], task["status"], task["output"]) for task in whole["tasks"]] == [
        ("fetch", "COMPLETED", {"name": "Ana", "n": 7})
    ]


def test_stores_are_found_from_elsewhere_and_by_their_notebook(folder, typed, runs):
    cells = (
        folder.prelude(),
        "@job\ndef greet(payload, io):\n    return io.run_task('a', lambda: 'x' * 2000)",
    )
    folder.notebook("deep/a.ipynb", *cells)
    folder.notebook("deep/b.ipynb", *cells)
    typed("run", "deep/a.ipynb")
    typed("run", "deep/b.ipynb")
    assert len(runs("--store", "deep")) == 2
    assert len(runs("--store", "deep/.trigger_nb/a")) == 1
    (run,) = runs("--store", "deep/b.ipynb")
    assert run["store"].endswith("deep/.trigger_nb/b")
    shown = json.loads(typed("show", run["id"], "--store", "deep", "--json").stdout)
    assert shown["tasks"][0]["output"] == "x" * 2000
    typed("runs", code=2)


def test_export_writes_a_page_a_frozen_run_and_a_text(shop, typed):
    typed("run", "shop.py:order", "--run-id", "mine")
    for name, told in (("a.html", "<html"), ("a.json", '"frozen run"'), ("a.txt", "✔ order")):
        assert typed("export", "mine", name).stdout == f"{name}\n"
        assert told in (shop.path / name).read_text(encoding="utf-8")


def test_prune_and_check(shop, typed, runs):
    typed("run", "shop.py:order", "--run-id", "mine")
    assert "Would remove  1 run" in typed("prune", "--keep-last", "0", "--dry-run").stdout
    assert len(runs()) == 1
    assert "all is well" in typed("check").stdout
    assert "Removed  1 run" in typed("prune", "--keep-last", "0").stdout
    assert runs() == []
    database = shop.path / ".trigger_nb/shop/cache.db"
    database.write_bytes(database.read_bytes()[:4096] + b"\xff" * 4096 + database.read_bytes()[8192:])
    typed("check", code=1)


def test_a_pipe_that_closes_is_no_error(shop):
    shop.call("run", "shop.py:order")
    line = f"{sys.executable} -m trigger_nb runs --json | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=shop.path,
        env=shop.environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


# Changing -------------------------------------------------------------------------------------------


def test_a_run_of_another_process_is_paused_resumed_and_cancelled(shop):
    """C5: it asks the process that drives it."""
    driver = shop.begin("run", "shop.py:waits", "--run-id", "mine")
    driver.until_said("WAITING")
    assert "mine WAITING (paused)" in shop.call("pause", "mine").stdout
    assert driver.ended() == 4
    driver = shop.begin("resume", "mine")
    driver.until_said("WAITING")
    shop.call("run", "shop.py:waits", "--run-id", "mine", code=3)
    assert "mine CANCELED" in shop.call("cancel", "mine").stdout
    assert driver.ended() == 4
    assert "mine CANCELED" in shop.call("cancel", "mine").stdout


def test_an_interrupted_run_says_so_and_is_continued(shop):
    driver = shop.begin("run", "shop.py:waits", "--run-id", "mine")
    driver.until_said("WAITING")
    driver.tell(signal.SIGINT)
    assert driver.ended() == 130
    assert "was interrupted: the same command continues it" in driver.said
    assert shop.runs()[0]["status"] == "INTERRUPTED"


# A terminal -----------------------------------------------------------------------------------------


class Terminal:
    """A command in a terminal of 100 by 30."""

    def __init__(self, folder, *arguments, **environment):
        self.screen = b""
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder.path)
            env = folder.environment | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
            env |= environment
            os.execve(sys.executable, [sys.executable, "-m", "trigger_nb", *arguments], env)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.file, selectors.EVENT_READ)

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.screen.decode(errors="replace"))

    def until(self, holds):
        deadline = time.monotonic() + TIMEOUT
        while not holds():
            assert time.monotonic() < deadline, self.text
            if self.ready.select(0.1) and not self._read():
                assert holds(), self.text
                return

    def _read(self):
        try:
            part = os.read(self.file, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.screen += part
        return bool(part)

    def ended(self):
        while self._read():
            pass
        self.ready.close()
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


STEPS = """
client = TriggerClient("steps")

@client.job
async def steps(payload, io):
    for number in range(3):
        async def body(number=number):
            effect(f"begins {number}")
            await until(f"go{number}")
            if payload == "fail" and number == 2:
                raise ValueError("at the end")
        await io.run_task(f"step-{number}", body)
    return "all done"
"""


def test_in_a_cell_no_cursor_is_moved(folder):
    """`!trigger-nb run ...` gets a terminal from IPython, whose output a notebook only adds to what is there."""
    folder.script("steps.py", STEPS)
    for number in range(3):
        folder.signal(f"go{number}")
    terminal = Terminal(folder, "run", "steps.py", JPY_PARENT_PID="1")
    assert terminal.ended() == 0
    assert terminal.text.count("steps · COMPLETED") == 1
    assert not re.search(rb"\x1b\[[0-9?]*[A-Zhl]", terminal.screen)


def test_show_watch_follows_a_run_of_another_process_in_a_terminal(folder):
    folder.script("steps.py", STEPS)
    driver = folder.begin("run", "steps.py", "--run-id", "mine")
    driver.until(lambda: "begins 0" in folder.effects)
    terminal = Terminal(folder, "show", "mine", "--watch")
    terminal.until(lambda: "steps · RUNNING" in terminal.text)
    folder.signal("go0")
    terminal.until(lambda: "✔ step-0" in terminal.text)
    assert "all done" not in terminal.text
    folder.signal("go1")
    folder.signal("go2")
    assert terminal.ended() == 0
    assert '→ "all done"' in terminal.text
    assert terminal.text.rstrip().endswith("s")  # the tree stays, its last line with a duration
    assert driver.ended() == 0


def test_ctrl_c_leaves_a_watched_run_alone_and_a_failed_one_ends_with_1(folder):
    folder.script("steps.py", STEPS)
    driver = folder.begin("run", "steps.py", "--run-id", "mine", "--payload", '"fail"')
    driver.until(lambda: "begins 0" in folder.effects)
    terminal = Terminal(folder, "show", "mine", "-w")
    terminal.until(lambda: "RUNNING" in terminal.text)
    os.write(terminal.file, b"\x03")
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.text
    other = folder.begin("show", "mine", "--watch")  # no terminal
    other.until_said("mine RUNNING")
    for number in range(3):
        folder.signal(f"go{number}")
    assert driver.ended() == 1
    assert other.ended() == 1
    assert "ValueError: at the end" in other.said


def test_a_run_in_a_terminal_shows_its_live_tree(folder):
    folder.script("steps.py", STEPS)
    terminal = Terminal(folder, "run", "steps.py")
    for number in range(3):
        terminal.until(lambda number=number: f"● step-{number}" in terminal.text)
        folder.signal(f"go{number}")
    assert terminal.ended() == 0
    assert "✔ steps · COMPLETED" in terminal.text
