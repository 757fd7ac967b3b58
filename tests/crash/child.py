"""A process that runs jobs of the crash test: `python -m tests.crash.child DIRECTORY LAUNCH SEED...`.

Each job has a store and a trace of its own in DIRECTORY. Bodies write to the trace when they begin and
when they end, and callers when they have a result in hand: by rule R3 it is committed then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio

from trigger_nb import Retry, TriggerClient
from trigger_nb._store import crashpoints as crashpoints_module
from trigger_nb.errors import ExitError, RunInterruptedError, TaskCrashedError

from . import mutants
from .program import FAN_OUT, Node, Program, Step, digest, place, program_of, value_of

SPOILED = "spoiled"  # the name of a launch in which the job fails before its first task
STOPPED = 75  # how this process ends when a run has stopped and asks to be started again
WAIT = 0.004  # seconds of each `io.wait`
LIMIT = 0.03  # seconds of each time limit


class Refused(Exception):
    """What hopeless bodies raise."""


class Spoiled(Exception):
    """What a job raises before its first task, after it had completed."""


class Flaky(Exception):
    """What bodies raise that end well in a later attempt."""


class Trace:
    """Lines in a file outside the store; each is one write, so SIGKILL leaves whole lines."""

    def __init__(self, file: Path, launch: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._launch = launch

    def write(self, what: str, path: str = "", **facts: Any) -> None:
        line = {"launch": self._launch, "what": what, "path": path, **facts}
        os.write(self._file, (json.dumps(line) + "\n").encode())

    def body(self, what: str, path: str, task: Any, **facts: Any) -> None:
        self.write(what, path, attempt=task.attempt, key=task.idempotency_key, **facts)


class Play:
    """A program being run."""

    def __init__(self, program: Program, trace: Trace, client: TriggerClient) -> None:
        self.program = program
        self.child_job = client.job(id="child")(self.child)
        self.trace = trace
        self.nodes = dict(program.paths())

    # What the job and the bodies do, as `async def` -------------------------------------------

    async def job(self, payload: Any, io: Any) -> str:
        self.begin(payload)
        return await self.walk(io, "", self.program.steps, "")

    async def walk(self, io: Any, scope: str, steps: tuple[Step, ...], carry: str) -> str:
        """Step after step; what each gives goes into the next, so that no wrong value stays unseen."""
        for step in steps:
            carry = digest([carry, await self.step(io, scope, step, carry)])
        return carry

    async def step(self, io: Any, scope: str, step: Step, carry: str) -> list[str]:
        paths = [place(scope, step, index) for index in range(len(step.nodes))]
        if step.how == "wait":
            await io.wait(step.key, WAIT)
            return []
        if step.how == "limit":
            await self.within_a_limit(io, f"{scope}/{step.key}", step.key)
            return []
        if step.how == "child":
            self.called(paths)
            value = await io.invoke_and_wait(step.key, self.child_job, [paths[0], carry])
            return self.seen(paths, [value])
        if step.how in FAN_OUT:
            items = [[path, carry] for path in paths]
            self.called([f"{scope}/{step.key}" if scope else step.key, *paths])
            return self.seen(paths, await self.fan_out(io, step, items))
        calls = [self.call(io, path, carry) for path in paths]
        if step.how == "group":
            return await self.in_group(calls)
        if step.how == "completed":
            return await self.as_they_come(io, f"{scope}/{step.key}", step.key, calls)
        return await asyncio.gather(*calls)

    async def as_they_come(self, io: Any, where: str, key: str, calls: list[Any]) -> list[str]:
        """Keep each result under a counter. In another order than before, one would be kept twice and another one never."""
        tasks = [asyncio.ensure_future(call) for call in calls]
        for number, each in enumerate(asyncio.as_completed(tasks)):
            result = await each
            if await io.run_task((key, number), echo, result) != result:
                self.trace.write("seen", where, digest="another order")
        return [task.result() for task in tasks]

    async def within_a_limit(self, io: Any, where: str, key: str) -> None:
        """Tasks until the time is up. What was done by then is done for ever."""
        done: list[str] = []
        with anyio.move_on_after(LIMIT):
            for number in range(3):
                done.append(await io.run_task((key, number), echo, str(number)))
            await io.run_task((key, "endless"), endless)
        if await io.run_task((key, "kept"), echo, done) != done:
            self.trace.write("seen", where, digest="another end")

    async def child(self, payload: list[str], io: Any) -> Any:
        path, carry = payload
        return await io.run_task("inside", self.async_body, path, carry)

    async def in_group(self, calls: list[Any]) -> list[str]:
        results = [""] * len(calls)

        async def one(index: int) -> None:
            results[index] = await calls[index]

        async with anyio.create_task_group() as group:
            for index in range(len(calls)):
                group.start_soon(one, index)
        return results

    async def call(self, io: Any, path: str, carry: str) -> str:
        node = self.nodes[path]
        self.called([path])
        try:
            value = await io.run_task(node.key, self.body(node), path, carry, **self.options(node))
        except (Refused, ExitError):
            return self.caught(path)
        return self.seen([path], [value])[0]

    async def async_body(self, path: str, carry: str, task: Any, io: Any) -> Any:
        node = self.nodes[path]
        self.trace.body("begin", path, task)
        try:
            await asyncio.sleep(node.pause)
        except asyncio.CancelledError:
            if node.swallows:
                return "stopped"
            raise
        inside = await self.walk(io, path, node.steps, carry)
        return self.end(node, path, inside, task)

    async def async_item(self, item: list[str], task: Any, io: Any) -> Any:
        return await self.async_body(item[0], item[1], task, io)

    # The same as `def` ------------------------------------------------------------------------

    def def_job(self, payload: Any, io: Any) -> str:
        self.begin(payload)
        return self.def_walk(io, "", self.program.steps, "")

    def def_walk(self, io: Any, scope: str, steps: tuple[Step, ...], carry: str) -> str:
        for step in steps:
            carry = digest([carry, self.def_step(io, scope, step, carry)])
        return carry

    def def_step(self, io: Any, scope: str, step: Step, carry: str) -> list[str]:
        paths = [place(scope, step, index) for index in range(len(step.nodes))]
        if step.how == "wait":
            io.wait(step.key, WAIT)
            return []
        if step.how == "child":
            self.called(paths)
            return self.seen(paths, [io.invoke_and_wait(step.key, self.child_job, [paths[0], carry])])
        if step.how in FAN_OUT:
            items = [[path, carry] for path in paths]
            self.called([f"{scope}/{step.key}" if scope else step.key, *paths])
            return self.seen(paths, self.fan_out(io, step, items))
        return [self.def_call(io, path, carry) for path in paths]

    def def_call(self, io: Any, path: str, carry: str) -> str:
        node = self.nodes[path]
        self.called([path])
        try:
            value = io.run_task(node.key, self.body(node), path, carry, **self.options(node))
        except (Refused, ExitError):
            return self.caught(path)
        return self.seen([path], [value])[0]

    def def_body(self, path: str, carry: str, task: Any, io: Any) -> Any:
        node = self.nodes[path]
        self.trace.body("begin", path, task)
        time.sleep(node.pause)
        inside = self.def_walk(io, path, node.steps, carry)
        return self.end(node, path, inside, task)

    def loop_body(self, path: str, carry: str, task: Any) -> Any:
        self.trace.body("begin", path, task)
        return self.end(self.nodes[path], path, carry, task)

    def item(self, item: list[str], task: Any, io: Any) -> Any:
        return self.def_body(item[0], item[1], task, io)

    # Common to both ---------------------------------------------------------------------------

    def begin(self, payload: dict[str, Any]) -> None:
        """Each pass begins with the payload as it is stored, whatever the one before made of it."""
        if payload["changed"]:
            self.trace.write("seen", "payload", digest="changed")
        payload["changed"].append(True)
        if self.is_spoiled:
            raise Spoiled

    def fan_out(self, io: Any, step: Step, items: list[list[str]]) -> Any:
        """All items of a step: the results, or what is to be awaited for them."""
        body = self.async_item if step.nodes[0].kind == "async" else self.item
        retry = self.retry(step.nodes)
        if step.how == "parallel":
            return io.parallel(step.key, items, body, retry=retry)
        return io.map(step.key, items, body, item_key=last_key, retry=retry, concurrency=2)

    def body(self, node: Node) -> Any:
        return {"async": self.async_body, "def": self.def_body, "loop": self.loop_body}[node.kind]

    def options(self, node: Node) -> dict[str, Any]:
        options: dict[str, Any] = {"thread": False} if node.kind == "loop" else {}
        return options | ({"retry": self.retry((node,))} if node.attempts > 1 else {})

    def retry(self, nodes: tuple[Node, ...]) -> Retry:
        return Retry(limit=max(node.attempts for node in nodes), min_timeout=0.001, factor=1.5)

    def end(self, node: Node, path: str, inside: str, task: Any) -> Any:
        if node.hopeless or task.attempt <= node.fails:
            self.trace.body("failed", path, task, last=task.attempt >= node.attempts)
            if node.hopeless and node.exits:
                sys.exit(path)
            raise Refused(path) if node.hopeless else Flaky(path)
        value = value_of(self.program.seed, path, inside)
        self.trace.body("end", path, task, digest=digest(value))
        return value

    def called(self, paths: list[str]) -> None:
        for path in paths:
            self.trace.write("call", path)

    def seen(self, paths: list[str], values: list[Any]) -> list[str]:
        digests = [digest(value) for value in values]
        for path, one in zip(paths, digests, strict=True):
            self.trace.write("seen", path, digest=one)
        return digests

    def caught(self, path: str) -> str:
        self.trace.write("caught", path)
        return "refused"


async def echo(value: Any) -> Any:
    return value


async def endless() -> None:
    await asyncio.sleep(3600)


def last_key(item: list[str]) -> str:
    """What an item of a map is kept under."""
    return item[0].rpartition("/")[2]


def store_of(seed: int) -> str:
    """The name of a job's store in the directory."""
    return f"crash-{seed}"


def run(directory: Path, launch: str, seed: int) -> bool:
    """Run a job to its end, or as far as it comes; whether it came to its end."""
    program = program_of(seed)
    trace = Trace(directory / f"{seed}.trace", launch)
    client = TriggerClient(store_of(seed), dir=directory, display=False)
    play = Play(program, trace, client)
    play.is_spoiled = launch == SPOILED
    job = client.job(id="crash")(play.job if program.kind == "async" else play.def_job)
    try:
        output = job.run_sync({"seed": seed, "changed": []})
    except Spoiled:
        return True
    except (RunInterruptedError, KeyboardInterrupt):
        return False
    except TaskCrashedError:
        # A1: a body under which the process has died three times is not started once more unasked.
        trace.write("stopped")
        return False
    trace.write("output", digest=digest(output))
    return True


def main() -> int:
    directory, launch, *seeds = sys.argv[1:]
    crashpoints_module.arm()
    mutants.apply()
    ended = [run(Path(directory), launch, int(seed)) for seed in seeds]
    return 0 if all(ended) else STOPPED


if __name__ == "__main__":
    sys.exit(main())
