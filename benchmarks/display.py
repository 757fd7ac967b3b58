"""`python -m benchmarks display`: what a live tree costs, in a real JupyterLab and Chromium.

Beside it the two things that people build first: a tree of plain ipywidgets, and one HTML widget that
is drawn anew at each update. `docs/benchmarks.md` tells what came out.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import BrowserContext, Error, Page

from tests.browser.lab import Lab, chromium_context
from tests.browser.server import Server, jupyter_server

from .display_kernel import LAST

CLICKS = 5
PATIENCE = 30.0  # seconds after the last update in which it may still be drawn

# Before the page's own code: each message is counted as it comes in.
COUNT = """
window.bench = { frames: [], tasks: [], clicks: [], nodes: 0, painted: 0, last: 0 };
const Native = window.WebSocket;
window.WebSocket = class extends Native {
  constructor(...args) {
    super(...args);
    this.addEventListener('message', ({ data }) =>
      bench.frames.push([Date.now() / 1000, data.byteLength ?? data.size ?? data.length]));
  }
};
new PerformanceObserver(list => {
  for (const { startTime, duration } of list.getEntries())
    bench.tasks.push([(performance.timeOrigin + startTime) / 1000, duration / 1000]);
}).observe({ type: 'longtask' });
"""
# After the cell has begun: what the output looks like, in each frame that is painted.
WATCH = """(last) => {
  document.addEventListener('click', event =>
    bench.clicks.push((performance.timeOrigin + event.timeStamp) / 1000), true);
  const look = () => {
    const output = document.querySelector('.jp-Cell[data-windowed-list-index="1"] .jp-OutputArea');
    const row = output?.querySelector('[role=treeitem], .widget-html, .node');
    const now = Date.now() / 1000;
    if (row && !bench.painted) bench.painted = now;
    if (row && !bench.last) {
      const rows = output.querySelectorAll('[role=treeitem], .widget-html');
      if (Array.from(rows).some(row => row.textContent.includes(last))) bench.last = now;
    }
    if (output) bench.nodes = Math.max(bench.nodes, output.getElementsByTagName('*').length);
    requestAnimationFrame(look);
  };
  look();
}"""


@dataclass(frozen=True)
class Figure:
    """One line of the table: what is measured, in which unit, and what it should be at most."""

    name: str
    unit: str
    target: float | None
    scale: float = 1.0
    digits: int = 0


FIGURES = {
    "messages": Figure("messages a second", "", 25, digits=1),
    "bytes": Figure("bytes after the first paint", "MB", 1.5, 1e-6, 2),
    "nodes": Figure("DOM nodes", "", 1000),
    "snapshot": Figure("snapshot", "MB", 1.0, 1e-6, 2),
    "cpu": Figure("kernel: share of a core", "%", 10, 100, 1),
    "stretch": Figure("kernel: longest at a stretch", "ms", 20, 1000, 1),
    "collection": Figure("  garbage collection besides", "ms", None, 1000, 1),
    "imports": Figure("  imports, once a kernel", "ms", None, 1000, 1),
    "last": Figure("last state visible after", "ms", 150, 1000),
    "task": Figure("browser: longest task", "ms", 100, 1000),
    "paint": Figure("first paint after", "ms", 500, 1000),
    "heap": Figure("browser: memory of the page's scripts", "MB", None, 1e-6),
    "click": Figure("click to handler", "ms", 50, 1000),
}
Measured = dict[str, float | None]  # None: not seen, or there is no such thing


@dataclass(frozen=True)
class Load:
    """How much is to be displayed."""

    tasks: int  # or items of one map
    nodes: int  # of the other displays, which do not come to an end with as many
    rate: int
    seconds: float


def measure(
    kind: str, load: Load, server: Server, context: BrowserContext, patience: float = PATIENCE
) -> Measured:
    """One display in a new kernel and a new page, once."""
    lab = Lab(server, context, kind)
    try:
        lab.page.add_init_script(COUNT)
        size = load.tasks if kind in ("ours", "a_map") else load.nodes
        call = f"await display_kernel.{kind}({size}, {load.rate}, {load.seconds})"
        # To a file: the server drops what is printed, too, when a display sends more than it lets through.
        figures = lab.folder / "figures.json"
        lab.open(["from benchmarks import display_kernel", f"display_kernel.write({figures.name!r}, {call})"])
        lab.run_cell(0).wait_idle()
        lab.page.evaluate(WATCH, LAST)
        lab.run_cell(1)
        _click(lab.page, load.seconds, patience)
        _until(figures.exists, 3 * load.seconds + patience)
        if not lab.page.evaluate("bench.last"):
            _to_the_last_state(lab.page, patience)  # again, where the page was too busy for it
        _until(lambda: lab.page.evaluate("bench.last"), patience)
        kernel = json.loads(figures.read_text())
        if kernel["snapshot_at"]:
            _until(lambda: lab.page.evaluate("bench.frames.at(-1)[0]") > kernel["snapshot_at"], patience)
        heap = lab.page.evaluate("performance.memory.usedJSHeapSize")
        return _figures(kernel, lab.page.evaluate("bench"), load) | {"heap": heap}
    except (Error, FileNotFoundError) as error:
        error.add_note("The cell says:\n" + "\n".join(lab.output(1).all_inner_texts())[-3000:])
        raise
    finally:
        lab.close()


def _click(page: Page, seconds: float, patience: float) -> None:
    """Click a button a few times while updates come in."""
    button = page.get_by_role("button", name="Pause")
    button.wait_for(timeout=1000 * (seconds + patience))
    _to_the_last_state(page, 1.0)
    for _ in range(CLICKS):
        page.wait_for_timeout(1000 * seconds / (CLICKS + 2))
        with suppress(Error):
            button.click(timeout=1000)


def _to_the_last_state(page: Page, patience: float) -> None:
    """Show the rows where the last state will be, if there are rows to scroll."""
    if not page.get_by_role("tree").count():
        return
    with suppress(Error):  # a page that is too busy for it is measured all the same
        page.get_by_role("button", name="Unfold all").click(timeout=1000 * patience)
        page.get_by_role("tree").press("Home", timeout=1000 * patience)


def _until(holds: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)


def _figures(kernel: dict[str, Any], page: dict[str, Any], load: Load) -> Measured:
    painted, last = page["painted"], page["last"]
    snapshot_at = kernel["snapshot_at"] or float("inf")
    live = [size for at, size in page["frames"] if painted < at < snapshot_at]
    tasks = [took for at, took in page["tasks"] if at + took > kernel["shown_at"] and at < snapshot_at]
    clicks = [
        handled - min(clicked, key=lambda at: abs(handled - at))
        for handled in kernel["clicked_at"]
        if (clicked := [at for at in page["clicks"] if at <= handled])
    ]
    return {
        "messages": len(live) / max(load.seconds, kernel["last_at"] - kernel["shown_at"]),
        "bytes": float(sum(live)),
        "nodes": float(page["nodes"]),
        "snapshot": float(sum(size for at, size in page["frames"] if at > snapshot_at)) or None,
        "cpu": kernel["cpu"] / load.seconds,
        "stretch": kernel["stretch"],
        "collection": kernel["collection"] or None,
        "imports": kernel["imports"] or None,
        "last": last - kernel["last_at"] if last else None,
        "task": max(tasks, default=0.05),  # the browser tells only of those above 50 ms
        "paint": painted - kernel["shown_at"] if painted else None,
        "click": median(clicks) if clicks else None,
    }


# The table -----------------------------------------------------------------------------------------


def table(found: dict[str, list[Measured]]) -> str:
    """The figures as text: medians, and the least and the greatest of all repetitions."""
    heads = ["", "target", "trigger_nb", "", *(NAMES[kind] for kind in found if kind != "ours")]
    lines = [heads, ["-" * 8] * len(heads)]
    for key, figure in FIGURES.items():
        values = {kind: [each[key] for each in measured] for kind, measured in found.items()}
        ours = values.pop("ours")
        lines.append(
            [
                figure.name,
                "" if figure.target is None else f"{figure.target:,g} {figure.unit}".strip(),
                _spread(ours, figure),
                _verdict(ours, figure),
                *(_spread(theirs, figure) for theirs in values.values()),
            ]
        )
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    lines[1] = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _spread(values: Sequence[float | None], figure: Figure) -> str:
    seen = sorted(value * figure.scale for value in values if value is not None)
    if not seen:
        return "never" if figure.name.startswith("last") else ""
    text = f"{median(seen):,.{figure.digits}f}"
    if len(seen) > 1:
        text += f" ({seen[0]:,.{figure.digits}f}-{seen[-1]:,.{figure.digits}f})"
    return f"{text} {figure.unit}".strip()


def _verdict(values: Sequence[float | None], figure: Figure) -> str:
    if figure.target is None:
        return ""
    seen = [value for value in values if value is not None]
    return "met" if len(seen) == len(values) and median(seen) * figure.scale <= figure.target else "missed"


NAMES = {"ours": "trigger_nb", "plain_widgets": "plain ipywidgets", "one_html": "one HTML widget"}


def surroundings(context: BrowserContext) -> str:
    """What the figures were measured with."""
    names = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    browser = context.browser
    chromium = browser.version if browser is not None else "?"
    return f"Python {platform.python_version()}, {packages}, Chromium {chromium}; {platform.system()} {platform.machine()}"


def main(arguments: Iterable[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks display", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--tasks", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--nodes", type=int, default=300, help="of the other displays (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=2000, help="updates a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument(
        "--items", type=int, help="instead: one map of so many items, all of which come meanwhile"
    )
    parser.add_argument("--only", choices=tuple(NAMES), action="append", help="some of the displays")
    given = parser.parse_args(list(arguments))
    load = Load(given.tasks, given.nodes, given.rate, given.seconds)
    if given.items:
        load = Load(given.items, 0, round(given.items / given.seconds), given.seconds)
    only = ["ours"] if given.items else given.only or NAMES
    found: dict[str, list[Measured]] = {kind: [] for kind in NAMES if kind in only}
    with (
        tempfile.TemporaryDirectory() as directory,
        jupyter_server(Path(directory)) as server,
        chromium_context() as context,
    ):
        print(surroundings(context))
        print(
            f"{load.tasks:,} {f'tasks ({load.nodes} nodes beside)' if load.nodes else 'items of a map'}, {load.rate:,} updates/s for {load.seconds:g} s, "
            f"{given.repeat} times: medians (least-greatest)\n"
        )
        for _ in range(given.repeat):
            for kind, measured in found.items():
                measured.append(measure("a_map" if given.items else kind, load, server, context))
    print(table(found))
