"""A process with a job that writes, and that can die right after its COMMIT: `sql_child.py URL DIR HOW`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from sqlalchemy import text

from trigger_nb import TriggerClient
from trigger_nb.integrations import SQL
from trigger_nb.integrations._sql_writes import Writes

url, directory, how = sys.argv[1:]


def die_after_commit(once=Writes.once):
    def once_and_die(self, *args):
        once(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    Writes.once = once_and_die


def transfer(connection, amount):
    connection.execute(text("UPDATE accounts SET balance = balance + :it"), {"it": amount})
    return [connection.scalar(text("SELECT balance FROM accounts")), b"\x00" * 20_000]


sql = SQL(url)
client = TriggerClient("child", dir=directory, display=False)


@client.job(id="write", integrations={"sql": sql})
async def write(payload, io):
    if payload == "execute":
        done = await io.sql.execute("write", "UPDATE accounts SET balance = balance + :it", {"it": 100})
        return done.row_count
    balance, rest = await io.sql.transaction("write", transfer, 100)
    return [balance, len(rest)]


async def main():
    if how.startswith("kill"):
        die_after_commit()
    print(await write.run(how.removeprefix("kill-")))
    await sql.aclose()


asyncio.run(main())
