"""Makes the store of `tests/store/test_old_store.py`, which keeps what one version wrote for all later ones to read.

A store is made once, with the code of its time, and is then left as it is: making it anew would test nothing.
For a store of a later version, copy this file and `old_jobs.py` to `tests/data/` in an empty folder, so that no
path of your machine gets into the store, and run there:

    PYTHONPATH=.:/path/to/the/checkout python tests/data/make_store.py store-2026-11
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.data.old_jobs import define
from trigger_nb import RunStatus, TriggerClient

# Who drives the run that is killed: no kernel of any machine on which the test runs, and one of long ago.
HOLDER = {"host": "ana-laptop", "boot": "", "pid": 4242, "started": 1, "notebook": "", "since": 1790000000.0}


def main(name: str) -> None:
    target = Path(__file__).parent / name
    place = Path("made")
    for part in ("completed", "failed", "interrupted"):
        environment = {**os.environ, "KILL": "1"} if part == "interrupted" else os.environ
        subprocess.run([sys.executable, __file__, "run", str(place), part], env=environment, check=False)  # noqa: S603
    made = place / "old"
    with contextlib.closing(sqlite3.connect(made / "cache.db", isolation_level=None)) as sql:
        rows = sql.execute("SELECT key, value FROM Cache WHERE key LIKE 'run/%'").fetchall()
        assert len(rows) == 3
        for key, text in rows:
            record = json.loads(text)
            if record.get("holder"):
                record["holder"] = {**record["holder"], **HOLDER}
                changed = json.dumps(record, separators=(",", ":"))
                sql.execute("UPDATE Cache SET value = ? WHERE key = ?", (changed, key))
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sql.execute("VACUUM")
    shutil.copytree(made, target, ignore=shutil.ignore_patterns(".gitignore", "*-wal", "*-shm", "run.lock"))


def run(place: str, part: str) -> None:
    job = define(TriggerClient("old", dir=place, display=False))[part]

    async def one() -> None:
        run = job.start({"from": "2026-11"})
        with contextlib.suppress(ConnectionError):
            await run
        assert run.status == {"completed": RunStatus.COMPLETED, "failed": RunStatus.FAILED}[part]

    asyncio.run(one())


if __name__ == "__main__":
    run(*sys.argv[2:]) if sys.argv[1] == "run" else main(sys.argv[1])
