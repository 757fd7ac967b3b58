"""A worker that is killed: listens with jobs that wait, and notes in files what its bodies do. It is run as a script, or by `trigger-nb work`."""

from __future__ import annotations

import os
from pathlib import Path

from trigger_nb import TriggerClient, event_trigger, interval_trigger
from trigger_nb._store.crashpoints import arm

folder = Path(os.environ["TRIGGER_NB_TEST_HOME"])
client = TriggerClient("worker", dir=folder, display=False)


def note(name, text):
    with (folder / name).open("a") as file:
        file.write(f"{text}\n")


@client.job(trigger=event_trigger("order"))
async def order(payload, io, ctx):
    number = payload["number"]
    await io.run_task("begin", note, "begun", f"{ctx.event.id}")
    event = await io.wait_for_event("paid", "paid", filter={"number": [number]}, timeout=3600)
    await io.wait("pause", seconds=0.05)
    await io.run_task("end", note, "ended", f"{number} {event.payload['number']}")


@client.job(trigger=interval_trigger(1))
async def tick(payload, io, ctx):
    await io.run_task("note", note, "ticks", f"{ctx.run.id} {payload.ts.timestamp():.3f}")


UP = note(f"up-{os.getpid()}", "it listens soon")

if __name__ == "__main__":
    if os.environ.get("TRIGGER_NB_CRASH_AT"):
        arm()
    client.listen(display=False).run_forever_sync()
