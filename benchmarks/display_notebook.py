"""`python -m benchmarks notebook`: what runs cost a notebook's page, in a real JupyterLab and Chromium.

Each figure is of a page of its own. `--package` measures another checkout of the package beside this one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.lab import Lab, chromium_context
from tests.browser.server import ROOT, Server, jupyter_server
from tests.browser.wire import COUNT

from .display import Figure, surroundings

RUNS = 30
PATIENCE = 120.0
AT_REST = 10.0  # seconds

# Before the page's own code: what moves without anybody's doing.
WATCH = """
window.bench = { shift: 0 };
new PerformanceObserver(list => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) bench.shift += value;
}).observe({ type: 'layout-shift' });
"""
WIRE = "wire.widgets + wire.rest"
# From the command to the first frame with a row of the run in it, in ms.
PAINT = """([cell, seen]) => new Promise(done => {
  const began = performance.now();
  const look = () => {
    const place = document.querySelector(`.jp-Cell[data-windowed-list-index="${cell}"] .jp-OutputArea`);
    if (place?.querySelectorAll('.tnb-live [role=treeitem]').length) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  look();
  void jupyterapp.commands.execute('notebook:run-cell');
})"""
JOB = """
import sys; sys.path.insert(0, {package!r})
import asyncio
from trigger_nb import TriggerClient
client = TriggerClient("benchmark")

@client.job(name="Four steps")
async def four(payload, io):
    for step in ("fetch", "clean", "count", "report"):
        await io.run_task(step, asyncio.sleep, 0.3)
    return payload

@client.job(name="Waits")
async def waits(payload, io):
    await io.run_task("fetch", lambda: payload)
    await io.wait("pause", hours=1)
"""
FIGURES = {
    "cold": Figure("first paint, first run of a page", "ms", None),
    "warm": Figure("first paint, further runs", "ms", None),
    "first": Figure("first run on the wire", "kB", None, 1e-3),
    "further": Figure("a further run on the wire", "kB", None, 1e-3, 1),
    "all": Figure("30 runs on the wire", "MB", 1.0, 1e-6, 2),
    "rest": Figure("30 runs at rest: share of the page's main thread", "%", 1.0, 100, 1),
    "bare": Figure("  the same without a run", "%", None, 100, 1),
    "shift": Figure("layout shift, a run of four tasks", "", 0.1, digits=3),
    "replay": Figure("layout shift, its replay", "", 0.1, digits=3),
}
Measured = dict[str, float]


def measure(
    server: Server,
    context: BrowserContext,
    package: Path = ROOT,
    *,
    runs: int = RUNS,
    at_rest: float = AT_REST,
) -> Measured:
    """Each figure once, of the package in a folder."""
    job = JOB.format(package=str(package))
    measured: Measured = {}
    for figures in (_paint, partial(_wire, runs), partial(_rest, runs, at_rest), _shift):
        lab = Lab(server, context, "benchmark")
        try:
            lab.page.add_init_script(COUNT + WATCH)
            measured |= figures(lab, job)
        finally:
            lab.close()
    return measured


def _paint(lab: Lab, job: str) -> Measured:
    lab.open([job, *(f"await four.run({n})" for n in range(4))]).run_cell(0).wait_idle()
    took: list[float] = []
    for cell in range(1, 5):
        took.append(lab.select(cell).page.evaluate(PAINT, [cell, 0]))
        lab.wait_idle()
    return {"cold": took[0], "warm": median(took[1:])}


def _wire(runs: int, lab: Lab, job: str) -> Measured:
    lab.open([job, *(f"await four.run({n})" for n in range(runs))]).run_cell(0).wait_idle()
    lab.run_cell(1).wait_idle()
    settled(lab.page)
    first = lab.page.evaluate(WIRE)
    lab.select(2).command("notebook:run-all-below").wait_idle()
    settled(lab.page)
    total = lab.page.evaluate(WIRE)
    return {"first": first, "further": (total - first) / (runs - 1), "all": total}


def _rest(runs: int, seconds: float, lab: Lab, job: str) -> Measured:
    lab.open([job, *(f"waits.start({n})" for n in range(runs))])
    lab.run_cell(0).wait_idle()
    bare = _share(lab.page, seconds)
    lab.run_all().wait_idle()
    expect(lab.page.locator(".tnb-live").last).to_contain_text("WAITING", timeout=1000 * PATIENCE)
    lab.select(1)
    settled(lab.page)
    return {"bare": bare, "rest": _share(lab.page, seconds) - bare}


def _share(page: Page, seconds: float) -> float:
    """The share of a core that the main thread takes."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "ThreadTime")

    before, began = busy(), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    share = (busy() - before) / (time.monotonic() - began)
    session.detach()
    return share


def _shift(lab: Lab, job: str) -> Measured:
    # The cells below are what moves.
    lab.open([job, "await four.run(1)", *(f"# {n}" for n in range(5))]).run_cell(0).wait_idle()
    shifts: list[float] = []
    for _ in range(2):
        lab.page.evaluate("bench.shift = 0")
        lab.run_cell(1).wait_idle()
        settled(lab.page)
        shifts.append(lab.page.evaluate("bench.shift"))
    return {"shift": shifts[0], "replay": shifts[1]}


def settled(page: Page) -> None:
    """Wait until a second has brought nothing."""
    deadline = time.monotonic() + PATIENCE
    before = None
    while (now := page.evaluate(WIRE)) != before and time.monotonic() < deadline:
        before = now
        page.wait_for_timeout(1000)


# The table -----------------------------------------------------------------------------------------


def table(found: dict[str, list[Measured]]) -> str:
    """The figures as text: medians, and the least and the greatest of all repetitions."""
    lines = [["", "target", *found]]
    for key, figure in FIGURES.items():
        target = "" if figure.target is None else f"{figure.target:,g} {figure.unit}".strip()
        lines.append(
            [figure.name, target, *(_spread([each[key] for each in all_], figure) for all_ in found.values())]
        )
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _spread(values: Sequence[float], figure: Figure) -> str:
    seen = sorted(value * figure.scale for value in values)
    text = f"{median(seen):,.{figure.digits}f}"
    if len(seen) > 1:
        text += f" ({seen[0]:,.{figure.digits}f}-{seen[-1]:,.{figure.digits}f})"
    return f"{text} {figure.unit}".strip()


def main(arguments: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks notebook", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--package", type=Path, action="append", default=[], help="a folder to import trigger_nb from"
    )
    given = parser.parse_args(list(arguments))
    packages = [ROOT, *(package.absolute() for package in given.package)]
    found: dict[str, list[Measured]] = {str(package): [] for package in packages}
    with (
        tempfile.TemporaryDirectory() as directory,
        jupyter_server(Path(directory)) as server,
        chromium_context() as context,
    ):
        print(surroundings(context))
        for _ in range(given.repeat):
            for package in packages:
                found[str(package)].append(measure(server, context, package))
    print(table(found))
