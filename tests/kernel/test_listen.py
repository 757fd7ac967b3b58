"""`client.listen()` in a notebook: what happened while no kernel lived."""

from __future__ import annotations

from tests.support.kernels import kernel_in

CELL = """
from datetime import timedelta
from trigger_nb import TriggerClient, event_trigger
client = TriggerClient("shop")

@client.job(trigger=event_trigger("order"))
async def ship(order, io):
    await io.run_task("reserve", effect, f"reserve {order}")
    await io.wait_for_event("paid", "paid", filter={"order": [order]}, timeout=timedelta(days=1))
    await io.run_task("send", effect, f"send {order}")

client.listen()
"""
WAITING = "while not client.runs(status='WAITING'): await asyncio.sleep(0.01)"
OTHER = """
from trigger_nb import TriggerClient
client = TriggerClient("shop")
await client.send_event("paid", {"order": 7})
await client.send_event("order", 8)
"""


def test_a_killed_kernel_loses_no_event(tmp_path):
    """W2: a run that a cell has started waits on in the store; another kernel sends; a third one goes on, once."""
    with kernel_in(tmp_path / "nb") as kernel:
        first = kernel.run(CELL)
        assert first.ok
        shown = [each for each in first.messages if each["msg_type"] == "display_data"]
        assert len(shown) == 1
        assert "Listening with 1 job · events order" in shown[0]["content"]["data"]["text/plain"]
        assert kernel.run(f"await client.send_event('order', 7)\n{WAITING}").ok
        kernel.kill()
        kernel.start()
        sent = kernel.run(OTHER)
        assert sent.ok
        assert sent.complained == ""
        kernel.kill()
        kernel.start()
        assert kernel.run(CELL).ok
        ended = "while len(client.runs(status='COMPLETED')) < 1: await asyncio.sleep(0.01)"
        assert kernel.run(f"{ended}\n{WAITING}").ok
        assert sorted(kernel.effects) == ["reserve 7", "reserve 8", "send 7"]
