"""A pool of processes in a real kernel, whose classes and functions are those of cells."""

from __future__ import annotations

import psutil
import pytest

from tests.remote.effects import wait_for
from tests.remote.jobs import COUNTING, check_the_rest_is_counted, counted
from tests.support.kernels import kernel_in

POOL = """
    import multiprocessing, os
    from concurrent.futures import ProcessPoolExecutor

    def pool():
        return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("{how}"))

    client = TriggerClient("tests", executor=pool)
"""
FAILING = """
    @client.job
    async def failing(payload, io):
        try:
            return await io.run_task("a", count, Page(57))
        except NotToday as error:
            return type(error) is NotToday, error.page == Page(57), str(error)
"""


@pytest.fixture(scope="module")
def nb(tmp_path_factory):
    with kernel_in(tmp_path_factory.mktemp("pools") / "nb") as kernel:
        yield kernel


def define(kernel, how="forkserver"):
    for cell in (POOL.format(how=how), COUNTING, FAILING):
        kernel.run(cell).check()


def test_the_cell_is_interrupted_and_run_again_then_the_kernel_is_killed(nb):
    """A7, A5, R3: the interrupt breaks no pool, and a killed kernel leaves no process of it behind."""
    define(nb)
    cell = nb.submit("await counting.run()")
    nb.pump(lambda: len(nb.effects) > 40)
    assert cell.interrupt().end().error in ("CancelledError", "KeyboardInterrupt")
    cell = nb.submit("await counting.run()")
    nb.pump(lambda: len(nb.effects) > 110)
    processes = psutil.Process(nb.pid).children(recursive=True)
    nb.kill()
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes))
    before = nb.effects

    nb.start()
    define(nb)
    done = counted(nb)
    assert len(done) > 60
    check_the_rest_is_counted(nb, done, before)


def test_an_error_of_a_class_from_a_cell_is_one_of_that_class(nb):
    """R4, also when it is replayed."""
    nb.ready()
    define(nb, "spawn")
    nb.run("effect = lambda n: 1").check()
    for _ in range(2):
        assert nb.run("await failing.run()").check().result == "(True, True, 'not today')"
        nb.restart()
        define(nb, "spawn")
        nb.run("effect = lambda n: 1").check()


def test_an_error_in_a_worker_names_the_cells_that_it_went_through(nb):
    """R4: those of the body and of its helper, by the numbers that the notebook shows, with the text of the lines."""
    nb.ready()
    define(nb)
    helper = nb.run("def divide(n):\n    return 1 // n").check()
    body = nb.run("async def halve(n):\n    return divide(n) / 2").check()
    nb.run("""
        @client.job
        async def halving(payload, io):
            return await io.run_task("half", halve, 0)
    """).check()
    cell = nb.run("""
        try:
            await halving.run()
        except ZeroDivisionError as error:
            print(*error.__notes__, sep="\\n")
    """).check()
    told = cell.printed
    body, helper = body.reply["execution_count"], helper.reply["execution_count"]
    assert f"Cell In[{body}], line 2, in halve\n    return divide(n) / 2\n" in told
    assert f"Cell In[{helper}], line 2, in divide\n    return 1 // n" in told
