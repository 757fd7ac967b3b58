"""Questions over real kernels that are killed, and answers of other processes (rules R1, R3, W2, C5)."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.support.kernels import ROOT
from tests.support.worlds import wait_until
from trigger_nb import TriggerClient
from trigger_nb.errors import RunStateError
from trigger_nb.testing import FakeClock

JOB = """
    from pydantic import BaseModel, field_validator

    class Budget(BaseModel):
        limit: int
        note: str = ""

        @field_validator("note")
        @classmethod
        def is_quiet(cls, value):
            assert not value.isupper(), "do not shout"
            return value

    client = TriggerClient(NAME)

    @client.job
    async def publish(payload, io):
        await io.run_task("before", effect, f"before {NAME}")
        approval = await io.wait_for_approval("go", prompt="Publish?", schema=Budget, timeout=LIMIT)
        await io.run_task("after", effect, f"after {NAME} {approval.choice} {approval.data and approval.data.limit} {approval.by}")
        return approval.choice
"""
START = "run = publish.start(display=False)"


def begun(kernel, name, limit=None):
    """A run that waits for its answer, and the client of the test's own process on its store."""
    kernel.run(f"NAME, LIMIT = {name!r}, {limit!r}", JOB, START).check()
    client = TriggerClient(name, dir=kernel.directory / ".trigger_nb")
    wait_until(lambda: [question.path for question in client.approvals()] == ["go"])
    return client


def test_an_answer_of_another_process_wakes_the_run(kernel):
    """The run notices it, while its kernel is free for cells."""
    client = begun(kernel, "awake")
    (run,) = client.runs()
    assert client.approvals()[0].is_driven
    run.approve("go", data={"limit": 3}, by="ada")
    kernel.until_effect("after awake approve 3 ada")
    kernel.run("assert await run == 'approve'").check()
    assert kernel.effects.count("before awake") == 1


@pytest.mark.parametrize("killed", ["before the answer", "after the answer"])
def test_a_kernel_killed_while_it_waits(kernel, killed):
    """R1, W2: what came while the kernel was down counts, and nothing before it runs again."""
    name = killed.replace(" ", "-")
    client = begun(kernel, name)
    if killed == "after the answer":
        client.runs()[0].approve("go", data={"limit": 5}, by="ada")
    kernel.kill()
    (run,) = client.runs()
    if killed == "before the answer":
        (question,) = client.approvals()
        assert not question.is_driven
        assert "No kernel drives the run" in run.tree()
        run.approve("go", data={"limit": 5}, by="ada")
        assert len(client.approvals()) == 0
    kernel.start()
    kernel.run(f"NAME, LIMIT = {name!r}, None", JOB, START, "assert await run == 'approve'").check()
    assert kernel.effects.count(f"before {name}") == 1
    assert kernel.effects.count(f"after {name} approve 5 ada") == 1
    with pytest.raises(RunStateError, match="it has completed"):
        client.runs()[0].reject("go")


def test_killed_again_and_again(kernel):
    """W1, W2: each kernel asks the same question, with the same time limit, and no task before it is repeated."""
    client = begun(kernel, "again", 3600)
    until = client.approvals()[0].until
    for _ in range(3):
        kernel.restart()
        kernel.run("NAME, LIMIT = 'again', 3600", JOB, START).check()
        wait_until(lambda: client.approvals()[0].is_driven)
        assert client.approvals()[0].until == until
    client.runs()[0].reject("go", by="bob")
    kernel.run("assert await run == 'reject'").check()
    assert kernel.effects.count("before again") == 1


def test_an_answer_that_only_the_class_can_refuse(kernel):
    """The kernel that drives the run refuses it, and asks again."""
    client = begun(kernel, "strict")
    (run,) = client.runs()
    run.approve("go", data={"limit": 1, "note": "LOUD"})
    wait_until(lambda: "refused" in run.task("go").data)
    wait_until(lambda: len(client.approvals()) == 1)
    run.approve("go", data={"limit": 2}, by="ada")
    kernel.until_effect("after strict approve 2 ada")


ANSWER = """
import sys, time
from trigger_nb import TriggerClient
from trigger_nb.errors import AlreadyAnsweredError

name, folder, me = sys.argv[1:]
run = TriggerClient(name, dir=folder).runs()[0]
run.task("go")
print("ready", flush=True)
sys.stdin.readline()
try:
    run.approve("go", data={"limit": int(me)}, by=me)
    print("won", flush=True)
except AlreadyAnsweredError as error:
    print("lost to", error.by, flush=True)
"""


def test_answers_of_several_processes_at_once(kernel, tmp_path):
    """C5: one is taken, and the others are told whose it is."""
    client = begun(kernel, "race")
    script = tmp_path / "answer.py"
    script.write_text(ANSWER)
    folder = str(kernel.directory / ".trigger_nb")
    people = [
        subprocess.Popen(
            [sys.executable, str(script), "race", folder, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )
        for number in range(4)
    ]
    try:
        for each in people:
            assert each.stdout.readline() == "ready\n"
        for each in people:
            each.stdin.write("go\n")
            each.stdin.flush()
        said = [each.stdout.readline().strip() for each in people]
    finally:
        for each in people:
            each.stdin.close()
            each.wait()
            each.stdout.close()
    (winner,) = [number for number, text in enumerate(said) if text == "won"]
    assert said.count(f"lost to {winner}") == 3
    kernel.until_effect(f"after race approve {winner} {winner}")
    assert client.runs()[0].task("go").data["answer"]["by"] == str(winner)


def test_what_is_due_after_a_kernel_died(kernel):
    """W2: a wait whose time came without a kernel says since when, and what to type."""
    kernel.run(
        """
        client = TriggerClient("due")

        @client.job
        async def nap(payload, io):
            await io.wait("nap", hours=1)

        run = nap.start(display=False)
        """
    ).check()
    clock = FakeClock(time.time() + 7200, autojump=False)
    client = TriggerClient("due", dir=kernel.directory / ".trigger_nb", clock=clock)
    (run,) = client.runs()
    wait_until(lambda: run.task("nap").next_at is not None)
    assert "no kernel drives the run" not in run.tree()
    kernel.kill()
    (run,) = client.runs()
    assert run.wake_at == run.task("nap").next_at
    for text in (run.tree(), repr(client.runs()), client.runs()._repr_html_()):
        assert "due since" in text
        assert f"client.run('{run.id}').resume()" in text.replace("&#x27;", "'")
    kernel.start()
