"""One run with a row of every kind, static and live, on a page without a kernel: what tests of looks look at.

The page around it is one of `PAGES`: the colours that front ends give to what is displayed in them. Those of JupyterLab
are read from its own themes. Those of VS Code and marimo are simulated: their variables and colours are set here, as
their sources have them, and neither of them runs.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.views import Clock, T, run, task
from trigger_nb import Reason
from trigger_nb._records.feed import Feed, Progressed, Seen
from trigger_nb._view.live import widget
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.live.wire import PAGE, Button
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html
from trigger_nb._view.render.page import PAGE_CSS

from .test_alone import show

# --- pages ----------------------------------------------------------------------------------------------------

_THEMES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"
_LAB_PAGE = "body { background: var(--jp-layout-color0); color: var(--jp-content-font-color1); }"


def _vscode(background: str, foreground: str, **colours: str) -> str:
    """A notebook's output in VS Code: its theme as variables. The webview itself does not tell that it is dark."""
    given = {"editor-background": background, "foreground": foreground, **colours}
    variables = "".join(f"--vscode-{name.replace('_', '-')}: {colour};" for name, colour in given.items())
    return f":root {{ {variables} }} body {{ background: {background}; color: {foreground}; }}"


def _bare(background: str, foreground: str, scheme: str = "light") -> str:
    return f":root {{ color-scheme: {scheme}; }} body {{ background: {background}; color: {foreground}; }}"


_VSCODE = {
    "VS Code light": _vscode(
        "#ffffff", "#3b3b3b", descriptionForeground="#3b3b3b", textLink_foreground="#005fb8",
        charts_green="#388a34", list_errorForeground="#b01011", list_warningForeground="#855f00",
        editorError_foreground="#e51400", editorWarning_foreground="#bf8803", input_background="#ffffff",
    ),
    "VS Code dark": _vscode(
        "#1f1f1f", "#cccccc", descriptionForeground="#9d9d9d", textLink_foreground="#4daafc",
        charts_green="#89d185", list_errorForeground="#f88070", list_warningForeground="#cca700",
        editorError_foreground="#f14c4c", editorWarning_foreground="#cca700", input_background="#313131",
    ),
    # Some colours are not set in a theme of high contrast.
    "VS Code high contrast": _vscode(
        "#000000", "#ffffff", descriptionForeground="rgba(255, 255, 255, 0.7)", textLink_foreground="#21a6ff",
        charts_green="#89d185", editorError_foreground="#f48771", editorWarning_foreground="#ffd370",
        input_background="#000000",
    ),
    "VS Code high contrast light": _vscode(
        "#ffffff", "#292929", descriptionForeground="rgba(41, 41, 41, 0.7)", textLink_foreground="#0f4a85",
        charts_green="#374e06", editorError_foreground="#b5200d", editorWarning_foreground="#895503",
        input_background="#ffffff",
    ),
}  # fmt: skip


def around(page: str) -> str:
    """The styles of the page around: its colours, and what else it does to the elements in it."""
    style = PAGES[page]
    return style if isinstance(style, str) else style.read_text(encoding="utf-8") + _LAB_PAGE


PAGES: dict[str, str | Path] = {
    "JupyterLab light": _THEMES / "theme-light-extension" / "index.css",
    "JupyterLab dark": _THEMES / "theme-dark-extension" / "index.css",
    "JupyterLab high contrast": _THEMES / "theme-dark-high-contrast-extension" / "index.css",
    **_VSCODE,
    "marimo light": _bare("hsl(0 0% 100%)", "hsl(222.2 47.4% 11.2%)"),
    "marimo dark": _bare("hsl(150 7.7% 10.2%)", "hsl(155 7% 93%)", "dark"),
    "GitHub light": _bare("#ffffff", "#1f2328"),
    "GitHub dark": _bare("#0d1117", "#f0f6fc", "dark"),
    "Quarto": _bare("#ffffff", "#343a40")
    + "details { margin: 0 0 1em; padding: 0.5em; } summary { margin: 4px 0; padding: 2px; } li { margin: 6px 0; }"
    + "pre { margin: 1em 0; padding: 0.4em; border: 1px solid; word-break: break-all; } code { background: #eee; }",
    "Quarto dark": _bare("#222222", "#ffffff"),  # it does not say that it is dark
    "Exported light": PAGE_CSS,
    "Exported dark": PAGE_CSS,  # as the reader prefers: see `fill`
}
LIVE = [
    page for page in PAGES if page.startswith(("JupyterLab", "VS Code", "marimo"))
]  # where there are widgets


# --- the run --------------------------------------------------------------------------------------------------

ERROR = {
    "module": "shop",
    "type": "CardError",
    "message": "402 card_declined: insufficient funds",
    "notes": ["Ask the bank."],
    "traceback": [
        "Cell In[4], line 7, in charge_card(user, amount)\n    raise CardError('402 card_declined')"
    ],
    "cause": {"type": "HTTPStatusError", "message": "402 Payment Required"},
}
ARABIC = "\u0627\u0644\u0641\u0627\u062a\u0648\u0631\u0629"  # "the invoice"
LINK = {"label": "CRM", "text": "u1", "url": "https://crm.example.com/users/u1"}


def model(status: str = "RUNNING") -> RunModel:
    """A run of this status with rows of every kind."""
    user = {"id": "u1", "name": "Ana Silva"}
    records = [
        task("fetch-user", 1, name="Fetch user", icon="user", value=user, properties=[LINK], ended_at=T + 1.4),
        task("plan", 2, name="Look up the plan", icon="table", value={"team": 49}),
        task("edited", 3, name="Edited since", icon="code", value=1),
        task("ok", 4, name="ok", value=[1, 2, 3]),
        task("invoice", 5, name=ARABIC, icon="file", value=None),
        task("~.log1", 6, kind="log", name="The team knows Ana", level="info"),
        task("~.log2", 7, kind="log", name="The plan has changed", level="warn"),
        task("workspace", 8, "RUNNING", name="Set up a workspace", icon="folder"),
        task("workspace/database", 9, name="Create a database", icon="database", ended_at=T + 25),
        task("workspace/templates", 10, "RUNNING", name="Copy templates", icon="file", params={"pages": 421}),
        task("workspace/invite", 11, "WAITING", name="Invite the team", icon="mail", attempt=2, next_at=T + 160,
             error={"type": "MailError", "message": "503 the mail service is busy"}),
        task("charge", 12, "ERRORED", name="Charge the card", icon="stripe", attempt=3, error=ERROR,
             params={"amount": 49}, properties=[{"label": "Amount", "text": "49 €"}],
             prints=[["out", "POST /v1/charges\n"], ["err", "declined\n"]]),
        task("session", 13, name="Open a session", form="unstored", value={"type": "httpx.Client", "path": "$", "reason": ""}),
        task("three-days", 14, "WAITING", kind="wait", name="three-days", next_at=T + 3 * 86400),
        task("tips", 15, "PENDING", name="Send tips", icon="send", interrupted=True),
        task("thanks", 16, "CANCELED", name="Say thank you", icon="heart"),
        task("gone", 17, name="An earlier step", properties=[LINK]),
    ]  # fmt: skip
    paths = [record.path for record in records if record.path != "gone"]
    seen = {path: Seen(path, Reason.NEW) for path in paths}
    seen |= {path: Seen(path, Reason.REPLAYED) for path in ("fetch-user", "plan")}
    seen["edited"] = Seen("edited", Reason.REPLAYED, "code")
    given = {"ended_by": ["charge"], "error": ERROR} if status == "FAILED" else {}
    if status == "RUNNING":
        given["finished_at"] = None
    record = run(status, name="Run when a new user signs up", job="new-user", output=user, form="", **given)
    made = RunModel(record, records, seen=seen, store="/home/ana/.trigger_nb/onboarding", clock=Clock())
    made.apply([Progressed("workspace/templates", 420, 1000, "page 420", 3)])
    return made


class _Controls:
    def buttons(self, _run: object) -> list[Button]:
        return [Button("pause", "Pause"), Button("cancel", "Cancel"), Button("retry", "Retry", "Nothing has failed."),
                Button("start", "Continue", main=True)]  # fmt: skip

    def page(self, _run: object) -> dict[str, Any]:
        return dict(PAGE)

    def row_buttons(self, _run: object) -> list[Button]:
        return [Button("skip_wait", "Skip wait"), Button("rerun_from", "Rerun from here")]


@cache
def _told() -> tuple[str, str]:
    """What the kernel tells the live tree: the first message, and the details of each row."""
    feed = Feed()
    stream = Stream(model(), feed.subscribe(), _Controls())
    first = stream.first()
    details: dict[str, Any] = {}
    index = 0
    while stream.path(index) is not None:
        stream.watch(index, True)
        while (message := stream.next()) is not None:
            details |= message.get("details", {})
        stream.watch(index, False)
        index += 1
    return json.dumps(first), json.dumps(details)


KERNEL = """
  window.count ??= 1;
  if (message.t === "details" && message.on) say({ n: ++count, now: 0, details: { [message.i]: window.told[message.i] } });
"""


def static(*statuses: str) -> str:
    """The static HTML of runs of these statuses: RUNNING is the snapshot of a run under way."""
    drawn = (
        html.live(model(status)) if status == "RUNNING" else html.final(model(status)) for status in statuses
    )
    return "".join(f'<div class="static">{source}</div>' for source in drawn)


def fill(page: Page, name: str, body: str = "") -> None:
    """One of `PAGES`, with the widget's styles in its head, where front ends put them."""
    page.emulate_media(color_scheme="dark" if "dark" in name else "light", reduced_motion="reduce")
    page.set_content(
        '<!doctype html><html lang="en"><head><title>Gallery</title>'
        f"<style>body {{ margin: 12px; }}{around(name)}</style><style>{widget.styles()}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
    page.evaluate("module => { window.module = module }", widget.module())


def live(page: Page) -> None:
    """Add the live tree to the page, with the details of the failed row open."""
    first, details = _told()
    page.evaluate(f"() => {{ window.first = {first}; window.told = {details}; }}")
    show(page, "run", KERNEL)
    page.get_by_role("treeitem", name="failed, Charge the card").click()
    expect(page.locator(".tnb-details")).to_contain_text("Ask the bank.")
