"""The tree as a person reads it and finds things in it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from .lab import UNTIL
from .letter import row

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


def details(run: Locator, label: str) -> Locator:
    """What the open details say under a label."""
    return run.locator(".tnb-details li").filter(has=run.page.get_by_text(label, exact=True)).locator("> div")


# Rows and details ------------------------------------------------------------------------------------


def test_a_row_tells_how_its_task_stands(lab):
    """D2: status by shape and word, icon, name, key, properties, progress, attempt, countdown and duration."""
    run = lab.open([SHOP, START]).run_all().wait_idle().live(1)

    fetch = row(run, "completed, Fetch user, fetch-user")
    expect(fetch.locator(".tnb-s-completed")).to_have_attribute("title", "completed")
    expect(fetch.locator(".tnb-i-user")).to_be_visible()
    expect(fetch.locator(".tnb-d")).to_have_text(re.compile(r"^<?[\d.]+ m?s$"))
    for name, url in [
        ("u1", "https://crm.example.com/users/u1?a=1&b=2"),
        ("write", "mailto:ana@example.com"),
    ]:
        link = fetch.get_by_role("link", name=name)
        expect(link).to_have_attribute("href", url)
        expect(link).to_have_attribute("target", "_blank")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(fetch).to_contain_text("Trap: press here (javascript:alert(1))")
    expect(fetch.get_by_role("link")).to_have_count(2)

    socket = row(run, "completed, Open a socket, socket, value not stored")
    expect(socket.locator(".tnb-g")).to_have_text("U")  # there is no such icon
    charge = row(run, "failed, Charge the card, charge, CardError: 402 card_declined")
    expect(charge.locator(".tnb-s-failed")).to_be_visible()
    expect(charge.locator(".tnb-g")).to_have_text("S")
    expect(charge).to_contain_text("Amount: 49 €")
    expect(row(run, "log, paid by invoice, warning")).to_be_visible()

    pages = row(run, "running, Copy pages, pages")
    expect(pages).to_contain_text("420 of 1,000 · page 420")
    bar = pages.locator(".tnb-pb")
    assert bar.locator("i").bounding_box()["width"] / bar.bounding_box()["width"] == pytest.approx(
        0.42, abs=0.01
    )
    lab.signal("more")
    expect(pages).to_contain_text("840 of 1,000 · page 840")

    invite = row(run, "retrying, Invite the team, invite, ConnectionError: the mail service is busy")
    invite.scroll_into_view_if_needed()  # out of view, no clock ticks
    countdown = invite.get_by_text("next attempt in")
    seconds = countdown.inner_text()
    expect(countdown).not_to_have_text(seconds)  # it ticks, and no message comes
    took = invite.locator(".tnb-d")
    seconds = took.inner_text()
    expect(took).not_to_have_text(seconds)
    expect(row(run, "waiting, wait 3 days, three-days")).to_contain_text("in 2 d 23 h")
    assert lab.complaints() == []


def test_the_details_tell_the_rest_and_follow_what_goes_on(lab):
    """D2: params, output, error with traceback, attempts, times, idempotency key, and what was printed."""
    run = lab.open([SHOP, START]).run_all().wait_idle().live(1)

    row(run, "completed, Fetch user").click()
    expect(details(run, "Params")).to_have_text('["u1"]')
    expect(details(run, "Output")).to_have_text('{"name": "Ana Silva", "plan": "team"}')
    expect(details(run, "Printed")).to_have_text("GET /users/u1\n")
    expect(details(run, "Started")).to_contain_text(re.compile(r"^(just now|\d+ \w+ ago) · took "))
    expect(details(run, "Started").locator("time")).to_have_attribute(
        "title", re.compile(r"20\d\d.*:\d\d:\d\d")
    )
    expect(details(run, "Path")).to_have_text("fetch-user")
    expect(details(run, "Idempotency key")).to_have_text(re.compile(r"^tnb_\w+$"))
    link = details(run, "Properties").get_by_role("link", name="u1")
    expect(link).to_have_attribute("href", "https://crm.example.com/users/u1?a=1&b=2")
    expect(link).to_have_attribute("rel", "noopener noreferrer")

    row(run, "failed, Charge the card").click()
    error = details(run, "Error")
    expect(error).to_contain_text("CardError: 402 card_declined")
    expect(error).to_contain_text("Caused by TimeoutError: no answer from the bank")
    expect(error.locator("pre").first).to_contain_text('raise CardError("402 card_declined") from error')
    expect(details(run, "Status")).to_contain_text("failed")

    row(run, "completed, Open a socket").click()
    expect(details(run, "Not stored")).to_contain_text("register_codec")
    row(run, "log, paid by invoice").click()
    expect(details(run, "Logged")).to_contain_text(re.compile("just now|ago"))
    expect(row(run, "log, paid by invoice").locator(".tnb-d")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    row(run, "waiting, wait 3 days").click()
    expect(details(run, "Waits until")).to_have_text("in 2 d 23 h")
    row(run, "retrying, Invite the team").click()
    expect(details(run, "Last error")).to_contain_text("ConnectionError: the mail service is busy")
    expect(details(run, "Next attempt")).to_contain_text("in ")
    expect(details(run, "Attempts")).to_contain_text("ConnectionError: the mail service is busy")
    expect(details(run, "Status")).to_contain_text("1 attempt")
    row(run, "running, Set up a workspace").click()
    expect(details(run, "Inside")).to_have_text("1 completed, 1 running, 1 retrying")

    row(run, "running, Copy pages").click()
    expect(details(run, "About")).to_have_text("From the old wiki.")
    expect(details(run, "Printed")).to_have_text("copied 420 pages\nWARNING:copy:slow\n")
    lab.signal("more")
    expect(details(run, "Printed")).to_contain_text("copied 840 pages")
    expect(details(run, "Output")).to_have_count(0)
    lab.signal("copied")
    expect(details(run, "Output")).to_have_text("1000")
    expect(details(run, "Status")).to_contain_text("completed")
    run.get_by_role("button", name="Close details").click()
    expect(run.locator(".tnb-details")).to_be_hidden()
    assert lab.complaints() == []


def test_a_new_kernel_shows_what_is_replayed_what_has_changed_and_what_has_no_value(lab):
    """D2, R8: and what the code does not come to any more."""
    run = lab.open([SHOP, START]).run_all().wait_idle().live(1)
    for told in ("waiting, wait 3 days", "completed, Create a database", "running, Copy pages"):
        expect(row(run, told)).to_be_visible()
    changed = SHOP.replace("GET /users/", "GET /v2/users/").replace("await pay(io)", "")
    lab.edit(0, changed).restart_kernel().run_all().wait_idle()

    fetch = row(run, "completed, Fetch user, fetch-user, replayed, changed: code")
    expect(fetch).to_contain_text("changed: code")
    expect(fetch).to_have_class(re.compile(r"\btnb-old\b"))  # its sign is hollow
    expect(row(run, "completed, Create a database, database, replayed")).to_be_visible()
    expect(row(run, "completed, Open a socket, socket, replayed, value not stored")).to_be_visible()
    expect(row(run, "not reached, Charge the card, charge")).to_be_visible()

    fetch.click()
    expect(details(run, "Changed")).to_have_text(
        "code: function look_up, since the result was stored; the stored result was reused"
    )
    expect(details(run, "Printed")).to_have_text("GET /users/u1\n")  # then; now it was not called
    run.get_by_role("button", name="replayed").click()
    expect(run.get_by_role("treeitem")).to_have_count(4)  # three, and what one of them is in
    expect(row(run, "running, Set up a workspace")).to_be_visible()
    assert lab.complaints() == []


# Finding things --------------------------------------------------------------------------------------

COMPANIES = (
    UNTIL
    + """
from trigger_nb import Property, job

async def enrich(number, task):
    task.output_properties = [Property("Seat", "Lisbon" if number == 77 else "Porto")]
    if number in (65, 130):
        raise LookupError(f"404 there is no company {number}")

async def region(first, io):
    numbers = range(first, first + 60)
    tasks = (io.run_task(("nif", n), enrich, n, name=f"Company {n}") for n in numbers)
    await asyncio.gather(*tasks, return_exceptions=True)

async def offices(io):
    for town in ("Braga", "Faro"):
        await io.run_task(town.lower(), lambda: 1, name=town)

@job
async def companies(payload, io):
    for first, land in enumerate(("North", "Middle", "South")):
        await io.run_task(land.lower(), region, first * 60, name=land)
    await io.run_task("offices", offices, name="Offices")
    await io.run_task("report", until, "never", name="Write the report")

run = companies.start()
"""
)


def test_things_are_found_in_a_large_run(lab):
    """D2: filter by status and text, the next failure, folding; groups of many start folded, with counts."""
    run = lab.open([COMPANIES]).run_all().wait_idle().live(0)
    rows, hits = run.get_by_role("treeitem"), run.locator(".tnb-hits")
    expect(row(run, "running, Write the report")).to_be_visible()
    folded = ["North", "Middle", "South", "Offices", "Braga", "Faro", "Write the report"]
    expect(rows.locator(".tnb-n")).to_have_text(folded)
    expect(row(run, "completed, North").locator(".tnb-counts")).to_have_text("60")
    expect(row(run, "completed, Middle").locator(".tnb-counts")).to_have_text("591")  # 59 and 1
    expect(row(run, "completed, Middle").get_by_title("1 failed")).to_be_visible()

    by_status = run.get_by_role("group", name="Filter by status")
    by_status.get_by_role("button", name="2 failed").click()
    expect(rows.locator(".tnb-n")).to_have_text(["Middle", "Company 65", "South", "Company 130"])
    expect(hits).to_have_text("2 of 187")
    by_status.get_by_role("button", name="1 running").click()
    expect(rows).to_have_count(5)
    for chosen in ("2 failed", "1 running"):
        by_status.get_by_role("button", name=chosen, pressed=True).click()
    expect(rows.locator(".tnb-n")).to_have_text(folded)

    text = run.get_by_role("searchbox", name="Filter tasks")
    for typed, found in [("pany 77", 77), ("NIF · 99", 99), ("lisbon", 77), ("no company 65", 65)]:
        text.fill(typed)
        expect(rows.locator(".tnb-n").last).to_have_text(f"Company {found}")
        expect(rows).to_have_count(2)
        expect(hits).to_have_text("1 of 187")
    text.fill("no such thing")
    expect(run.get_by_text("No task matches the filter")).to_be_visible()
    text.press("Escape")
    expect(rows.locator(".tnb-n")).to_have_text(folded)

    next_failure = run.get_by_role("button", name="Next failure")
    for company in (65, 130, 65):
        next_failure.click()
        failed = row(run, f"failed, Company {company}")
        expect(failed).to_be_in_viewport()
        expect(failed).to_have_attribute("aria-selected", "true")
        expect(details(run, "Error")).to_contain_text(f"LookupError: 404 there is no company {company}")
    run.get_by_role("button", name="Fold all", exact=True).click()
    expect(rows.locator(".tnb-n")).to_have_text(["North", "Middle", "South", "Offices", "Write the report"])
    run.get_by_role("button", name="Unfold all").click()
    expect(row(run, "completed, North")).to_have_attribute("aria-expanded", "true")
    expect(row(run, "completed, Company 3,")).to_be_visible()
    assert lab.complaints() == []


STEPS = (
    UNTIL
    + """
from trigger_nb import job

@job
async def steps(payload, io):
    for n in range(60):
        await io.run_task(f"step {n}", until, "begin" if n < 40 else f"step {n}")

run = steps.start()
"""
)


def test_what_runs_is_followed_until_the_person_scrolls(lab):
    """Issue 3: and again from when it is asked for."""
    lab.page.set_viewport_size({"width": 1280, "height": 1200})
    run = lab.open([STEPS]).run_all().wait_idle().live(0)
    follow = run.get_by_role("button", name="Follow running tasks")
    lab.signal("begin")
    expect(row(run, "running, step 40")).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(row(run, "completed, step 0")).not_to_be_attached()

    run.get_by_role("tree").hover()
    lab.page.mouse.wheel(0, -2000)
    expect(row(run, "completed, step 0")).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "false")
    lab.signal("step 40")
    expect(run.get_by_role("button", name="41 completed")).to_be_visible()
    expect(row(run, "completed, step 0")).to_be_in_viewport()
    expect(row(run, "running, step 41")).not_to_be_attached()

    follow.click()
    expect(row(run, "running, step 41")).to_be_in_viewport()
    lab.signal("step 41").signal("step 42")
    expect(row(run, "running, step 43")).to_be_in_viewport()
    assert lab.complaints() == []
