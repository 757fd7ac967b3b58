"""Every call that each integration had a method of its own for before its methods came from the SDK.

`make_calls.py` kept what they did with the code of that time; `test_known_calls.py` compares it with what they do now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.fakes import FakeAirtable, FakeReplicate, FakeSendGrid, FakeSupabase
from trigger_nb.integrations import (
    Airtable,
    GitHub,
    OpenAI,
    Replicate,
    Resend,
    SendGrid,
    Slack,
    Stripe,
    Supabase,
)
from trigger_nb.testing.services import (
    Answer,
    FakeGitHub,
    FakeOpenAI,
    FakeResend,
    FakeSlack,
    FakeStripe,
    Service,
)

SHOP = {"owner": "acme", "repo": "shop"}
EMAIL = {"from": "jane@acme.inc", "to": "ana@example.com", "subject": "Welcome!", "html": "<p>Hi</p>"}
HELLO = [{"role": "user", "content": "Hello you there"}]

MADE: dict[str, tuple[Callable[[], Service], Callable[[str], Any]]] = {
    "airtable": (FakeAirtable, lambda url: Airtable("pat-1", base_url=url)),
    "github": (FakeGitHub, lambda url: GitHub("ghp_1", base_url=url)),
    "openai": (FakeOpenAI, lambda url: OpenAI("sk-1", base_url=f"{url}/v1")),
    "replicate": (
        lambda: FakeReplicate(model=lambda given: [given.get("prompt", "")]),
        lambda url: Replicate("r8_1", base_url=url, poll_interval=0.001),
    ),
    "resend": (FakeResend, lambda url: Resend("re_1", base_url=url)),
    "sendgrid": (FakeSendGrid, lambda url: SendGrid("SG.1", base_url=url)),
    "slack": (FakeSlack, lambda url: Slack("xoxb-1", base_url=f"{url}/api/")),
    "stripe": (FakeStripe, lambda url: Stripe("sk_test_1", base_url=url)),
    "supabase": (FakeSupabase, lambda url: Supabase(url, "key-1")),
}


async def call_stripe(it: Any, plan: Callable[..., None]) -> None:
    await it.charges.create("charge", currency="eur", amount=1999, description="Hat", metadata={"a": "b"})
    await it.charges.create("charge-2", currency="jpy", amount=1999, customer="cus_1", source=None)
    await it.customers.create("customer", email="ana@example.com", name="Ana", metadata={"a": "b"})
    await it.customers.create("customer-2")
    await it.customers.update("update", customer="cus_1", email="eva@example.com", name="", phone="1")
    await it.subscriptions.retrieve("subscription", subscription="sub_1", expand=["customer"])
    await it.checkout.sessions.create(
        "session", mode="payment", customer="cus_1", line_items=[{"price": "p"}]
    )
    await it.checkout.sessions.create(
        "embedded", ui_mode="embedded", mode="payment", line_items=[{"price": "p"}]
    )
    await it.webhook_endpoints.create("hook", url="https://a.b", enabled_events=["charge.failed", "*"])
    await it.webhook_endpoints.update("hook-2", webhook_endpoint="we_1", disabled=True, url="https://a.c")
    await it.webhook_endpoints.list("hooks", limit=1)
    options = {"name": "Mine", "redact": ["email"], "properties": {"A": "b"}}
    await it.customers.create("named", email="ana@example.com", task_options=options)


async def call_github(it: Any, plan: Callable[..., None]) -> None:
    issue = {**SHOP, "issue_number": 1}
    await it.issues.create(
        "issue", **SHOP, title="Stuck", body=None, labels=["bug"], assignees=["ana"], milestone=None
    )
    await it.issues.get("get", **issue)
    await it.issues.add_assignees("assign", **issue, assignees=["ana", "ben"])
    await it.issues.add_labels("label", **issue, labels=["bug", "till"])
    comment = await it.issues.create_comment("comment", **issue, body="Hm.")
    await it.repos.get("repo", **SHOP)
    await it.reactions.create_for_issue_comment("react", **SHOP, comment_id=comment["id"], content="+1")
    compound = it.compound.create_issue_comment_with_reaction
    await compound("compound", **issue, body="Thanks!", reaction="heart")
    blob = await it.git.create_blob("blob", **SHOP, content="Hi")
    await it.git.create_blob("blob-2", **SHOP, content="SGk=", encoding="base64")
    await it.git.get_blob("get-blob", **SHOP, file_sha=blob["sha"])
    entry = {"path": "greeting.txt", "mode": "100644", "type": "blob", "sha": blob["sha"]}
    tree = await it.git.create_tree("tree", **SHOP, tree=[entry], base_tree="main")
    await it.git.get_tree("get-tree", **SHOP, tree_sha=tree["sha"], recursive=True)
    await it.git.get_tree("get-tree-2", **SHOP, tree_sha=tree["sha"])
    head = (await it.git.get_ref("ref", **SHOP, ref="heads/main"))["object"]["sha"]
    commit = await it.git.create_commit("commit", **SHOP, message="Greet", tree=tree["sha"], parents=[head])
    await it.git.get_commit("get-commit", **SHOP, commit_sha=commit["sha"])
    tag = await it.git.create_tag("tag", **SHOP, tag="v1", message="First", object=commit["sha"])
    await it.git.get_tag("get-tag", **SHOP, tag_sha=tag["sha"])
    await it.git.create_ref("create-ref", **SHOP, ref="refs/heads/fix", sha=head)
    await it.git.update_ref("update-ref", **SHOP, ref="heads/fix", sha=commit["sha"], force=True)
    await it.git.list_matching_refs("refs", **SHOP, ref="heads/fix")
    await it.git.delete_ref("delete-ref", **SHOP, ref="heads/fix")
    for name, of in (("repo", SHOP), ("org", {"org": "acme"})):
        config = {"url": "https://acme.inc/hook", "secret": "hush-hush-hush"}
        hook = await it.webhooks.create((name, "hook"), **of, config=config, events=["issues"])
        await it.webhooks.list((name, "hooks"), **of, per_page=5)
        await it.webhooks.update((name, "update"), **of, hook_id=hook["id"], active=False, config=config)
        await it.webhooks.delete((name, "delete"), **of, hook_id=hook["id"])


async def call_openai(it: Any, plan: Callable[..., None]) -> None:
    await it.chat.completions.create("chat", model="gpt-4o-mini", messages=HELLO, temperature=0.5)
    await it.chat.completions.create("stream", model="gpt-4o-mini", messages=HELLO, stream=True)
    await it.chat.completions.background_create("background", model="m", messages=HELLO)
    await it.completions.create("text", model="m", prompt="Once")
    await it.embeddings.create("embed", model="m", input=["a", "bc"])
    await it.embeddings.create("embed-2", model="m", input="a")
    await it.images.generate("image", prompt="a cat", n=2)
    await it.images.generate("image-2", prompt="a cat", model="m")
    response = await it.responses.create("respond", model="m", input="Hello")
    await it.responses.create("respond-2", model="m", input="Hello", stream=True)
    await it.responses.retrieve("response", response.id)
    await it.models.list("models")
    await it.models.retrieve("model", "gpt-4o-mini")
    file = await it.files.create("file", file=("a.jsonl", b"{}"), purpose="fine-tune")
    await it.files.create("file-2", file=b"{}", purpose="fine-tune")
    await it.files.list("files")
    await it.files.list("files-1", limit=1)
    await it.files.content("content", file.id)
    await it.files.wait_for_processing("processed", file.id)
    await it.files.wait_for_processing("processed-2", id=file.id, poll_interval=1.0, max_wait_seconds=5)
    await it.files.retrieve("get-file", file_id=file.id)
    job = await it.fine_tuning.jobs.create("tune", model="gpt-4o-mini", training_file=file.id)
    await it.fine_tuning.jobs.retrieve("tuning", job.id)
    done = await it.fine_tuning.jobs.retrieve("tuned", job.id)
    await it.fine_tuning.jobs.list_events("events", job.id)
    await it.fine_tuning.jobs.list("jobs")
    await it.fine_tuning.jobs.cancel("cancel", job.id)
    await it.models.delete("forget", done.fine_tuned_model)
    await it.files.delete("delete", file.id)
    await call_assistants(it.beta, plan)


async def call_assistants(beta: Any, plan: Callable[..., None]) -> None:
    one = {"id": "x1", "object": "thing", "status": "completed", "thread_id": "t1", "assistant_id": "a1"}
    page = {"object": "list", "data": [one], "first_id": "x", "last_id": "x", "has_more": False}
    plan(*[Answer(200, one)] * 3, Answer(200, page), *[Answer(200, one)] * 7)
    await beta.assistants.create("assistant", model="m", name="Ada")
    await beta.assistants.retrieve("get-assistant", "a1")
    await beta.assistants.update("update-assistant", "a1", name="Ben")
    await beta.assistants.list("assistants")
    await beta.assistants.delete("delete-assistant", "a1")
    await beta.threads.create("thread")
    await beta.threads.retrieve("get-thread", "t1")
    await beta.threads.delete("delete-thread", "t1")
    await beta.threads.create_and_run("create-and-run", assistant_id="a1")
    await beta.threads.messages.create("message", "t1", role="user", content="Hi")
    await beta.threads.messages.retrieve("get-message", "m1", thread_id="t1")
    plan(Answer(200, page), *[Answer(200, one)] * 2, Answer(200, page), *[Answer(200, one)] * 5)
    await beta.threads.messages.list("messages", "t1")
    await beta.threads.runs.create("run", "t1", assistant_id="a1")
    await beta.threads.runs.retrieve("get-run", "r1", thread_id="t1")
    await beta.threads.runs.list("runs", "t1")
    await beta.threads.runs.cancel("cancel-run", "r1", thread_id="t1")
    await beta.threads.runs.submit_tool_outputs("submit", "r1", thread_id="t1", tool_outputs=[])
    await beta.threads.runs.create_and_poll("create-and-poll", "t1", assistant_id="a1", poll_interval_ms=1)
    await beta.threads.runs.poll("poll", "r1", thread_id="t1", poll_interval_ms=1)


async def call_resend(it: Any, plan: Callable[..., None]) -> None:
    sent = await it.send_email("send", **EMAIL)
    await it.emails.send("send-2", from_="a@b.co", to=["a@b.co", "b@b.co"], text="T", reply_to=["c@b.co"])
    await it.emails.get("email", email_id=sent["id"])
    await it.batch.send("batch", emails=[EMAIL, EMAIL], batch_validation="permissive")
    made = await it.audiences.create("audience", name="Customers")
    await it.audiences.get("get-audience", id=made["id"])
    await it.audiences.list("audiences", limit=1)
    for name, of in (("one", {"audience_id": made["id"]}), ("all", {})):
        contact = await it.contacts.create((name, "contact"), email="a@b.co", first_name="Ana", **of)
        await it.contacts.update((name, "update"), id=contact["id"], unsubscribed=True, **of)
        await it.contacts.get((name, "get"), email="a@b.co", **of)
        await it.contacts.list((name, "list"), limit=5, **of)
        await it.contacts.remove((name, "remove"), id=contact["id"], **of)
    await it.audiences.remove("remove-audience", id=made["id"])


async def call_slack(it: Any, plan: Callable[..., None]) -> None:
    await it.post_message("post", channel="C1", text="Hello!", unfurl_links=False)
    await it.join_conversation("join", channel="C3")


async def call_replicate(it: Any, plan: Callable[..., None]) -> None:
    await it.run("run", "a/b", input={"prompt": "fox"})
    await it.run("run-2", "a/b:v1", input={"prompt": "fox"}, webhook="https://a.b")
    made = await it.predictions.create("create", deployment="a/b", input={"prompt": "fox"})
    await it.predictions.create("create-2", version="v1")
    await it.predictions.create_and_await("await", model="a/b", input={"prompt": "hen"})
    await it.predictions.cancel("cancel", id=made["id"])
    await it.predictions.get("get", id=made["id"])
    trained = await it.trainings.create("train", model="a/b", version="v1", input={}, destination="me/c")
    await it.trainings.cancel("end", id=trained["id"])
    await it.trainings.get("trained", id=trained["id"])
    await it.models.get("model", model="a/b")
    await it.collections.get("collection", slug="text")


async def call_airtable(it: Any, plan: Callable[..., None]) -> None:
    table = it.table("app1", "Leads")
    made = await table.create_records("create", [{"Name": str(n)} for n in range(12)], typecast=True)
    one = await table.create_records("one", [{"Name": "Ana"}])
    await table.get_records("all", max_records=3, fields=["Name"])
    await it.table("app1", "tbl1").get_records("none")
    await table.get_record("record", record_id=one[0]["id"])
    await table.update_records("update", [{"id": one[0]["id"], "fields": {"Name": "Eva"}}])
    await table.delete_records("delete", [each["id"] for each in made])


async def call_sendgrid(it: Any, plan: Callable[..., None]) -> None:
    mail = {"from_email": ("a@x.io", "A"), "to_emails": ["b@x.io", ("c@x.io", "C")], "categories": ["hi"]}
    await it.send_email("send", **mail, subject="Hi", plain_text_content="Hello")


async def call_supabase(it: Any, plan: Callable[..., None]) -> None:
    await it.insert("insert", table="users", rows=[{"id": "u1"}])
    await it.upsert("upsert", table="users", rows=[{"id": "u1"}], on_conflict="id")
    plan(Answer(200, [1]))
    await it.rpc("rpc", fn="count", params={"of": "users"})


def jobs(client: Any, urls: dict[str, str], plans: dict[str, Callable[..., None]]) -> dict[str, Any]:
    """A job for each service, which makes all the calls."""

    def job(name: str) -> Any:
        call = globals()[f"call_{name}"]

        @client.job(id=name, integrations={name: MADE[name][1](urls.get(name, "http://127.0.0.1:9"))})
        async def every_call(payload: Any, io: Any) -> None:
            await call(getattr(io, name), plans.get(name, lambda *events: None))

        return every_call

    return {name: job(name) for name in MADE}


def told(run: Any) -> list[dict[str, Any]]:
    """What is shown and kept of each task of a run."""
    parts = ("path", "name", "icon", "params", "properties", "output_properties", "output")
    return [{part: getattr(task, part) for part in parts} for task in run.tasks if task.kind == "task"]
