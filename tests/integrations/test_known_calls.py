"""Every call of `data/calls.py` shows, keeps, sends and gives what it did when it had a method of its own."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.integrations.data.calls import MADE, jobs, told
from tests.integrations.data.make_calls import SENT, STORE, run_all
from trigger_nb import TriggerClient

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("clients_are_closed"),
    pytest.mark.filterwarnings("ignore:(The Assistants API is )?deprecated:DeprecationWarning"),
]


@pytest.fixture
def old(tmp_path):
    shutil.copytree(STORE, tmp_path / "calls")
    return TriggerClient("calls", dir=tmp_path, display=False)


def shown(client, name):
    """What is shown of the tasks of a service's run, for a service at any port."""
    (run,) = [run for run in client.runs() if run.job == name]
    return json.loads(re.sub(r"127\.0\.0\.1:\d+", "HOST", json.dumps(told(run), default=repr)))


@pytest.mark.parametrize("name", MADE)
async def test_an_older_run_replays_without_a_request(old, name):
    """Nothing answers at the address that the integrations of this test are made with."""
    before = shown(old, name)
    assert await jobs(old, {}, {})[name].run() is None
    assert len(old.runs()) == len(MADE)
    assert shown(old, name) == before


@pytest.mark.parametrize("name", MADE)
async def test_each_call_shows_keeps_and_sends_what_it_did(old, name, tmp_path):
    sent = await run_all(tmp_path / "new", (name,))
    new = TriggerClient("calls", dir=tmp_path / "new", display=False)
    assert shown(new, name) == shown(old, name)
    assert sent[name] == json.loads(SENT.read_text(encoding="utf-8"))[name]
