"""The notebooks run in real kernels, replay in later ones, and the demo's proof can fail."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from tests.support.kernels import Cell, kernel_in

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"

# Counts the bodies that the engine calls. They are what a replay must not call.
COUNT_BODIES = """
from trigger_nb._engine.bodies import Bodies
bodies = []
_call_body = Bodies._call_body
async def counted(self, call, *args):
    bodies.append(call.path)
    return await _call_body(self, call, *args)
Bodies._call_body = counted
"""


def code_cells(name):
    return [cell for cell in nbformat.read(NOTEBOOKS / name, as_version=4).cells if cell.cell_type == "code"]


def run_all(kernel, name):
    """All cells of a notebook, top to bottom; only those that say so may fail."""
    done = []
    for cell in code_cells(name):
        ran = kernel.run(cell.source)
        if "raises-exception" not in cell.metadata.get("tags", []):
            ran.check()
        done.append((cell.source, ran))
    return done


def of(done, text):
    """What came of the one cell that has this text."""
    [found] = [ran for source, ran in done if text in source]
    return found


# quickstart ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The quickstart, run in one kernel and then in another."""
    directory = tmp_path_factory.mktemp("quickstart") / "notebooks"
    directory.mkdir()
    shutil.copy(NOTEBOOKS / "loopback.py", directory)
    with kernel_in(directory) as kernel:
        kernel.run(COUNT_BODIES).check()
        first = run_all(kernel, "quickstart.ipynb")
        ran = json.loads(kernel.run("import json; print(json.dumps(bodies))").printed)
        kernel.restart()
        kernel.run(COUNT_BODIES).check()
        second = run_all(kernel, "quickstart.ipynb")
        ran_again = json.loads(kernel.run("import json; print(json.dumps(bodies))").printed)
    return first, ran, second, ran_again


def test_in_a_second_kernel_all_of_the_quickstart_is_replayed(quickstart):
    """R1: not one body is called again, and no letter is sent."""
    first, ran, second, ran_again = quickstart
    assert len(ran) > 30
    assert ran_again == []
    assert of(second, 'print("letters sent by this kernel:"').printed == "letters sent by this kernel: 0\n"


def test_in_a_second_kernel_every_output_is_what_it_was(quickstart):
    """R2."""
    first, _, second, _ = quickstart
    fails_only_once = "mail.be_busy(1)"
    same = [
        (a.result, b.result)
        for (source, a), (_, b) in zip(first, second, strict=True)
        if fails_only_once not in source
    ]
    same = [pair for pair in same if not (pair[0] or "").strip().startswith("Job")]  # the table of runs
    assert [pair for pair in same if pair[0] != pair[1]] == []


def test_the_service_sees_one_key_in_every_attempt(quickstart):
    """I6: the retry that succeeds on the third attempt."""
    first, _, second, _ = quickstart
    keys = json.loads(of(first, "third_time_lucky(").printed.splitlines()[-1].replace("'", '"'))
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert of(second, "third_time_lucky(").printed.endswith("[]\n")


def test_a_failed_task_alone_runs_again(quickstart):
    """R5."""
    first, _, _, _ = quickstart
    assert of(first, "mail.be_busy(1)").error == "MailError"
    assert "2 replayed" in of(first, "mail.be_busy(0)").tree


def test_no_frame_of_ours_stands_under_a_cell(quickstart):
    first, _, _, _ = quickstart
    for _, ran in first:
        if ran.error:
            assert str(ROOT / "trigger_nb") not in ran.traceback


def test_a_changed_task_is_kept_until_its_change_is_asked_for(quickstart):
    """R6."""
    first, _, _, _ = quickstart
    letters = [ran for source, ran in first if "letter.run(" in source]
    assert [ran.printed.split()[0] for ran in letters] == ["Dear", "Dear", "Hello"]
    assert "changed: code" in letters[1].tree


# integrations --------------------------------------------------------------------------------------

ONBOARD = "async def onboard(payload"  # its main cell


class Integrations(NamedTuple):
    first: list[tuple[str, Cell]]  # the notebook in one kernel
    asked: dict[str, int]  # how many requests each service got of that
    repeated: Cell  # the main cell once more
    asked_by_then: dict[str, int]
    second: list[tuple[str, Cell]]  # the notebook in another kernel
    asked_in_second: dict[str, int]
    bodies: list[str]  # what that called
    keys: list[str]  # the credentials of both
    said: str  # all that the kernels sent to the front end, before they were asked for the credentials
    stored: bytes  # all that is in the folder afterwards


@pytest.fixture(scope="module")
def integrations(tmp_path_factory):
    """The notebook of the integrations, run in one kernel and then in another."""
    directory = tmp_path_factory.mktemp("integrations") / "notebooks"
    with kernel_in(directory, SLACK_BOT_TOKEN="") as kernel:
        first = run_all(kernel, "integrations.ipynb")
        asked = value(kernel, "asked()")
        repeated = kernel.run(next(source for source, _ in first if ONBOARD in source)).check()
        asked_by_then = value(kernel, "asked()")
        said = json.dumps(kernel.all_messages, default=str)
        keys = [value(kernel, "KEY")]
        kernel.restart()
        kernel.run(COUNT_BODIES).check()
        before = len(kernel.all_messages)
        second = run_all(kernel, "integrations.ipynb")
        said += json.dumps(kernel.all_messages[before:], default=str)
        asked_in_second, bodies = value(kernel, "asked()"), value(kernel, "bodies")
        keys.append(value(kernel, "KEY"))
    stored = b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())
    return Integrations(
        first, asked, repeated, asked_by_then, second, asked_in_second, bodies, keys, said, stored
    )


def value(kernel, expression):
    return json.loads(kernel.run(f"import json; print(json.dumps({expression}))").check().printed)


def test_a_job_over_five_services_retries_and_does_all_once(integrations):
    """I6: what each service was asked, and what came of it."""
    tree = of(integrations.first, ONBOARD).tree
    assert "17 tasks: 17 completed" in tree
    assert tree.count("attempt 2 · retried") == 2
    [told] = of(integrations.first, "def made():")._content("execute_result")
    rows = [line.strip("| ").split(" | ") for line in told["data"]["text/markdown"].splitlines()[2:]]
    assert {name: (requests, effects) for name, requests, effects in rows} == {
        "github": ("2", "2 issues"),
        "openai": ("3", "3 letters"),
        "resend": ("7", "6 e-mails"),  # one was refused
        "slack": ("6", "4 messages, 1 channel joined"),  # one was refused
        "stripe": ("6", "4 customers"),  # one was refused, and the answer to one was lost
        "sql": ("", "3 writes"),
    }


def test_the_notebook_tells_of_one_idempotency_key_and_of_a_missing_credential(integrations):
    """I6."""
    told = of(integrations.first, 'print("keys:"').printed
    assert re.fullmatch(r"2 requests, 1 customer\nkeys: \{'tnb_\w+'\}\n", told)
    assert "SLACK_BOT_TOKEN" in of(integrations.first, "MissingCredentialError").printed


def test_rows_show_what_came_of_them_with_links(integrations):
    """D2."""
    [shown] = of(integrations.first, ONBOARD).displays
    for link in (
        "github.com/acme/shop/issues/2",
        "dashboard.stripe.com/test/customers/cus_",
        "slack.com/app_",
    ):
        assert f'href="https://{link}' in shown["text/html"]
    for text in ("Finish reason", "Tokens", "Rate limit", "Plan", "Subject"):
        assert f"{text}:" in shown["text/html"]


def test_the_main_cell_run_again_asks_no_service(integrations):
    """R1."""
    assert of(integrations.first, 'print("asked since:"').printed == "asked since: nobody\n"
    assert "17 tasks: 17 completed · 17 replayed" in integrations.repeated.tree
    assert integrations.repeated.result == of(integrations.first, ONBOARD).result
    assert integrations.asked_by_then == integrations.asked


def test_in_a_second_kernel_no_service_is_asked(integrations):
    """R1, R2."""
    assert (integrations.bodies, set(integrations.asked_in_second.values())) == ([], {0})
    for (_, a), (_, b) in zip(integrations.first, integrations.second, strict=True):
        assert a.result == b.result


def test_credentials_are_in_no_output_and_in_no_file(integrations):
    """S8: neither in what the front end is sent, which is what is saved, nor in the store."""
    for key in integrations.keys:
        assert len(key) > 40
        assert key not in integrations.said
        assert key.encode() not in integrations.stored
    assert "cus_2" in integrations.said
    assert b"cus_2" in integrations.stored


# dask ----------------------------------------------------------------------------------------------


def test_a_dask_worker_is_killed_and_in_a_second_kernel_all_is_replayed(tmp_path):
    """C3, R1, R3."""
    with kernel_in(tmp_path / "notebooks") as kernel:
        first = run_all(kernel, "dask.ipynb")
        kernel.restart()
        kernel.run(COUNT_BODIES).check()
        second = run_all(kernel, "dask.ipynb")
        assert value(kernel, "bodies") == []
    for done in (first, second):
        assert of(done, "os.kill(victim").result == "{'primes': 25997, 'largest': 299993}"
        assert of(done, "before = count()").result == "(120, True)"
        assert of(done, "count() == before").result == "True"


# prompts, etl, crawl -------------------------------------------------------------------------------


class Twice(NamedTuple):
    first: list[tuple[str, Cell]]  # the notebook in one kernel
    second: list[tuple[str, Cell]]  # the notebook in another kernel
    bodies: list[str]  # what that called
    shown: str  # what a last expression gave there


def run_twice(directory, name, last="None"):
    directory.mkdir()
    for file in (NOTEBOOKS / name, *NOTEBOOKS.glob("loopback*.py")):
        shutil.copy(file, directory)
    with kernel_in(directory, notebook=name) as kernel:
        first = run_all(kernel, name)
        kernel.restart()
        kernel.run(COUNT_BODIES).check()
        second = run_all(kernel, name)
        return Twice(first, second, value(kernel, "bodies"), value(kernel, last))


def counts(done, words):
    """The numbers that cells printed after these words."""
    return [int(number) for _, ran in done for number in re.findall(rf"{words}: (\d+)", ran.printed)]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    return run_twice(tmp_path_factory.mktemp("prompts") / "notebooks", "prompts.ipynb")


def test_no_answer_to_a_prompt_is_asked_for_twice(prompts):
    """R1, R6: 200 mails, five new ones, five tried, another prompt, and back; then all of it in another kernel."""
    assert counts(prompts.first, "answers asked for") == [200, 5, 5, 200, 0]
    assert counts(prompts.second, "answers asked for") == [0, 0, 5, 0, 0]
    assert prompts.bodies == []
    assert "205 completed · 200 reused from other runs" in of(prompts.first, 'run_id="tomorrow"').tree
    assert "200 completed · 200 reused from other runs" in of(prompts.first, 'run_id="prompt 1 again"').tree


def test_two_prompts_are_compared_on_five_mails_and_on_all(prompts):
    for done in (prompts.first, prompts.second):
        assert "2 differ, 3 the same" in of(done, "try_map").tree
        found = of(done, "first.compare(").result
        assert "50 of 200 items differ" in found
        assert re.search(r"delivery → refund +25 items", found)
        assert re.search(r"billing → refund +25 items", found)
        assert re.search(r"refund +50 ", of(done, "groupby").result)


@pytest.fixture(scope="module")
def etl(tmp_path_factory):
    directory = tmp_path_factory.mktemp("etl") / "notebooks"
    return run_twice(directory, "etl.ipynb", 'run.task("plot").shown')


def test_of_an_edited_file_runs_what_depends_on_it(etl):
    """R6: one of six files; none that was only touched; none in another kernel."""
    called = [ran.printed for _, ran in etl.first if ran.printed]
    months = ", ".join(f"'2026-0{month}.csv'" for month in range(1, 7))
    assert called == [
        f"called: [{months}, 'shops.txt', 'add up', 'plot']\n",
        "called: ['2026-04.csv', 'add up', 'plot']\n",
        "called: []\n",
    ]
    assert [ran.printed for _, ran in etl.second if ran.printed] == ["called: []\n"] * 3
    assert etl.bodies == []


def test_a_plot_is_shown_and_made_anew(etl):
    charts = [each["data"]["image/png"] for _, ran in etl.first for each in images(ran)]
    assert len(charts) == 2
    assert charts[0] != charts[1]
    assert [each["data"]["image/png"] for _, ran in etl.second for each in images(ran)] == [charts[1]] * 2
    assert re.search(r"2026-04 .* 14360\n", of(etl.first, 'task("add-up").output').result)
    assert re.search(r"2026-04 .* 5360\n", of(etl.second, 'task("add-up").output').result)
    assert "sold by month" in etl.shown
    [shown] = of(etl.first, 'TriggerClient("etl")').displays
    assert "<img" in shown["text/html"]


def images(ran):
    return [each for each in ran._content("execute_result") if "image/png" in each["data"]]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return run_twice(tmp_path_factory.mktemp("crawl") / "notebooks", "crawl.ipynb")


def test_a_failed_item_is_taken_into_a_cell_and_called(crawl):
    """R5: two of 18 pages fail; one has its arguments, and the edited body takes them."""
    assert "2 of 18 items of map 'book' failed" in of(crawl.first, "crawl.start()").printed
    assert "17 completed, 2 failed" in of(crawl.first, "crawl.start()").tree
    for done in (crawl.first, crawl.second):
        assert "args=('/books/7',)" in of(done, "task.inputs.args").printed
        assert of(done, "task.call()").result == "Book(title='Moby-Dick', price=None)"


def test_a_result_is_written_by_hand_and_the_run_goes_on(crawl):
    """R5: the other pages are not read again, and every later kernel says that a person wrote it."""
    mended = of(crawl.first, "run.set_output(")
    assert mended.result == "{'books': 18, 'for sale': 17, 'all of them cost': 170.5}"
    assert "20 completed · 18 replayed" in mended.tree
    assert "✔ /books/13 · set by hand · replayed" in mended.tree
    assert "✔ /books/7 · run again" in mended.tree
    assert of(crawl.second, "run.set_output(").result == mended.result
    for done in (crawl.first, crawl.second):
        assert [
            line.endswith("set by hand") for line in of(done, "book.set_by_hand").printed.splitlines()
        ] == [
            False,
            True,
            False,
        ]
    assert counts(crawl.first, "pages asked for by this kernel") == [1 + 18 + 3]
    assert counts(crawl.second, "pages asked for by this kernel") == [2]


# What is committed ---------------------------------------------------------------------------------

ALL = [
    "quickstart.ipynb",
    "resume.ipynb",
    "integrations.ipynb",
    "dask.ipynb",
    "prompts.ipynb",
    "etl.ipynb",
    "crawl.ipynb",
]


@pytest.mark.parametrize("name", ALL)
def test_a_notebook_shows_its_outputs_to_those_who_have_no_kernel(name):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    trees = [output for cell in cells for output in cell.outputs if output.output_type == "display_data"]
    assert trees
    for tree in trees:
        assert re.search("COMPLETED|FAILED|nothing recorded", tree.data["text/plain"])
        assert "<div" in tree.data["text/html"]
    for cell in cells:
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", []))


@pytest.mark.parametrize("name", ALL)
def test_a_notebook_tells_nothing_of_where_it_was_run(name):
    text = (NOTEBOOKS / name).read_text(encoding="utf-8")
    assert set(re.findall(r"/(?:home|root|Users|tmp|opt|mnt|work)/[\w.-]+", text)) <= {"/home/ana"}
    assert "127.0.0.1" not in text
    assert '"application/vnd.jupyter.widget' not in text
    assert not re.search(r"\b(?:xox[bp]-|sk_live_|sk_test_|sk-|ghp_|re_)\w{8}", text)


@pytest.mark.parametrize("name", ALL)
def test_a_notebook_is_small_enough_to_be_shown(name):
    assert (NOTEBOOKS / name).stat().st_size < 500_000


# resume and the demo -------------------------------------------------------------------------------

SMALL_LIBRARY = """
import time
sysconfig.get_path = lambda name: {library!r}
_note = note
def note(task):
    _note(task)
    time.sleep(0.03)
"""


@pytest.fixture
def small_resume(tmp_path):
    """resume.ipynb over a library of forty modules, two of which do not parse."""
    library = tmp_path / "library"
    (library / "site-packages").mkdir(parents=True)
    for n in range(38):
        (library / f"module_{n:02d}.py").write_text(f"def function():\n    return {n}\n\nclass Class: ...\n")
    (library / "bad_syntax.py").write_text("print 'hello'\n")
    (library / "bad_text.py").write_bytes(b"'\xff'\n")
    (library / "site-packages" / "other.py").write_text("not counted\n")
    notebook = nbformat.read(NOTEBOOKS / "resume.ipynb", as_version=4)
    at = next(n for n, cell in enumerate(notebook.cells) if "def note(" in cell.source)
    notebook.cells[at].source += SMALL_LIBRARY.format(library=str(library))
    nbformat.write(notebook, tmp_path / "resume.ipynb")
    return tmp_path / "resume.ipynb"


def test_the_demo_kills_a_kernel_and_proves_that_nothing_is_done_twice(small_resume, tmp_path):
    """R3."""
    out = tmp_path / "out"
    code = "import sys, run_demo, pathlib; sys.exit(run_demo.main(*map(pathlib.Path, sys.argv[1:])))"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY"))}
    (tmp_path / "home").mkdir()
    places = ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    env |= dict.fromkeys(places, str(tmp_path / "home")) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{NOTEBOOKS}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(out), str(small_resume)], env=env,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was done twice, and nothing was lost." in done.stdout
    assert re.search(r"41 tasks: 39 completed, 2 failed · \d+ replayed", done.stdout)
    assert "◐ Every module of the standard library · INTERRUPTED" in done.stdout
    tables = [
        output.data["text/markdown"]
        for cell in nbformat.read(out / "resume.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    assert "| 40 | 152 | 38 | 38 | 0 |" in tables[0]
    assert "bad\\_syntax.py" in tables[2]
    assert "bad\\_text.py" in tables[2]
    assert (out / "resume.html").exists()


@pytest.fixture
def demo():
    spec = importlib.util.spec_from_file_location("run_demo", NOTEBOOKS / "run_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proof(
    demo,
    first=("a", "b", "c"),
    second=("c", "d"),
    recorded=("a", "b"),
    status="COMPLETED",
    end="abcd",
    shown=2,
):
    at_kill = demo.Stored("INTERRUPTED", "", set(recorded), set())
    at_end = demo.Stored(status, "", set(end), set())
    return demo.prove(list(first), list(second), at_kill, at_end, f"4 tasks: 4 completed · {shown} replayed")


def test_the_proof_holds_for_what_it_should_hold_for(demo, capsys):
    assert proof(demo)
    assert re.search(r"1 +was in flight", capsys.readouterr().out)


@pytest.mark.parametrize(
    "what",
    [
        {"second": "bcd", "shown": 1},  # a recorded body ran again
        {"first": "aabc"},  # a body ran twice in one kernel
        {"end": "bcd"},  # a recorded result is gone
        {"second": "c"},  # a result without a body
        {"status": "FAILED"},
        {"shown": 3},  # the notebook says something else
    ],
)
def test_the_proof_fails_when_something_is_amiss(demo, what):
    assert not proof(demo, **what)


@pytest.fixture(scope="module")
def onboarding(tmp_path_factory):
    return run_twice(tmp_path_factory.mktemp("onboarding") / "notebooks", "onboarding.ipynb")


def test_a_person_approves_and_waits_are_skipped(onboarding):
    """R2, A5: one run whose waits are skipped, one whose wait of three hours is ended; nobody is asked twice."""
    tried = of(onboarding.second, 'waits="skip"').tree
    assert '✔ welcome · "approve" by jane · replayed' in tried
    assert "✔ wait 3 hours [wait] · skipped 3 h · replayed" in tried
    assert "Send the welcome e-mail to Ana Silva?" in of(onboarding.first, 'waits="skip"').result
    assert of(onboarding.first, "event = await").printed.startswith("WAITING until")
    assert of(onboarding.first, 'run.task("welcome").output').printed.startswith("approve by jane")
    assert counts(onboarding.first, "e-mails sent by this kernel") == [2]

    assert "no open questions" in of(onboarding.second, 'waits="skip"').result
    assert of(onboarding.second, "event = await").printed.startswith("COMPLETED")
    assert of(onboarding.second, 'run.task("welcome").output').printed.startswith("approve by jane")
    assert counts(onboarding.second, "e-mails sent by this kernel") == [0]
    assert onboarding.bodies == []


@pytest.fixture(scope="module")
def nightly(tmp_path_factory):
    return run_twice(tmp_path_factory.mktemp("nightly") / "notebooks", "nightly.ipynb")


def test_a_report_goes_from_the_notebook_to_a_worker(nightly):
    """The worker and the command line have the notebook's jobs and its store, and repeat nothing."""
    tree = of(nightly.first, "await nightly.run()").tree
    assert "✔ Porto · attempt 2 · retried" in tree
    assert re.search(r"nightly +30 2 \* \* \*", of(nightly.first, "client.listen()").tree)
    worker = of(nightly.first, "work nightly.ipynb --once").printed
    assert "code cell 3: left out `path = await nightly.run()`" in worker
    assert "code cell 5: left out `!{sys.executable} -m trigger_nb work nightly.ipynb --once`" in worker
    assert re.search(r"serves nightly\.ipynb \(nightly\) from .*notebooks/\.trigger_nb/nightly", worker)
    assert "ended" in worker.splitlines()[-1]
    by_hand = of(nightly.first, "run nightly.ipynb").printed
    assert "6 tasks: 6 completed · 6 replayed" in by_hand
    assert "Everything was replayed" in of(nightly.second, "await nightly.run()").tree
    assert nightly.bodies == []
