"""`docs/reference/trigger-dev.md`: each name beside ours exists, and the page has every name of the contract."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import trigger_nb
from tests.integrations.surface import KINDS, methods
from trigger_nb import filters, integrations, signatures, webhooks
from trigger_nb._cli.app import app
from trigger_nb._io.key_values import KeyValues, Stores
from trigger_nb._io.logger import Logger
from trigger_nb._runs.job_options import JobOptions
from trigger_nb._tasks.options import Options
from trigger_nb.client import ClientStores

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "trigger-dev.md"

# The names of the contract, as its text spells them.
CONTRACT = """
id name version trigger integrations enabled concurrency_limit ConcurrencyLimit on_success on_failure log_level
InvalidPayloadError ctx job.id job.version run.id run.is_test run.started_at run.pass_number run.is_retry event.id event.name
event.context event.timestamp source account event_trigger invoke_trigger interval_trigger cron_trigger timezone DynamicSchedule register
unregister DynamicTrigger send_event deliver_at deliver_after context timestamp fresh send_events get_event
cancel_event cancel_runs_for_event $startsWith $endsWith $ignoreCaseEquals $gt $gte $lt $lte $between $includes $exists $isNull
$anythingBut $not run_task description icon display_key properties params style redact retry on_error delay_until timeout Callback
returns codec on_change repeatable executor thread Property image_url task.id key path idempotency_key attempt status callback_url
output_properties progress log Retry limit factor min_timeout max_timeout randomize standard_backoff exponential_backoff RetryAt
SkipRetrying wait seconds minutes hours days until wait_for_event schema filter context_filter wait_for_request invoke
invoke_and_wait parallel map background_fetch method headers body Backoff ResetHeaders limit_header remaining_header reset_header
reset_format background_poll interval request_timeout response_filter ResponseFilter random now uuid logger debug info warning
warn error create_status label state data update store.run store.job store.env get set has delete register_interval
unregister_interval register_cron unregister_cron register_trigger try_ yield_ brb get_auth client_id native post_message
join_conversation emails.send send_email emails.get batch.send audiences contacts issues.create issues.get add_assignees add_labels
create_comment repos.get create_for_issue_comment create_issue_comment_with_reaction git charges.create
customers.create subscriptions.retrieve checkout.sessions.create webhook_endpoints.create chat.completions.create
background_create completions.create embeddings.create images.generate models files fine_tuning assistants threads Airtable Linear
Plain Replicate SendGrid Shopify Supabase Typeform background_fetch_response batch_invoke_and_wait run.succeeded run.failed
cancel_runs_for_job client.store.env job.store update_status http_endpoint on_request respond_with verify
verify_request_signature verify_hmac_sha256 examples Scheduled serve
"""  # fmt: skip

ROWS = [
    (number, *(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4]))
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1)
    if line.startswith("|") and not re.match(r"\| (there|---)", line)
]


def spans(text):
    return re.findall(r"`([^`]+)`", text)


# What the first word of a name stands for.
ROOTS = {
    "io": trigger_nb.Io,
    "client": trigger_nb.TriggerClient,
    "job": trigger_nb.Job,
    "run": trigger_nb.Run,
    "task": trigger_nb.Task,
    "ctx": trigger_nb.Context,
    "status": trigger_nb.Status,
    "retry": trigger_nb.retry,
    "signatures": signatures,
    "webhooks": webhooks,
}
# What a property gives, where its annotation does not say it to a program.
GIVEN = {
    "io.store": Stores,
    "io.store.run": KeyValues,
    "io.store.job": KeyValues,
    "io.store.env": KeyValues,
    "io.logger": Logger,
    "client.store": ClientStores,
}
# Parameters of what takes `**options`.
MORE = {
    "io.run_task": {"callback", *Options.__annotations__},
    "io.send_event": {*inspect.signature(trigger_nb.TriggerClient.send_event).parameters},
}


def find(name):
    """What a name of ours names. Raises `LookupError`."""
    if name.startswith('"'):
        return filters._MATCHERS[name.strip('"')]
    if name.startswith("trigger-nb "):
        return {command.name or command.callback.__name__: command for command in app.registered_commands}[
            name.split()[1]
        ]
    if name == "@client.job":
        return JobOptions
    first, *rest = name.split(".")
    if first == "io" and rest and (kind := next((k for k in KINDS if k.icon == rest[0]), None)) is not None:
        return methods(kind)[".".join(rest[1:])]
    found = ROOTS.get(first) or getattr(trigger_nb, first, None) or getattr(integrations, first, None)
    found = found or getattr(trigger_nb.errors, first, None)
    if found is None:
        raise LookupError(first)
    path = first
    for part in rest:
        path += f".{part}"
        if path in GIVEN:
            found = GIVEN[path]
            continue
        if dataclasses.is_dataclass(found) and part in {field.name for field in dataclasses.fields(found)}:
            kinds = [get_type_hints(found)[part]]
            # Of `EventContext | None`, the class.
            found = next(
                (kind for kind in (*get_args(kinds[0]), *kinds) if dataclasses.is_dataclass(kind)), object
            )
            continue
        made = re.findall(r"self\.(\w+)\b.* =", inspect.getsource(found.__init__)) if first == "task" else ()
        try:
            found = object if part in made else inspect.getattr_static(found, part)
        except AttributeError:
            raise LookupError(path) from None
    return found


def parameters_of(name, found):
    if isinstance(found, str):  # the parameters of an integration's method, as text
        return {re.split("[:=]", part)[0].strip().lstrip("*") for part in found.split(",")}
    return {*inspect.signature(found).parameters, *MORE.get(name, ())}


def check(span):
    """Raises `LookupError` if the name, or one of the parameters that are written with it, is not there."""
    name, _, rest = span.partition("(")
    found = find(name)
    if rest:
        asked = {part.strip().rstrip("=") for part in rest.rstrip(")").split(",") if part.strip()}
        if missing := asked - parameters_of(name, found):
            raise LookupError(f"{name} has no parameter {missing}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line {row[0]}")
def test_each_name_of_ours_exists(row):
    number, there, here, more = row
    if here.startswith("none: "):
        assert len(here) > len("none: "), "say why there is none"
        return
    names = spans(here)
    assert names, f"line {number} has no name of ours"
    for span in names:
        check(span)


def test_the_page_has_every_name_of_the_contract():
    text = PAGE.read_text(encoding="utf-8")
    told = {re.sub(r"[^a-z0-9$]", "", word.lower()) for word in re.findall(r"[\w$.]+", text)}
    parts = {re.sub(r"[^a-z0-9$]", "", word.lower()) for word in re.findall(r"[\w$]+", text)}
    wanted = CONTRACT.split()
    assert len(wanted) > 200
    missing = [
        name
        for name in wanted
        if (plain := re.sub(r"[^a-z0-9$]", "", name.lower())) not in parts
        and not any(each.endswith(plain) for each in told)
    ]
    assert missing == []


def test_a_name_that_is_not_there_is_found():
    for wrong in (
        "io.fetch_all",
        "client.runs(page=)",
        "io.slack.post(key)",
        '"$in"',
        "ctx.run.retried",
        "trigger-nb fly",
    ):
        with pytest.raises((LookupError, KeyError)):
            check(wrong)
