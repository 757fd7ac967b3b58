"""Runs the job, in processes to be killed: `python -m tests.integrations.crash.child`.

The SDKs take a second to import, so this process imports them once and forks for each launch. A launch is
asked for by a line of JSON on standard input; the answers are the child's pid, and how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx
import openai
import resend
import sqlalchemy
import stripe

from trigger_nb import Job, TriggerClient
from trigger_nb.errors import TaskCrashedError
from trigger_nb.integrations import HTTP, SQL, OpenAI, Resend, Stripe

ONCE = [httpx, openai, resend, sqlalchemy, stripe]  # the forks have them
INSERT = "INSERT INTO users (email, customer) VALUES (:email, :customer)"


def job_over(directory: Path, urls: dict[str, str]) -> Job[Any]:
    """A job that welcomes users: five services, five tasks a user."""
    client = TriggerClient("five", dir=directory / "store", display=False)

    @client.job(
        id="welcome",
        integrations={
            "stripe": Stripe("sk_test_0123456789", base_url=urls["stripe"]),
            "openai": OpenAI("sk-0123456789", base_url=f"{urls['openai']}/v1"),
            "resend": Resend("re_0123456789", base_url=urls["resend"]),
            "sql": SQL(f"sqlite:///{directory / 'users.db'}"),
            "crm": HTTP(urls["http"]),
        },
    )
    async def welcome(payload, io):
        async def one(email, index, io):
            customer = await io.stripe.customers.create("customer", email=email, name=email.partition("@")[0])
            letter = await io.openai.chat.completions.create(
                "letter", model="gpt-4o-mini", messages=[{"role": "user", "content": f"Welcome {email}"}]
            )
            text = letter.choices[0].message.content
            await io.resend.emails.send("mail", from_="us@acme.inc", to=email, subject="Welcome", html=text)
            await io.sql.execute("row", INSERT, {"email": email, "customer": customer["id"]})
            await io.crm.post("contact", "/contacts", json={"email": email})
            return customer["id"]

        return await io.parallel("users", payload["users"], one)

    return welcome


def run(asked: dict[str, Any]) -> int:
    """One launch, in a process of its own."""
    directory = Path(asked["directory"])
    try:
        output = asyncio.run(_run(job_over(directory, asked["urls"]), asked["payload"]))
        (directory / "output.json").write_text(json.dumps(output))
    except BaseException:
        (directory / "error.txt").write_text(traceback.format_exc())
        return 1
    return 0


async def _run(job: Job[Any], payload: Any) -> Any:
    run = job.start(payload)
    try:
        return await run
    except (
        TaskCrashedError
    ):  # three kills met the same body, as they may on a slow machine: do as its message says
        return await run.retry()


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            os._exit(run(json.loads(line)))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)


if __name__ == "__main__":
    main()
