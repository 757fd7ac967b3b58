"""`io.wait_for_request` and `callback=`: the first request counts, once, whatever lives; and pages on which people answer."""

from __future__ import annotations

import asyncio
import html.parser
from datetime import time
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from trigger_nb import Callback, TriggerClient
from trigger_nb.errors import InvalidOptionError, TaskTimeoutError, UsageError
from trigger_nb.testing import replay_every_step


class Form(BaseModel):
    limit: int = Field(ge=1, le=10, description="In <euros>")
    kind: Literal["a", "b"] = "b"
    sure: bool = False
    note: str | None = None
    tags: list[str] = []
    at: time | None = None


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_requests_and_callbacks(site, kind):
    """R1, W2, W7: the address is given away once; the first request is the result, also one that comes at once."""
    urls, calls = [], []
    loop = asyncio.get_running_loop()

    def tell(url):
        calls.append("tell")
        urls.append(url)

    def ask(text, task):
        calls.append((text, task.attempt))
        if task.attempt == 1:
            raise ConnectionError(f"no {task.callback_url}")
        # It comes before the body has ended, and so before the run waits.
        sent = asyncio.run_coroutine_threadsafe(site.http.post(task.callback_url, json={"at": "once"}), loop)
        assert sent.result(30).status_code == 200
        return "what the body returns does not count"

    if kind == "async":

        @site.client.job
        async def job(payload, io):
            first = await io.wait_for_request("first", tell)
            return first, await io.run_task("ask", ask, "hello", callback=Callback(timeout=60), retry=2)
    else:

        @site.client.job
        def job(payload, io):
            first = io.wait_for_request("first", tell)
            return first, io.run_task("ask", ask, "hello", callback=Callback(timeout=60), retry=2)

    run = job.start()
    await site.until(lambda: run.reason == "wait")
    (url,) = urls
    get = await site.http.get(url)
    bad = await site.http.post(url, content=b"{")
    guessed = await site.http.post(url[:-1] + ("A" if url[-1] != "A" else "B"), json=1)
    assert (get.status_code, bad.status_code, guessed.status_code) == (405, 400, 404)
    taken = await site.http.post(url, json={"n": [1, "ü"]})
    again = await site.http.post(url, json={"n": [1, "ü"]})
    late = await site.http.post(url, json={"n": 2})
    assert [each.status_code for each in (taken, again, late)] == [200, 200, 409]
    await site.until(lambda: run.reason == "retry")
    site.clock.advance(10)
    assert await run == ({"n": [1, "ü"]}, {"at": "once"})
    assert calls == ["tell", ("hello", 1), ("hello", 2)]
    token = url.rpartition("/")[2]
    stored = "".join(text for _, text in site.client.runtime.store.read_run(run.id))
    assert token not in stored  # also of the error in the first attempt
    assert "tnbk_" not in stored
    assert "tnbk_" not in str(run.tree())
    assert await job.run() == ({"n": [1, "ü"]}, {"at": "once"})
    assert len(calls) == 3
    # Asked again on purpose, it is another address, and the old one is of the past.
    run.rerun_from("first")
    await site.until(lambda: run.reason == "wait")
    assert urls[1] != urls[0]
    await site.http.post(urls[1], json="new")
    await site.until(lambda: run.reason == "retry")
    site.clock.advance(10)
    assert (await run)[0] == "new"
    over = await site.http.post(urls[0], json="old")
    assert over.status_code == 409
    assert site.client.check().ok
    run.delete()
    assert (await site.http.post(urls[0], json="old")).status_code == 404
    assert not site.client.runtime.store.select(f"answer/{run.id}")


@pytest.mark.anyio
async def test_times_ends_and_mistakes(site):
    urls = []

    @site.client.job
    async def waits(payload, io):
        return await io.wait_for_request("w", urls.append, timeout=60)

    run = waits.start(1)
    await site.until(lambda: run.reason == "wait")
    site.clock.advance(61)
    with pytest.raises(TaskTimeoutError, match="no request came within"):
        await run
    # A run that has failed may be retried: what comes now is for that.
    assert (await site.http.post(urls[0], json="late")).status_code == 200
    run.retry()
    assert await run == "late"
    assert len(urls) == 1

    run = waits.start(2)
    await site.until(lambda: run.reason == "wait")
    run.cancel()
    await site.until(lambda: run.status == "CANCELED")
    assert (await site.http.post(urls[1], json="x")).status_code == 410

    def body(task):
        return task.callback_url

    mistakes = {
        "timeout": lambda io: io.wait_for_request("a", urls.append, timeout=-1),
        "function": lambda io: io.wait_for_request("a", "http://x"),
        "Callback": lambda io: io.run_task("a", body, callback=3600),
        "executor": lambda io: io.run_task("a", body, callback=Callback(), executor="dask"),
        "no option": lambda io: io.run_task("a", body, callback=Callback(), colour="red"),
        "has no address": lambda io: io.run_task("a", body),
        "map": lambda io: io.map("a", [1], body, callback=Callback()),
    }

    @site.client.job
    async def wrong(payload, io):
        await mistakes[payload](io)

    for name in mistakes:
        with pytest.raises(UsageError, match="callback" if name == "map" else name):
            await wrong.run(name)
    with pytest.raises(InvalidOptionError):
        Callback(timeout="soon")
    site.server._inbox.addresses.leave("http://site")
    with pytest.raises(UsageError, match=r"client\.serve\(\)"):
        await waits.run(3)


@pytest.mark.anyio
async def test_what_comes_while_no_kernel_lives_counts(site, tmp_path):
    """R3, W2, W7: the request is recorded by another process on the store, whose listener then goes on with the run."""
    urls = []

    @site.client.job
    async def waits(payload, io):
        return await io.wait_for_request("w", urls.append, timeout=86_400)

    run = waits.start()
    await site.until(lambda: run.reason == "wait")
    run.pause(now=True)
    await site.until(lambda: run.status == "WAITING" and run.reason == "paused")
    assert (await site.http.post(urls[0], json=[1])).status_code == 200
    run.resume()
    assert await run == [1]


def test_waits_replay_alike(site):
    urls = []

    @site.client.job
    async def waits(payload, io):
        await io.run_task("before", lambda: 1)
        got = await io.run_task("ask", lambda task: urls.append(task.callback_url), callback=Callback())
        return got["n"]

    assert waits.test(stubs={"before": 1, "ask": {"n": 2}}).output == 2
    replay_every_step(waits, stubs={"before": 1, "ask": {"n": 2}})


# Pages ------------------------------------------------------------------------------------------------


class Controls(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.names, self.tags = {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("input", "select", "textarea", "button"):
            self.names[dict(attrs).get("name") + (dict(attrs).get("value") or "") * (tag == "button")] = dict(
                attrs
            )


async def asked(site, payload, **more):
    @site.client.job
    async def asks(payload, io):
        got = await io.wait_for_approval(
            "a/b", prompt="<script>Really?\nSure?", choices=["start", "reject"], schema=Form
        )
        return got.choice, got.by, got.data

    run = asks.start(payload)
    await site.until(lambda: run.reason == "answer")
    (question,) = [each for each in site.client.approvals() if each.run_id == run.id]
    return run, question.url


@pytest.mark.anyio
async def test_an_approval_on_its_page(site):
    """W4: a form without a script; what does not fit is told and kept; the first answer counts."""
    run, url = await asked(site, 1)
    page = await site.http.get(url)
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "tnbk_" not in page.text
    assert "&lt;euros&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    controls = Controls(page.text).names
    assert list(controls) == ["f0", "f1", "f2", "f3", "f4", "f5", "by", "choice0", "choice1"]
    assert (controls["f5"]["type"], "Such as 09:30" in page.text) == ("text", True)
    assert (controls["f0"]["type"], controls["f0"]["min"], controls["f0"]["max"]) == ("number", "1", "10")
    assert "required" in controls["f0"]
    assert "formnovalidate" in controls["choice1"]
    listed = await site.http.get(site.server.approvals_url)
    assert url.removeprefix("http://site/approvals/") in listed.text

    filled = {"choice": "0", "f0": "70", "f1": "0", "f3": '"><b>', "f4": "[1", "by": "<i>ada</i>"}
    wrong = await site.http.post(url, data=filled)
    assert wrong.status_code == 422
    assert "This is no JSON" in wrong.text
    assert Controls(wrong.text).names["f3"]["value"] == '"><b>'
    assert "<b>" not in wrong.text
    wrong = await site.http.post(url, data={**filled, "f4": '["x"]'})
    assert "less than or equal to 10" in wrong.text
    assert Controls(wrong.text).names["f0"]["aria-invalid"] == "true"
    for odd in (
        {"x": "1"},
        {"choice": "7"},
        {"choice": "-1"},
        {"choice": "x"},
        {"choice": "0", "f0": "1", "f1": "9"},
    ):
        assert ((await site.http.post(url, data=odd)).status_code, odd) == (422, odd)
    # Another site cannot answer, whatever it knows; nor can a request that is no form.
    for headers in ({"Origin": "http://evil"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await site.http.post(url, data={**filled, "f0": "7"}, headers=headers)).status_code == 403
    assert (await site.http.post(url, json=filled)).status_code == 415
    assert (await site.http.post(url, content=b"x=" + b"y" * 2_000_000)).status_code in (413, 415)
    assert run.reason == "answer"

    good = {**filled, "f0": "7", "f4": '["x"]', "f5": " 09:30 ", "by": "ada"}
    own = {"Origin": "http://site", "Sec-Fetch-Site": "same-origin"}
    done = await site.http.post(url, data=good, headers=own, follow_redirects=True)
    assert (done.status_code, str(done.url)) == (200, url)
    assert "&quot;start&quot; by ada" in done.text
    assert "<form" not in done.text
    second = await site.http.post(url, data={"choice": "1", "by": "bob"})
    assert (second.status_code, "by ada" in second.text) == (409, True)
    assert await run == ("start", "ada", Form(limit=7, kind="a", note='"><b>', tags=["x"], at=time(9, 30)))
    assert "by ada" in (await site.http.get(url)).text

    other, url = await asked(site, 2)
    assert (await site.http.post(url, data={"choice": "1"})).status_code == 303
    assert await other == ("reject", "somebody by link", None)
    gone, url = await asked(site, 3)
    gone.cancel()
    await site.until(lambda: gone.status == "CANCELED")
    assert "it is canceled" in (await site.http.get(url)).text
    assert (await site.http.post(url, data={"choice": "1"})).status_code == 409
    gone.delete()
    assert (await site.http.get(url)).status_code == 404
    assert "No open questions" in (await site.http.get(site.server.approvals_url)).text


@pytest.mark.anyio
async def test_a_value_on_its_page(site):
    """`io.ask`: one field, of each kind."""

    @site.client.job
    async def asks(kind, io):
        schema = {"text": str, "number": float, "box": bool, "choice": Literal[1, "1"], "json": list[int]}[
            kind
        ]
        return await io.ask("x", schema, prompt=kind)

    for kind, given, wanted in [
        ("text", "  ü ", "  ü "),
        ("number", "1.5", 1.5),
        ("box", "on", True),
        ("choice", "1", "1"),
        ("json", "[1, 2]", [1, 2]),
    ]:
        run = asks.start(kind)
        await site.until(lambda run=run: run.reason == "answer")
        (question,) = site.client.approvals()
        if kind != "box":
            assert (await site.http.post(question.url, data={"f0": ""})).status_code == 422
            wrong = "" if kind == "text" else "nothing of it"
            assert (await site.http.post(question.url, data={"f0": wrong})).status_code == 422
        assert (await site.http.post(question.url, data={"f0": given})).status_code == 303
        assert await run == wanted


@pytest.mark.anyio
async def test_an_answer_while_no_kernel_drives_the_run_has_a_listener_go_on(site, tmp_path):
    run, url = await asked(site, 1)
    run.pause(now=True)
    await site.until(lambda: run.reason == "paused")
    record = site.client.runtime.run_record(run.id)
    record.reason = "answer"  # as if its kernel had died while it waited
    site.client.runtime.save_run(record)
    other = TriggerClient("site", dir=tmp_path / "site", display=False, clock=site.clock)
    async with other.listen(display=False):
        assert (await site.http.post(url, data={"choice": "1"})).status_code == 303
        await site.until(lambda: run.status == "COMPLETED")
    assert site.client.run(run.id).output[0] == "reject"
