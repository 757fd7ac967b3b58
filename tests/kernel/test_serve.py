"""`client.serve()` in a notebook: it answers while a cell computes, and what was answered outlives the kernel."""

from __future__ import annotations

from tests.support.kernels import kernel_in

CELL = """
import threading
import httpx
from trigger_nb import TriggerClient, event_trigger
client = TriggerClient("shop")

@client.job(trigger=event_trigger("order"))
async def ship(order, io):
    await io.run_task("reserve", effect, f"reserve {order}")
    sent = await io.wait_for_request("sent", lambda url: effect(url), timeout=86_400)
    await io.run_task("tell", effect, f"{order} {sent}")

server = client.serve()
server
"""
POST = """
def post():
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = httpx.post(f"{server.url}/events", json={"name": "order", "payload": 7}, headers=headers)
    effect(answer.status_code)

sender = threading.Thread(target=post)
sender.start()
sender.join()  # the loop stands still meanwhile
"""


def test_requests_to_a_notebook(tmp_path):
    """R3, W2, W7."""
    with kernel_in(tmp_path / "nb") as kernel:
        first = kernel.run(CELL)
        assert first.ok
        assert "serves http://127.0.0.1:" in str(first.messages)
        assert kernel.run(POST).ok
        assert kernel.effects[0] == "201"
        waits = "while not client.runs(status='WAITING'): await asyncio.sleep(0.01)"
        shown = kernel.run(f"{waits}\nprint(client.runs()[0].tree(), server)\nclient.runs()[0]")
        assert shown.ok
        assert "tnbk_" not in str(first.messages) + str(shown.messages)
        kernel.kill()
        kernel.start()
        again = kernel.run(CELL)
        assert again.ok
        url = next(each for each in kernel.effects if each.startswith("http"))
        assert kernel.run(f"assert httpx.post({url!r}, json='now').status_code == 200").ok
        assert kernel.run("while not client.runs(status='COMPLETED'): await asyncio.sleep(0.01)").ok
        assert kernel.effects == ["201", "reserve 7", url, "7 now"]
