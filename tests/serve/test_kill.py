"""A worker that serves is killed by SIGKILL while requests come in: what was answered is not lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.support.worlds import PATIENCE, wait_until
from trigger_nb import TriggerClient, signatures

ROOT = Path(__file__).parents[2]
TOKEN = "a token that is long enough"
pytestmark = pytest.mark.slow


class Worker:
    """`trigger-nb work --serve`, which dies and comes again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(Path(__file__).with_name("program.py"), folder / "program.py")
        self.client = TriggerClient("killed", dir=folder / "store", display=False)
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        self.url = ""

    def start(self) -> None:
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TRIGGER_NB_TEST_HOME": str(self.folder),
            "TRIGGER_NB_TOKEN": TOKEN,
        }
        command = [sys.executable, "-m", "trigger_nb", "work", str(self.folder / "program.py"), "--serve"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stderr=log)
        wait_until(self.is_up)

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        from trigger_nb._events.addresses import Addresses

        self.url = Addresses(self.client.runtime.store).base or ""
        try:
            return bool(self.url) and self.http.get(self.url + "/health").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def post(self, url: str, **request) -> int | None:
        """The status; None if the worker died, so that nobody knows whether the request was recorded."""
        try:
            return self.http.post(url, **request).status_code
        except httpx.TransportError:
            return None

    def until_answered(self, url: str, **request) -> int:
        """As a service does it: send it again until there is an answer."""
        until = time.monotonic() + PATIENCE
        while (status := self.post(url, **request)) is None or status == 503:
            assert time.monotonic() < until
            if self.process is None:
                self.start()
            time.sleep(0.01)
        return status

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path)
    yield worker
    worker.kill()
    worker.http.close()


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.long)])
def test_no_event_is_lost_and_each_starts_one_run(worker, rounds):
    """R3, W7: killed at a random moment, with the request in flight. What was sent twice was one delivery."""
    draw = random.Random(rounds)
    signature = signatures.hmac("a secret", header="X-Sig", id_header="X-Id")
    number, burst = 0, 20
    worker.start()
    endpoint = worker.client.runtime.address_of("orders")
    for _ in range(rounds):
        dies_after = draw.randrange(burst)
        for at in range(burst):
            if at == dies_after:
                worker.kill()
            event = {"name": "sent", "payload": number, "id": f"e{number}"}
            assert worker.until_answered(worker.url + "/events", json=event) in (200, 201)
            body = json.dumps({"n": number}).encode()
            headers = {**signature.headers(body, 0), "X-Id": f"d{number}"}
            for _ in range(1 + number % 2):
                assert worker.until_answered(endpoint, content=body, headers=headers) == 200
            number += 1

    def ended(job):
        return worker.client.runs(job=job, status="COMPLETED", limit=2 * number)

    wait_until(lambda: min(len(ended("sent")), len(ended("order"))) == number)
    for job in ("sent", "order"):
        assert len(worker.client.runs(job=job, limit=2 * number)) == number
        assert Counter(run.output for run in ended(job)) == Counter(range(number))
    assert set(worker.lines("sent")) == {str(each) for each in range(number)}
    secrets = [TOKEN, endpoint.rpartition("/")[2], "tnbk_"]
    assert not [each for each in secrets if each in "".join(worker.lines("log"))]


@pytest.mark.parametrize("rounds", [1, pytest.param(200, marks=pytest.mark.long)])
def test_killed_in_the_middle_of_each_kind_of_wait(worker, rounds):
    """R3, W2, W4, W7: the request comes while the worker lives, is dead or dies; the run goes on once, with the first one."""
    draw = random.Random(rounds)
    worker.start()

    def send(url: str, **request) -> None:
        moment = draw.randrange(3)
        if moment == 0:
            worker.kill()
        assert worker.until_answered(url, **request) in (200, 201, 303)
        if moment == 1:
            worker.kill()
            worker.start()

    approved = []
    for number in range(rounds):
        send(worker.url + "/events", json={"name": "ask", "payload": number, "id": f"ask{number}"})
        urls = []
        for name in ("urls", "callbacks"):
            wait_until(lambda name=name: len(set(worker.lines(name))) == len(approved) + 1)
            urls.append(
                next(line.split()[1] for line in worker.lines(name) if line.split()[0] == str(number))
            )
            send(urls[-1], json=[name, number])
            assert worker.until_answered(urls[-1], json="another") == 409
        wait_until(lambda: worker.client.approvals())
        (question,) = worker.client.approvals()
        send(question.url, data={"choice": "0", "by": "ada"})
        assert worker.until_answered(question.url, data={"choice": "1"}) == 409
        (run,) = worker.client.runs(job="ask", limit=1)
        wait_until(lambda run=run: run.status == "COMPLETED")
        assert run.output == [["urls", number], ["callbacks", number], "approve"]
        approved.append(run.id)
    # The same address again after a crash between the body and its commit: there was never another one.
    for name in ("urls", "callbacks"):
        assert len(set(worker.lines(name))) == rounds
