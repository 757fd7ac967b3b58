"""The tree of a run in a terminal: live while the run goes on, and as text once it has ended."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .._records.feed import PassBegan
from .._records.status import RunStatus
from .._runs.showing import make_model
from .._view.model.rows import SYMBOLS, State
from .._view.model.run_model import RunModel
from .._view.model.run_status import status_text
from .._view.render import text
from ..run import Run

_REDRAW = 0.125  # seconds between two pictures
_LEAST_ROWS = 6
# `!trigger-nb ...` in a cell looks like a terminal, but what it writes is only added to its output.
_IN_CELL = "JPY_PARENT_PID" in os.environ
_WIDTH = 100  # of a line that goes to a file or another program
_COLOURS = {
    State.COMPLETED: "green",
    State.FAILED: "bold red",
    State.RUNNING: "cyan",
    State.RETRYING: "yellow",
    State.WAITING: "blue",
    State.PENDING: "dim",
    State.CANCELED: "magenta",
    State.UNFINISHED: "yellow",
    State.NOT_REACHED: "dim",
    State.LOG: "dim",
}
_SYMBOL = re.compile(rf"^(?P<lines>[│├└─ ]*)(?P<symbol>[{''.join(SYMBOLS.values())}]) ")
_OF_SYMBOL = {symbol: _COLOURS[state] for state, symbol in SYMBOLS.items()}


def painted(plain: str) -> Text:
    """The text of a tree with colours. The text itself is not read as markup."""
    shown = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(plain.split("\n")):
        if number:
            shown.append("\n")
        match = _SYMBOL.match(line)
        if match is None:
            shown.append(line, "dim" if line.startswith("  run_") else "")
            continue
        shown.append(match["lines"], "dim")
        shown.append(match["symbol"], _OF_SYMBOL[match["symbol"]])
        shown.append(line[match.end("symbol") :], "bold" if not match["lines"] and not number else "")
    return shown


def advice(run: Run) -> list[str]:
    """What to type next, for a run that has not completed."""
    record = run._current
    match record.status:
        case RunStatus.FAILED:
            return [f"trigger-nb retry {record.id}    runs what failed again, and keeps all other results"]
        case RunStatus.INTERRUPTED | RunStatus.CANCELED:
            return [f"trigger-nb resume {record.id}    continues where it stopped"]
        case RunStatus.WAITING if record.reason == "paused":
            return [f"trigger-nb resume {record.id}    continues it"]
        case _:
            return []


def show(console: Console, run: Run, *, fold: int | None = 20, width: int | None = None) -> None:
    """Print the tree of a run as it is now."""
    model = make_model(run._runtime, run.id)
    model.offers_actions = False  # those of a notebook
    width = width or (console.width if console.is_terminal else _WIDTH)
    console.print(painted(text.tree(model, width=width, fold=fold)), soft_wrap=True)
    for line in advice(run):
        console.print(Text("  " + line, "dim"), soft_wrap=True)


class LiveTree:
    """The tree of a run, drawn again and again in a terminal; elsewhere, as in a cell, a line for each change of the status."""

    def __init__(self, console: Console, run: Run) -> None:
        self._console = console
        self._run = run
        self._subscription = run._runtime.feed(run.id).subscribe()
        self._feed = run._runtime.feed(run.id)  # which nobody else may hold
        self._model = self._made()
        self._status = ""

    def _made(self) -> RunModel:
        model = make_model(self._run._runtime, self._run.id)
        model.offers_actions = False
        return model

    async def until(self, over: Awaitable[object]) -> None:
        """Show the run until something is over, which is cancelled with this."""
        waiting = asyncio.ensure_future(over)
        try:
            if self._console.is_terminal and not _IN_CELL:
                await self._draw(waiting)
            else:
                await self._report(waiting)
        finally:
            self._subscription.close()
            if not waiting.done():
                waiting.cancel()
                with suppress(BaseException):
                    await waiting
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # for whoever awaits the run

    async def _draw(self, waiting: asyncio.Future[object]) -> None:
        with Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
        ) as live:
            while not waiting.done():
                self._catch_up()
                live.update(self._picture(), refresh=True)
                await asyncio.wait({waiting}, timeout=_REDRAW)

    async def _report(self, waiting: asyncio.Future[object]) -> None:
        while not waiting.done():
            self._catch_up()
            status = status_text(self._model.run)
            if status != self._status:
                self._status = status
                self._console.print(f"{self._run.id} {status}", markup=False, highlight=False, soft_wrap=True)
            await asyncio.wait({waiting}, timeout=1.0)

    def _catch_up(self) -> None:
        if not self._subscription.pending:
            return
        events = self._subscription.take()
        self._model.apply(events)
        if any(isinstance(event, PassBegan) for event in events):
            self._model.look()

    def _picture(self) -> Text:
        width, height = self._console.size
        rows = max(_LEAST_ROWS, height - 6)
        lines = text.excerpt(self._model, width=width, rows=rows).split("\n")
        if len(lines) > height - 1:  # errors and hints take lines, too
            lines = [*lines[: max(1, height - 2)], f"… {len(lines) - height + 2} more lines"]
        return painted("\n".join(lines))
