"""Effects in the outside world, when the process is killed: each takes place once."""

from __future__ import annotations

import os
import signal

import pytest

from .harness import USERS, Launcher, Shop, Summary, crash_test

SERVICES = ["stripe", "openai", "resend", "http"]


@pytest.mark.timeout(3600)
def test_a_job_over_five_services_killed_at_random_moments(tmp_path):
    """R3, I6: by its idempotency key each service does each thing once, and so does the database."""
    summary = crash_test(tmp_path, kills=100)
    assert summary.kills == 100
    assert summary.faults == []


@pytest.fixture(scope="module")
def launcher():
    with Launcher() as launcher:
        yield launcher


@pytest.mark.parametrize("name", SERVICES)
def test_killed_between_the_effect_and_its_record(tmp_path, launcher, name):
    """The service has done it, and the process dies before the answer comes: it is asked again, with the same
    key, and does nothing twice."""
    shop = Shop(tmp_path / "shop")
    try:
        service = shop.services[name]
        service.plan(*["hold"] * USERS)
        pid = launcher.launch(shop.directory, shop.urls, shop.payload)
        service.until_asked(USERS)
        os.kill(pid, signal.SIGKILL)
        assert launcher.wait() == signal.SIGKILL
        service.release()
        launcher.launch(shop.directory, shop.urls, shop.payload)
        assert launcher.wait() == 0
        shop.check(summary := Summary())
        assert summary.faults == []
        assert summary.repeated[name] == USERS
    finally:
        shop.stop()
