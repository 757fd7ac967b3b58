"""Any service over HTTP, through httpx, against one on the loopback."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from pydantic import SecretStr

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from tests.support.fakes import FakeHTTP
from trigger_nb.integrations import HTTP
from trigger_nb.integrations._http_exchange import Exchange, download
from trigger_nb.integrations.http import ResetHeaders, Response
from trigger_nb.testing import check_integration
from trigger_nb.testing.services import Answer

pytestmark = pytest.mark.anyio

TOKEN = "canary-token-0123456789"
KEY = "canary-key-9876543210"


@pytest.fixture
def service():
    with FakeHTTP(token=TOKEN) as service:
        yield service


@pytest.fixture
async def http(service):
    http = HTTP(service.url, token=TOKEN)
    yield http
    await http.aclose()


@pytest.fixture
def job(client, http):
    """A POST, or what the payload says."""

    @client.job(id="order", integrations={"http": http})
    async def order(payload, io):
        return await io.http.request(
            "send", json={"item": "socks"}, **{"method": "POST", "url": "/orders"} | payload
        )

    return order


async def test_a_post_is_made_once(job, service):
    answer = await job.run({})
    assert type(answer) is Response
    assert (answer.status, answer.body["sent"]) == (201, {"item": "socks"})
    assert await job.run({}) == answer
    [request] = service.requests
    assert (request.method, request.path, request.json) == ("POST", "/orders", {"item": "socks"})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.idempotency_key == job.runs()[0].task("send").idempotency_key


async def test_its_row(job, service):
    await job.run({})
    task = job.runs()[0].task("send")
    assert (task.icon, task.name) == ("http", "POST")
    assert task.properties == [{"label": "URL", "text": "/orders"}]
    assert task.params == {"method": "POST", "url": "/orders", "json": {"item": "socks"}}
    assert task.output_properties == [{"label": "Status", "text": "201 Created"}]


async def test_each_method(client, http, service):
    @client.job(integrations={"http": http})
    async def each(payload, io):
        got = await io.http.get("get", "/a", params={"q": 1})
        await io.http.post("post", "/a", data={"form": "1"})
        await io.http.put("put", "/a", json=None, content=b"raw")
        await io.http.patch("patch", "/a", json=[1])
        await io.http.delete("delete", "/a", headers={"X-Reason": "old"})
        return got.body

    assert await each.run() == {"path": "/a", "query": {"q": "1"}}
    assert [request.method for request in service.requests] == ["GET", "POST", "PUT", "PATCH", "DELETE"]
    assert [request.body for request in service.requests] == [b"", b"form=1", b"raw", b"[1]", b""]
    assert service.requests[-1].headers["x-reason"] == "old"
    assert [bool(request.idempotency_key) for request in service.requests] == [False, True, True, True, True]


async def test_a_def_job(client, http, service):
    @client.job(integrations={"http": http})
    def order(payload, io):
        return io.http.post("order", "/orders", json=payload).body["id"]

    assert await order.run({"item": "socks"}) == 1


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("application/problem+json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/json", b"no json", "no json"),
        ("text/html; charset=latin-1", b"caf\xe9", "café"),
        ("application/xml", b"<a/>", "<a/>"),
        ("image/png", b"\x89PNG\x00", b"\x89PNG\x00"),
        ("application/octet-stream", bytes(100_000), bytes(100_000)),
        ("text/plain", b"", None),
    ],
)
async def test_a_body_is_what_its_content_type_says(job, service, kind, body, expected):
    """R2: and comes back so."""
    service.plan(Answer(200, body, {"Content-Type": kind}))
    first = await job.run({"method": "GET", "url": "/any"})
    assert first.body == expected
    assert type(first.body) is type(expected)
    assert await job.run({"method": "GET", "url": "/any"}) == first


async def test_a_replay_in_another_process_gives_the_same(tmp_path, service, job):
    """R2: equal in value and type; no client is opened for it."""
    first = await job.run({})
    code = f"""
import asyncio, sys
from trigger_nb import TriggerClient
from trigger_nb.integrations import HTTP

@TriggerClient("integrations", dir={str(tmp_path / "store")!r}, display=False).job(
    id="order", integrations={{"http": HTTP("http://127.0.0.1:9")}})
async def order(payload, io):
    return await io.http.request("send", "POST", "/orders", json={{"item": "socks"}})

answer = asyncio.run(order.run({{}}))
print(type(answer).__name__, answer.status, answer.body, "httpx" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == f"Response 201 {first.body} False"
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (503, 2, BACKOFF),
        (500, 2, BACKOFF),
        ("refuse", 2, BACKOFF),
        ("drop", 2, BACKOFF),
        (408, 2, BACKOFF),
        (429, 2, 30),
        (Answer(429), 2, BACKOFF),
        (Answer(503, None, {"Retry-After": "7"}), 2, 7),
        (400, 1, None),
        (401, 1, None),
        (403, 1, None),
        (404, 1, None),
        (Answer(304), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    service.plan(event)
    assert await attempts(job, {}, clock) == (tried, delay)
    assert len(service.effects) == (1 if tried == 2 else 0)
    assert len({request.idempotency_key for request in service.requests}) == 1


@pytest.mark.parametrize(
    ("method", "event", "tried"),
    [
        *[("POST", event, 1) for event in (500, 503, "drop", "refuse")],
        *[("POST", event, 2) for event in (429, 408, Answer(503, None, {"Retry-After": "1"}))],
        *[("PATCH", event, 1) for event in (500, "drop")],
        *[(method, event, 2) for method in ("GET", "PUT", "DELETE") for event in (500, "drop")],
    ],
)
async def test_without_a_key_nothing_is_done_twice(client, clock, service, method, event, tried):
    http = HTTP(service.url, token=TOKEN, idempotency_header=None)

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.request("send", method, "/orders")

    service.plan(event)
    assert (await attempts(send, {}, clock))[0] == tried
    assert len(service.requests) == tried
    assert not any(request.idempotency_key for request in service.requests)
    await http.aclose()


async def test_one_that_cannot_be_reached_is_tried_again(client, clock):
    with FakeHTTP() as gone:
        url = gone.url
    http = HTTP(url, idempotency_header=None)

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.post("send", "/orders", task_options={"retry": 3})

    assert (await attempts(send, {}, clock))[0] == 3
    await http.aclose()


async def test_a_timeout_is_tried_again(client, clock, service):
    http = HTTP(service.url, token=TOKEN, timeout=0.2)

    def be_patient():
        http.native.timeout = PATIENCE

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.post("send", "/orders")

    service.plan("hold")
    assert (await attempts(send, {}, clock, be_patient))[0] == 2
    assert len(service.effects) == 1
    service.release()
    await http.aclose()


async def test_a_task_that_takes_too_long_is_tried_again(client, service, http):
    @client.job(integrations={"http": http})
    async def send(payload, io):
        return (await io.http.post("send", "/orders", task_options={"timeout": 0.2, "retry": 100})).status

    service.plan("hold")
    assert await send.run() == 201
    assert send.runs()[0].task("send").attempt >= 2, "twice, but where an answer takes long"
    assert len(service.effects) == 1


async def test_a_form_with_a_secret_and_one_with_a_word(client, service, http, tmp_path):
    """S8: a credential among what is sent is not shown; a plain word under such a name is no credential."""

    @client.job(integrations={"http": http})
    async def sign_in(payload, io):
        sent = {"client_secret": "canary-secret-1", "key": "colour"}
        await io.http.post("sign-in", "/token", data=sent)

    await sign_in.run()
    assert sign_in.runs()[0].task("sign-in").params["data"] == {"client_secret": "•••", "key": "colour"}
    assert service.effects[0]["sent"] == {"client_secret": "canary-secret-1", "key": "colour"}


async def test_the_services_own_limit(client, clock, service):
    limits = ResetHeaders("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "unix")
    http = HTTP(service.url, token=TOKEN, rate_limit=limits)

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.get("send", "/orders")

    reset = int(clock.time()) + 40
    told = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    service.plan(
        Answer(403, {"error": "slow down"}, told), Answer(200, {}, {**told, "X-RateLimit-Remaining": "59"})
    )
    began = clock.time()
    await send.run()
    assert clock.time() - began == pytest.approx(reset - began, abs=0.01)
    assert send.runs()[0].task("send").output_properties == [
        {"label": "Status", "text": "200 OK"},
        {"label": "Requests left", "text": "59 of 60"},
    ]
    await http.aclose()


async def test_an_error_is_httpxs_own_and_says_what_the_service_said(job, service):
    """R4: on replay too."""
    service.plan(Answer(422, {"error": "no such item"}))
    for _ in range(2):
        with pytest.raises(httpx.HTTPStatusError, match="422") as caught:
            await job.run({})
        assert caught.value.response.json() == {"error": "no such item"}
        assert any("no such item" in note for note in caught.value.__notes__)
        service.plan(Answer(422, {"error": "no such item"}))


async def test_a_status_that_is_allowed(job, service):
    service.plan(404)
    answer = await job.run({"method": "GET", "url": "/orders/7", "allow_status": [404]})
    assert (answer.status, answer.body) == (404, {"error": "planned 404"})


async def test_credentials_stay_at_home(client, service):
    """A redirect to another host takes none along, whichever header they are in."""
    with FakeHTTP() as elsewhere:
        http = HTTP(
            service.url, token=TOKEN, headers={"X-Acme": SecretStr(KEY), "X-Api-Key": KEY, "X-Plain": "1"}
        )

        @client.job(integrations={"http": http})
        async def fetch(payload, io):
            await io.http.get("home", "/a")
            await io.http.get("away", "/b", headers={"X-Auth-Token": KEY})
            await io.http.get("stranger", f"{elsewhere.url}/c")

        service.plan("answer", Answer(302, None, {"Location": f"{elsewhere.url}/moved"}))
        await fetch.run()
        home, *_ = service.requests
        assert (home.headers["x-acme"], home.headers["x-api-key"]) == (KEY, KEY)
        assert [request.path for request in elsewhere.requests] == ["/moved", "/c"]
        for request in elsewhere.requests:
            assert request.headers["x-plain"] == "1"
            assert KEY not in str(request.headers)
            assert TOKEN not in str(request.headers)
        await http.aclose()


async def test_without_a_base_url_they_go_where_the_call_says(client, service):
    with FakeHTTP() as elsewhere:
        http = HTTP(token=TOKEN)

        @client.job(integrations={"http": http})
        async def fetch(payload, io):
            await io.http.get("fetch", f"{service.url}/a")

        service.plan(Answer(307, None, {"Location": f"{elsewhere.url}/b"}))
        await fetch.run()
        assert service.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert "authorization" not in elsewhere.requests[0].headers
        await http.aclose()


async def test_credentials_are_nowhere_in_the_store(client, tmp_path, service):
    """S8: also those in a query or in a call's own headers, when the service repeats them in its errors."""
    http = HTTP(service.url, token=TOKEN, headers={"X-Acme": SecretStr(KEY)})
    query, header = "canary-query-13579", "canary-header-24680"

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.get(
            "send", f"/a?sig={query}1", params={"api_key": query}, headers={"X-Session-Token": header}
        )

    said = f"no: {TOKEN} {KEY} {query} {query}1 {header}"
    service.plan(Answer(400, {"error": said}, {"X-Echo": said}))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await send.run()
    told = "".join([str(caught.value), *caught.value.__notes__, str(send.runs()[0].tree())])
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for secret in (TOKEN, KEY, query, header):
        assert secret not in told
        assert secret.encode() not in kept
    await http.aclose()


async def test_a_password_is_sent_and_not_shown(client, service):
    """S8"""
    service._token = None
    http = HTTP(service.url, auth=("ana", KEY))

    @client.job(integrations={"http": http})
    async def send(payload, io):
        await io.http.get("send", "/a")

    service.plan("answer", Answer(400, {"error": f"no: {KEY}"}))
    await send.run()
    assert service.requests[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await send.run(fresh=True)
    assert KEY not in "".join(caught.value.__notes__)
    await http.aclose()


async def test_a_cookie_is_not_in_the_record(job, service):
    service.plan(Answer(200, {}, {"Set-Cookie": "session=1", "X-Plain": "1"}))
    answer = await job.run({})
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-plain"] == "1"


# --- Downloads ----------------------------------------------------------------------------------


@pytest.fixture
def fetch(client, http, tmp_path):
    @client.job(integrations={"http": http})
    async def fetch(payload, io):
        return await io.http.download("file", "/data.bin", tmp_path / "data.bin")

    return fetch


async def test_a_download(fetch, service, tmp_path):
    service.files["data.bin"] = content = bytes(range(256)) * 4096
    file = await fetch.run()
    assert file == {
        "path": str(tmp_path / "data.bin"), "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert (tmp_path / "data.bin").read_bytes() == content
    assert await fetch.run() == file
    assert len(service.requests) == 1
    assert fetch.runs()[0].task("file").output_properties == [{"label": "Size", "text": "1,048,576 bytes"}]


async def test_a_download_that_breaks_is_begun_again(fetch, service, tmp_path):
    """The file is whole, or as it was."""
    (tmp_path / "data.bin").write_bytes(b"before")
    seen = []

    def pieces():
        yield b"half"
        seen.append((tmp_path / "data.bin").read_bytes())
        raise ConnectionResetError

    service.files["data.bin"] = b"whole"
    service.plan(Answer(200, pieces(), {"Content-Length": "10"}))
    await fetch.run()
    assert seen == [b"before"]
    assert (tmp_path / "data.bin").read_bytes() == b"whole"
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
@pytest.mark.parametrize("to", ["file", "nothing"])
async def test_a_download_overwrites_nothing_through_a_link(service, tmp_path, to):
    """Its name until it is whole can be known in advance, and a repository can bring a link of that name."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / f"data.bin.{'k' * 12}.part").symlink_to(tmp_path / to)
    service.files["data.bin"] = b"whole"
    task = SimpleNamespace(idempotency_key="k" * 12, progress=lambda *_: None)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        await download(
            client, Exchange("GET", f"{service.url}/data.bin", {}), str(tmp_path / "data.bin"), task
        )
    assert (tmp_path / "data.bin").read_bytes() == b"whole"
    assert not (tmp_path / "data.bin").is_symlink()
    assert {path.name: path.read_text() for path in tmp_path.glob("[fn]*")} == {"file": "precious"}


async def test_an_error_of_a_download_has_its_text_and_leaves_no_file(fetch, service, tmp_path):
    service.plan(Answer(404, {"error": "no such file"}))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await fetch.run()
    assert caught.value.response.json() == {"error": "no such file"}
    assert not list(tmp_path.glob("data.bin*"))


# --- The contract -------------------------------------------------------------------------------


async def test_it_keeps_the_contract(http):
    await check_integration(
        http,
        [
            lambda http: http.get("get", "/a", params={"q": "1"}),
            lambda http: http.post("post", "/a", json={"a": [1]}),
            lambda http: http.request("options", "DELETE", "/a"),
        ],
    )


ROOT = Path(__file__).parents[2]
