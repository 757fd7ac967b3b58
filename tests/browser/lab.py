"""A notebook in a real JupyterLab, in a real Chromium, as the person at the keyboard has it.

```python
def test_it_says_hello(lab):
    lab.open(["print('hello')"])
    lab.run_all().wait_idle()
    expect(lab.output(0)).to_have_text("hello")
```

Cells are counted from 0. What waits, waits for a condition; how long at most is in `PATIENCE`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import nbformat
from nbformat import NotebookNode
from nbformat.sign import NotebookNotary
from playwright.sync_api import BrowserContext, Error, Locator, expect, sync_playwright

from . import chromium
from .server import TOKEN, Server
from .tab import SIZE, Tab

PATIENCE = 120.0  # seconds; only a failing test waits that long
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}

# For the beginning of a cell: bodies wait in `until("name")` for the test's `lab.signal("name")`.
UNTIL = """\
import asyncio, os

async def until(name):
    while not os.path.exists(name):
        await asyncio.sleep(0.01)
"""

PANEL = "jupyterapp.shell.currentWidget"
# A dialog that nobody expects would be waited for until the test's time is up. On a slow machine JupyterLab asks
# whether to wait for its loading screen.
NO_DIALOG = """{
  const dialog = document.querySelector('.jp-Dialog');
  if (dialog?.innerText.includes('loading screen')) {
    [...dialog.querySelectorAll('button')].find((button) => button.innerText.includes('Keep Waiting')).click();
  } else if (dialog) throw new Error('JupyterLab asks: ' + dialog.innerText);
}"""
# `void`: whoever awaited a command would wait for what it runs. So it is noted.
COMMAND = """([command, args]) => {
  const [commands, begun] = [window.labCommands ??= new Set(), {}];
  commands.add(begun);
  void jupyterapp.commands.execute(command, args).finally(() => commands.delete(begun));
}"""
IDLE = f"""() => {{
  {NO_DIALOG}
  const panel = {PANEL};
  return !window.labCommands?.size && panel?.context?.isReady
    && panel.sessionContext.session?.kernel?.status === 'idle';
}}"""
# `jupyterapp` itself comes late: a page that is only beginning has neither it nor a splash yet.
OPENED = f"""() => {{
  {NO_DIALOG}
  if (!window.jupyterapp) return false;
  return {PANEL}?.context?.isReady && {PANEL}.content?.widgets.length;
}}"""


# Closes all that is open, and commands of before are waited for no more. True if JupyterLab is there, and asks nothing.
CLOSE_ALL = """() => {
  if (!window.jupyterapp || document.querySelector('.jp-Dialog')) return false;
  for (const widget of [...jupyterapp.shell.widgets('main')]) widget.dispose();
  window.labCommands = new Set();
  return true;
}"""
# Where nothing was open, JupyterLab has opened its launcher.
OPEN = """async path => {
  const opened = await jupyterapp.commands.execute('docmanager:open', { path });
  for (const widget of [...jupyterapp.shell.widgets('main')]) if (widget !== opened) widget.dispose();
}"""


class Lab:
    """One notebook, with a folder and a kernel of its own.

    In a page of its own, too, unless it is given a `tab`: in that, a JupyterLab that an earlier one has loaded is used.
    """

    def __init__(
        self,
        server: Server,
        context: BrowserContext,
        name: str = "test",
        *,
        app: str = "lab",
        tab: Tab | None = None,
    ) -> None:
        self.server = server
        self.folder = server.new_folder(name)  # the working directory of the kernel
        self.app = app  # "lab", or "notebook" for Notebook 7
        self.console: list[str] = []  # what the browser's console says, and errors that nobody caught
        self._tab = tab
        self._disturbed = (
            False  # the page was left or loaded again, or its kernel stopped: the next one gets another
        )
        self.page = tab.page() if tab else context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self._listeners: dict[Any, Callable[[Any], object]] = {
            "console": lambda message: self.console.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.console.append(f"uncaught: {error.stack or error}"),
            "dialog": lambda dialog: dialog.accept(),  # "leave the page?"
        }
        for event, listener in self._listeners.items():
            self.page.on(event, listener)
        self._path = self.folder / "notebook.ipynb"

    def close(self, *, spoiled: bool = False) -> None:
        """Leave nothing to the next one: the tab is closed, too, if it is `spoiled`, or not as it was."""
        if self._tab is None:
            self.page.close()
        elif spoiled or self._disturbed or not self._close_all():
            self._tab.close()
        self.server.stop_kernels()
        if not self.page.is_closed():
            self.page.evaluate("0")  # what the page has said until now is this one's
            for event, listener in self._listeners.items():
                self.page.remove_listener(event, listener)

    def leave(self) -> Self:
        """Close the page, but not the kernel; `open` loads it again."""
        self._disturbed = True
        self.page.goto("about:blank")
        return self

    # The notebook ----------------------------------------------------------------------------------

    def open(self, notebook: Sequence[str] | Path, *, kernel: bool = True, trusted: bool = False) -> Self:
        """Open a copy of a notebook, or a new one with these cells.

        Without a `kernel` it is opened as by someone who only reads it. Outputs that are in the file
        are drawn with care unless it is `trusted`.
        """
        if isinstance(notebook, Path):
            self._path = self.folder / notebook.name
            if notebook != self._path:
                shutil.copy(notebook, self._path)
            content = nbformat.read(self._path, as_version=4)
        else:
            content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in notebook])
        # JupyterLab asks which kernel it should be when nothing tells it.
        content.metadata = {"kernelspec": KERNEL} if kernel else {}
        if trusted:
            NotebookNotary(data_dir=str(self.server.home / "data")).sign(content)
        nbformat.write(content, self._path)
        shares = self._tab is not None and self._close_all()
        if not kernel:
            self.server.stop_kernels()
        if shares:
            self.page.evaluate(OPEN, self._path.relative_to(self.server.root).as_posix())
        else:
            self.page.goto(f"{self._url()}?token={TOKEN}")
        if not kernel:
            dialog = self.page.locator(".jp-Dialog")
            dialog.get_by_role("button", name="No Kernel").click()
            dialog.wait_for(state="detached")
        return self._opened(kernel)

    def reload(self) -> Self:
        """Load the page again, as after closing the browser: what was not saved is lost."""
        self._disturbed = True
        self.page.goto(self._url())
        return self._opened(kernel=True)

    def reload_while_a_cell_runs(self, widget: Locator) -> Self:
        """The same, until this widget is seen."""
        self._disturbed = True
        self.page.goto(self._url())
        return self._opened(kernel=False).with_widget(widget)

    def with_widget(self, widget: Locator) -> Self:
        """Load the page again until a widget of the kernel is seen.

        ipywidgets gives a kernel four seconds to tell of its widgets. A page that has heard nothing by then, as
        on a busy machine, shows none before the cell has ended, unless it is loaded once more.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                widget.wait_for(timeout=20_000)
            except Error:
                if time.monotonic() > deadline:
                    raise
                self.page.reload()
                self._opened(kernel=False)
            else:
                return self

    def save(self) -> NotebookNode:
        """Save the notebook; what is in the file then."""
        self.page.evaluate(f"{PANEL}.context.save()")
        return nbformat.read(self._path, as_version=4)

    def _close_all(self) -> bool:
        """Close the notebooks in the page; whether another one can be opened there."""
        try:
            return self.page.evaluate(CLOSE_ALL)
        except Error:
            return False

    def _url(self) -> str:
        path = self._path.relative_to(self.server.root).as_posix()
        where = f"lab/workspaces/{uuid4().hex}/tree" if self.app == "lab" else "notebooks"
        return f"{self.server.url}/{where}/{path}"

    def _opened(self, kernel: bool) -> Self:
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        self.page.wait_for_function(OPENED)
        return self.wait_idle() if kernel else self

    # Cells -----------------------------------------------------------------------------------------

    def run_all(self) -> Self:
        """Begin to run all cells."""
        return self.command("notebook:run-all-cells")

    def run_cell(self, cell: int) -> Self:
        """Begin to run one cell."""
        self.select(cell)
        return self.command("notebook:run-cell")

    def wait_idle(self) -> Self:
        """Until the kernel has done all that it was asked for."""
        self.page.wait_for_function(IDLE)
        return self

    def select(self, cell: int) -> Self:
        """Make a cell the active one."""
        self.page.evaluate(
            f"cell => {{ {PANEL}.content.deselectAll(); {PANEL}.content.activeCellIndex = cell; }}", cell
        )
        return self

    def scroll_to(self, cell: int) -> Self:
        """Bring a cell into view: JupyterLab draws no others for certain."""
        self.page.evaluate(f"cell => void {PANEL}.content.scrollToItem(cell)", cell)
        return self

    def bring(self, cell: int, drawn: Locator) -> Self:
        """Scroll to a cell until this of it is seen: cells above grow as they are drawn, and move it out of view again."""
        return self._until_drawn(drawn, lambda: self.scroll_to(cell))

    def edit(self, cell: int, source: str) -> Self:
        """Write something else into a cell."""
        self.page.evaluate(
            f"([cell, source]) => {PANEL}.content.widgets[cell].model.sharedModel.setSource(source)",
            [cell, source],
        )
        return self

    def add(self, source: str) -> int:
        """A new cell at the end; its number."""
        self.page.evaluate(
            f"source => {PANEL}.content.model.sharedModel.addCell({{ cell_type: 'code', source }})", source
        )
        return self.cell_count() - 1

    def find(self, text: str) -> int:
        """The number of the first cell with this text in it."""
        sources = self.page.evaluate(
            f"{PANEL}.content.widgets.map(cell => cell.model.sharedModel.getSource())"
        )
        return next(n for n, source in enumerate(sources) if text in source)

    def cell_count(self) -> int:
        return self.page.evaluate(f"{PANEL}.content.widgets.length")

    def cell(self, cell: int) -> Locator:
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{cell}"]')

    def output(self, cell: int) -> Locator:
        """The outputs of a cell, one or more."""
        return self.cell(cell).locator(".jp-OutputArea-output")

    def tree(self, cell: int) -> Locator:
        """The run that is seen under a cell: the widget, or its snapshot."""
        return self.output(cell).locator(":is(.tnb, .tnb-live):visible")

    def live(self, cell: int) -> Locator:
        """The same, if it is the widget."""
        return self.output(cell).locator(".tnb-live")

    def static(self, cell: int) -> Locator:
        """Its snapshot, which is hidden while there is a widget."""
        return self.output(cell).locator(".tnb")

    def without_widgets(self) -> Self:
        """As a page shows the outputs that has no kernel: the snapshots appear."""
        drawn = "document.querySelectorAll('.tnb-live').length >= document.querySelectorAll('.tnb-fallback').length"
        self.page.wait_for_function(drawn)  # a widget that was drawn later would hide its snapshot
        self.page.evaluate("document.querySelectorAll('.tnb-live').forEach(widget => widget.remove())")
        return self

    def snapshot(self, cell: int) -> NotebookNode:
        """What the file keeps of the run under a cell, after saving it."""
        [snapshot] = [each for each in self.save().cells[cell].outputs if "tnb-fallback" in str(each)]
        return snapshot.data

    # The kernel ------------------------------------------------------------------------------------

    def restart_kernel(self) -> Self:
        """All that was in its memory is gone; the outputs stay."""
        self._disturbed = True
        self.page.evaluate(f"{PANEL}.sessionContext.restartKernel()")
        return self.wait_idle()

    def signal(self, name: str) -> Self:
        """Let what waits in `until(name)` go on."""
        (self.folder / name).touch()
        return self

    def interrupt(self) -> Self:
        """As the stop button does."""
        self.page.evaluate(f"{PANEL}.sessionContext.session.kernel.interrupt()")
        return self

    def stop_kernel(self) -> Self:
        """As the menu does; nothing starts another one."""
        self._disturbed = True
        self.page.evaluate(f"{PANEL}.sessionContext.shutdown()")
        return self

    # The application -------------------------------------------------------------------------------

    def command(self, name: str, **args: Any) -> Self:
        """Begin a command of JupyterLab; `wait_idle` waits for its end."""
        self.page.evaluate(COMMAND, [name, args])
        return self

    def command_mode(self) -> Self:
        """In which letters are shortcuts: `b` makes a cell."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:enter-command-mode')")
        return self

    def light(self) -> Self:
        return self._theme("light")

    def dark(self) -> Self:
        return self._theme("dark")

    def _theme(self, scheme: Any) -> Self:
        self.page.emulate_media(color_scheme=scheme)
        is_light = str(scheme == "light").lower()
        self.page.locator(f'body[data-jp-theme-light="{is_light}"]').wait_for(state="attached")
        return self._until_drawn(
            self.page.locator(".jp-Notebook").first
        )  # all is hidden until the next frame

    def _until_drawn(self, drawn: Locator, before: Callable[[], object] = bool) -> Self:
        """Wait until something is seen; `before` each look, do this.

        On a busy machine Chromium may stop drawing a page, and what waits for a frame waits for good: a picture is a frame.
        """
        deadline, seconds = time.monotonic() + PATIENCE, 1.0
        while True:
            self.page.bring_to_front()
            before()
            try:
                drawn.wait_for(timeout=1000 * seconds)
            except Error:
                if time.monotonic() > deadline:
                    raise
                self.page.screenshot()
                seconds = min(2 * seconds, 8.0)
            else:
                return self

    def screenshot(self, file: Path) -> Path:
        self.page.screenshot(path=file, timeout=5_000)
        return file

    def complaints(self) -> list[str]:
        """What the browser's console has of errors and warnings, but for what JupyterLab says of itself."""
        its_own = (
            "warning: Connection lost, reconnecting",
            "error: Could not restore the debugger state",
            "warning: Plugin ",  # one of its extensions "is taking too long to activate"
        )
        bad = [said for said in self.console if said.startswith(("error:", "warning:", "uncaught:"))]
        return [said for said in bad if not said.startswith(its_own) and not _is_of_the_lab(said)]

    def evidence(self) -> str:
        """Where there is to see how it stands, for whoever wonders why a test has failed."""
        console = self.folder / "console.log"
        console.write_text("\n".join(self.console), encoding="utf-8")
        try:
            picture = str(self.screenshot(self.folder / "page.png"))
        except Error as error:
            picture = f"no picture: {error}"
        return "\n".join([picture, str(console), str(self._path), str(self.server.home / "server.log")])


def _is_of_the_lab(said: str) -> bool:
    """Whether an uncaught error passed through JupyterLab's own files only."""
    calls = [line for line in said.splitlines() if line.strip().startswith("at ")]
    return bool(calls) and all("/static/lab/" in line for line in calls)


def expect_equal(read: Callable[[], Any], wanted: Any) -> None:
    """Wait until what is read is this: for what `expect` has no words for."""
    deadline = time.monotonic() + PATIENCE
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == wanted, f"{found!r} is not {wanted!r}"


@contextmanager
def chromium_context(**options: Any) -> Iterator[BrowserContext]:
    """A Chromium; pages of one context share its cache, so that JupyterLab is loaded fast."""
    path = chromium.find()
    if path is None:
        raise FileNotFoundError(chromium.HELP)
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser.new_context(**{"viewport": SIZE} | options)
        finally:
            browser.close()
