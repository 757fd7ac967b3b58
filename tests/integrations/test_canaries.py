"""Credentials planted as canaries are found nowhere: not in the store, the notebook, or an export (S8).

A notebook calls every integration with a credential of its own: once as it should be, once so that the service
refuses with the credential in its message, which the job handles, and once so that this ends the run. All
that with the SDKs' logging switched on, in a real kernel.
"""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from tests.integrations.surface import KINDS
from tests.support import fakes
from tests.support.kernels import ROOT
from trigger_nb.testing import services
from trigger_nb.testing.services import Answer

CELLS = """
import logging, os
from trigger_nb import TriggerClient
from trigger_nb.integrations import (
    HTTP, SQL, Airtable, GitHub, OpenAI, Replicate, Resend, SendGrid, Slack, Stripe, Supabase,
)
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("asyncio").setLevel(logging.WARNING)
client = TriggerClient("canaries", dir="store")
at = {name.removesuffix("_AT"): url for name, url in os.environ.items() if name.endswith("_AT")}
kinds = {
    "slack": Slack(base_url=at["SLACK"] + "/api/"),
    "resend": Resend(base_url=at["RESEND"]),
    "github": GitHub(base_url=at["GITHUB"]),
    "stripe": Stripe(base_url=at["STRIPE"]),
    "openai": OpenAI(base_url=at["OPENAI"] + "/v1"),
    "airtable": Airtable(base_url=at["AIRTABLE"]),
    "replicate": Replicate(base_url=at["REPLICATE"]),
    "sendgrid": SendGrid(base_url=at["SENDGRID"]),
    "supabase": Supabase(at["SUPABASE"]),
    "http": HTTP(at["HTTP"], token=os.environ["HTTP_TOKEN"]),
    "sql": SQL(),
}
calls = {
    "slack": lambda io, key: io.slack.post_message(key, channel="C1", text="Hello"),
    "resend": lambda io, key: io.resend.send_email(key, from_="a@acme.inc", to="b@acme.inc", text="Hello"),
    "github": lambda io, key: io.github.issues.create(key, owner="acme", repo="shop", title="Hello"),
    "stripe": lambda io, key: io.stripe.customers.create(key, email="a@acme.inc"),
    "openai": lambda io, key: io.openai.chat.completions.create(
        key, model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}]),
    "airtable": lambda io, key: io.airtable.table("app1", "People").create_records(key, [{"Name": "Ana"}]),
    "replicate": lambda io, key: io.replicate.predictions.create(key, model="acme/draw", input={"it": "sun"}),
    "sendgrid": lambda io, key: io.sendgrid.send_email(
        key, from_email="a@acme.inc", to_emails="b@acme.inc", subject="Hi", plain_text_content="Hello"),
    "supabase": lambda io, key: io.supabase.insert(key, table="people", rows=[{"name": "Ana"}]),
    "http": lambda io, key: io.http.post(key, "/contacts", json={"name": "Ana"}),
    "sql": lambda io, key: io.sql.fetch_value(key, "SELECT 1 / 0 FROM nowhere" if key != "good" else "SELECT 1"),
}

@client.job(id="use", integrations=kinds)
async def use(payload, io):
    await calls[payload](io, "good")
    try:
        await calls[payload](io, "handled")
    except Exception as error:
        print("handled:", repr(error), error)
        io.logger.error("refused", {"error": error})
    await calls[payload](io, "final")
##
for name in calls:
    try:
        await use.run(name)
    except Exception as error:
        print(name, "ended in", type(error).__name__, error)
    else:
        raise AssertionError(name + " was not refused")
##
[await use.run(name) for name in ["github"]]
##
for run in client.runs():
    print(run.tree())
    run.export_html(f"run-{run.payload if hasattr(run, 'payload') else run.id}.html")
assert len(client.runs()) == len(calls)
##
print(kinds)
client.runs()
"""


@pytest.fixture
def headers():
    """More headers of the refusals."""
    return {}


@pytest.fixture
def canaries(tmp_path, monkeypatch, headers):
    """Services that refuse the second and third request, and what they are called with; the kernel gets both
    by its environment."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    planted = {"SQL": "canary-sql-0123456789"}
    running = []
    for kind in KINDS:
        if kind.__name__ == "SQL":
            continue
        name = kind.__name__.upper()
        planted[name] = canary = f"canary-{kind.__name__}-0123456789"
        running.append(service := _fake(kind)().start())
        told = service.error(401, f"no such credential: {canary}")
        body = (
            told.body
            if canary in str(told.body)
            else {"message": f"no such credential: {canary}", "detail": told.body}
        )
        refused = Answer(401, body, {**told.headers, **headers})
        if name == "SLACK":
            service.joined.add("C1")
        service.plan("answer", refused, refused, refused)
        monkeypatch.setenv(f"{name}_AT", service.url)
        for variable in variables_of(kind):
            monkeypatch.setenv(variable, canary)
    monkeypatch.setenv("HTTP_TOKEN", planted["HTTP"])
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/a.db?password={planted['SQL']}")
    yield planted
    for service in running:
        service.stop()


def _fake(kind):
    name = f"Fake{kind.__name__}"
    return getattr(services, name, None) or getattr(fakes, name)


def variables_of(kind):
    return {variable for each in vars(kind()).values() for variable in getattr(each, "_variables", ())}


def test_no_canary_is_found_anywhere(canaries, tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS.split("\n##\n")]
    )
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    NotebookClient(
        notebook, resources={"metadata": {"path": str(tmp_path)}}, timeout=600, store_widget_state=True
    ).execute()
    nbformat.write(notebook, tmp_path / "notebook.ipynb")

    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.outputs)
    assert printed.count("ended in") == len(canaries)
    assert any(output.output_type == "error" for output in notebook.cells[2].outputs)
    assert len(list(tmp_path.glob("run-*.html"))) == len(canaries)
    found = {
        f"{name} in {file.relative_to(tmp_path)}"
        for name, canary in canaries.items()
        for file in tmp_path.rglob("*")
        if file.is_file() and canary.encode() in file.read_bytes()
    }
    assert found == set()
