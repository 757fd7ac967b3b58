"""Jobs over executors: run in the test's process, and one of cells, for real kernels."""

from __future__ import annotations


def run(client, function, payload=None, **options):
    """Run a job once, made of this function."""
    return client.job(id=function.__name__, **options)(function).run_sync(payload)


def last(client):
    return client.runs()[0]


# A cell, after one that makes a `client` with an executor. Bodies, classes, errors and globals are those of cells.
# A few of the 200 items fail at first.
COUNTING = """
    from dataclasses import dataclass
    from trigger_nb import Retry

    @dataclass
    class Page:
        n: int
        words: int = 0

    class NotToday(Exception):
        def __init__(self, page, why):
            super().__init__(why)
            self.page = page

    def count(page):
        if effect(page.n) == 1 and page.n % 50 == 7:
            raise NotToday(page, "not today")
        time.sleep(0.005)
        return Page(page.n, page.n * scale)

    scale = 2

    @client.job
    async def counting(payload, io):
        return await io.map("count", [Page(n) for n in range(200)], count, retry=Retry(limit=3, min_timeout=0.01))
"""


def counted(kernel):
    """The numbers of the items whose results are recorded."""
    cell = kernel.run("""
        run, = counting.runs()
        print(*[t.output.n for t in run.tasks if t.status == "COMPLETED" and t.kind != "map"])
    """)
    return cell.check().printed.split()


def check_the_rest_is_counted(kernel, done, before):
    """R3: a new run of the cell ends, and no body runs again whose result was recorded."""
    cell = kernel.run("await counting.run() == [Page(n, n * 2) for n in range(200)]")
    assert cell.check().result == "True"
    assert not set(done) & set(kernel.effects[len(before) :])
    assert set(kernel.effects) == {str(n) for n in range(200)}
