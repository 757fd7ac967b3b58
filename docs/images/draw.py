"""Draws `run.png`, the picture in the README, from a real run.

    python docs/images/draw.py

Needs Chromium (`chromium`, `chromium-browser` or `google-chrome` on the path).
"""

# ruff: noqa: G004, INP001, S603, T201  # a script, which starts a browser on a page of its own

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, HEIGHT = 860, 392
# Where the store is belongs to this machine, not into the picture; the page's margins are for a page.
CSS = "body{margin:12px auto!important} .tnb-a span:nth-last-child(1){display:none}"


class MailError(Exception):
    """The mail service refused."""


def fetch_user(user_id):
    name = {"u1": "Ana", "u2": "Ben", "u3": "Chen"}[user_id]
    return {"name": name, "email": f"{name.lower()}@example.com"}


def send_email(user, subject, task):
    if user["name"] == "Ana" and task.attempt == 1:
        raise ConnectionError("503 the mail service is busy")
    if user["name"] == "Chen":
        raise MailError("550 mailbox unavailable")
    task.output_properties = {"Mail": f"mail_{len(user['name'])}"}
    return "sent"


def main() -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("Chromium was not found")
    with tempfile.TemporaryDirectory() as folder:
        page = a_run(Path(folder)).export_html(Path(folder) / "run.html")
        page.write_text(
            page.read_text(encoding="utf-8").replace("</head>", f"<style>{CSS}</style></head>"),
            encoding="utf-8",
        )
        subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}",
                "--force-device-scale-factor=1.5", f"--screenshot={HERE / 'run.png'}", page.as_uri(),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    print(HERE / "run.png", f"{(HERE / 'run.png').stat().st_size / 1000:.0f} kB")


def a_run(folder: Path):
    """A run that failed in the first pass, and went on in the second."""
    import asyncio

    from trigger_nb import Retry, TriggerClient
    from trigger_nb.testing import FakeClock

    client = TriggerClient("onboarding", dir=folder, clock=FakeClock())
    up = False

    async def welcome(user_id, io):
        user = await io.run_task("fetch-user", fetch_user, user_id, name="Fetch user", icon="user")
        await io.run_task(
            "📧", send_email, user, "Welcome!", name="Welcome e-mail", icon="mail",
            properties={"To": user["email"]}, retry=Retry(limit=2, min_timeout=0.5),
        )  # fmt: skip
        return user["name"]

    def tell_the_team(names):
        if not up:
            raise ConnectionError("no route to host")
        return len(names)

    @client.job(id="new-users", name="Welcome new users", version="1.0.0")
    async def new_users(payload, io):
        names = []
        for user_id in payload:
            try:
                names.append(await io.run_task(("welcome", user_id), welcome, user_id, icon="users"))
            except MailError as error:
                io.logger.warning(f"{user_id} was not told: {error}")
        await io.wait("a-while", hours=3)
        await io.run_task("tell-the-team", tell_the_team, names, name="Tell the team", icon="slack")
        return {"welcomed": names}

    async def both_passes():
        nonlocal up
        with suppress(ConnectionError):
            await new_users.run(["u1", "u2", "u3"])
        up = True
        run = new_users.start(["u1", "u2", "u3"])
        await run
        return run

    return asyncio.run(both_passes())


if __name__ == "__main__":
    main()
