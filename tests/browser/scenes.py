"""What is in the pictures: the cells of an onboarding notebook, and how they are brought to the moment that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import nbformat
from playwright.sync_api import expect

from .lab import UNTIL, Lab
from .server import ROOT

SERVICES = """
import asyncio, random
from trigger_nb import Property, Retry, TriggerClient

client = TriggerClient("onboarding")
USERS = {"u1": "Ana Silva", "u2": "Ben Okafor", "u3": "Chen Wei"}


class MailError(Exception):
    '''The mail service refused.'''


class CardError(Exception):
    '''The payment service refused.'''


async def fetch_user(user_id, task):
    await asyncio.sleep(0.12)
    name = USERS[user_id]
    url = f"https://crm.example.com/users/{user_id}"
    task.output_properties = [Property("Name", name), Property("CRM", user_id, url=url)]
    return {"id": user_id, "name": name, "email": name.split()[0].lower() + "@example.com"}


async def post_message(channel, text, task):
    await asyncio.sleep(0.34)
    task.output_properties = [Property("Channel", channel, url="https://team.example.com/new")]
    return {"ok": True, "ts": "1763899921.000200"}


async def create_database(user):
    await asyncio.sleep(0.45)
    return "db_" + user["id"]


async def copy_templates(database, task):
    for n in range(421):
        task.progress(n, 1000, f"page {n:,}")
        await asyncio.sleep(0.001)
    await until("templates")
    return 1000


async def invite_team(user, task):
    await asyncio.sleep(0.2)
    if task.attempt == 1:
        raise MailError("503 the mail service is busy")
    return 4


async def send_email(user, subject):
    await asyncio.sleep(0.2)
    return {"id": "mail_7"}


async def set_up(user, io):
    database = await io.run_task("database", create_database, user, name="Create a database", icon="database")
    await asyncio.gather(
        io.run_task("templates", copy_templates, database, name="Copy templates", icon="file"),
        io.run_task("invite", invite_team, user, name="Invite the team", icon="mail",
                    properties={"To": user["email"]}, retry=Retry(limit=3, min_timeout=25)),
    )
"""

NEW_USER = """\
@client.job(id="new-user", name="Run when a new user signs up", version="1.0.0")
async def new_user(payload, io):
    user = await io.run_task("fetch-user", fetch_user, payload["user_id"], name="Fetch user", icon="user")
    await io.run_task("say-hello", post_message, "#new", f"Welcome {user['name']}!",
                      name="Say hello", icon="slack", retry=3)
    io.logger.info(f"{user['name']} is known to the team")
    await io.run_task("workspace", set_up, user, name="Set up a workspace", icon="folder")
    await io.wait("three-days", days=3)
    await io.run_task("tips", send_email, user, "Three tips", name="Send tips", icon="send")

run = new_user.start({"user_id": "u1"})"""

CHARGE = """
async def charge_card(user, amount, task):
    await asyncio.sleep(0.2)
    print("POST /v1/charges", task.idempotency_key[:12], "attempt", task.attempt)
    if task.attempt < 2:
        raise ConnectionError("the connection was reset by the payment service")
    raise CardError("402 card_declined: insufficient funds")
"""

SUBSCRIBE = """\
@client.job(id="subscribe", name="Subscribe to a plan", version="1.2.0")
async def subscribe(payload, io):
    user = await io.run_task("fetch-user", fetch_user, payload["user_id"], name="Fetch user", icon="user")
    plan = await io.run_task("plan", lambda: {"team": 49}[payload["plan"]], name="Look up the plan", icon="table")
    await io.run_task("charge", charge_card, user, plan, name="Charge the card", icon="stripe",
                      properties={"Amount": f"{plan} €"}, retry=Retry(limit=3, min_timeout=0.1))
    await io.run_task("thanks", send_email, user, "Thank you", name="Say thank you", icon="mail")

await subscribe.run({"user_id": "u2", "plan": "team"})"""

FETCHES = """
from trigger_nb.testing import FakeClock

clock = FakeClock(autojump=False)
client = TriggerClient("shop", clock=clock)


async def fetch_page(number):
    clock.advance(2.4)
    return [f"order {n}" for n in range(40)]


async def write(orders, task):
    clock.advance(180)
    if len(orders) > 80:
        task.progress(72, 200)
        await until("never")


async def send_receipts(orders):
    clock.advance(95)
"""

STATUSES = """\
@client.job(id="import-orders", name="Import orders", version="1.0.0")
async def import_orders(payload, io):
    orders = []
    fetching = await io.create_status("fetching", "Fetching pages", "loading", {"progress": 0})
    for n in range(payload["pages"]):
        orders += await io.run_task(("page", n), fetch_page, n, icon="download")
        await fetching.update(("fetched", n), data={"progress": (n + 1) / payload["pages"], "orders": len(orders)})
    await fetching.update("fetched", label="Pages fetched", state="success")
    await io.create_status("writing", "Writing to the database", "loading", {"progress": 0.36, "table": "orders"})
    await io.run_task("write", write, orders, name="Write orders", icon="database")
    await io.run_task("receipts", send_receipts, orders, name="Send receipts", icon="mail")

run = import_orders.start({"pages": 3})"""

COMPANIES = """
failing = set(random.Random(7).sample(range(4200), 19))
LAND = ("PT", "NG", "CN", "DE", "FR", "US")


async def enrich(number):
    if number in failing:
        raise LookupError(f"404 no company has the number {number:,}")
    if number > 4200:
        await until("never")
    return {"number": number, "land": LAND[number % 6]}
"""

ENRICH = """\
async def region(land, io):
    numbers = [n for n in range(5000) if LAND[n % 6] == land]
    tasks = (io.run_task(("company", n), enrich, n, icon="globe") for n in numbers)
    return sum(isinstance(found, dict) for found in await asyncio.gather(*tasks, return_exceptions=True))

@client.job(id="enrich", name="Enrich 5,000 companies", version="3")
async def enrich_companies(payload, io):
    regions = (io.run_task(("region", land), region, land, icon="folder") for land in LAND)
    return await asyncio.gather(*regions)

run = enrich_companies.start()"""

ARTICLES = """
LANDS = ("Angola", "Chile", "Denmark", "Japan", "Kenya", "Portugal", "Vietnam")
ARTICLES = [{"id": n, "title": f"The rivers of {LANDS[n % 7]}, part {n // 7 + 1}"} for n in range(5000)]
failing = set(random.Random(7).sample(range(3800), 12))


async def embed(article):
    if article["id"] >= 3870:
        await until("never")
    await asyncio.sleep(0.02)
    if article["id"] in failing:
        raise ValueError("422 the text is empty" if article["id"] % 3 else "413 the text has 9,204 tokens, 8,192 are allowed")
    return [0.1, 0.2, 0.3]
"""

EMBED = """\
@client.job(id="embed-articles", name="Embed 5,000 articles", version="2")
async def embed_articles(payload, io):
    vectors = await io.map("embed", ARTICLES, embed, item_key=lambda a: a["title"], concurrency=20,
                           name="Embed articles", icon="robot", return_errors=True)
    await io.run_task("index", build_index, vectors, name="Build the index", icon="database")

run = embed_articles.start()"""

REPORT = """
async def takes(seconds):
    await asyncio.sleep(seconds)
    return seconds


async def source(name, seconds, io):
    await io.run_task("download", takes, seconds, name="Download", icon="download")
    await io.run_task("clean", takes, seconds / 3, name="Clean", icon="table")
"""

TIMELINE = """\
SOURCES = {"orders": 0.9, "visits": 1.6, "tickets": 0.5, "invoices": 1.1}

@client.job(id="report", name="Weekly report", version="2.1.0")
async def report(payload, io):
    await io.run_task("credentials", takes, 0.3, name="Get credentials", icon="key")
    await asyncio.gather(*(io.run_task(name, source, name, seconds, icon="database")
                           for name, seconds in SOURCES.items()))
    await io.wait("settle", seconds=1)
    await io.run_task("figures", takes, 0.7, name="Work out figures", icon="chart")
    await io.run_task("write", until, "never", name="Write it up", icon="robot")

run = report.start()"""

SEVERAL = """
@client.job(id="new-user", name="Run when a new user signs up", version="1.0.0")
async def new_user(payload, io):
    user = await io.run_task("fetch-user", fetch_user, payload["user_id"], name="Fetch user", icon="user")
    await io.run_task("say-hello", post_message, "#new", f"Welcome {user['name']}!", name="Say hello", icon="slack")
    await io.wait("three-days", seconds=0 if payload["user_id"] == "u1" else 3 * 86400)
    await io.run_task("tips", send_email, user, "Three tips", name="Send tips", icon="send")

@client.job(id="subscribe", name="Subscribe to a plan", version="1.2.0")
async def subscribe(payload, io):
    user = await io.run_task("fetch-user", fetch_user, payload["user_id"], name="Fetch user", icon="user")
    await io.run_task("charge", charge_card, user, 49, name="Charge the card", icon="stripe", retry=2)

await new_user.run({"user_id": "u1"}, display=False)
waiting = new_user.start({"user_id": "u3"}, display=False)
try:
    await subscribe.run({"user_id": "u2", "plan": "team"}, display=False)
except CardError:
    pass
subscribe.start({"user_id": "u3", "plan": "team"}, display=False).cancel()
while waiting.status != "WAITING":
    await asyncio.sleep(0.01)
"""


def in_notebook(name: str, text: str) -> tuple[str, str]:
    """The cell of one of our notebooks that has this text, and before it all that it needs."""
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    at = next(n for n, source in enumerate(sources) if text in source)
    return "\n\n".join(sources[:at]), sources[at]


def before(cell: str) -> str:
    """What a cell does, done once for fewer pages: the job has an earlier run to go by."""
    defined, _, _ = cell.partition("\nrun = ")
    return f"{defined}\nawait import_orders.run({{'pages': 2}}, display=False)\n"


class Scene(NamedTuple):
    """Cells, of which the second one is in the picture, and what is done before it is taken."""

    name: str
    cells: tuple[str, str]
    prepare: Callable[[Lab], object]
    wide: int = 1060
    looks: tuple[str, ...] = ("light",)
    source: bool = True  # whether the cell's code is in the picture, too


def running(lab: Lab) -> None:
    expect(lab.tree(1)).to_contain_text("420")
    expect(lab.tree(1)).to_contain_text("Invite the team")


def failed(lab: Lab) -> None:
    lab.wait_idle()
    lab.tree(1).get_by_role("treeitem").filter(has_text="Charge the card").click()
    expect(lab.tree(1)).to_contain_text("card_declined")


def statuses(lab: Lab) -> None:
    expect(lab.tree(1)).to_contain_text("left")
    expect(lab.tree(1)).to_contain_text("72 of 200")


def many(lab: Lab) -> None:
    for count in ("4,182 completed", "19 failed"):
        expect(lab.tree(1).get_by_role("button", name=count)).to_be_visible()
    lab.tree(1).get_by_role("button", name="Next failure").click()


def mapped(lab: Lab) -> None:
    expect(lab.tree(1)).to_contain_text("3,870 of 5,000")
    lab.tree(1).get_by_role("treeitem").filter(has_text="Embed articles").locator(".tnb-chev").click()
    lab.tree(1).get_by_role("treeitem").filter(has_text="tokens").first.click()


def timeline(lab: Lab) -> None:
    expect(lab.tree(1)).to_contain_text("Write it up")
    lab.tree(1).get_by_role("button", name="Timeline").click()


def integrations(lab: Lab) -> None:
    lab.wait_idle()
    expect(lab.tree(1).get_by_role("button", name="17 completed")).to_be_visible()


def runs(lab: Lab) -> None:
    lab.wait_idle()


SCENES = (
    Scene("run", (UNTIL + SERVICES, NEW_USER), running, looks=("light", "dark")),
    Scene("narrow", (UNTIL + SERVICES, NEW_USER), running, wide=480, source=False),
    Scene("failed", (UNTIL + SERVICES + CHARGE, SUBSCRIBE), failed, looks=("light", "dark")),
    Scene(
        "statuses",
        (UNTIL + "from trigger_nb import TriggerClient\n" + FETCHES + before(STATUSES), STATUSES),
        statuses,
    ),
    Scene("many", (UNTIL + SERVICES + COMPANIES, ENRICH), many),
    Scene("map", (UNTIL + SERVICES + ARTICLES, EMBED), mapped, looks=("light", "dark")),
    Scene("timeline", (UNTIL + SERVICES + REPORT, TIMELINE), timeline),
    Scene(
        "integrations",
        in_notebook("integrations.ipynb", 'id="onboard"'),
        integrations,
        wide=1160,
        source=False,
    ),
    Scene("runs", (UNTIL + SERVICES + CHARGE + SEVERAL, "client.runs()"), runs),
)
