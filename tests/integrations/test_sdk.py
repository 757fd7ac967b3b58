"""Methods of the SDKs that no table names, each by its own path."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from openai.types import ModerationCreateResponse
from openai.types.audio import Transcription
from openai.types.vector_stores import VectorStoreFile
from stripe import InvalidRequestError

from tests.integrations.data.calls import MADE
from trigger_nb.errors import MissingExtraError, UsageError
from trigger_nb.integrations import GitHub, OpenAI, Stripe
from trigger_nb.integrations._sdk import title
from trigger_nb.testing.services import Answer

# Supabase's SDK gives its own functions client an argument that this calls deprecated.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:The '.*' parameter is deprecated")]

SHOP = {"owner": "acme", "repo": "shop"}


@dataclass
class Case:
    """A call of a method, how the service answers it, and what comes of it."""

    service: str
    call: Callable[[Any], Any]
    answer: Any
    sent: str
    name: str
    params: dict[str, Any]
    is_keyed: bool = False
    output: Any = None  # None: the answer

    @property
    def expected(self) -> Any:
        return None if self.output is NONE else self.answer if self.output is None else self.output


NONE = object()  # the method returns None
RECORD = {"id": "rec1", "createdTime": "2026-01-01T00:00:00.000Z", "fields": {"Name": "Ana"}}
USER = {
    "id": "6f1c33c8-0001-4b6e-9c7f-000000000000",
    "aud": "authenticated",
    "created_at": "2026-01-01T00:00:00Z",
    "app_metadata": {},
    "user_metadata": {},
}
REFUND = {"id": "re_1", "object": "refund", "status": "succeeded"}
CASES = [
    Case(
        "stripe", lambda it: it.refunds.create("key", charge="ch_1", metadata={"a": "b"}), REFUND,
        "POST /v1/refunds", "Create refund", {"charge": "ch_1", "metadata": {"a": "b"}}, is_keyed=True,
    ),
    Case(
        "stripe", lambda it: it.customers.payment_sources.retrieve("key", "cus_1", "card_1"),
        {"id": "card_1", "object": "card"}, "GET /v1/customers/cus_1/sources/card_1",
        "Retrieve customer payment source", {"customer": "cus_1", "id": "card_1"},
    ),
    Case(
        "stripe", lambda it: it.invoices.list("key", limit=2), {"object": "list", "data": [], "has_more": False},
        "GET /v1/invoices", "List invoices", {"limit": 2},
    ),
    Case(
        "stripe", lambda it: it.customers.create("key", {"email": "ana@example.com"}),
        {"id": "cus_1", "object": "customer", "livemode": True},
        "POST /v1/customers", "Create customer", {"email": "ana@example.com"}, is_keyed=True,
    ),
    Case(
        "github", lambda it: it.pulls.create("key", **SHOP, title="Fix", head="fix", base="main"),
        {"number": 7}, "POST /repos/acme/shop/pulls", "Create pull request",
        {**SHOP, "title": "Fix", "head": "fix", "base": "main"},
    ),
    Case(
        "github", lambda it: it.repos.list_branches("key", "acme", "shop", per_page=5), [{"name": "main"}],
        "GET /repos/acme/shop/branches", "List branches", {**SHOP, "per_page": 5},
    ),
    Case(
        "openai", lambda it: it.moderations.create("key", input="x", model="m"),
        {"id": "modr-1", "model": "m", "results": []}, "POST /v1/moderations", "Create moderation",
        {"input": "x", "model": "m"}, is_keyed=True,
        output=ModerationCreateResponse.model_construct(id="modr-1", model="m", results=[]),
    ),
    Case(
        "openai", lambda it: it.vector_stores.files.list("key", "vs_1"),
        {"object": "list", "data": [{"id": "file-1"}], "has_more": False}, "GET /v1/vector_stores/vs_1/files",
        "List vector store files", {"vector_store_id": "vs_1"},
        output=[VectorStoreFile.model_construct(id="file-1")],
    ),
    Case(
        "openai", lambda it: it.audio.speech.create("key", input="Hello", model="m", voice="alloy"), b"\x00mp3",
        "POST /v1/audio/speech", "Create audio speech", {"input": "Hello", "model": "m", "voice": "alloy"},
        is_keyed=True,
    ),
    Case(
        "openai", lambda it: it.audio.transcriptions.create("key", file=BytesIO(b"wav"), model="m"),
        {"text": "Hello"}, "POST /v1/audio/transcriptions", "Create audio transcription",
        {"file": ["upload", "b'wav'"], "model": "m"}, is_keyed=True, output=Transcription.model_construct(text="Hello"),
    ),
    Case(
        "openai", lambda it: it.responses.delete("key", "resp_1"), {}, "DELETE /v1/responses/resp_1",
        "Delete response", {"response_id": "resp_1"}, is_keyed=True, output=NONE,
    ),
    Case(
        "resend", lambda it: it.topics.update("key", "t_1", name="News"), {"id": "t_1"}, "PATCH /topics/t_1",
        "Update topic", {"id": "t_1", "name": "News"},
    ),
    Case(
        "resend", lambda it: it.broadcasts.create("key", from_="a@b.co", segment_id="s_1", subject="Hi"), {"id": "b_1"},
        "POST /broadcasts", "Create broadcast", {"from": "a@b.co", "segment_id": "s_1", "subject": "Hi"},
    ),
    Case(
        "resend", lambda it: it.contacts.topics.list("key", contact_id="c_1"), {"data": []},
        "GET /contacts/c_1/topics", "List contact topics", {"contact_id": "c_1"},
    ),
    Case(
        "replicate", lambda it: it.deployments.get("key", "acme/app"), {"owner": "acme", "name": "app"},
        "GET /v1/deployments/acme/app", "Get deployment", {"name": "acme/app"},
        output={"owner": "acme", "name": "app", "current_release": None},
    ),
    Case(
        "replicate", lambda it: it.hardware.list("key"), [{"name": "CPU", "sku": "cpu"}], "GET /v1/hardware",
        "List hardware", {},
    ),
    Case(
        "slack", lambda it: it.users_profile_get("key", user="U1"), {"ok": True, "profile": {"real_name": "Ana"}},
        "GET /api/users.profile.get", "Users profile get", {"user": "U1"},
    ),
    Case(
        "airtable", lambda it: it.table("app1", "Leads").first("key", sort=["-Date"]), {"records": [RECORD]},
        "GET /v0/app1/Leads", "First record", {"base": "app1", "table": "Leads", "sort": ["-Date"]}, output=RECORD,
    ),
    Case(
        "airtable", lambda it: it.whoami("key"), {"id": "usr1"}, "GET /v0/meta/whoami", "Whoami", {},
    ),
    Case(
        "airtable", lambda it: it.bases("key"), {"bases": [{"id": "app1", "name": "Shop", "permissionLevel": "create"}]},
        "GET /v0/meta/bases", "Bases", {}, output=[{"id": "app1", "name": "Shop"}],
    ),
    Case(
        "supabase", lambda it: it.auth.admin.get_user_by_id("key", USER["id"]), USER,
        f"GET /auth/v1/admin/users/{USER['id']}", "Get user by id", {"uid": USER["id"]}, output=ANY,
    ),
    Case(
        "supabase", lambda it: it.functions.invoke("key", "greet", invoke_options={"body": {"a": 1}}), b"Hello",
        "POST /functions/v1/greet", "Invoke function", {"function_name": "greet", "invoke_options": {"body": {"a": 1}}},
    ),
    Case(
        "sendgrid", lambda it: it.suppression.bounces.get("key", query_params={"limit": 5}), [{"email": "a@b.co"}],
        "GET /v3/suppression/bounces", "Get suppression bounce", {"query_params": {"limit": 5}},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.service}: {case.sent}")
@pytest.mark.usefixtures("clients_are_closed")
async def test_a_method_that_no_table_names(client, case):
    fake, made = MADE[case.service]
    with fake() as service:

        @client.job(id="call", integrations={"it": made(service.url)})
        async def call(payload, io):
            return await case.call(io.it)

        service.plan(Answer(200, case.answer))
        output = await call.run()
        assert output == case.expected
        assert case.expected is ANY or type(output) is type(case.expected)
        assert await call.run() == output
        [request] = service.requests
        assert f"{request.method} {request.path}" == case.sent
        [task] = client.runs()[0].tasks
        assert (task.name, task.params, task.icon) == (case.name, case.params, case.service)
        assert request.idempotency_key == (task.idempotency_key if case.is_keyed else "")


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_secret_in_any_answer_is_not_shown(client, tmp_path):
    """S8: also of a method without an entry in the table."""
    fake, made = MADE["stripe"]
    with fake() as service:

        @client.job(integrations={"it": made(service.url)})
        async def pay(payload, io):
            return len((await io.it.payment_intents.create("pay", amount=1, currency="eur"))["client_secret"])

        service.plan(
            Answer(200, {"id": "pi_1", "object": "payment_intent", "client_secret": "pi_1_secret_7"})
        )
        run = pay.start()
        assert await run == len("pi_1_secret_7")
    assert (
        "secret_7" not in f"{run.tree()}{run.export_html(tmp_path / 'run.html').read_text(encoding='utf-8')}"
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Stripe().custmers, "Stripe has no 'custmers': did you mean customers"),
        (lambda: Stripe().customers.creat, "Stripe's customers has no 'creat': did you mean create"),
        (lambda: Stripe().customers.create_async, "Stripe's customers has no 'create_async'"),
        (lambda: Stripe().customers.create.at_once, "Stripe's customers.create has no 'at_once'"),
        (lambda: OpenAI().chat.completion, "OpenAI's chat has no 'completion': did you mean completions"),
        (lambda: OpenAI().files.with_raw_response, "OpenAI's files has no 'with_raw_response'"),
        (lambda: OpenAI().close, "OpenAI has no 'close'"),
        (lambda: GitHub().issue, "GitHub has no 'issue': did you mean issues"),
        (lambda: GitHub().issues.async_create, "GitHub's issues has no 'async_create'"),
    ],
)
def test_a_name_that_the_sdk_does_not_have_is_refused_with_the_nearest(wrong, told):
    """Without a credential, and before anything runs."""
    with pytest.raises(AttributeError, match=told):
        wrong()


def test_completion_lists_what_the_sdk_has():
    names = dir(Stripe())
    assert {"customers", "payment_intents", "v2", "run_task"} <= {*names}
    assert [name for name in dir(Stripe().customers) if not name.startswith("_")] == [
        *["balance_transactions", "cash_balance", "cash_balance_transactions", "create", "delete"],
        *["delete_discount", "funding_instructions", "list", "payment_methods", "payment_sources"],
        *["retrieve", "search", "tax_ids", "update"],
    ]
    assert {"chat", "moderations", "vector_stores"} <= {*dir(OpenAI())}
    assert not {"api_key", "copy", "base_url"} & {*dir(OpenAI())}
    assert {"create", "background_create"} <= {*dir(OpenAI().chat.completions)}
    assert {"issues", "pulls", "webhooks"} <= {*dir(GitHub())}
    assert {"create", "get", "list_for_repo"} <= {*dir(GitHub().issues)}


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_group_is_no_method_and_a_method_needs_its_cache_key(client):
    @client.job(integrations={"stripe": Stripe("sk_1")})
    async def call(payload, io):
        await (io.stripe.invoices("key") if payload else io.stripe.invoices.create(auto_advance=True))

    with pytest.raises(TypeError, match="invoices is a group of Stripe's methods, not a method: add_lines"):
        await call.run(True)
    with pytest.raises(TypeError, match=r"invoices\.create takes the cache key of its task first"):
        await call.run(False)


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_key_that_is_used_twice_is_told_by_its_places_in_the_job(client):
    """I4: both are where the user's code calls the method."""
    fake, made = MADE["stripe"]
    with fake() as service:

        @client.job(integrations={"stripe": made(service.url)})
        async def twice(payload, io):
            for charge in ("ch_1", "ch_2"):
                await io.stripe.charges.create("key", amount=1, currency="eur", customer=charge)  # twice

        with pytest.raises(UsageError) as refused:
            await twice.run()
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert all(
        lines[int(place.rpartition("line ")[2]) - 1].endswith("# twice") for place in refused.value.places
    )


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_parameter_that_is_missing_is_the_services_error(client):
    """Although the row would show it."""
    fake, made = MADE["stripe"]
    with fake() as service:

        @client.job(integrations={"stripe": made(service.url)})
        async def charge(payload, io):
            return await io.stripe.charges.create("charge", currency="eur")

        refused = {"error": {"type": "invalid_request_error", "message": "Missing required param: amount."}}
        service.plan(Answer(400, refused))
        with pytest.raises(InvalidRequestError, match="Missing required param: amount"):
            await charge.run()


def test_a_path_can_be_copied():
    assert (
        repr(copy(Stripe("sk_1").customers))
        == "<customers of <Stripe integration, api_key: <credential: given>>>"
    )


def test_a_method_outside_of_a_run_says_so():
    with pytest.raises(UsageError, match=r"not bound to a run"):
        Stripe("sk_1").refunds.create("key", charge="ch_1")


WITHOUT = """
import sys
sys.modules["stripe"] = None  # as if it were not installed
from trigger_nb import TriggerClient
from trigger_nb.integrations import Stripe

client = TriggerClient("integrations", dir=sys.argv[1], display=False)

@client.job(id="refund", integrations={"stripe": Stripe("sk_1")})
async def refund(payload, io):
    return await io.stripe.refunds.create(payload, charge="ch_1")

print(refund.run_sync("key"))
"""


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_replay_needs_no_sdk(client, tmp_path):
    """R2: also where the path would be looked up in it."""
    fake, made = MADE["stripe"]
    with fake() as service:

        @client.job(id="refund", integrations={"stripe": made(service.url)})
        async def refund(payload, io):
            return await io.stripe.refunds.create(payload, charge="ch_1")

        service.plan(Answer(200, REFUND))
        await refund.run("key")
    store = str(tmp_path / "store")
    done = subprocess.run([sys.executable, "-c", WITHOUT, store], capture_output=True, text=True, check=True)
    assert done.stdout == f"{REFUND}\n"


@pytest.mark.usefixtures("clients_are_closed")
async def test_a_task_without_the_sdk_says_how_to_install_it(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "stripe", None)

    @client.job(integrations={"stripe": Stripe("sk_1")})
    async def refund(payload, io):
        return await io.stripe.refunds.create("key", charge="ch_1")

    with pytest.raises(MissingExtraError, match=r"pip install 'trigger-nb\[stripe\]'"):
        await refund.run()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("customers.create", "Create customer"),
        ("billing_portal.sessions.create", "Create billing portal session"),
        ("issuing.disputes.list", "List issuing disputes"),
        ("vector_stores.files.retrieve", "Retrieve vector store file"),
        ("beta.threads.delete", "Delete thread"),
        ("issues.add_labels", "Add labels"),
        ("batches.cancel", "Cancel batch"),
        ("tax.address.get", "Get tax address"),
        ("chat_postMessage", "Chat post message"),
    ],
)
def test_a_task_is_named_after_the_path(path, name):
    assert title(path) == name
