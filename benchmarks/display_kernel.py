"""The kernel's side of `python -m benchmarks display`: three displays of a run that is made up.

A driver emits a run's events, at their times, without the engine: so only the display is measured. Each
function is awaited in a cell and returns its figures; the page notes its own meanwhile (`display.py`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from trigger_nb._records.feed import Event, Feed, Progressed, Saved, Seen
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._records.status import Reason, RunStatus, TaskStatus
from trigger_nb._view.live import pump
from trigger_nb._view.live.display import RunDisplay
from trigger_nb._view.live.wire import PAGE, Button
from trigger_nb._view.model.run_model import RunModel

LAST = "all is done"  # what the page looks for: the last thing that happens
AT_ONCE = 50
SETTLED = 2.0  # seconds after which nothing comes any more, and nothing is done in the kernel
STEP = 0.005


@dataclass
class Figures:
    """Seconds, those of clocks since the epoch."""

    shown_at: float = 0.0
    last_at: float = 0.0
    cpu: float = 0.0  # of the main thread
    stretch: float = 0.0  # of the main thread, the longest one at a time, but for the next two
    collection: float = 0.0  # the longest garbage collection in such a stretch
    imports: float = 0.0  # once a kernel
    clicked_at: list[float] = field(default_factory=list[float])
    snapshot_at: float = 0.0


class Run:
    """Tasks in three levels, and the events of a pass that runs them all."""

    def __init__(self, tasks: int) -> None:
        self.began = time.time()
        self.record = RunRecord(
            id="run_benchmark", status=RunStatus.RUNNING, job="benchmark", name="Benchmark", version="1",
            created_at=self.began, started_at=self.began, began_at=self.began, passes=2,
        )  # fmt: skip
        self.last = self._task("finish", 1, name="Finish", status=TaskStatus.RUNNING)
        self.inner: list[TaskRecord] = []
        self.leaves: list[TaskRecord] = []
        for group in range(10):
            self.inner.append(self._task(f"group-{group}", len(self.inner) + 2, status=TaskStatus.RUNNING))
            for page in range(10):
                path = f"group-{group}/page-{page}"
                self.inner.append(self._task(path, len(self.inner) + 2, status=TaskStatus.RUNNING))
        pages = [record.path for record in self.inner if "/" in record.path]
        for number in range(tasks - len(self.inner) - 1):
            path = f"{pages[number % len(pages)]}/item-{number}"
            self.leaves.append(
                self._task(path, len(self.inner) + number + 2, name=f"Fetch item {number}", icon="globe")
            )

    def _task(self, path: str, ordinal: int, **fields: Any) -> TaskRecord:
        return TaskRecord(path=path, **{"status": TaskStatus.PENDING, "started": ordinal} | fields)

    def model(self) -> RunModel:
        """As it stands when a pass has begun and met the outer tasks: all are known from an earlier one."""
        records = [self.last, *self.inner, *self.leaves]
        seen = {record.path: Seen(record.path, Reason.NEW) for record in records[: 1 + len(self.inner)]}
        store = "/home/ana/notebooks/.trigger_nb/benchmark"
        return RunModel(self.record, records, seen=seen, store=store, awaited=True, lazy=True)

    def updates(self, count: int) -> Iterator[tuple[Event, ...]]:
        """So many updates: a task starts, or a task has ended; some fifty are under way at a time."""
        dice = random.Random(0)
        waiting, running = list[TaskRecord](), list[TaskRecord]()
        for _ in range(count - 1):
            now = time.time()
            if not waiting:
                waiting = dice.sample(self.leaves, len(self.leaves))
            if len(running) < AT_ONCE or dice.random() < 0.5:
                running.append(record := waiting.pop().copy(status=TaskStatus.RUNNING, started_at=now))
                yield Seen(record.path, Reason.NEW), Saved(record, live=True)
            else:
                record = running.pop(dice.randrange(len(running)))
                yield (Saved(record.copy(status=TaskStatus.COMPLETED, ended_at=now)),)
        state = [{"label": "State", "text": LAST}]
        done = {"status": TaskStatus.COMPLETED, "ended_at": time.time(), "output_properties": state}
        yield (Saved(self.last.copy(**done)),)


class MapRun:
    """A run with one map of so many items, which all come while it is looked at."""

    def __init__(self, items: int) -> None:
        self.began = time.time()
        self.record = RunRecord(
            id="run_benchmark", status=RunStatus.RUNNING, job="benchmark", name="Benchmark", version="1",
            created_at=self.began, started_at=self.began, began_at=self.began, passes=1,
        )  # fmt: skip
        running = {"status": TaskStatus.RUNNING, "started_at": self.began}
        self.last = TaskRecord(path="finish", name="Finish", started=1, **running)
        self.node = TaskRecord(path="embed", kind="map", name="Embed", started=2, **running)
        self._items = items
        self._stored: dict[str, TaskRecord] = {}  # as the store would have it

    def model(self) -> RunModel:
        records = [self.last, self.node]
        seen = {record.path: Seen(record.path, Reason.NEW) for record in records}
        store = "/home/ana/notebooks/.trigger_nb/benchmark"
        return RunModel(self.record, records, seen=seen, store=store, lazy=True, read=self._stored.get)

    def updates(self, count: int) -> Iterator[tuple[Event, ...]]:
        """Each time an item ends, one in two hundred badly, and another one begins."""
        under_way: list[TaskRecord] = []
        told_at = failed = 0.0
        for number in range(count - 1):
            now = time.time()
            path = f"embed/~(#,{number * 7919 % 1_000_003:020x})"
            begun = TaskRecord(
                path=path, status=TaskStatus.RUNNING, started=number + 3, started_at=now, name=f"Text {number:,}",
                code="c" * 22, body="__main__:embed", params=[f"the text of item {number}"],
            )  # fmt: skip
            under_way.append(begun)
            events: list[Event] = [Seen(path, Reason.NEW), Saved(begun, live=True)]
            if len(under_way) > AT_ONCE:
                ended = under_way.pop(0)
                how: dict[str, Any] = {"status": TaskStatus.COMPLETED, "value": [0.5] * 20}
                if number % 200 == 0:
                    error = {"type": "ValueError", "message": f"item {number} has no text"}
                    how = {"status": TaskStatus.ERRORED, "error": error}
                    failed += 1
                events.append(Saved(ended.copy(ended_at=now, **how)))
            if now - told_at >= 0.1:
                told_at = now
                speed = number / max(0.1, now - self.began)
                ends_at = now + (self._items - number) / max(speed, 1)
                events.append(Progressed("embed", number, self._items, None, int(failed), speed, ends_at))
            yield tuple(events)
        state = [{"label": "State", "text": LAST}]
        done = {"status": TaskStatus.COMPLETED, "ended_at": time.time(), "output_properties": state}
        yield (Saved(self.last.copy(**done)),)


async def drive(count: int, rate: float, update: Callable[[], Any]) -> float:
    """Call `update` so many times, so many a second; the main thread's time from the first to when all is settled."""
    before, began = time.thread_time(), time.perf_counter()
    done = 0
    while done < count:
        due = min(count, int((time.perf_counter() - began) * rate))
        while done < due:
            update()
            done += 1
        await asyncio.sleep(STEP)
    await asyncio.sleep(SETTLED)
    return time.thread_time() - before


async def without(run: Run | MapRun, rate: float, seconds: float) -> float:
    """The driver alone: what the kernel does when nobody looks."""
    count = int(rate * seconds)
    feed, updates = Feed(), run.updates(count)
    return await drive(count, rate, lambda: _emit(feed, next(updates)))


def _emit(feed: Feed, events: Iterable[Event]) -> None:
    for event in events:
        feed.emit(event)


# The displays --------------------------------------------------------------------------------------


class Clicks:
    """Stands in for a run's actions; a click is noted and does nothing."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def buttons(self, run: RunRecord) -> list[Button]:
        return [Button("pause", "Pause")]

    def row_buttons(self, run: RunRecord) -> list[Button]:
        return []

    def page(self, run: RunRecord) -> dict[str, Any]:
        return dict(PAGE)

    def do(self, operation: str, path: str | None) -> None:
        self._figures.clicked_at.append(time.time())

    def scope_of_rerun(self, path: str) -> tuple[int, str]:
        return 0, ""


def write(file: str, figures: dict[str, Any]) -> None:
    """Hand the figures over, all at once."""
    with open(f"{file}.part", "w", encoding="utf-8") as part:
        json.dump(figures, part)
    os.replace(f"{file}.part", file)


async def ours(tasks: int, rate: float, seconds: float) -> dict[str, Any]:
    """The widget of a run."""
    return await _widget(Run, tasks, rate, seconds)


async def a_map(items: int, rate: float, seconds: float) -> dict[str, Any]:
    """The widget of a run with a large map."""
    return await _widget(MapRun, items, rate, seconds)


async def _widget(
    make_run: Callable[[int], Run | MapRun], tasks: int, rate: float, seconds: float
) -> dict[str, Any]:
    base = await without(make_run(tasks), rate, seconds)
    figures, feed, run = Figures(), Feed(), make_run(tasks)
    _watch_stretches(figures)
    count = int(rate * seconds)
    updates = run.updates(count)
    cpu, figures.shown_at = time.thread_time(), time.time()
    from trigger_nb._view.live import widget  # noqa: F401  # as the display does when it is first shown

    figures.imports = time.thread_time() - cpu
    display = RunDisplay(run.model, feed, asyncio.get_running_loop(), Clicks(figures))
    display.show()
    cpu = time.thread_time() - cpu

    def update() -> None:
        _emit(feed, next(updates))
        figures.last_at = time.time()

    figures.cpu = cpu + await drive(count, rate, update) - base
    figures.snapshot_at = time.time()
    display._pump.receive({"t": "hello", "n": 0})
    await asyncio.sleep(STEP)
    while display._pump._stream.pending:
        await asyncio.sleep(STEP)
    await asyncio.sleep(SETTLED)  # the page has it, too
    display.close()
    return asdict(figures)


def _watch_stretches(figures: Figures) -> None:
    """Note how long the display holds the main thread at a time.

    Garbage collections are counted apart: a full one visits all that the kernel holds, whoever sets it off.
    """
    guarded = pump.Pump.guarded
    began = collecting = 0.0

    def collects(phase: str, _: object) -> None:
        nonlocal began, collecting
        if phase == "start":
            began = time.thread_time()
        else:
            collecting += time.thread_time() - began

    def timed(self: pump.Pump, work: Callable[[], Any]) -> Any:
        before, collected = time.thread_time(), collecting
        try:
            return guarded(self, work)
        finally:
            collection = collecting - collected
            figures.collection = max(figures.collection, collection)
            figures.stretch = max(figures.stretch, time.thread_time() - before - collection)

    gc.callbacks.append(collects)
    pump.Pump.guarded = timed


async def plain_widgets(nodes: int, rate: float, seconds: float) -> dict[str, Any]:
    """A tree of plain ipywidgets: a box of boxes of HTML, one set a node and update."""
    import ipywidgets

    def show() -> Callable[[int, str], None]:
        rows = [ipywidgets.HTML(f"○ Fetch item {n}") for n in range(nodes)]
        groups = [ipywidgets.VBox(rows[n : n + 10]) for n in range(0, nodes, 10)]
        _display(ipywidgets.VBox([button, *groups]))

        def set_one(number: int, text: str) -> None:
            rows[number].value = text

        return set_one

    figures = Figures()
    button = ipywidgets.Button(description="Pause")
    button.on_click(lambda _: figures.clicked_at.append(time.time()))
    return await _other(figures, nodes, rate, seconds, show)


async def one_html(nodes: int, rate: float, seconds: float) -> dict[str, Any]:
    """One HTML widget, drawn anew at each update."""
    import ipywidgets

    def show() -> Callable[[int, str], None]:
        texts = [f"○ Fetch item {n}" for n in range(nodes)]
        widget = ipywidgets.HTML(_drawn(texts))
        _display(ipywidgets.VBox([button, widget]))

        def set_one(number: int, text: str) -> None:
            texts[number] = text
            widget.value = _drawn(texts)

        return set_one

    figures = Figures()
    button = ipywidgets.Button(description="Pause")
    button.on_click(lambda _: figures.clicked_at.append(time.time()))
    return await _other(figures, nodes, rate, seconds, show)


async def _other(
    figures: Figures, nodes: int, rate: float, seconds: float, show: Callable[[], Callable[[int, str], None]]
) -> dict[str, Any]:
    count, done = int(rate * seconds), 0
    base = await drive(count, rate, lambda: None)
    cpu, figures.shown_at = time.thread_time(), time.time()
    set_one = show()
    cpu = time.thread_time() - cpu

    def update() -> None:
        nonlocal done
        before = time.thread_time()
        done += 1
        text = LAST if done == count else ("●", "✔")[done // nodes % 2] + f" Fetch item {done}"
        set_one(done % nodes, text)
        figures.last_at = time.time()
        figures.stretch = max(figures.stretch, time.thread_time() - before)

    figures.cpu = cpu + await drive(count, rate, update) - base
    return asdict(figures)


def _drawn(texts: list[str]) -> str:
    return "".join(f"<div class='node'>{escape(text)}</div>" for text in texts)


def _display(widget: object) -> None:
    from IPython.display import display

    display(widget)
