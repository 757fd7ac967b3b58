"""Five services, a job that is killed and resumed, and what each service saw of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from tests.support.fakes import FakeHTTP
from trigger_nb.testing.services import FakeOpenAI, FakeResend, FakeStripe, Service

ROOT = Path(__file__).parents[3]
USERS = 3
REQUESTS = 4 * USERS  # of a job that nobody kills; the fifth service is a database
KILLS_A_RUN = 8  # at most: then it is left alone
SEED = 2030
LATENCY = 0.02  # seconds in which an effect has taken place and its answer is still on the way


@dataclass
class Summary:
    """What came of it."""

    runs: int = 0
    kills: int = 0
    effects: Counter[str] = field(default_factory=Counter)  # by service
    repeated: Counter[str] = field(default_factory=Counter)  # requests that came again, with the same key
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def table(self) -> str:
        rows = [("jobs", self.runs), ("processes killed (SIGKILL)", self.kills)]
        for name, count in self.effects.items():
            rows.append((f"{name}: effects", count))
            if name in self.repeated:
                rows.append((f"{name}: requests repeated with the same key", self.repeated[name]))
        rows += [("effects lost, or seen twice", len(self.faults)), ("seconds", round(self.seconds))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {number:>6,}" for name, number in rows)


class Launcher:
    """The process that forks the ones to be killed."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integrations.crash.child"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what it has said is in the pipe, where `has_ended` looks for it
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def launch(self, directory: Path, urls: dict[str, str], payload: Any) -> int:
        """Begin a launch; its pid."""
        asked = {"directory": str(directory), "urls": urls, "payload": payload}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return int(self._process.stdout.readline())

    def has_ended(self) -> bool:
        """Whether it has."""
        said = select.poll()  # `select` itself refuses descriptors from 1024 on
        said.register(self._process.stdout, select.POLLIN)
        return bool(said.poll(0))

    def wait(self) -> int:
        """How it ended: 0, or the signal, as from `os.waitpid`."""
        return int(self._process.stdout.readline())


class Shop:
    """The services of one job. They are here, and so live on when the job's process is killed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.services: dict[str, Service] = {
            "stripe": FakeStripe().start(),
            "openai": FakeOpenAI().start(),
            "resend": FakeResend().start(),
            "http": FakeHTTP().start(),
        }
        for service in self.services.values():
            service.latency = LATENCY
        self.payload = {"users": [f"user{number}@acme.inc" for number in range(USERS)]}
        with closing(sqlite3.connect(directory / "users.db")) as table:
            table.execute("CREATE TABLE users (email TEXT, customer TEXT)")

    @property
    def urls(self) -> dict[str, str]:
        return {name: service.url for name, service in self.services.items()}

    def stop(self) -> None:
        for service in self.services.values():
            service.stop()

    def asked(self) -> int:
        """How many requests have come."""
        return sum(len(service.requests) for service in self.services.values())

    def rows(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self.directory / "users.db")) as table:
            return table.execute("SELECT email, customer FROM users ORDER BY email").fetchall()

    def effects(self) -> dict[str, list[str]]:
        """Each effect, by the user that it was for."""
        stripe, openai, resend, http = self.services.values()
        # OpenAI takes no idempotency key, and makes no more than an answer: there it is counted by the key.
        letters = {request.idempotency_key: request.json for request in openai.requests}
        return {
            "stripe": [customer["email"] for customer in stripe.customers],
            "openai": [asked["messages"][0]["content"].split()[-1] for asked in letters.values()],
            "resend": [letter["to"] for letter in resend.emails],
            "sql": [email for email, _ in self.rows()],
            "http": [effect["sent"]["email"] for effect in http.effects],
        }

    def check(self, summary: Summary) -> None:
        """Each service saw each effect once, however often it was asked."""
        users = self.payload["users"]
        for name, seen in self.effects().items():
            summary.effects[name] += len(seen)
            for user in users:
                if (times := seen.count(user)) != 1:
                    summary.faults.append(f"{self.directory.name}: {name} did it {times} times for {user}")
        for name, service in self.services.items():
            keys = [request.idempotency_key for request in service.requests if request.method == "POST"]
            if "" in keys:
                summary.faults.append(f"{self.directory.name}: {name} was asked without an idempotency key")
            if len(set(keys)) != len(users):
                summary.faults.append(f"{self.directory.name}: {name} saw {len(set(keys))} idempotency keys")
            summary.repeated[name] += len(keys) - len(set(keys))
        output = json.loads((self.directory / "output.json").read_text())
        if [customer for _, customer in self.rows()] != output:
            summary.faults.append(
                f"{self.directory.name}: the output is {output}, the rows are {self.rows()}"
            )


def crash_test(directory: Path, kills: int, seed: int = SEED) -> Summary:
    """Kill jobs over five services at random moments, so many times in all, and let each come to its end."""
    summary, random, began = Summary(), Random(seed), time.monotonic()
    with Launcher() as launcher:
        _leave_alone(launcher, directory / "alone")
        while summary.kills < kills:
            summary.runs += 1
            shop = Shop(directory / f"job-{summary.runs}")
            try:
                planned = min(random.randint(1, KILLS_A_RUN), kills - summary.kills)
                summary.kills += _kill_and_resume(launcher, shop, planned, random)
                shop.check(summary)
            finally:
                shop.stop()
    summary.seconds = time.monotonic() - began
    return summary


def _leave_alone(launcher: Launcher, directory: Path) -> None:
    """The job does what is expected of it when nobody kills it."""
    shop = Shop(directory)
    try:
        launcher.launch(directory, shop.urls, shop.payload)
        assert launcher.wait() == 0, (directory / "error.txt").read_text()
        shop.check(alone := Summary())
        assert alone.faults == []
        assert shop.asked() == REQUESTS
    finally:
        shop.stop()


def _kill_and_resume(launcher: Launcher, shop: Shop, planned: int, random: Random) -> int:
    """The number of kills that met a process which had not ended."""
    kills = 0
    while True:
        pid = launcher.launch(shop.directory, shop.urls, shop.payload)
        if kills < planned:
            # Somewhere between this request and the next one, or in the writes after the last.
            requests = shop.asked() + random.randint(0, REQUESTS)
            while shop.asked() < requests and not launcher.has_ended():
                time.sleep(0.001)
            time.sleep(random.uniform(0, 1.5 * LATENCY))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = launcher.wait()
        if status == 0:
            return kills
        assert status == signal.SIGKILL, (shop.directory / "error.txt").read_text()
        kills += 1
