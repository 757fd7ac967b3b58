"""People answer what runs ask, from a terminal."""

from __future__ import annotations

import pytest

from trigger_nb import TriggerClient

JOBS = """
client = TriggerClient("ask")

@client.job
async def publish(payload, io):
    city = await io.ask("city", prompt="Which city?")
    said = await io.wait_for_approval("publish", prompt="Publish?")
    return [city, said.choice]
"""


@pytest.fixture
def asking(folder):
    folder.script("ask.py", JOBS)
    driver = folder.begin("run", "ask.py", "--run-id", "mine", "--quiet")
    driver.until(lambda: (folder.path / ".trigger_nb/ask/cache.db").exists() and _asks(folder, "city"))
    return driver


def _asks(folder, path):

    client = TriggerClient("ask", dir=folder.path / ".trigger_nb", display=False)
    return [each.path for each in client.approvals()] == [path]


def test_the_only_open_question_of_a_run_is_answered_and_the_run_goes_on(folder, asking, typed):
    assert "no open approval, but 'city': trigger-nb answer mine" in typed("approve", "mine", code=2).stderr
    assert "is no JSON" in typed("answer", "mine", "--payload", "Paris", code=2).stderr
    assert typed("answer", "mine", "--payload", '"Paris"').stdout == "mine city: answered\n"
    asking.until(lambda: _asks(folder, "publish"))
    assert "the choices of 'publish' are" in typed("approve", "mine", "--choice", "maybe", code=2).stderr
    assert (
        typed("approve", "mine", "publish", "--choice", "reject", "--by", "ada").stdout
        == "mine publish: reject\n"
    )
    assert asking.ended() == 0
    assert '["Paris", "reject"]' in asking.said
    assert "waits for no answer: it is COMPLETED" in typed("approve", "mine", code=2).stderr
