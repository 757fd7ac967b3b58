"""The tree as a person reads it and finds things in it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .lab import UNTIL

SHOP = (
    UNTIL
    + """
import logging
from trigger_nb import Property, Retry, TriggerClient

client = TriggerClient("shop")

class CardError(Exception):
    pass

def look_up(user, task):
    print("GET /users/" + user)
    task.output_properties = [
        Property("CRM", user, url="https://crm.example.com/users/u1?a=1&b=2"),
        Property("Mail", "write", url="mailto:ana@example.com"),
        Property("Trap", "press here", url="javascript:alert(1)"),
    ]
    return {"name": "Ana Silva", "plan": "team"}

async def copy_pages(task):
    task.progress(420, 1000, "page 420")
    print("copied 420 pages")
    logging.getLogger("copy").warning("slow")
    await until("more")
    task.progress(840, 1000, "page 840")
    print("copied 840 pages")
    await until("copied")
    return 1000

async def invite(task):
    if task.attempt == 1:
        raise ConnectionError("the mail service is busy")
    return "invited"

def charge(amount):
    try:
        raise TimeoutError("no answer from the bank")
    except TimeoutError as error:
        raise CardError("402 card_declined") from error

async def set_up(user, io):
    await io.run_task("database", lambda: "db_1", name="Create a database", icon="database")
    await asyncio.gather(
        io.run_task("pages", copy_pages, name="Copy pages", icon="file", description="From the old wiki."),
        io.run_task("invite", invite, name="Invite the team", icon="mail", retry=Retry(limit=3, min_timeout=3600)),
    )

async def pay(io):
    try:
        await io.run_task("charge", charge, 49, name="Charge the card", icon="stripe", properties={"Amount": "49 €"})
    except CardError:
        io.logger.warning("paid by invoice")

@client.job(id="order", name="An order", version="1.2.0")
async def order(payload, io):
    user = await io.run_task("fetch-user", look_up, payload["user"], name="Fetch user", icon="user")
    await io.run_task("socket", lambda: object(), name="Open a socket", icon="unheard-of")
    await pay(io)
    await asyncio.gather(
        io.run_task("set-up", set_up, user, name="Set up a workspace", icon="folder"),
        io.wait("three-days", days=3),
    )

"""
)
START = 'run = order.start({"user": "u1"})'


def test_a_row_tells_how_its_task_stands(lab):
    lab.open([SHOP, START]).run_all().wait_idle()
    tree = lab.live(1)
    expect(tree.get_by_role("treeitem", name="retrying, Invite the team")).to_be_visible()
    for r in tree.get_by_role("treeitem").all():
        print(r.evaluate("e=>e.outerHTML"))
    lab.page.set_viewport_size({"width": 1280, "height": 1400})
    lab.cell(1).scroll_into_view_if_needed()
    lab.screenshot("/tmp/tt/rows.png")
    for name in ["Fetch user", "Open a socket", "Charge", "paid by", "Set up", "Copy", "Invite", "3 days|3 d"]:
        row = tree.get_by_role("treeitem").filter(has_text=re.compile(name))
        row.click()
        import time; time.sleep(.4)
        lab.screenshot(f"/tmp/tt/d-{name[:5]}.png")
        print(tree.locator(".tnb-details").inner_text())
        print('-------')
    print(lab.console)
    print(tree.locator(".tnb-tree").aria_snapshot())
    assert 0
