"""Nothing happens without a word outside the tree: stale results, events that nobody hears, runs that continue."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.kernels import ROOT, Kernel

JOB = """
PROMPT = "{prompt}"

def summarize(text):
    return PROMPT + text

def ask(text):
    return summarize(text)

@job
async def nightly(payload, io):
    return await io.run_task("ask", ask, payload)
"""
IMPORT = "from trigger_nb import TriggerClient, event_trigger, job\n"


def script(directory, *code: str) -> subprocess.CompletedProcess[str]:
    """Run a script as cron does."""
    directory.mkdir(exist_ok=True)
    file = directory / "script.py"
    file.write_text(IMPORT + "\n".join(code), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, file.name],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def warned(text: str) -> list[str]:
    """The lines of a text that warn."""
    return [line for line in text.splitlines() if "RuntimeWarning" in line]


# Results of changed code ----------------------------------------------------------------------------


def test_a_script_that_used_the_result_of_changed_code_says_so_in_one_line(tmp_path):
    run = "print(nightly.run_sync('x'))"
    assert warned(script(tmp_path / "s", JOB.format(prompt="a"), run).stderr) == []
    again = script(tmp_path / "s", JOB.format(prompt="b"), run)
    assert again.stdout == "ax\n"
    (line,) = warned(again.stderr)
    assert "ask (code: global PROMPT) has changed; its stored result was reused" in line
    assert 'nightly.run_sync(..., on_change="only") runs it again' in line
    assert "script.py:" in line

    edited = JOB.replace("PROMPT + text", "PROMPT + text.upper()").format(prompt="a")
    (line,) = warned(script(tmp_path / "s", edited, run).stderr)
    assert "ask (code: function summarize) has changed" in line
    done = script(tmp_path / "s", edited, "print(nightly.run_sync('x', on_change='only'))")
    assert (done.stdout, warned(done.stderr)) == ("aX\n", [])


def test_a_script_names_the_changed_subtask_of_a_replayed_task(tmp_path):
    nested = (
        JOB
        + "\nasync def outer(text, io):\n    return await io.run_task('inner', ask, text)\n"
        + ("\n@job\nasync def nested(payload, io):\n    return await io.run_task('outer', outer, payload)\n")
    )
    run = "nested.run_sync('x')"
    script(tmp_path / "s", nested.format(prompt="a"), run)
    (line,) = warned(script(tmp_path / "s", nested.format(prompt="b"), run).stderr)
    assert "outer/inner (code: global PROMPT)" in line


def test_a_notebook_that_a_program_runs_keeps_the_line_in_its_file(tmp_path):
    def execute(prompt: str) -> list[str]:
        cells = [IMPORT, JOB.format(prompt=prompt), "await nightly.run('x')"]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
        client.execute(env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)})
        outputs = notebook.cells[-1].outputs
        return warned("".join(each.text for each in outputs if each.output_type == "stream"))

    assert execute("a") == []
    (line,) = execute("b")
    assert "ask (code: global PROMPT) has changed" in line
    assert 'nightly.run(..., on_change="only")' in line


def test_in_a_notebook_the_tree_warns_and_stderr_does_not(kernel: Kernel):
    kernel.run(JOB.format(prompt="a"), "await nightly.run('tree')").check()
    cell = kernel.run("PROMPT = 'b'", "await nightly.run('tree')").check()
    assert "⚠ `ask` (code: global PROMPT) has changed" in " ".join(cell.tree.split())
    (display,) = cell.displays
    assert 'class="tnb-y tnb-warn">⚠ <code>ask</code> (code: global PROMPT)' in display["text/html"]
    assert cell.complained == ""


def test_in_a_notebook_a_run_without_a_tree_warns(kernel: Kernel):
    kernel.run(JOB.format(prompt="a"), "await nightly.run('hidden')").check()
    cell = kernel.run("PROMPT = 'b'", "await nightly.run('hidden', display=False)").check()
    (line,) = warned(cell.complained)
    assert "ask (code: global PROMPT) has changed" in line


# Events ---------------------------------------------------------------------------------------------

LISTENER = """
client = TriggerClient("events")

@client.job(trigger=event_trigger("user.created", filter={"plan": ["pro"]}))
async def welcome(payload, io):
    print("called")
    return await io.run_task("mail", lambda: "sent")

async def send(*names, **payload):
    return [await run for name in names for run in (await client.send_event(name, payload)).runs]
"""


def test_an_event_that_nobody_hears_says_so(tmp_path):
    done = script(
        tmp_path / "s", LISTENER, "import asyncio", "asyncio.run(send('user.creatd', 'other', plan='pro'))"
    )
    misspelt, other = warned(done.stderr)
    assert (
        "event 'user.creatd' started nothing: no job listens to it. Did you mean 'user.created'?" in misspelt
    )
    assert "listen to 'user.created'" in other
    assert "script.py:" in other

    done = script(
        tmp_path / "s", LISTENER, "import asyncio", "asyncio.run(send('user.created', plan='free'))"
    )
    (line,) = warned(done.stderr)
    assert "job 'welcome' listens to it, but the filter or source of its trigger does not match" in line


def test_an_event_sent_before_the_cells_of_the_jobs_says_to_run_them(kernel: Kernel):
    cell = kernel.run("await TriggerClient('nobody').send_event('user.created', {})").check()
    (line,) = warned(cell.complained)
    assert (
        "No job with an event_trigger is defined in this kernel: run the cells that define the jobs first"
        in line
    )


def test_an_event_that_a_job_sends_to_nobody_is_told_in_the_jobs_tree(kernel: Kernel):
    cell = kernel.run(
        """
        alone = TriggerClient("alone")

        @alone.job
        async def sender(payload, io):
            await io.send_event("tell", "nobody.hears", {})

        await sender.run()
        """
    ).check()
    assert "warning: event 'nobody.hears' started nothing" in " ".join(cell.tree.split())


def test_an_event_sent_again_after_its_run_has_completed_calls_nothing(tmp_path):
    send = "import asyncio\nprint(asyncio.run(send('user.created', plan='pro')))"
    assert script(tmp_path / "s", LISTENER, send).stdout == "called\n['sent']\n"
    again = script(tmp_path / "s", LISTENER, send)
    assert (again.stdout, again.stderr) == ("['sent']\n", "")

    edited = script(tmp_path / "s", LISTENER.replace('"sent"', '"sent anew"'), send)
    assert edited.stdout == "['sent']\n"
    (line,) = warned(edited.stderr)
    assert "has completed, and is not started again, though the code of the job has changed since" in line
    assert "send_event(..., fresh=True) starts a new run" in line


def test_an_event_sent_again_runs_edited_code_if_the_job_says_so(tmp_path):
    listener = LISTENER.replace("@client.job(", '@client.job(on_change="only", ')
    send = "import asyncio\nprint(asyncio.run(send('user.created', plan='pro')))"
    script(tmp_path / "s", listener, send)
    edited = script(tmp_path / "s", listener.replace('"sent"', '"sent anew"'), send)
    assert (edited.stdout, edited.stderr) == ("called\n['sent anew']\n", "")


# Runs that continue ---------------------------------------------------------------------------------

FLAKY = """
broken = True

def call(name):
    if broken:
        raise ValueError(name)
    return name

@job
async def flaky(payload, io):
    await io.run_task("first", str, payload)
    return await io.run_task("call", call, payload)
"""


@pytest.mark.parametrize("command", ["run.retry()", "run.rerun_from('first')", "run.fork('first')"])
def test_a_cell_that_continues_a_run_shows_its_tree(kernel: Kernel, command):
    kernel.run(FLAKY)
    kernel.run(f"await flaky.run({command!r})")
    find = f"run = flaky.runs()[0]; broken = False; again = {command}"
    cell = kernel.run(find, "await again").check()
    assert "✔ flaky · COMPLETED" in cell.tree


def test_a_cell_that_resumes_a_run_shows_its_tree(kernel: Kernel):
    kernel.run(FLAKY, "broken = False", "run = flaky.start('resume', display=False)", "run.cancel()").check()
    cell = kernel.run("run = flaky.client.run(run.id)", "run.resume()", "await run").check()
    assert "✔ flaky · COMPLETED" in cell.tree


def test_a_cell_that_awaits_a_run_continued_elsewhere_shows_its_tree(kernel: Kernel):
    kernel.run(
        """
        @job
        async def slow(payload, io):
            await io.run_task("wait", until, payload)

        run = slow.start("continued")
        run.cancel()
        """
    ).check()
    first = kernel.run("run.resume();").check()
    running = kernel.submit("await run")
    kernel.pump(lambda: any(m["msg_type"] == "display_data" for m in running.messages))
    kernel.signal("continued")
    assert "✔ slow · COMPLETED" in running.end().check().tree
    assert len(first.displays) == 1


@pytest.mark.parametrize("end", ["", "run"])
def test_a_run_that_continues_twice_in_a_cell_shows_one_live_tree(kernel: Kernel, end):
    kernel.run(FLAKY, "broken = False", "run = flaky.start('twice')", "await run").check()
    cell = kernel.run("run.rerun_from('call')", "run.rerun_from('first')", "await run", end).check()
    assert len(cell.displays) == 1


def test_a_run_that_was_started_without_a_tree_continues_without_one(kernel: Kernel):
    kernel.run(FLAKY, "broken = False").check()
    cell = kernel.run(
        "run = flaky.start('quiet', display=False)", "await run", "run.rerun_from('first')", "await run"
    ).check()
    assert cell.displays == []


# Reloaded modules -----------------------------------------------------------------------------------

MODULE = """
from trigger_nb import job

@job(id="{job}")
async def flow(payload, io):
    return await io.run_task("task", lambda: "{version} of " + payload), "{version}"
"""


def write_module(kernel: Kernel, version: int, job: str = "flow") -> None:
    """Edit the module beside the notebook. Its time changes, however coarse the clock of the disk is."""
    file = kernel.directory / "flows.py"
    file.write_text(MODULE.format(job=job, version=f"v{version}"), encoding="utf-8")
    os.utime(file, (version * 100, version * 100))


@pytest.fixture
def flows(kernel: Kernel) -> Kernel:
    write_module(kernel, 1)
    kernel.run(
        "import importlib, sys", "sys.modules.pop('flows', None)", "import flows", "from flows import flow"
    ).check()
    assert (
        kernel.run("print(await flow.run('first', fresh=True))").check().printed == "('v1 of first', 'v1')\n"
    )
    return kernel


@pytest.mark.parametrize("autoreload", [0, 2])
def test_a_job_imported_from_a_reloaded_module_is_the_new_one(flows: Kernel, autoreload):
    flows.run("%load_ext autoreload", f"%autoreload {autoreload}").check()
    write_module(flows, 2)
    flows.run("" if autoreload else "importlib.reload(flows)").check()
    cell = flows.run("print(await flow.run('second', fresh=True), flow is flows.flow)").check()
    assert (cell.printed, cell.complained) == ("('v2 of second', 'v2') True\n", "")
    flows.run("%autoreload 0").check()


@pytest.mark.parametrize("reload", ["del sys.modules['flows']; import flows", "importlib.reload(flows)"])
def test_a_job_that_is_not_the_new_one_says_so(flows: Kernel, reload):
    write_module(flows, 2, job="renamed")
    flows.run(reload).check()
    cell = flows.run("print(await flow.run('third', fresh=True))").check()
    assert cell.printed.endswith("'v1')\n")
    (line,) = warned(cell.complained)
    assert (
        "job 'flow' as module 'flows' defined it before it was imported again, and it runs the old code"
        in line
    )
    assert "from flows import flow gives the new job" in line
    assert warned(flows.run("print(await flows.flow.run('third', fresh=True))").check().complained) == []


def test_a_change_is_named_also_after_a_crash(tmp_path):
    crashing = (
        JOB
        + "\nimport os\n\n@job\nasync def crashing(payload, io):\n    await io.run_task('ask', ask, payload)\n"
        + ("    await io.run_task('crash', lambda: os._exit(9) if PROMPT == 'a' else 1)\n")
    )
    with pytest.raises(subprocess.CalledProcessError):
        script(tmp_path / "s", crashing.format(prompt="a"), "crashing.run_sync('x')")
    (line,) = warned(script(tmp_path / "s", crashing.format(prompt="b"), "crashing.run_sync('x')").stderr)
    assert "ask (code: global PROMPT) has changed" in line
