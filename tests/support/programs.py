"""Random programs of tasks, and disturbances of the passes that run them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from functools import partial

from hypothesis import strategies as st

from tests.support.worlds import World, drive, exhaust, running_bodies, side_by_side, wait_until
from trigger_nb import Retry
from trigger_nb._engine.stopping import Stop
from trigger_nb.errors import RunCanceledError, StoreError

# --- Programs -----------------------------------------------------------------------------------------


class Failed(Exception):
    """What a node's own body raises."""


@dataclass(frozen=True)
class Node:
    """A task: `fails` attempts end in an error of its own, after its children."""

    is_async: bool
    fails: int = 0
    limit: int = 1
    is_handled: bool = True  # by whoever calls it
    groups: tuple[tuple[Node, ...], ...] = ()  # one after the other; those in one group, side by side


def nodes(groups):
    return st.builds(
        Node,
        is_async=st.booleans(),
        fails=st.sampled_from([0, 0, 0, 1, 2, 9]),
        limit=st.integers(1, 3),
        is_handled=st.sampled_from([True, True, True, False]),
        groups=groups,
    )


def groups_of(children):
    return st.lists(st.lists(children, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple)


trees = nodes(groups_of(nodes(groups_of(nodes(st.just(()))))))


@dataclass(frozen=True)
class Disturbance:
    """At the n-th commit of a pass that holds a task's row."""

    commit: int
    kind: str  # "refused", "taken" (written, and then the store fails) or "cancel"
    is_new_kernel: bool


disturbances = st.lists(
    st.builds(
        Disturbance, st.integers(1, 12), st.sampled_from(["refused", "taken", "cancel"]), st.booleans()
    ),
    max_size=5,
)


class Program:
    """A job that runs a tree, and everything that is noted on the way."""

    def __init__(self, root, is_async, directory):
        self.root = root
        self.world = World(directory, "async def" if is_async else "def")
        self.is_async = is_async
        self.committed = set()
        self.repeated = []
        self.calls = 0
        self.faults = []
        self._lock = threading.Lock()

    # The job

    def job(self):
        async def asynchronous(payload, io):
            return await drive(self.steps(self.root, io, is_async=True))

        def blocking(payload, io):
            return exhaust(self.steps(self.root, io, is_async=False))

        return self.world.client.job(id="program")(asynchronous if self.is_async else blocking)

    def steps(self, node, io, *, is_async):
        values = []
        for number, group in enumerate(node.groups):
            parts = [self.call(child, f"{number}.{n}", io) for n, child in enumerate(group)]
            values.append((yield gathered(parts, is_async=is_async)))
        return values

    def call(self, node, key, io):
        try:
            return (yield io.run_task(key, self.body(node), retry=Retry(limit=node.limit, min_timeout=0)))
        except Failed as error:
            if not node.is_handled:
                raise
            return f"handled {error}"

    def body(self, node):
        def begin(task):
            with self._lock:
                self.calls += 1
                if task.path in self.committed:
                    self.repeated.append(task.path)

        def end(task, values):
            if task.attempt <= node.fails:
                raise Failed(f"{task.path} {task.attempt}")
            return task.path, values

        async def asynchronous(io, task):
            begin(task)
            return end(task, await drive(self.steps(node, io, is_async=True)))

        def blocking(io, task):
            begin(task)
            return end(task, exhaust(self.steps(node, io, is_async=False)))

        return asynchronous if node.is_async else blocking

    # The disturbances

    def watch_store(self, disturbance):
        store = self.world.client.runtime.store
        if not hasattr(store, "undisturbed"):
            store.undisturbed = store.commit
        seen = iter(range(1, 10_000))

        def commit(rows, *, patience=None):
            tasks = [row for row in rows if "/" in row.key and row.tag != "runs"]
            now = next(seen) if tasks else 0
            struck = disturbance is not None and now >= disturbance.commit
            if struck and disturbance.kind == "refused":
                raise StoreError("refused")
            refused = store.undisturbed(rows, patience=patience)
            with self._lock:
                self.committed.update(row.key.partition("/")[2] for row in tasks if row.rank % 2)
            if struck and disturbance.kind == "taken":
                raise StoreError("taken")
            if struck and now == disturbance.commit:
                for execution in list(self.world.client.runtime.executions.values()):
                    execution.stop(Stop.CANCEL)
            return refused

        store.commit = commit

    # Running it

    def outcome(self, disturbance=None):
        """How one pass ends: the output, an error of the program's, or None when it was disturbed."""
        self.watch_store(disturbance)
        try:
            value = self.job().run_sync()
        except Failed as error:
            value = f"failed with {error}"
        except (StoreError, RunCanceledError):
            value = None
        self.watch_store(None)
        wait_until(lambda: not running_bodies)
        return value

    def records(self):
        (run,) = self.world.client.runs()
        return {task.path: (str(task.status), repr(task.output), repr(task.error)) for task in run.tasks}


def gathered(parts, *, is_async):
    """All parts side by side; all settle, then the first error in order is raised."""
    if is_async:
        return first_error(asyncio.gather(*map(drive, parts), return_exceptions=True))
    return side_by_side([partial(exhaust, part) for part in parts])


async def first_error(gathering):
    results = await gathering
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return results
