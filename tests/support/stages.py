"""A run that a test brings into the status that it needs."""

from __future__ import annotations

import asyncio

from tests.support.worlds import Gate, World, outcome, until
from trigger_nb import RunStatus
from trigger_nb.errors import RunStateError
from trigger_nb.testing import FakeClock


class Stage:
    """A run that can be brought into each status."""

    def __init__(self, tmp_path):
        self.world = World(tmp_path)
        self.world.clock = FakeClock(autojump=False)
        self.gate = Gate()
        self.act = "complete"
        self.forks = []
        stage = self

        @self.world.client.job
        async def job(payload, io):
            await io.run_task("first", stage.world.noting("first"))
            if stage.act == "run":
                await io.run_task("gate", stage.gate.pass_through_async)
            elif stage.act == "wait":
                await io.wait("wait", days=1)
            elif stage.act == "fail":
                await io.run_task("fails", stage.world.failing("fails", ValueError("failed")))
            return "done"

        self.job = job

    async def bring(self, status):
        world = self.world
        match status:
            case RunStatus.RUNNING:
                self.act = "run"
                run = self.job.start()
                await until(self.gate.reached.is_set)
            case RunStatus.WAITING:
                self.act = "wait"
                run = self.job.start()
                await until(lambda: world.clock.deadlines)
            case RunStatus.COMPLETED:
                run = self.job.start()
                await run
            case RunStatus.FAILED:
                self.act = "fail"
                run = self.job.start()
                await outcome(run)
            case RunStatus.CANCELED:
                self.act = "wait"
                run = self.job.start()
                await until(lambda: world.clock.deadlines)
                run.cancel()
                await outcome(run)
            case RunStatus.INTERRUPTED:
                self.act = "wait"
                cell = asyncio.ensure_future(self.await_run())
                await until(lambda: world.clock.deadlines)
                cell.cancel()
                await asyncio.gather(cell, return_exceptions=True)
                (run,) = self.job.runs()
        assert run.status == status
        return run

    async def await_run(self):
        return await self.job.run()

    def operate(self, run, operation):
        match operation:
            case "start":
                return self.job.start()
            case "rerun_from":
                return run.rerun_from("first")
            case "fork":
                self.forks.append(run.fork("first"))
                return run
            case "set_output":
                return run.set_output("first", "by hand")
            case "skip_wait":
                return run.skip_wait("wait" if self.act == "wait" else "first")
            case "answer":
                try:
                    run.answer("first", 1)
                except RunStateError as error:
                    if "asks nothing" not in str(error):  # which says that the status allows it
                        raise
                return run
            case _:
                return getattr(run, operation)()

    async def finish(self, run):
        """Let what runs come to its end."""
        self.gate.open()
        for each in (run, *self.forks):
            if each.id in each._runtime.executions:
                each.cancel()
                await outcome(each)
