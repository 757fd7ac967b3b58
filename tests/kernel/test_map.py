"""Five thousand items in a notebook, the kernel killed at one of them: what a new kernel runs (C2, R1, R3)."""

from __future__ import annotations

import json
import random

import pytest

from tests.support.kernels import kernel_in
from trigger_nb import TriggerClient

ITEMS = 5_000
CONCURRENCY = 20

DEFINE = """
import json, random, signal
client = TriggerClient("embeddings", dir=".store")
told = os.open("told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def embed(text):
    os.write(told, (text + "\\n").encode())
    if os.path.exists("kill-at") and text == open("kill-at").read():
        os.remove("kill-at")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"text": text, "length": len(text)}

@client.job(id="embed-all", identity=lambda payload: "all")
async def embed_all(texts, io):
    found = await io.map("embed", texts, embed, concurrency=AT_ONCE)
    assert [each["text"] for each in found] == texts
    return len(found)
""".replace("AT_ONCE", str(CONCURRENCY))

RUN = "print(await embed_all.run(json.load(open('texts.json')), display=False))"


@pytest.fixture
def kernel(tmp_path):
    with kernel_in(tmp_path / "notebook") as kernel:
        yield kernel


def told(kernel):
    """The items whose bodies were called since the last time."""
    path = kernel.directory / "told"
    found = path.read_text().split()
    path.write_text("")
    return found


def recorded(kernel):
    """The items whose results are in the store."""
    client = TriggerClient("embeddings", dir=kernel.directory / ".store")
    try:
        run_id = client.runs()[0].id
        records = client.runtime.task_records(run_id)
        return {record.path.removeprefix("embed/") for record in records if record.status == "COMPLETED"}
    finally:
        client.runtime.store.close()


def write(kernel, texts):
    (kernel.directory / "texts.json").write_text(json.dumps(texts))


def test_exactly_what_is_missing_runs_after_a_kill(kernel):
    """R1, R3, C2: then items are inserted, deleted and shuffled, and only the new ones run."""
    place = random.randrange(ITEMS)
    print("killed at item", place)
    texts = [f"text-{number}" for number in range(ITEMS)]
    write(kernel, texts)
    (kernel.directory / "kill-at").write_text(texts[place])
    kernel.run(DEFINE).check()
    kernel.submit(RUN)
    kernel.until_dead()
    begun, kept = told(kernel), recorded(kernel)
    assert kept <= set(begun)
    assert len(begun) - len(kept) <= CONCURRENCY, "a result was lost that had been there before others began"

    kernel.restart()
    kernel.run(DEFINE).check()
    assert kernel.run(RUN).check().printed == f"{ITEMS}\n"
    assert sorted(told(kernel)) == sorted(set(texts) - kept)

    kernel.restart()
    kernel.run(DEFINE).check()
    assert kernel.run(RUN).check().printed == f"{ITEMS}\n"
    assert told(kernel) == []

    changed = [text for text in texts if not text.endswith("7")] + ["new-1", "new-2"]
    random.shuffle(changed)
    write(kernel, changed)
    assert kernel.run(RUN).check().printed == f"{len(changed)}\n"
    assert sorted(told(kernel)) == ["new-1", "new-2"]
