"""A map of many items as a table in a page without a notebook: this process answers as the kernel does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.views import Clock, run, task
from trigger_nb import Reason
from trigger_nb._records.feed import Feed, Seen
from trigger_nb._records.records import TaskRecord
from trigger_nb._view.live.map_table import Tables
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.model.run_model import RunModel

from . import gallery
from .tab import expose
from .test_alone import show

LABELS = ("ham", "spam", "unsure")
KERNEL = "window.answer(JSON.stringify(message)).then(said => JSON.parse(said).forEach(say));"


def records(count: int) -> list[TaskRecord]:
    """A map over documents: every 400th has failed, and the others have a label, a score and a reason."""
    items = [
        task(
            f"classify/doc {n}",
            n + 2,
            *(["ERRORED"] if n % 400 == 7 else []),
            name=f"doc {n}",
            value=None
            if n % 400 == 7
            else {
                "label": LABELS[n % 3],
                "score": n * 7 % count,
                "why": f"it says <b>doc {n}</b>, {'and so on ' * 9}",
            },
            error={"type": "ValueError", "message": f"item {n} has no text"} if n % 400 == 7 else None,
            ended_at=1_700_000_002.0 + n * 1.01,
        )
        for n in range(count)
    ]
    return [task("classify", 1, kind="map", name="Classify texts", tally={"items": count}), *items]


class Kernel:
    """Answers the messages of the page with those of a stream, as `Pump` does."""

    def __init__(self, page: Page, stored: list[TaskRecord]) -> None:
        self._stored = {record.path: record for record in stored}
        seen = {path: Seen(path, Reason.NEW) for path in self._stored}
        self.queries = 0
        model = RunModel(
            run(name="Classify", job="classify"), stored, seen=seen, clock=Clock(), read=self._stored.get
        )
        self._stream = Stream(model, Feed().subscribe(), gallery._Controls())
        self._tables = Tables(self)
        expose(page, "answer", self._answer)
        page.evaluate("first => { window.first = first; }", self._stream.first())

    def whole_records(self, paths: list[str]) -> list[TaskRecord]:
        self.queries += 1
        return [self._stored[path] for path in paths]

    def _answer(self, text: str) -> str:
        message: Mapping[str, Any] = json.loads(text)
        match message:
            case {"t": "table", "id": request, "i": index}:
                part = self._tables.answer(self._stream.row(index), message, self._stream.number)
                self._stream.answer({"id": request, "ok": True, **part})
            case {"t": "details", "i": index}:
                self._stream.watch(index, bool(message.get("on")))
            case {"t": "hello"}:
                self._stream.hello(message["n"])
            case _:
                pass
        said: list[object] = []
        while (update := self._stream.next()) is not None or self._stream.behind:
            if update is not None:
                said.append(update)
        return json.dumps(said)


def opened(page: Page, count: int = 5000, look: str = "JupyterLab light") -> Kernel:
    """Show the table of a map with so many items."""
    gallery.fill(page, look)
    kernel = Kernel(page, records(count))
    show(page, "run", KERNEL)
    page.get_by_role("button", name="Table").click()
    expect(page.get_by_role("grid").get_by_role("row").nth(1)).to_contain_text("doc 0")
    return kernel
