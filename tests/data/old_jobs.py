"""The jobs whose runs are in `tests/data/store-2026-11`; the records name its functions, so leave them as they are."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trigger_nb import Property, Reason, Retry, RunStatus, TaskStatus, TriggerClient
from trigger_nb.errors import NotFoundError

CALLS: list[str] = []  # the bodies that were called, by name


def called(name: str) -> None:
    CALLS.append(name)


@dataclass
class Order:
    id: int
    price: Decimal


PLAIN = {"id": 7, "name": "Ana", "tags": ["a", "b"], "none": None, "share": 0.25}
TAGGED = {
    "price": Decimal("12.50"),
    "ids": {3, 5, 8},
    "at": datetime(2026, 11, 29, 12, 30, tzinfo=UTC),
    "pair": (1, b"\x00\xff"),
    "order": Order(7, Decimal("12.50")),
}
LONG = [
    f"line {number}" for number in range(200)
]  # about 2,500 characters: stays in the store until asked for
LARGE = "".join(f"{number}," for number in range(8_000))  # 39,000 characters: a file beside the database
PUBLIC = [
    RunStatus.COMPLETED,
    TaskStatus.ERRORED,
    Reason.REPLAYED,
    Property("Order", "7", url="https://example.com/orders/7"),
    Retry(limit=3, min_timeout=2),
]


def plain() -> Any:
    called("plain")
    print("a line that the body printed")
    return PLAIN


def tagged() -> Any:
    called("tagged")
    return TAGGED


def long() -> Any:
    called("long")
    return LONG


def large() -> Any:
    called("large")
    return LARGE


def public() -> Any:
    called("public")
    return PUBLIC


def square(number: int) -> int:
    called(f"square {number}")
    return number * number


def declined() -> None:
    called("declined")
    raise ValueError("the card was declined", 402)


def refused() -> None:
    called("refused")
    raise NotFoundError("the order was refused")


async def parent(task: Any, io: Any) -> str:
    called("parent")
    return "parent of " + await io.run_task("child", child)


def child() -> str:
    called("child")
    return "child"


def first() -> str:
    called("first")
    return "first"


def second() -> str:
    called("second")
    if "KILL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return "second"


def deliver() -> str:
    called("deliver")
    if "SERVICE_UP" not in os.environ:
        raise ConnectionError("the service is down")
    return "delivered"


def define(client: TriggerClient) -> dict[str, Any]:
    """The jobs, by id."""

    @client.job(id="completed")
    async def completed(payload: Any, io: Any) -> Any:
        output: dict[str, Any] = {"payload": payload, "errors": []}
        for body in (plain, tagged, long, large, public):
            output[body.__name__] = await io.run_task(body.__name__, body)
        output["large"] = len(output["large"])
        for body in (declined, refused):
            try:
                await io.run_task(body.__name__, body)
            except (ValueError, NotFoundError) as error:
                output["errors"].append([type(error).__name__, list(error.args)])
        output["squares"] = await io.map("squares", [1, 2, 3, 4, 5], square)
        output["parent"] = await io.run_task("parent", parent)
        output["random"] = await io.random("random")
        await io.wait("wait", seconds=0.01)
        io.logger.info("an order was made", {"id": 7})
        return output

    @client.job(id="failed")
    async def failed(payload: Any, io: Any) -> Any:
        return [await io.run_task("first", first), await io.run_task("deliver", deliver)]

    @client.job(id="interrupted")
    async def interrupted(payload: Any, io: Any) -> Any:
        return [await io.run_task("first", first), await io.run_task("second", second)]

    return {job.id: job for job in (completed, failed, interrupted)}
