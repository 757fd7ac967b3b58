"""A process of the crash test of shared results: `python -m tests.crash.history_child DIRECTORY LAUNCH SEED...`.

It goes on with a history where the process before it was killed, as the trace says. Bodies and callers write to the trace as in
`child.py`; so does what edits a file or removes a run, before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from trigger_nb import File, TriggerClient
from trigger_nb._store import crashpoints
from trigger_nb.errors import NotFoundError, RunInterruptedError, TaskCrashedError
from trigger_nb.testing import FakeClock

from . import mutants
from .child import STOPPED, Trace
from .history import FILES, JOBS, Act, History, Step, history_of, text_of, value_of
from .program import digest

PAUSE = 0.001  # seconds that a body takes


class Refused(Exception):
    """What a job raises that is to fail."""


class Asked(Exception):
    """The process ends, and asks to be started again."""


@cache
def trace_of(file: str, launch: str) -> Trace:
    return Trace(Path(file), launch)


def note(what: str, run: str = "", call: str = "", **facts: Any) -> None:
    """Write a line to the trace. It is found by the environment: a global would count as a part of the bodies."""
    trace = trace_of(os.environ["HISTORY_TRACE"], os.environ["HISTORY_LAUNCH"])
    trace.write(what, run=run, call=call, **facts)


# Bodies: no closures, and arguments that are the same in each run -----------------------------------------


def began(task: Any, argument: int | str, text: str = "") -> str:
    keys = task.path.split("/")
    call = f"{keys[0]}:{argument}" + (f"/{keys[-1]}" if keys[-1] in ("part", "rest") else "")
    note("begin", task.run_id, call, text=text)
    return call


def ended(task: Any, call: str, value: Any, text: str = "") -> Any:
    note("end", task.run_id, call, digest=digest(value), text=text)
    return value


def work(number: int, task: Any) -> Any:
    call = began(task, number)
    time.sleep(PAUSE)
    return ended(task, call, value_of("work", number))


async def awork(number: int, task: Any) -> Any:
    call = began(task, number)
    await asyncio.sleep(PAUSE)
    return ended(task, call, value_of("awork", number))


def read(file: Any, task: Any) -> Any:
    name, text = Path(file).name, Path(file).read_text()
    call = began(task, name, text)
    time.sleep(PAUSE)
    return ended(task, call, value_of("read", name, text), text)


async def parent(number: int, task: Any, io: Any) -> Any:
    call = began(task, number)
    for key, body in (("part", part), ("rest", rest)):
        value = await io.run_task(key, body, number)
        note("seen", task.run_id, f"{call}/{key}", digest=digest(value))
    return ended(task, call, value_of("parent", number))


def part(number: int, task: Any) -> Any:
    call = began(task, number)
    return ended(task, call, value_of("part", number))


async def rest(number: int, task: Any) -> Any:
    call = began(task, number)
    return ended(task, call, value_of("rest", number))


BODIES: dict[str, Any] = {"work": work, "awork": awork, "read": read, "parent": parent}


# The client -----------------------------------------------------------------------------------------------


class Play:
    """A history being gone through."""

    def __init__(self, history: History, directory: Path, lines: list[dict[str, Any]]) -> None:
        self.history = history
        self.folder = directory / f"{history.seed}-files"
        self.done = sum(line["what"] == "done" for line in lines)
        self.clock = FakeClock(history.time(self.done - 1), autojump=False)
        self.launches = sum(line["what"] == "act" and line["act"] == self.done for line in lines)
        self.client = TriggerClient(store_of(history.seed), dir=directory, display=False, clock=self.clock)
        self.jobs = {id: self.client.job(id=id, reuse=reuse)(self.job) for id, reuse in JOBS.items()}
        self.until: int | None = None
        texts = {name: text_of(name, 0) for name in FILES}
        texts |= {line["name"]: line["text"] for line in lines if line["what"] == "edit"}
        self.folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            self.write(name, text)  # a kill can have come between the line in the trace and the file

    def write(self, name: str, text: str) -> None:
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.replace(self.folder / name)

    async def job(self, payload: str, io: Any) -> None:
        note("enter", payload)
        for number, step in enumerate(self.history.plans[payload].steps):
            if number == self.until:
                raise Refused
            await self.step(io, payload, step)
        if self.until is not None:
            raise Refused

    async def step(self, io: Any, run: str, step: Step) -> None:
        body = BODIES[step.body]
        options: dict[str, Any] = {"on_change": "only", "expires_after": step.expires_after}
        if step.reuse:
            options["reuse"] = step.reuse
        items = [File(self.folder / each) if step.body == "read" else each for each in step.arguments]
        if step.how == "task":
            self.seen(run, step, step.arguments[0], await io.run_task(step.key, body, items[0], **options))
            return
        options |= {"item_key": file_name} if step.body == "read" else {}
        if step.how == "map":
            values = await io.map(step.key, items, body, concurrency=3, **options)
            for argument, value in zip(step.arguments, values, strict=True):
                self.seen(run, step, argument, value)
        else:
            async for item, value in io.imap(step.key, items, body, concurrency=3, **options):
                self.seen(run, step, file_name(item) if step.body == "read" else item, value)

    def seen(self, run: str, step: Step, argument: int | str, value: Any) -> None:
        note("seen", run, f"{step.key}:{argument}", digest=digest(value))

    # Acts -------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        for number in range(self.done, len(self.history.acts)):
            self.clock.advance(self.history.time(number) - self.clock.time())
            note("act", act=number)
            for name, text in self.history.edits(number, self.launches).items():
                note("edit", name=name, text=text)
                self.write(name, text)
            self.perform(self.history.acts[number])
            note("done", act=number)
            self.launches = 0

    def perform(self, act: Act) -> None:
        match act.doing:
            case "run":
                self.until = act.until
                asyncio.run(self.run(act.runs))
            case "replay":
                self.until = None
                for name in self.there():
                    asyncio.run(self.run([name]))
                note("checked", problems=[] if (check := self.client.check()).ok else [str(check)])
            case "delete":
                for name in act.runs:
                    note("going", name)
                    with contextlib.suppress(NotFoundError):
                        self.client.run(name).delete()
                    note("gone", name)
            case "prune":
                note("pruning")
                self.client.prune(keep_last=act.keep_last, older_than=act.older_than)
                note("pruned", there=self.there())

    def there(self) -> list[str]:
        return sorted(run.id for run in self.client.runs())

    async def run(self, names: Any) -> None:
        plans = self.history.plans
        runs = [self.jobs[plans[name].job].run(name, run_id=name) for name in names]
        for end in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(end, (RunInterruptedError, TaskCrashedError, KeyboardInterrupt)):
                raise Asked from end
            if isinstance(end, BaseException) and not isinstance(end, Refused):
                raise end


def file_name(file: Any) -> str:
    return Path(file).name


def store_of(seed: int) -> str:
    """The name of a history's store in the directory."""
    return f"history-{seed}"


def go_on(directory: Path, launch: str, seed: int) -> bool:
    """Go through a history to its end, or as far as it comes; whether it came to its end."""
    file = directory / f"{seed}.trace"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    os.environ |= {"HISTORY_TRACE": str(file), "HISTORY_LAUNCH": launch}
    play = Play(history_of(seed), directory, lines)
    try:
        play.go_on()
    except (Asked, KeyboardInterrupt):
        return False
    finally:
        play.client.runtime.store.close()
    return True


def main() -> int:
    directory, launch, *seeds = sys.argv[1:]
    crashpoints.arm()
    mutants.apply()
    ended = [go_on(Path(directory), launch, int(seed)) for seed in seeds]
    return 0 if all(ended) else STOPPED


if __name__ == "__main__":
    sys.exit(main())
