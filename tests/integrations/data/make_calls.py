"""Makes `store-2026-11` and `sent-2026-11.json`: what `calls.py` did when each call had a method of its own.

Made once, with the code of that time, by `python -m tests.integrations.data.make_calls`; left as it is since.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
import warnings
from pathlib import Path
from typing import Any

from tests.integrations.data.calls import MADE, jobs
from trigger_nb import TriggerClient
from trigger_nb.testing import FakeClock

HERE = Path(__file__).parent
STORE, SENT = HERE / "store-2026-11", HERE / "sent-2026-11.json"


async def run_all(directory: Path, names: tuple[str, ...] = tuple(MADE)) -> dict[str, list[Any]]:
    """Make all the calls, each to a service on this machine, and keep the runs: the requests to each service."""
    services = {name: MADE[name][0]() for name in names}
    with contextlib.ExitStack() as stack:
        for service in services.values():
            stack.enter_context(service)
        urls = {name: service.url for name, service in services.items()}
        plans = {name: service.plan for name, service in services.items()}
        client = TriggerClient("calls", dir=directory, clock=FakeClock(), display=False)
        made = jobs(client, urls, plans)
        for name in names:
            await made[name].run()
    return {name: [*map(_told, service.requests)] for name, service in services.items()}


def _told(request: Any) -> list[Any]:
    kind = request.headers.get("content-type", "")
    body = request.json if "json" in kind else request.form if "urlencoded" in kind else None
    return [request.method, request.path, request.query, bool(request.idempotency_key), body]


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    with tempfile.TemporaryDirectory() as directory:
        sent = asyncio.run(run_all(Path(directory)))
        lines = [
            f'"{name}": [\n' + ",\n".join(map(json.dumps, requests)) + "\n]"
            for name, requests in sent.items()
        ]
        SENT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        made = Path(directory, "calls")
        with contextlib.closing(sqlite3.connect(made / "cache.db", isolation_level=None)) as sql:
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sql.execute("VACUUM")
        shutil.copytree(
            made, STORE, ignore=shutil.ignore_patterns(".gitignore", "*-wal", "*-shm", "run.lock")
        )


if __name__ == "__main__":
    main()
