"""The live widget in a real kernel, without a browser: a front end in Python reads its messages and presses its buttons."""

from __future__ import annotations

import json
from itertools import pairwise
from uuid import uuid4

import pytest

from tests.support.front import WIDGET, KernelFront, send_comm
from tests.support.kernels import Kernel, kernel_in

STEPS = """
    @client.job(name="Two steps")
    async def {name}(payload, io):
        def body(step):
            print("printed in", step)
            effect(f"{name} " + step)
            until(f"{name} go " + step)
            return step.upper()
        await io.run_task("one", body, "one", name="Step one")
        await io.run_task("two", body, "two", name="Step two")
        return "done"
"""
WAITS = """
    @client.job
    async def {name}(payload, io):
        await io.run_task("before", lambda: effect("{name} before"))
        await io.wait("wait", hours=1)
        await io.run_task("after", lambda: effect("{name} after"))
        return "done"
"""
FAILS = """
    @client.job
    async def {name}(payload, io):
        def body():
            if effect("{name} tried") == 1:
                until("{name} fails")
                raise ValueError("the first time")
            return "the second time"
        await io.run_task("before", lambda: effect("{name} before"))
        return await io.run_task("fails", body)
"""


def define(kernel: Kernel, job: str, name: str) -> None:
    kernel.run(job.format(name=name)).check()


def begin(kernel: Kernel, code: str):
    """Begin a cell that shows a run, and a front end that draws it: the cell, and the front end."""
    front = KernelFront(kernel, since=len(kernel.all_messages))
    return kernel.submit(code), front.opens()


def fail(kernel: Kernel, name: str):
    """Begin a cell whose run fails once the kernel knows of the page that shows it: the cell, and the front end."""
    define(kernel, FAILS, name)
    cell, front = begin(kernel, f"await {name}.run()")
    front.until(state(front, "fails", "running"))
    front.ask("rerun_from", "fails")  # with the answer what was said before has been heard
    kernel.signal(f"{name} fails")
    return cell, front


def show(kernel: Kernel, code: str) -> KernelFront:
    """Run a cell that shows a run, to a front end that draws it."""
    cell, front = begin(kernel, code)
    cell.end().check()
    return front


def status(front: KernelFront, text: str):
    return lambda: front.run["status"] == text


def state(front: KernelFront, name: str, expected: str):
    return lambda: (row := front.row(name)) is not None and row["s"] == expected


def snapshots(kernel: Kernel, model_id: str) -> list[dict]:
    """What stood right after a widget, in order."""
    shown = [m["content"] for m in kernel.all_messages if m["msg_type"] == "display_data"]
    places = {
        after["transient"]["display_id"]
        for before, after in pairwise(shown)
        if before["data"].get(WIDGET, {}).get("model_id") == model_id
    }
    updated = [m["content"] for m in kernel.updates()]
    return [each["data"] for each in (*shown, *updated) if each["transient"].get("display_id") in places]


def remains(kernel: Kernel, front: KernelFront, text: str) -> dict:
    """The snapshot that a file keeps, which says this."""
    kernel.pump(lambda: text in snapshots(kernel, front.model_id)[-1]["text/plain"])
    return snapshots(kernel, front.model_id)[-1]


# --- what is seen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["await {}.run()", "{}.start()"], ids=["awaited", "started"])
def test_a_run_is_seen_as_it_goes_on(kernel, code):
    """D1: live while a cell awaits it, and while none runs."""
    name = f"live_{uuid4().hex[:6]}"
    define(kernel, STEPS, name)
    cell, front = begin(kernel, code.format(name))
    front.until(state(front, "Step one", "running"))
    assert front.run["title"] == "Two steps"
    assert front.run["status"] == "RUNNING"
    assert front.row("Step one")["t"] is not None
    kernel.signal(f"{name} go one")
    front.until(state(front, "Step two", "running"))
    assert front.states == {"Step one": "completed", "Step two": "running"}
    assert front.run["chips"] == [["completed", "1", "completed"], ["running", "1", "running"]]
    kernel.signal(f"{name} go two")
    front.until(status(front, "COMPLETED"))
    cell.end().check()
    assert front.states == {"Step one": "completed", "Step two": "completed"}
    assert front.run["ended"]
    assert "done" in front.run["output"]


def test_details_are_sent_while_they_are_open(kernel):
    """D2: params, prints and output, as they come."""
    define(kernel, STEPS, "detailed")
    cell, front = begin(kernel, "await detailed.run()")
    front.until(state(front, "Step one", "running"))
    assert front.details == {}
    index = front.row("Step one")["i"]
    front.send({"t": "details", "i": index, "on": True})
    front.until(lambda: "printed in one" in json.dumps(front.details.get(str(index))))
    assert "ONE" not in json.dumps(front.details[str(index)])
    kernel.signal("detailed go one")
    front.until(lambda: "ONE" in json.dumps(front.details[str(index)]))
    front.send({"t": "details", "i": index, "on": False})
    kernel.signal("detailed go two")
    cell.end().check()
    assert list(front.details) == [str(index)]


def test_many_quick_tasks_are_few_messages(kernel):
    """D1: 20 messages a second at most; the server drops what is over 1,000, prints included."""
    kernel.run("""
        @client.job
        async def many(payload, io):
            for n in range(3000):
                await io.run_task(("n", n), asyncio.sleep, 0)
    """).check()
    cell, front = begin(kernel, "begun = time.monotonic(); await many.run(); print(time.monotonic() - begun)")
    took = float(cell.end().check().printed)
    front.until(status(front, "COMPLETED"))
    messages = [
        message
        for message in kernel.all_messages
        if message["content"].get("comm_id") == front.model_id or message["msg_type"] == "update_display_data"
    ]
    assert len(front.received) <= 20 * took + 4
    assert len(messages) <= 20 * took + 4 + len(kernel.updates())
    assert sum(len(json.dumps(update)) for update in front.received) < 1_000_000
    assert front.run["chips"] == [["completed", "3,000", "completed"]]


def test_what_was_replayed_says_so(kernel):
    """D2, R7."""
    define(kernel, STEPS, "replayed")
    for step in ("one", "two"):
        kernel.signal(f"replayed go {step}")
    front = show(kernel, "await replayed.run()")
    kernel.run("run = replayed.start(); await run").check()
    kernel.run("run").check()  # the same widget
    front.until(lambda: front.run["chips"][1:] == [["replayed", "2", "replayed"]])
    assert front.run["chips"][0] == ["completed", "2", "completed"]
    assert all(row["r"] for row in front.rows.values())
    assert any("fresh=True" in hint for hint in front.run["hints"])


def test_two_runs_at_once_do_not_mix(kernel):
    define(kernel, STEPS, "left")
    define(kernel, STEPS, "right")
    left = show(kernel, "left.start()")
    right = show(kernel, "right.start()")
    assert left.model_id != right.model_id
    kernel.signal("left go one")
    left.until(state(left, "Step two", "running"))
    right.until(state(right, "Step one", "running"))
    assert right.states == {"Step one": "running"}
    for name in ("left go two", "right go one", "right go two"):
        kernel.signal(name)
    left.until(status(left, "COMPLETED"))
    right.until(status(right, "COMPLETED"))


def test_without_display_there_is_no_widget(kernel):
    define(kernel, STEPS, "unseen")
    for step in ("one", "two"):
        kernel.signal(f"unseen go {step}")
    cell = kernel.run("await unseen.run(display=False)").check()
    opened = [message for message in cell.messages if message["msg_type"] == "comm_open"]
    assert opened == []  # widgets of the tests before may still have something to say


# --- messages that are lost, pages that come back -----------------------------------------------------


@pytest.mark.parametrize("more", [True, False])
def test_a_lost_message_is_noticed_and_healed(kernel, more):
    """D1: a gap in sequence numbers asks for a new snapshot, also when nothing more is to be told."""
    name = f"lossy_{more}"
    define(kernel, STEPS, name)
    front = show(kernel, f"run = {name}.start()")
    front.until(state(front, "Step one", "running"))
    front.loses = lambda update: "rows" in update and not update.get("reset")
    kernel.signal(f"{name} go one")
    front.until(lambda: front.lost)
    if more:
        front.ask("rerun_from", "Step one")
    front.until(state(front, "Step two", "running"))
    assert front.states == {"Step one": "completed", "Step two": "running"}
    assert not front.missed
    front.loses = lambda _update: False
    kernel.signal(f"{name} go two")
    front.until(status(front, "COMPLETED"))


def test_two_front_ends_see_the_same(kernel):
    """Any number of views of one run; the one that comes later gets everything."""
    define(kernel, STEPS, "shared")
    first = show(kernel, "run = shared.start()")
    first.until(state(first, "Step one", "running"))
    kernel.signal("shared go one")
    first.until(state(first, "Step two", "running"))
    second = KernelFront(kernel, model_id=first.model_id, since=len(kernel.all_messages))
    second.hello()
    second.until(state(second, "Step two", "running"))
    kernel.signal("shared go two")
    for front in (first, second):
        front.until(status(front, "COMPLETED"))
        assert not front.missed
    first.until(lambda: first.number == second.number)
    assert first.states == second.states
    assert first.run == second.run


def reloaded(kernel: Kernel, model_id: str) -> KernelFront:
    """A page that was loaded again, as JupyterLab does it: it asks the kernel for the states of all widgets."""
    control = uuid4().hex
    since = len(kernel.all_messages)
    opening = {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}}
    send_comm(kernel, "comm_open", opening, metadata={"version": "1.0.0"})
    send_comm(kernel, "comm_msg", {"comm_id": control, "data": {"method": "request_states"}})

    def states() -> dict | None:
        return next(
            (
                message["content"]["data"]["states"]
                for message in kernel.all_messages[since:]
                if message["content"].get("comm_id") == control and message["msg_type"] == "comm_msg"
            ),
            None,
        )

    kernel.pump(states)
    front = KernelFront(kernel, model_id=model_id, since=len(kernel.all_messages))
    front.take({**states()[model_id]["state"]["first"], "reset": True})
    front.send({"t": "hello", "n": front.number, "new": True})
    return front


def test_a_page_that_is_loaded_again_gets_everything(kernel):
    """Issue 3: a reload in the middle of a run; what it has is what the widget was made with."""
    define(kernel, STEPS, "again")
    before = show(kernel, "run = again.start()")
    before.until(state(before, "Step one", "running"))
    kernel.signal("again go one")
    before.until(state(before, "Step two", "running"))
    front = reloaded(kernel, before.model_id)
    assert front.run["title"] == "Two steps", "there is a picture at once"
    front.until(lambda: front.states == {"Step one": "completed", "Step two": "running"})
    kernel.signal("again go two")
    front.until(status(front, "COMPLETED"))


def test_a_page_that_is_loaded_again_after_the_end_shows_it(kernel):
    """It knows the widget from the notebook file as it was saved while the run went on."""
    define(kernel, STEPS, "late")
    before = show(kernel, "run = late.start()")
    for step in ("one", "two"):
        kernel.signal(f"late go {step}")
    kernel.run("await run").check()
    before.until(status(before, "COMPLETED"))
    front = reloaded(kernel, before.model_id)
    front.until(lambda: set(front.states.values()) == {"completed"} and len(front.rows) == 2)
    assert front.run["ended"]
    kernel.run("run.delete()").check()
    assert "no run" in front.press("retry")["text"]


# --- what is pressed ----------------------------------------------------------------------------------


def test_skip_wait_while_a_cell_awaits(kernel):
    """D3. Messages reach an awaiting cell's kernel from ipykernel 7.4 on."""
    define(kernel, WAITS, "skips")
    cell, front = begin(kernel, "await skips.run()")
    front.until(status(front, "WAITING"))
    front.until(state(front, "wait", "waiting"))
    assert front.row("wait")["w"] > 3500
    assert any("keeps this cell busy" in hint for hint in front.run["hints"])
    assert front.press("skip_wait", "wait")["ok"]
    assert cell.end().check().result == "'done'"


def test_cancel_while_a_cell_awaits(kernel):
    """D3."""
    define(kernel, WAITS, "cancels")
    cell, front = begin(kernel, "await cancels.run()")
    front.until(status(front, "WAITING"))
    assert front.press("cancel")["ok"]
    ended = cell.end()
    assert ended.error == "RunCanceledError"
    front.until(status(front, "CANCELED"))
    remains(kernel, front, "CANCELED")


def test_pause_while_a_cell_awaits_and_resume(kernel):
    """D3."""
    define(kernel, STEPS, "pauses")
    cell, front = begin(kernel, "await pauses.run()")
    front.until(state(front, "Step one", "running"))
    assert front.why("resume") is None
    assert front.press("pause")["ok"]
    kernel.signal("pauses go one")
    assert "paused" in cell.end().message.lower()
    front.until(status(front, "WAITING (paused)"))
    assert front.why("pause") is None
    assert front.why("resume") == ""
    assert front.press("resume")["ok"]
    front.until(state(front, "Step two", "running"))
    kernel.signal("pauses go two")
    front.until(status(front, "COMPLETED"))
    assert kernel.effects.count("pauses two") == 1


def test_rerun_from_while_a_cell_awaits(kernel):
    """D3, R9: it says first how many tasks it will run again."""
    define(kernel, WAITS, "reruns")
    cell, front = begin(kernel, "await reruns.run()")
    front.until(status(front, "WAITING"))
    front.until(state(front, "wait", "waiting"))
    asked = front.ask("rerun_from", "before")
    assert asked["ok"]
    assert asked["count"] == 2
    assert asked["text"] == "Runs 2 tasks again: before, wait"
    assert front.press("rerun_from", "before")["ok"]
    front.until(lambda: kernel.effects.count("reruns before") == 2)
    front.until(state(front, "wait", "waiting"))
    front.until(status(front, "WAITING"))
    assert front.press("skip_wait", "wait")["ok"]
    assert cell.end().check().result == "'done'"


def test_retry_after_an_awaited_run_has_failed(kernel):
    """D4: a FAILED run keeps its buttons, whatever cell is run next."""
    cell, front = fail(kernel, "retries")
    assert cell.end().error == "ValueError"
    front.until(status(front, "FAILED"))
    assert "the first time" in front.row("fails")["e"]
    assert [action["op"] for action in front.run["actions"] if action["main"]] == ["retry"]
    remains(kernel, front, "FAILED")
    kernel.run("1 + 1").check()
    assert front.press("retry")["ok"]
    front.until(status(front, "COMPLETED"))
    assert kernel.effects.count("retries before") == 1
    remains(kernel, front, "COMPLETED")


def test_the_snapshot_of_what_failed_has_the_line_to_type(kernel):
    """D4: for the buttons that a file does not have."""
    cell, front = fail(kernel, "stays_failed")
    cell.end()
    assert "run.retry()" in remains(kernel, front, "FAILED")["text/html"]
    assert not front.closed


@pytest.mark.parametrize("operation", ["pause", "cancel"])
def test_a_run_in_the_background_is_stopped_and_taken_up(kernel, operation):
    """D3: background runs work with all kernels."""
    name = f"aside_{operation}"
    define(kernel, WAITS, name)
    front = show(kernel, f"run = {name}.start()")
    front.until(status(front, "WAITING"))
    assert front.press(operation)["ok"]
    front.until(status(front, "WAITING (paused)" if operation == "pause" else "CANCELED"))
    assert front.why("resume") == ""
    assert front.press("resume")["ok"]
    front.until(lambda: front.run["status"] == "WAITING" and state(front, "wait", "waiting")())
    assert front.press("skip_wait", "wait")["ok"]
    front.until(status(front, "COMPLETED"))
    assert kernel.effects.count(f"{name} before") == 1


def test_shown_again_after_the_end_its_buttons_work(kernel):
    """D4: `run` in a cell shows the live widget again."""
    define(kernel, STEPS, "ended")
    for step in ("one", "two"):
        kernel.signal(f"ended go {step}")
    front = show(kernel, "run = ended.start(); await run")
    kernel.run("run").check()  # the same widget
    front.until(lambda: len(front.rows) == 2)
    front.until(status(front, "COMPLETED"))
    assert front.run["ended"]
    assert front.why("cancel") == "It has completed"
    refused = front.press("pause")
    assert not refused["ok"]
    assert "has completed" in refused["text"]
    assert front.ask("rerun_from", "Step two")["count"] == 1
    assert front.press("rerun_from", "Step two")["ok"]
    front.until(lambda: kernel.effects.count("ended two") == 2)
    front.until(status(front, "COMPLETED"))
    assert kernel.effects.count("ended one") == 1
    remains(kernel, front, "COMPLETED")


def test_rubbish_from_a_front_end_harms_nobody(kernel):
    define(kernel, WAITS, "rubbish")
    cell, front = begin(kernel, "await rubbish.run()")
    front.until(status(front, "WAITING"))
    for rubbish in (
        None,
        [],
        "hello",
        {"t": 7},
        {"t": "do", "id": "1", "op": "delete", "i": "x"},
        {"t": "details", "i": 1.5},
    ):
        front.send(rubbish)
    assert not front.press("delete")["ok"]
    assert front.press("skip_wait", "wait")["ok"]
    assert cell.end().check().complained == ""


# --- widgets of others, and what goes wrong -----------------------------------------------------------


def test_it_can_be_put_in_a_box_and_stays_live(kernel):
    """Issue 3: it is an ipywidgets widget; `run.widget` stays live when the run has ended."""
    define(kernel, STEPS, "boxed")
    cell, front = begin(
        kernel,
        """
import ipywidgets
run = boxed.start(display=False)
ipywidgets.VBox([run.widget])
""",
    )
    box = cell.end().check()
    assert WIDGET in box._content("execute_result")[-1]["data"]
    for step in ("one", "two"):
        kernel.signal(f"boxed go {step}")
    kernel.run("await run").check()
    front.until(status(front, "COMPLETED"))
    kernel.run("1 + 1").check()
    front.until(lambda: len(front.rows) == 2)
    assert front.press("rerun_from", "Step two")["ok"]
    front.until(lambda: kernel.effects.count("boxed two") == 2)
    front.until(status(front, "COMPLETED"))
    assert not front.closed


def test_without_any_front_end_a_run_comes_to_its_end(kernel):
    """D1: and nothing is sent to nobody."""
    define(kernel, STEPS, "alone")
    for step in ("one", "two"):
        kernel.signal(f"alone go {step}")
    since = len(kernel.all_messages)
    assert kernel.run("await alone.run()").check().result == "'done'"
    front = KernelFront(kernel, since=since)
    front.listen()
    assert front.model_id
    assert front.received == []


@pytest.mark.parametrize("how", ["by the front end", "by the notebook"])
def test_a_closed_comm_harms_no_run(kernel, how):
    """D1."""
    name = f"closed_{how.replace(' ', '_')}"
    define(kernel, STEPS, name)
    front = show(kernel, f"run = {name}.start()")
    front.until(state(front, "Step one", "running"))
    if how == "by the front end":
        send_comm(kernel, "comm_close", {"comm_id": front.model_id, "data": {}})
    else:
        kernel.run("import ipywidgets; ipywidgets.Widget.close_all()").check()
    for step in ("one", "two"):
        kernel.signal(f"{name} go {step}")
    ended = kernel.run("await run").check()
    assert ended.result == "'done'"
    assert ended.complained == ""
    remains(kernel, front, "COMPLETED")


def test_widgets_of_runs_that_are_over_are_not_kept_for_ever(kernel):
    """Their comms are closed by and by; ipywidgets would keep them for as long as the kernel lives."""
    kernel.run("@client.job\nasync def quick(payload, io): return payload").check()
    cell, front = begin(kernel, "for n in range(30): await quick.run(n)")
    cell.end().check()
    front.hello()  # told at once, or after a minute
    front.until(lambda: front.closed)
    remains(kernel, front, "COMPLETED")


def test_a_run_of_another_kernel_is_left_to_it(kernel, tmp_path):
    """C5, C7: one kernel drives a run; another one that shows it says so, and can ask it to stop."""
    define(kernel, WAITS, "elsewhere")
    mine = show(kernel, "run = elsewhere.start()")
    mine.until(status(mine, "WAITING"))
    with kernel_in(kernel.directory, home=tmp_path / "other") as other:
        other.run('client = TriggerClient("tests")').check()
        define(other, WAITS, "elsewhere")
        theirs = show(other, f"run = client.run({mine.run['id']!r})\nrun")
        theirs.until(state(theirs, "wait", "waiting"))
        assert theirs.why("rerun_from") == "Another kernel drives the run"
        refused = theirs.press("retry")
        assert not refused["ok"]
        assert refused["text"]
        assert theirs.press("cancel")["ok"]
        mine.until(status(mine, "CANCELED"))
