"""Events by POST, and endpoints: each request is recorded once, before it is answered; what is wrong is refused."""

from __future__ import annotations

import asyncio
import json
import logging

import httpx
import pytest
from pydantic import BaseModel

from trigger_nb import HttpRequest, RespondWith, event_trigger, signatures
from trigger_nb.errors import InvalidOptionError, InvalidPayloadError, StoreBusyError, UsageError
from trigger_nb.webhooks import (
    GitHubWebhooks,
    SlackWebhooks,
    StripeWebhooks,
    SupabaseWebhooks,
    TypeformWebhooks,
)

SECRET = "a secret of nobody"


class User(BaseModel):
    id: str


@pytest.mark.anyio
async def test_events(site):
    """An event by POST starts each job once; a second one with the same id or key starts nothing."""

    @site.client.job(trigger=event_trigger("user", schema=User))
    async def greet(payload, io, ctx):
        return payload.id, ctx.event.id, ctx.source and ctx.source

    async with site.client.listen():
        first = await site.send({"name": "user", "payload": {"id": "a"}, "id": "e1"})
        assert (first.status_code, first.json()["id"], first.json()["is_new"]) == (201, "e1", True)
        again = await site.send({"name": "user", "payload": {"id": "a"}, "id": "e1"})
        assert (again.status_code, again.json()["is_new"]) == (200, False)
        key = {"Idempotency-Key": "k"}
        keyed = [await site.send({"name": "user", "payload": {"id": "b"}}, **key) for _ in range(2)]
        assert keyed[0].json()["id"] == keyed[1].json()["id"]
        # Without an id, two events are two, as alike as they may be: nobody runs a cell again here.
        two = await site.send([{"name": "user", "payload": {"id": "c"}}] * 2)
        assert len({each["id"] for each in two.json()}) == 2
        later = await site.send({"name": "user", "payload": {"id": "d"}, "deliver_after": 60, "id": "e2"})
        assert later.json()["status"] == "waiting"
        ran = await site.ended("greet", 4)
        assert [each[0] for each in ran] == ["a", "b", "c", "c"]
        site.clock.advance(61)
        assert (await site.ended("greet", 5))[-1][:2] == ("d", "e2")
    assert (await site.http.get("/health")).text == "ok\n"


@pytest.mark.anyio
async def test_what_is_wrong_is_refused_and_not_recorded(site):
    @site.client.job(trigger=event_trigger("user", schema=User))
    async def greet(payload, io):
        return payload.id

    deep = b'{"name": "x", "payload": ' + b"[" * 4000 + b"]" * 4000 + b"}"
    cases = [
        (400, b"{"),
        (400, b""),
        (400, b"\xff"),
        (400, b'{"name": "x", "payload": NaN}'),
        (400, b'{"name": "x", "payload": ' + b"1" * 5000 + b"}"),
        (400, deep),
        (400, b'{"name": "x", "payload": ' + b"[" * 190 + b"]" * 190 + b"}"),
        (400, b"[]"),
        (400, b"7"),
        (400, b'{"payload": 1}'),
        (400, b'{"name": ""}'),
        (400, b'{"name": "x", "pay": 1}'),
        (400, b'{"name": "x", "id": 7}'),
        (400, b'{"name": "x", "is_test": "yes"}'),
        (400, b'{"name": "x", "timestamp": "2026-12-01T09:00:00"}'),
        (400, b'{"name": "x", "deliver_at": 7}'),
        (400, b'{"name": "x", "deliver_after": -1}'),
        (400, b'{"name": "x", "deliver_after": 1, "deliver_at": "2026-12-01T09:00:00Z"}'),
        (400, b'{"name": "x", "timestamp": "9999-12-31T23:59:59-14:00"}'),
        (400, b'{"name": "x", "deliver_after": 1e12}'),
        (422, b'{"name": "user", "payload": {"id": 7}}'),
        (422, b'[{"name": "x"}, {"name": "user"}]'),  # all of a list, or nothing
        (413, b'{"name": "x", "payload": "' + b"x" * 10_000 + b'"}'),
    ]
    for status, body in cases:
        answer = await site.http.post("/events", content=body, headers=site.token())
        assert (answer.status_code, body) == (status, body)
        assert answer.json()["error"]

    async def chunks():  # without a length, and without an end
        while True:
            yield b" " * 1000

    assert (await site.http.post("/events", content=chunks(), headers=site.token())).status_code == 413
    gzip = {**site.token(), "Content-Encoding": "gzip"}
    assert (await site.http.post("/events", content=b"x", headers=gzip)).status_code == 415
    for given in (
        "",
        "Bearer",
        "Bearer x",
        f"bearer {site.server.token}",
        f"Bearer {site.server.token} ",
        "é",
    ):
        answer = await site.http.post(
            "/events", content=b'{"name": "x"}', headers={"Authorization": given.encode()}
        )
        assert answer.status_code == 401 or given.endswith(" ")  # a header has no space at its end
    for path in (
        "/",
        "/events/7",
        "/endpoints/x/y",
        "/requests/run_1/y",
        "/approvals/y",
        "/approvals/run_1/y",
    ):
        for method in ("GET", "POST"):
            assert (await site.http.request(method, path)).status_code in (404, 405, 415)
    assert (await site.http.get("/events")).status_code == 405
    assert not [key for key, _ in site.client.runtime.store.select("events") if "evt" in key][1:]


@pytest.mark.anyio
async def test_a_store_that_cannot_be_written_is_told_and_the_sender_tries_again(site, monkeypatch, caplog):
    def busy(*args, **options):
        raise StoreBusyError("another process has it")

    with monkeypatch.context() as patch:
        patch.setattr(site.client.runtime.post, "send_all", busy)
        answer = await site.send({"name": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        patch.setattr(site.client.runtime.post, "send_all", lambda *_: 1 / 0)
        with caplog.at_level(logging.ERROR, "trigger_nb"):
            answer = await site.send({"name": "x"})
    assert (answer.status_code, "ZeroDivision" in answer.text) == (500, False)
    assert (await site.send({"name": "x"})).status_code == 201


@pytest.mark.anyio
async def test_endpoints(site):
    """A signed request starts the jobs whose filter it matches, once for each delivery, and has no credentials in it."""
    orders = site.client.http_endpoint(
        "or/ders é",
        source="shop",
        verify=signatures.hmac(SECRET, header="X-Sig", timestamp_header="X-Time", id_header="X-Id"),
    )

    @site.client.job(
        trigger=orders.on_request({"headers": {"X-Kind": ["paid"]}, "body": {"n": [{"$gt": 0}]}})
    )
    async def ship(request, io, ctx):
        return request

    @site.client.job(trigger=orders.on_body(schema=User))
    async def user(payload, io):
        return payload.id

    async with site.client.listen():
        await site.until(lambda: len(site.client.runtime.post.subscribers(orders.event)) == 2)
        more = {
            "X-Kind": "paid",
            "Authorization": "Bearer 123456",
            "Cookie": "a=b",
            "Content-Type": "application/json",
        }
        first = await site.sign(orders, {"n": 1, "id": "a"}, **more, **{"X-Id": "d1"})
        again = await site.sign(orders, {"n": 1, "id": "a"}, **more, **{"X-Id": "d1"})
        assert (first.status_code, first.json()) == (200, again.json())
        unlike = await site.sign(orders, {"n": 0, "id": "b"}, **more)
        unfit = await site.sign(orders, {"n": 1, "id": 9}, **more)
        assert (unlike.status_code, unfit.status_code) == (200, 422)
        # The same signed request again, which somebody has seen, is the same delivery.
        (request,) = await site.ended("ship", 1)
        assert sorted(await site.ended("user", 2)) == ["a", "b"]
        assert (await site.sign(orders, {"n": 2, "id": "c"}, ago=301, **more)).status_code == 401
        assert (await site.http.post(orders.url, json={"n": 2})).status_code == 401
        assert (await site.http.post(orders.url[:-1] + "x", json={"n": 2})).status_code == 404
    assert isinstance(request, HttpRequest)
    assert (request.method, request.body) == ("POST", {"n": 1, "id": "a"})
    assert request.headers["x-kind"] == "paid"
    assert not {"authorization", "cookie", "x-sig"} & set(request.headers)
    assert len(site.client.runs(limit=9)) == 3
    token = orders.url.rpartition("/")[2]
    shown = (
        repr(site.server) + str(site.client.runs()) + "".join(str(run.tree()) for run in site.client.runs())
    )
    assert token not in shown
    assert site.server.token not in shown
    assert "unsigned" not in repr(site.server)
    assert site.client.check().ok
    # The address is the same in the next process, and of no other store.
    assert orders.url == f"http://site/endpoints/or%2Fders%20%C3%A9/{token}"


@pytest.mark.anyio
async def test_bodies_are_read_as_what_they_are(site):
    endpoint = site.client.http_endpoint("any")
    seen = []
    endpoint = site.client.http_endpoint("any", respond_with=seen.append)

    @site.client.job(trigger=endpoint.on_request())
    async def any_(request, io):
        return None

    json_type = {"Content-Type": "application/json; charset=utf-8"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for content, headers, wanted in [
        (b'{"a": 1}', json_type, {"a": 1}),
        (b'{"a": 1}', {}, {"a": 1}),
        (b"a=1&b=&a=2", form, {"a": ["1", "2"], "b": ""}),
        ("tü".encode(), {"Content-Type": "text/plain"}, "tü"),
        (b"{no", {}, "{no"),
        (b"\xff\x00", {"Content-Type": "image/png"}, b"\xff\x00"),
        (b"", {}, None),
    ]:
        assert (await site.http.post(endpoint.url, content=content, headers=headers)).status_code == 204
        assert seen[-1].body == wanted
    assert (await site.http.post(endpoint.url, content=b"{no", headers=json_type)).status_code == 400
    many = "&".join(f"a{at}=" for at in range(1001))
    assert (await site.http.post(endpoint.url, content=many.encode(), headers=form)).status_code == 400
    got = await site.http.get(endpoint.url + "?x=1&y=2&x=3")
    assert (got.status_code, seen[-1].method, seen[-1].query) == (204, "GET", {"x": ["1", "3"], "y": "2"})
    assert (await site.http.head(endpoint.url)).status_code == 405
    async with site.client.listen():
        await site.until(lambda: len(site.client.runs(job="any_", status="COMPLETED", limit=20)) == 8)


@pytest.mark.anyio
async def test_answers_of_ones_own(site, caplog):
    """`respond_with`: after the event is recorded, or in place of it; an error in it loses nothing."""

    async def challenge(request):
        return request.query["challenge"]

    answers = iter(["text", {"a": 1}, (202, [1]), 418, b"x", None, object(), (1, 2, 3), "done"])
    skip = RespondWith(challenge, {"method": ["GET"]}, skip_runs=True)
    chat = site.client.http_endpoint("chat", respond_with=skip)
    talk = site.client.http_endpoint("talk", respond_with=lambda request: next(answers))

    @site.client.job(trigger=chat.on_request())
    async def on_chat(request, io):
        return request.method

    @site.client.job(trigger=talk.on_request())
    async def on_talk(request, io):
        return request.method

    async with site.client.listen():
        assert (await site.http.get(chat.url + "?challenge=abc")).text == "abc"
        with caplog.at_level(logging.CRITICAL, "trigger_nb"):
            assert (await site.http.get(chat.url)).status_code == 500
            statuses = [(await site.http.post(talk.url)).status_code for _ in range(9)]
        assert statuses == [200, 200, 202, 418, 200, 204, 500, 500, 200]
        assert (await site.http.post(chat.url)).status_code == 200
        await site.ended("on_chat", 1)
        await site.until(lambda: len(site.client.runs(job="on_talk", status="COMPLETED", limit=20)) == 9)


@pytest.mark.anyio
async def test_without_its_secret_an_endpoint_takes_nothing(site, monkeypatch, caplog):
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)
    endpoint = site.client.http_endpoint("money", verify="stripe")
    assert "not taken: no secret" in repr(site.server)
    headers = {"Stripe-Signature": "t=1,v1=00"}
    with caplog.at_level(logging.WARNING, "trigger_nb"):
        assert (await site.http.post(endpoint.url, content=b"{}", headers=headers)).status_code == 503
    assert "STRIPE_WEBHOOK_SECRET" in caplog.text
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    assert (await site.sign(endpoint, {"id": "e"})).status_code == 200


@pytest.mark.anyio
async def test_verify_of_ones_own(site, caplog):
    def verify(request):
        assert isinstance(request.body, bytes)
        return {b"yes": True, b"no": False, b"none": None, b"one": 1}[request.body]

    endpoint = site.client.http_endpoint("own", verify=verify)
    with caplog.at_level(logging.CRITICAL, "trigger_nb"):
        got = [
            (await site.http.post(endpoint.url, content=each)).status_code
            for each in (b"yes", b"no", b"none", b"one", b"boom")
        ]
    assert got == [200, 401, 401, 401, 401]


@pytest.mark.anyio
async def test_services_by_name(site):
    """Named triggers: each takes its own events, of its own repository, signed by its own service."""
    github, stripe = GitHubWebhooks(SECRET), StripeWebhooks(SECRET)
    slack, typeform = SlackWebhooks(SECRET), TypeformWebhooks(SECRET)
    supabase = SupabaseWebhooks(SECRET)
    ran = []

    def job(name, trigger):
        async def run(payload, io):
            ran.append(name)

        site.client.job(id=name, trigger=trigger)(run)

    job("opened", github.on_issue_opened("Acme/Shop"))
    job("of acme", github.on_issue("acme"))
    job("tag", github.on_new_tag())
    job("paid", stripe.on_charge_succeeded())
    job("large", stripe.on("charge.succeeded", filter={"amount": [{"$gte": 1000}]}))
    job("mention", slack.on_app_mention())
    job("form", typeform.on_form_response("f1"))
    job("row", supabase.on_inserted("users"))
    job("new plan", supabase.on_updated("users", filter={"plan": ["pro"]}))
    job("left", supabase.on_deleted(schema="crm", filter={"plan": ["pro"]}))
    pro = {"plan": "pro"}
    public = {"schema": "public", "table": "users", "old_record": None}
    repo = {"repository": {"full_name": "acme/shop", "owner": {"login": "acme"}}}
    other = {"repository": {"full_name": "acme/other", "owner": {"login": "acme"}}}
    async with site.client.listen():
        # A job gets what comes from its registration on.
        await site.until(lambda: len(site.client.runtime.post.subscribers("http:typeform")) == 1)
        sent = [
            (github, {"action": "opened", **repo}, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "1"}),
            (github, {"action": "opened", **repo}, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "1"}),
            (github, {"action": "opened", **other}, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "2"}),
            (github, {"action": "closed", **repo}, {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "3"}),
            (github, {"ref_type": "tag"}, {"X-GitHub-Event": "create", "X-GitHub-Delivery": "4"}),
            (github, {"zen": "Keep it logically awesome."}, {"X-GitHub-Event": "ping"}),
            (stripe, {"id": "e1", "type": "charge.succeeded", "data": {"object": {"amount": 10}}}, {}),
            (stripe, {"id": "e2", "type": "charge.succeeded", "data": {"object": {"amount": 2000}}}, {}),
            (stripe, {"id": "e2", "type": "charge.succeeded", "data": {"object": {"amount": 2000}}}, {}),
            (slack, {"type": "event_callback", "event_id": "E", "event": {"type": "app_mention"}}, {}),
            (
                typeform,
                {"event_id": "t", "event_type": "form_response", "form_response": {"form_id": "f1"}},
                {},
            ),
            (
                typeform,
                {"event_id": "u", "event_type": "form_response", "form_response": {"form_id": "f2"}},
                {},
            ),
            (supabase, {"type": "INSERT", **public, "record": pro}, {}),
            (supabase, {"type": "INSERT", **public, "table": "orders", "record": pro}, {}),
            (supabase, {"type": "UPDATE", **public, "record": pro}, {}),
            (supabase, {"type": "UPDATE", **public, "record": {"plan": "free"}, "old_record": pro}, {}),
            (
                supabase,
                {"type": "DELETE", "schema": "crm", "table": "a", "record": None, "old_record": pro},
                {},
            ),
        ]
        for service, data, headers in sent:
            # Bound by the jobs above: no client.http_endpoint is needed.
            service.endpoint.bind(site.client.runtime)
            assert (await site.sign(service.endpoint, data, **headers)).status_code == 200
        hello = await site.sign(slack.endpoint, {"type": "url_verification", "challenge": "xyz"})
        assert hello.text == "xyz"
        await site.until(lambda: len(ran) >= 13)
        # One more at each, to be sure that nothing else comes.
        await site.until(lambda: not site.client.runs(status=["RUNNING", "PENDING"]))
    assert sorted(ran) == sorted(
        ["opened", "of acme", "of acme", "of acme", "tag", "paid", "paid", "large", "mention", "form"]
        + ["row", "new plan", "left"]
    )


def test_what_is_wrong_in_a_definition_is_said(site):
    endpoint = site.client.http_endpoint("x")
    for wrong in (
        lambda: site.client.http_endpoint(""),
        lambda: site.client.http_endpoint("y", verify="gitlab"),
        lambda: site.client.http_endpoint("y", respond_with=7),
        lambda: endpoint.on_request({"action": ["opened"]}),
        lambda: GitHubWebhooks().on_issue(7),
        lambda: StripeWebhooks().on(),
        lambda: SupabaseWebhooks().on_inserted("public.users"),
        lambda: SupabaseWebhooks().on_deleted(7),
        lambda: SupabaseWebhooks().on(types=("insert",)),
        lambda: site.client.serve(port=70_000),
        lambda: site.client.serve(port=True),
        lambda: site.client.serve(host=""),
        lambda: site.client.serve(public_url="jobs.example.com"),
        lambda: site.client.serve(token="short"),
        lambda: site.client.serve(max_body=0),
    ):
        with pytest.raises(InvalidOptionError):
            wrong()
    with pytest.raises(UsageError, match="no client"):
        GitHubWebhooks(endpoint="nobody").url  # noqa: B018
    site.server._inbox.addresses.leave("http://site")
    with pytest.raises(UsageError, match=r"client\.serve\(\)"):
        endpoint.url  # noqa: B018

    @site.client.job(trigger=endpoint.on_request())
    async def job(request, io):
        return request.body

    with pytest.raises(InvalidPayloadError, match="HttpRequest"):
        job.run_sync({"a": 1})
    assert job.run_sync(HttpRequest(body=1)) == 1


def test_a_real_server(site):
    """Beside a loop that is blocked it answers; to serve again is the same; a port that is taken is said."""

    async def main():
        @site.client.job(trigger=event_trigger("x"))
        async def x(payload, io):
            return payload

        server = site.client.serve()
        try:
            assert site.client.serve() is server
            with httpx.Client(base_url=server.url) as http:  # this blocks the loop
                sent = http.post(
                    "/events",
                    json={"name": "x", "payload": 1},
                    headers={"Authorization": f"Bearer {server.token}"},
                )
                assert sent.status_code == 201
                assert http.get("/health").headers.get("server") is None
            await site.ended("x", 1)
            with pytest.raises(UsageError, match="port=0"):
                Site = type(server)
                Site(site.client.runtime, "127.0.0.1", server.port, None, None, 1000)
            moved = site.client.serve(public_url="https://jobs.example.com/")
            assert moved is not server
            assert moved.port == server.port  # so that addresses stay
            assert moved.approvals_url.startswith("https://jobs.example.com/approvals/")
        finally:
            site.client.serve(public_url="https://jobs.example.com/").stop()
            site.client.listen(display=False).stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)

    asyncio.run(main())


def test_json_keeps(site):
    """What is sent is what the run gets: `json` and back."""
    data = {"a": [1, 1.5, "ü\u2028", None, True, {"$": []}]}

    async def main():
        @site.client.job(trigger=event_trigger("x"))
        async def x(payload, io):
            return payload

        async with site.client.listen():
            await site.send(json.loads(json.dumps({"name": "x", "payload": data})))
            assert await site.ended("x", 1) == [data]

    asyncio.run(main())
