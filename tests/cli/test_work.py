"""`trigger-nb work` in real processes: told to end, killed, and started again."""

from __future__ import annotations

import signal

import pytest

from tests.cli.programs import wait_until
from trigger_nb import TriggerClient

JOBS = """
client = TriggerClient("serve")

@client.job
async def chain(payload, io):
    for number in range(3):
        async def body(number=number):
            effect(f"{payload} begins {number}")
            await until(f"{payload}{number}")
            effect(f"{payload} ends {number}")
            return number
        await io.run_task(f"step-{number}", body)
    return "done"

@client.job
async def sleeper(payload, io):
    await io.run_task("first", lambda: effect("first"))
    await io.wait("nap", seconds=payload)
    await io.run_task("second", lambda: effect("second"))

@client.job
async def later(payload, io):
    async def body():
        effect("later")
        await until("now")
    await io.run_task("body", body)
    await io.wait("nap", days=1)
"""


@pytest.fixture
def served(folder):
    folder.script("serve.py", JOBS)
    return folder


def begun(folder, payload):
    """A run of `chain` whose process was killed in its second step."""
    folder.signal(f"{payload}0")
    driver = folder.begin("run", "serve.py:chain", "--payload", f'"{payload}"', "--run-id", payload)
    driver.until(lambda: f"{payload} begins 1" in folder.effects)
    driver.kill()
    return payload


def status(folder, run_id):
    return next(run["status"] for run in folder.runs() if run["id"] == run_id)


def test_a_run_whose_process_died_is_continued_and_nothing_is_repeated(served):
    """R3, C5."""
    run_id = begun(served, "a")
    assert status(served, run_id) == "INTERRUPTED"
    worker = served.begin("work", "serve.py")
    worker.until(lambda: served.effects.count("a begins 1") == 2)
    served.signal("a1")
    served.signal("a2")
    worker.until_said("a: completed job chain")
    assert "a: continues job chain (its process is gone)" in worker.said
    worker.tell()
    assert worker.ended() == 0
    assert "Traceback" not in worker.said
    assert served.effects == [
        "a begins 0", "a ends 0", "a begins 1", "a begins 1", "a ends 1", "a begins 2", "a ends 2",
    ]  # fmt: skip
    assert status(served, run_id) == "COMPLETED"


def test_sigterm_lets_bodies_end_begins_no_other_and_leaves_the_run_to_the_next_worker(served):
    """A7: left as a run of a dead process is, and not paused for its user."""
    run_id = begun(served, "a")
    worker = served.begin("work", "serve.py", "--grace", "100")
    worker.until(lambda: served.effects.count("a begins 1") == 2)
    worker.tell()
    worker.until_said("1 runs are left")
    served.signal("a1")
    assert worker.ended() == 0
    assert served.effects[-1] == "a ends 1"
    assert status(served, run_id) == "INTERRUPTED"
    served.signal("a2")
    served.call("work", "serve.py", "--once")
    assert served.effects.count("a begins 1") == 2
    assert served.effects[-1] == "a ends 2"
    assert status(served, run_id) == "COMPLETED"


@pytest.mark.parametrize("hurry", ["grace", "again"])
def test_bodies_that_do_not_end_in_time_are_cut_and_run_again(served, hurry):
    run_id = begun(served, "a")
    worker = served.begin("work", "serve.py", "--grace", "0" if hurry == "grace" else "1000")
    worker.until(lambda: served.effects.count("a begins 1") == 2)
    worker.tell()
    if hurry == "again":
        worker.until_said("left to the next process")
        worker.tell(signal.SIGINT)
    assert worker.ended() == 0
    assert status(served, run_id) == "INTERRUPTED"
    served.signal("a1")
    served.signal("a2")
    served.call("work", "serve.py", "--once")
    assert status(served, run_id) == "COMPLETED"
    assert served.effects.count("a begins 1") == 3


def test_a_worker_that_is_killed_leaves_its_runs_to_the_next_one(served):
    begun(served, "a")
    for _ in range(2):
        worker = served.begin("work", "serve.py")
        count = served.effects.count("a begins 1")
        worker.until(lambda count=count: served.effects.count("a begins 1") > count)
        worker.kill()
    served.signal("a1")
    served.signal("a2")
    served.call("work", "serve.py", "--once")
    assert status(served, "a") == "COMPLETED"
    assert [served.effects.count(f"a ends {number}") for number in range(3)] == [1, 1, 1]


def test_a_wait_is_continued_when_it_is_due_and_not_before(served):
    """W2: a wait needs no process."""
    driver = served.begin("run", "serve.py:sleeper", "--payload", "86400", "--run-id", "long")
    driver.until_said("WAITING")
    driver.kill()
    for seconds in ("1", "10", "100"):
        driver = served.begin("run", "serve.py:sleeper", "--payload", seconds, "--run-id", f"short-{seconds}")
        driver.until_said("WAITING")
        driver.kill()
        if status(served, f"short-{seconds}") == "WAITING":  # on a slow machine it may have been continued
            break
    worker = served.begin("work", "serve.py")
    worker.until_said(f"short-{seconds}: completed job sleeper")
    assert "long" not in worker.said
    assert status(served, "long") == "WAITING"
    worker.tell()
    assert worker.ended() == 0


def test_a_run_that_waits_stays_waiting_when_its_worker_ends(served):
    driver = served.begin("run", "serve.py:later", "--run-id", "late")
    driver.until(lambda: served.effects == ["later"])
    driver.kill()
    worker = served.begin("work", "serve.py")
    worker.until(lambda: served.effects == ["later"] * 2)
    served.signal("now")
    worker.until(lambda: status(served, "late") == "WAITING")
    worker.tell()
    assert worker.ended() == 0
    (run,) = served.runs()
    assert (run["status"], run["reason"], run["passes"]) == ("WAITING", "wait", 2)


def test_what_a_person_has_stopped_stays_stopped(served):
    """A7: paused, canceled and interrupted runs are continued by hand."""
    for run_id, stop in (("p", "pause"), ("c", "cancel"), ("i", None)):
        driver = served.begin("run", "serve.py:sleeper", "--payload", "86400", "--run-id", run_id)
        driver.until_said("WAITING")
        if stop is None:
            driver.tell(signal.SIGINT)
        else:
            served.call(stop, run_id)
        driver.ended()
        client = TriggerClient("serve", dir=served.path / ".trigger_nb", display=False)
        client.run(run_id).skip_wait("nap")  # so that it would be due
    before = {run["id"]: (run["status"], run["passes"]) for run in served.runs()}
    done = served.call("work", "serve.py", "--once")
    assert {run["id"]: (run["status"], run["passes"]) for run in served.runs()} == before
    assert "continues" not in done.stderr


def test_a_worker_does_what_other_terminals_ask_for(served):
    begun(served, "a")
    worker = served.begin("work", "serve.py")
    worker.until(lambda: served.effects.count("a begins 1") == 2)
    assert "a CANCELED" in served.call("cancel", "a").stdout
    worker.until_said("a: told to cancel")
    worker.until_said("a: job chain is CANCELED")


def test_a_run_of_a_job_that_no_file_defines_is_named_once(served):
    begun(served, "a")
    served.script("serve.py", JOBS.replace("async def chain", "async def other"))
    worker = served.begin("work", "serve.py")
    worker.until_said("a waits for job 'chain', which serve.py does not define")
    assert worker.said.count("does not define") == 1


def test_two_workers_share_the_runs_of_a_store(served):
    """C5: each is driven by one of them."""
    names = [f"r{number}" for number in range(4)]
    for name in names:
        begun(served, name)
        for number in range(1, 3):
            served.signal(f"{name}{number}")
    workers = [served.begin("work", "serve.py") for _ in range(2)]

    def said():
        return "".join(worker.said for worker in workers)

    wait_until(lambda: all(f"{name}: completed" in said() for name in names), said)
    assert [served.effects.count(f"{name} ends {number}") for name in names for number in range(3)] == [
        1
    ] * 12
    assert "ERROR" not in said()


def test_several_files_have_a_process_each_which_ends_with_the_first(served):
    served.script("more.py", JOBS.replace('"serve"', '"more"'))
    begun(served, "a")
    crew = served.begin("work", "serve.py", "more.py")
    crew.until(lambda: served.effects.count("a begins 1") == 2)
    crew.until_said("serves more.py")
    crew.kill()
    served.signal("a1")
    wait_until(lambda: crew.said.count(" ended") == 2, lambda: crew.said)
    assert status(served, "a") == "INTERRUPTED"
    served.signal("a2")
    served.call("work", "serve.py", "more.py", "--once")
    assert status(served, "a") == "COMPLETED"


def test_a_code_of_today_continues_runs_that_wait(served):
    """R6: what is done is kept, and the rest is run as it is now."""
    driver = served.begin("run", "serve.py:sleeper", "--payload", "1", "--run-id", "w")
    driver.until_said("WAITING")
    driver.kill()
    served.script("serve.py", JOBS.replace('effect("second")', 'effect("second of today")'))
    worker = served.begin("work", "serve.py")
    worker.until_said("w: completed")
    assert served.effects == ["first", "second of today"]


EVENTS = """
from trigger_nb import event_trigger
from trigger_nb import interval_trigger
client = TriggerClient("serve")

@client.job(trigger=event_trigger("user.created"))
async def welcome(payload, io):
    return await io.run_task("mail", lambda: effect(f"welcome {payload['id']}"))

@client.job(trigger=interval_trigger(seconds=1))
async def tick(payload, io):
    await io.run_task("tick", lambda: effect("tick"))
"""


def test_events_and_schedules_start_their_runs_once(served):
    served.script("serve.py", EVENTS)
    worker = served.begin("work", "serve.py")
    worker.until(lambda: "tick" in served.effects)
    for number in (1, 2, 1):
        payload = f'{{"id": {number}}}'
        done = served.call("send-event", "user.created", "--payload", payload, "--id", f"u{number}")
        assert done.stdout == f"u{number} delivered: it starts welcome\n"
    worker.until(lambda: {"welcome 1", "welcome 2"} <= set(served.effects))
    worker.tell()
    assert worker.ended() == 0
    served.call("send-event", "user.created", "--payload", '{"id": 3}')  # while none listens
    served.call("work", "serve.py", "--once")
    assert [each for each in served.effects if each != "tick"] == ["welcome 1", "welcome 2", "welcome 3"]
    assert "no job listens to it yet" in served.call("send-event", "user.gone").stdout
