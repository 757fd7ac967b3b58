"""A file with jobs for `trigger-nb work --serve`, for the tests that kill it. Each job notes what it was told, once."""

from __future__ import annotations

import os
from pathlib import Path

from trigger_nb import Callback, TriggerClient, event_trigger, signatures

HOME = Path(os.environ["TRIGGER_NB_TEST_HOME"])
client = TriggerClient("killed", dir=HOME / "store", display=False)
orders = client.http_endpoint("orders", verify=signatures.hmac("a secret", header="X-Sig", id_header="X-Id"))


def note(name, text):
    with (HOME / name).open("a") as file:
        file.write(f"{text}\n")


@client.job(trigger=event_trigger("sent"))
async def sent(payload, io):
    await io.run_task("note", lambda: note("sent", payload))
    return payload


@client.job(trigger=orders.on_body())
async def order(payload, io):
    return payload["n"]


@client.job(trigger=event_trigger("ask"))
async def ask(payload, io):
    got = await io.wait_for_request("request", lambda url: note("urls", f"{payload} {url}"), timeout=86_400)
    back = await io.run_task("callback", tell, payload, callback=Callback(timeout=86_400))
    approval = await io.wait_for_approval("approve", prompt=str(payload), timeout=86_400)
    return [got, back, approval.choice]


def tell(payload, task):
    note("callbacks", f"{payload} {task.callback_url}")
