"""Errors as they are seen under a cell: as themselves, without our frames, with what to do."""

from __future__ import annotations

import pytest

from tests.support.kernels import kernel_in

# Places that say nothing to whoever wrote the cells.
NOT_SHOWN = ("trigger_nb/", "asyncio/", "concurrent/futures", "anyio/", "threading.py")


def shown(traceback: str) -> list[str]:
    return [place for place in NOT_SHOWN if place in traceback]


FAILING = {
    "async def": """
        @client.job
        async def failing(payload, io):
            def fetch(user_id):
                raise KeyError(user_id)
            async def onboard(io):
                return await io.run_task("fetch", fetch, "u1", retry=RETRY)
            return await io.run_task("onboard", onboard)
    """,
    "def": """
        @client.job
        def failing(payload, io):
            def fetch(user_id):
                raise KeyError(user_id)
            def onboard(io):
                return io.run_task("fetch", fetch, "u1", retry=RETRY)
            return io.run_task("onboard", onboard)
    """,
}


@pytest.mark.parametrize("kind", FAILING)
def test_an_error_raises_as_itself_with_the_users_frames_and_a_note(kernel, kind):
    kernel.run("from trigger_nb import Retry; RETRY = Retry(limit=2, min_timeout=0)").check()
    kernel.run(FAILING[kind]).check()
    run_id = kernel.run("run = failing.start(display=False); run.id").result.strip("'")
    for _ in range(2):
        failed = kernel.run("await run")
        assert (failed.error, failed.message) == ("KeyError", "'u1'")
        assert shown(failed.traceback) == []
        assert [line for line in failed.traceback.splitlines() if line.startswith("Cell In")] == [
            line for line in failed.traceback.splitlines() if line.startswith(("Cell In", "File "))
        ]
        assert "in failing(payload, io)" in failed.traceback
        assert "in failing.<locals>.onboard(io)" in failed.traceback
        assert "in failing.<locals>.fetch(user_id)" in failed.traceback
        assert failed.traceback.count("await run") == 1, "the cell that awaited it before is not in it"
        assert failed.traceback.splitlines()[-1] == (
            f"Task 'onboard/fetch' failed after 2 attempts in run {run_id}. "
            "Running the cell again resumes there; what is done is kept."
        )


def test_causes_contexts_and_groups_have_no_frames_of_ours_either(kernel):
    kernel.run("""
        @client.job
        async def wrapping(payload, io):
            try:
                await io.run_task("a", lambda: 1 / 0)
            except ZeroDivisionError as error:
                raise RuntimeError("wrapped") from error

        @client.job
        async def handling(payload, io):
            try:
                await io.run_task("a", lambda: 1 / 0)
            except ZeroDivisionError:
                await io.run_task("b", lambda: {}["key"])

        @client.job
        async def grouping(payload, io):
            async with asyncio.TaskGroup() as group:
                for n in range(2):
                    group.create_task(one(io, n))

        async def one(io, n):
            await io.run_task(("divide", n), lambda: n / 0, thread=False)
    """).check()
    wrapped = kernel.run("await wrapping.run()")
    assert wrapped.error == "RuntimeError"
    assert "direct cause" in wrapped.traceback
    assert "ZeroDivisionError" in wrapped.traceback
    assert shown(wrapped.traceback) == []
    handled = kernel.run("await handling.run()")
    assert handled.error == "KeyError"
    assert "During handling of the above exception" in handled.traceback
    assert shown(handled.traceback) == []
    # IPython writes groups to stderr in its own form.
    group = kernel.run("await grouping.run()").complained
    assert "ExceptionGroup" in group
    assert group.count("ZeroDivisionError") == 2
    assert "2 tasks failed" in group
    assert "trigger_nb/" not in group


def test_an_error_between_tasks_says_so(kernel):
    kernel.run("""
        @client.job
        async def between(payload, io):
            await io.run_task("a", lambda: 1)
            {}["key"]
    """).check()
    failed = kernel.run("await between.run()")
    assert "Raised outside any task in run run_" in failed.traceback
    assert failed.error == "KeyError"


def test_an_error_class_of_a_cell_is_caught_by_the_same_except(kernel):
    """R4: on the first pass and on replay."""
    kernel.run("""
        class Refused(Exception):
            pass

        @client.job
        async def catching(payload, io):
            def refuse():
                effect("catching refuse")
                raise Refused("no")
            try:
                await io.run_task("refuse", refuse)
            except Refused as error:
                return await io.run_task("handle", lambda: str(error))
    """).check()
    for _ in range(2):
        assert kernel.run("await catching.run()").check().result == "'no'"
    assert kernel.effects.count("catching refuse") == 1


def test_a_stored_error_is_raised_in_a_new_kernel(tmp_path):
    """A run that FAILED before: `await run` tells the same, without running anything."""
    with kernel_in(tmp_path / "nb") as kernel:
        cells = [
            'client = TriggerClient("errors")',
            """
                class Refused(Exception):
                    pass

                @client.job
                async def refusing(payload, io):
                    def refuse():
                        effect("refuse")
                        raise Refused("no")
                    await io.run_task("refuse", refuse)
            """,
        ]
        for code in cells:
            kernel.run(code).check()
        assert kernel.run("await refusing.run()").error == "Refused"
        kernel.restart()
        for code in cells:
            kernel.run(code).check()
        failed = kernel.run("await refusing.runs()[0]")
        assert (failed.error, failed.message) == ("Refused", "no")
        assert "Task 'refuse' failed in run" in failed.traceback
        assert kernel.effects == ["refuse"]
        assert kernel.run("await refusing.run()").error == "Refused"
        assert kernel.effects == ["refuse", "refuse"], "R5: what ended the run is not final"


def test_a_forgotten_await_is_told(kernel):
    kernel.run("""
        @client.job(id="forgotten-job")
        async def forgotten(payload, io):
            print(io.run_task("shown", effect, "forgotten shown"))
            io.run_task("silent", effect, "forgotten silent")
    """).check()
    call = kernel.run("forgotten.run({'id': 7})").check()
    assert 'write "await" in front of it, await forgotten.run(...)' in call.result
    ran = kernel.run("await forgotten.run()").check()
    assert """write "await" in front of it: await io.run_task('shown', ...)""" in ran.printed
    assert "the task 'silent' was never awaited" in ran.complained
    assert 'write "await" in front of the call at cell [' in ran.complained
    silent = kernel.run("forgotten.run()\n1").check()
    assert "a run of job 'forgotten-job' was never awaited" in silent.complained
    assert "forgotten.start(...)" in silent.complained
    assert not [each for each in kernel.effects if each.startswith("forgotten")]
    assert kernel.run("len(forgotten.runs())").result == "1"


def test_calling_a_job_is_a_type_error_that_names_run(kernel):
    kernel.run("@client.job\nasync def called(payload, io): pass").check()
    error = kernel.run("called({'id': 7})")
    assert error.error == "TypeError"
    assert "await called.run(payload)" in error.message


def test_an_event_that_does_not_fit_is_told_without_our_frames(kernel):
    kernel.run("""
        from pydantic import BaseModel
        from trigger_nb import event_trigger

        class Order(BaseModel):
            number: int

        @client.job(trigger=event_trigger("order", schema=Order))
        async def taking(payload, io):
            pass
    """).check()
    for code in ("await client.send_event('order', {})", "await client.send_event('order', object())"):
        refused = kernel.run(code)
        assert refused.error == "InvalidPayloadError"
        assert shown(refused.traceback) == []
    forgotten = kernel.run("client.send_event('order', {'number': 1})").check()
    assert 'write "await" in front of it, await client.send_event(...)' in forgotten.result


def test_run_sync_says_to_use_await(kernel):
    """In a cell a loop is running, whether the cell awaits something or not."""
    kernel.run("@client.job\nasync def blocking(payload, io): return 1").check()
    kernel.run("%autoawait off")
    try:
        error = kernel.run("blocking.run_sync()")
    finally:
        kernel.run("%autoawait on")
    assert error.error == "UsageError"
    assert "write await blocking.run(...) instead" in error.message


WRONG = {
    '@client.job(versoin="1")\nasync def f(payload, io): pass': "Did you mean 'version'",
    "@client.job(version=1)\nasync def f(payload, io): pass": 'must be text, such as "1.0.0", not 1',
    '@client.job(id="")\nasync def f(payload, io): pass': "id of a job must be text",
    '@client.job(trigger="new.user")\nasync def f(payload, io): pass': "event_trigger",
    '@client.job(redact="user.email")\nasync def f(payload, io): pass': "a list of paths",
    '@client.job("name")\nasync def f(payload, io): pass': "@client.job needs a function, not 'name'",
    "@client.job\nasync def f(payload, io, ctx, more): pass": "nothing for its parameter 'more'",
    "class S:\n    @client.job\n    async def f(self, payload, io): pass": "crawl = job(site.crawl)",
    "await wrong.run(on_change='again')": 'on_change is "keep", "only" or "rerun"; not',
    "await wrong.run(object())": "identity=",
    "client.runs(status='DONE')": "one of PENDING, RUNNING",
    "client.run('run_x')": "client.runs() lists the runs",
    "wrong.runs()[0].task('onw')": "there is 'one'",
    "wrong.runs()[0].pause()": "is COMPLETED: pause makes no sense, it has completed",
    "TriggerClient('')": "not empty",
    "await do('retries=3')": "a task has no option 'retries'",
    "await do('retry=\"x\"')": "the number of attempts",
    "await do('on_change=\"x\"')": 'on_change is "keep", "only" or "rerun"; not',
    "await do('timeout=-1')": "timeout",
    "await do('style=\"loud\"')": 'style is "normal" or "minimal"; not \'loud\'',
    "await do('codec=\"json\"')": 'codec is "pickle"; not',
    '@client.job(log_level="warn")\nasync def f(payload, io): pass': '"info", "warning" or "error"; not',
    "TriggerClient('c', on_change='x')": "on_change is",
}


@pytest.mark.parametrize("code", WRONG)
def test_wrong_options_are_told_with_what_is_right(kernel, code):
    kernel.run("""
        @client.job
        async def wrong(payload, io):
            return await io.run_task("one", lambda: 1)

        async def do(option):
            scope = dict(client=client)
            lines = ["@client.job", "async def done(payload, io):"]
            exec("\\n".join([*lines, f"    await io.run_task('key', lambda: 1, {option})"]), scope)
            await scope["done"].run(fresh=True, display=False)

        await wrong.run()
    """).check()
    refused = kernel.run(code)
    assert refused.error
    assert WRONG[code] in refused.message


def test_a_run_cannot_be_pickled(kernel):
    kernel.run("@client.job\nasync def kept(payload, io): return 1").check()
    error = kernel.run("import pickle; pickle.dumps(kept.start(display=False))")
    assert error.error == "TypeError"
    assert "client.run(run_id)" in error.message


def test_an_exit_in_a_job_ends_neither_the_kernel_nor_the_store(kernel):
    kernel.run("""
        @client.job
        async def leaving(payload, io):
            await io.run_task("one", effect, "leaving one")
            raise SystemExit(3)
    """).check()
    assert kernel.run("await leaving.run()").error == "ExitError"
    assert kernel.run("str(leaving.runs()[0].status)").check().result == "'FAILED'"


# --- what cannot be read (R13) ------------------------------------------------------------------------


def test_a_new_kernel_without_the_cell_of_a_class_charges_nobody_again(kernel):
    """The error says which cell to run; once it was run, the job's cell is replayed."""
    receipt = "import dataclasses\n@dataclasses.dataclass\nclass Receipt:\n    id: int"
    define = """
        @client.job(id="pays")
        async def pays(payload, io):
            try:
                receipt = await io.run_task("charge", lambda: effect("charged") and Receipt(7))
            except Exception:
                await io.run_task("invoice", effect, "charged again")
                return "by invoice"
            return f"by card {receipt.id}"
    """
    kernel.run(receipt).check()
    kernel.run(define).check()
    assert kernel.run("await pays.run()").check().result == "'by card 7'"
    kernel.restart()
    kernel.run('client = TriggerClient("tests")').check()
    kernel.run(define).check()
    failed = kernel.run("await pays.run()")
    assert failed.error == "ValueNotLoadedError"
    assert "the result of task 'charge' cannot be read" in failed.message
    assert "run the cell that defines Receipt, then run this cell again" in failed.message
    kernel.run(receipt).check()
    again = kernel.run("await pays.run()").check()
    assert again.result == "'by card 7'"
    assert "1 replayed" in again.tree
    assert [each for each in kernel.effects if each.startswith("charged")] == ["charged"]


def test_a_map_of_many_failures_takes_at_most_40_lines_under_a_cell(kernel):
    kernel.run("""
        import json, math

        def deeper(depth, text):
            return deeper(depth - 1, text) if depth else json.loads(text)

        async def label(item):
            if item % 3 == 0:
                raise ValueError("a long story\\n" * 30)
            if item % 3 == 1:
                raise LookupError(item)
            return deeper(40, "{")

        async def label_all(items, io):
            return await io.map("label", items, label, max_failures=math.inf)

        @client.job
        async def failing(payload, io):
            return await label_all(range(60), io)
    """).check()
    failed = kernel.run("await failing.run(display=False)")
    assert not failed.ok
    told = failed.complained  # where IPython prints groups
    assert (
        "60 of 60 items of map 'label' failed: 20 × ValueError, 20 × LookupError, 20 × JSONDecodeError"
        in told
    )
    assert len(told.splitlines()) <= 40
    assert "in label" in told
