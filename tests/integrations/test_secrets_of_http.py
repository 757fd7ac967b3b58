"""S8: what requests and responses hold is not kept with an error: headers by an allow-list, and no secrets of URLs.

Each error is a real one: a library asks a server on this machine, which refuses.
"""

from __future__ import annotations

import html
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import httpx
import httpx2
import pytest
import requests

from tests.integrations.test_canaries import CELLS, canaries  # noqa: F401  # a fixture
from tests.support.fakes import FakeHTTP
from trigger_nb import keep_in_errors
from trigger_nb._redact import hide_in_urls, kept_headers
from trigger_nb._values import encode_error, error_or_stand_in
from trigger_nb.errors import InvalidOptionError
from trigger_nb.integrations import HTTP
from trigger_nb.testing.services import Answer

pytestmark = pytest.mark.anyio

SECRET = "canary-8f1b2c3d4e5f"
SECRET_HEADERS = [
    "Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token",
    "X-Vault-Token", "Token", "X-Token", "X-Signature", "X-Hub-Signature-256", "Ocp-Apim-Subscription-Key", "X-Csrf",
    "X-CSRF-Token", "X-XSRF-Token", "X-Amz-Security-Token", "X-Goog-Api-Key", "X-Shopify-Access-Token", "PRIVATE-TOKEN",
    "X-Functions-Key", "DPoP", "X-Session-Id", "X-Forwarded-Access-Token", "X-Acme", "X-Nonce", "X-Otp", "X-Jwt",
]  # fmt: skip
ANSWERED = {
    **dict.fromkeys(SECRET_HEADERS, SECRET),
    "Set-Cookie": f"sid={SECRET}",
    "WWW-Authenticate": f'Digest nonce="{SECRET}"',
    "Location": f"https://ana:{SECRET}@other.example/a/7?page=2&token={SECRET}#access_token={SECRET}",
    "Link": f'<https://api.example/a?page=3&cursor={SECRET}>; rel="next"',
    "Retry-After": "7",
    "X-RateLimit-Remaining-Tokens": "0",
    "X-Request-Id": "req-1",
}
LIBRARIES = ["httpx", "httpx2", "requests", "urllib", "aiohttp"]


@pytest.fixture
def service():
    with FakeHTTP() as service:
        service._token = None
        yield service


def asking(library, url):
    """A body that asks with a library and raises what it raises."""
    headers = {name: SECRET for name in SECRET_HEADERS if name not in ("Authorization", "Cookie")}

    async def with_httpx():
        module = {"httpx": httpx, "httpx2": httpx2}[library]
        async with module.AsyncClient() as client:
            (await client.get(url, headers=headers)).raise_for_status()

    async def with_aiohttp():
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            answer.raise_for_status()

    async def with_others():
        if library == "requests":
            requests.get(url, headers=headers, timeout=30).raise_for_status()
        else:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers))  # noqa: S310

    return {"httpx": with_httpx, "httpx2": with_httpx, "aiohttp": with_aiohttp}.get(library, with_others)


def address(service, library):
    """An address with a user and a query; urllib takes no user."""
    user = "" if library == "urllib" else f"ana:{SECRET}@"
    return f"{service.url.replace('://', '://' + user)}/a?page=2&token={SECRET}&x={SECRET}"


def anywhere(folder):
    return sorted(
        {file.name for file in folder.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()}
    )


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_error_keeps_what_code_branches_on_and_no_secrets(client, tmp_path, service, library):
    @client.job(id="ask")
    async def ask(payload, io):
        try:
            await io.run_task("ask", asking(library, address(service, library)))
        except Exception as error:
            io.logger.error("refused", {"error": error})
            return repr(error)

    service.plan(Answer(401, {"error": "no"}, ANSWERED))
    said = await ask.run()
    run = ask.runs()[0]
    run.export_html(tmp_path / "run.html")
    kept = run.task("ask").error
    told = [said, str(kept), repr(kept), run.tree(), html.unescape((tmp_path / "run.html").read_text())]
    assert SECRET not in "".join(told)
    assert anywhere(tmp_path) == []

    back = error_or_stand_in(encode_error(kept))
    assert type(back).__name__ == {"urllib": "HTTPError", "aiohttp": "ClientResponseError"}.get(
        library, "HTTPError" if library == "requests" else "HTTPStatusError"
    )
    headers = getattr(back, "response", back).headers
    assert (headers["retry-after"], headers["x-ratelimit-remaining-tokens"]) == ("7", "0")
    assert headers["x-request-id"] == "req-1"
    assert headers["location"].startswith("https://other.example/a/7?page=2&token=")
    assert {name.lower() for name in headers}.isdisjoint(name.lower() for name in SECRET_HEADERS)


@pytest.mark.parametrize("library", ["httpx", "requests", "aiohttp"])
async def test_a_connection_that_fails_names_no_secret(client, tmp_path, library):
    """The message of urllib3 has the path with its query."""

    @client.job(id="ask")
    async def ask(payload, io):
        await io.run_task("ask", asking(library, f"http://ana:{SECRET}@127.0.0.1:9/a?page=2&token={SECRET}"))

    with pytest.raises(Exception) as caught:  # noqa: PT011
        await ask.run()
    assert SECRET not in str(caught.value) + repr(caught.value) + ask.runs()[0].tree()
    assert anywhere(tmp_path) == []


async def test_an_error_of_ones_own_loses_the_password_and_keeps_its_url(client, tmp_path):
    """Who raises it chose its text; what is a credential by its name is hidden."""

    class Failed(Exception):
        pass

    url = f"https://ana:{SECRET}@api.example/a?customer=ACME-12345&token={SECRET}"

    def fail():
        error = Failed(f"no answer from {url}")
        error.headers = {"X-Vault-Token": SECRET, "Date": "now"}
        error.url = url
        raise error

    @client.job(id="ask")
    async def ask(payload, io):
        await io.run_task("ask", fail)

    with pytest.raises(Failed, match="https://api.example/a.customer=ACME-12345&token=[*]{3}"):
        await ask.run()
    error = ask.runs()[0].task("ask").error
    assert error.url == "https://api.example/a?customer=ACME-12345&token=***"
    assert error.headers == {"Date": "now"}
    assert anywhere(tmp_path) == []


async def test_a_request_of_the_integration_stores_no_secret(client, tmp_path, service):
    """Neither what it is called with nor what it answers."""
    http = HTTP(service.url, headers=dict.fromkeys(SECRET_HEADERS[8:], SECRET))

    @client.job(id="ask", integrations={"http": http})
    async def ask(payload, io):
        url = f"{service.url.replace('://', f'://ana:{SECRET}@')}/a?token={SECRET}"
        try:
            await io.http.get("ask", url, headers=dict.fromkeys(SECRET_HEADERS[:8], SECRET))
        except httpx.HTTPStatusError as error:
            return [error.response.status_code, error.response.headers["retry-after"]]
        return None

    service.plan(Answer(401, {"error": "no"}, ANSWERED))
    assert await ask.run() == [401, "7"]
    assert await ask.run() == [401, "7"]
    assert SECRET not in ask.runs()[0].tree()
    assert anywhere(tmp_path) == []
    await http.aclose()


async def test_a_response_of_the_integration_has_no_credentials_in_its_headers(client, tmp_path, service):
    http = HTTP(service.url)

    @client.job(id="ask", integrations={"http": http})
    async def ask(payload, io):
        return (await io.http.get("ask", "/a")).headers

    plain = {"X-Total-Pages": "7", "X-Acme-Cost": "3"}
    service.plan(
        Answer(201, {}, {**{n: v for n, v in ANSWERED.items() if n not in ("X-Acme", "Link")}, **plain})
    )
    headers = await ask.run()
    assert (headers["x-total-pages"], headers["x-acme-cost"], headers["retry-after"]) == ("7", "3", "7")
    assert headers["location"].startswith("https://other.example/a/7?page=2&token=***")
    assert SECRET not in str(headers)
    await http.aclose()


SCRIPT = """
import asyncio
async def main():
    for name in calls:
        try:
            await use.run(name)
        except Exception as error:
            print(name, "ended in", type(error).__name__, error, repr(error))
            if not hasattr(error, "sqlstate"):
                print(vars(error))
        else:
            raise AssertionError(name + " was not refused")
    for run in client.runs():
        print(run.tree())
        run.export_html(f"run-{run.id}.html")
asyncio.run(main())
"""


@pytest.fixture
def headers():
    return ANSWERED


def test_no_integration_keeps_the_headers_of_a_refusal(canaries, headers, tmp_path):  # noqa: F811
    """Every service answers with all those headers."""
    setup = "\n".join(line for line in CELLS.split("##")[0].splitlines() if not line.startswith("logging"))
    script = setup.replace('dir="store"', 'dir="store", display=False') + SCRIPT
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.count("ended in") == len(canaries), done.stderr
    assert SECRET in str(headers)
    assert anywhere(Path(tmp_path)) == []


# What is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "strict", "lax"),
    [
        ("https://h/a?page=2&q=x", "https://h/a?page=2&q=***", None),
        ("https://u:p@h:8/a", "https://h:8/a", "https://h:8/a"),
        ("https://token@h/a", "https://h/a", "https://h/a"),
        ("postgresql+psycopg://u:p%40@h/db?sslmode=require", "postgresql+psycopg://h/db?sslmode=***",
         "postgresql+psycopg://h/db?sslmode=require"),
        ("https://h/a?X-Amz-Signature=abc&n=12", "https://h/a?X-Amz-Signature=***&n=12",
         "https://h/a?X-Amz-Signature=***&n=12"),
        ("https://h/a?n=12345;api%5Fkey=k", "https://h/a?n=***;api%5Fkey=***", "https://h/a?n=12345;api%5Fkey=***"),
        ("https://h/a#access_token=abc", "https://h/a#access_token=***", "https://h/a#access_token=***"),
        ("https://h/a?wsdl#top", "https://h/a?wsdl#top", None),
        ("https://h/a?0123456789abcdef", "https://h/a?***", None),
        ("https://h/a/b@c?x=1", "https://h/a/b@c?x=1", None),
    ],
)  # fmt: skip
def test_urls(url, strict, lax):
    for text in ("{}", "see '{}' and ({})", "Client error for url '{}'\nFor more"):
        count = text.count("{}")
        assert hide_in_urls(text.format(*[url] * count), strict=True) == text.format(*[strict] * count)
        assert hide_in_urls(text.format(*[url] * count)) == text.format(*[lax or url] * count)


def test_more_can_be_kept(monkeypatch):
    monkeypatch.setattr("trigger_nb._redact._more_headers", set())
    monkeypatch.setattr("trigger_nb._redact._more_query", set())
    headers = [("X-Quota-Left", "5"), ("X-Acme", "s")]
    request = httpx.Request("GET", "https://h/a?customer=ACME-12345&x=secret", headers=headers)
    error = httpx.HTTPStatusError(
        "no", request=request, response=httpx.Response(500, headers=headers, request=request)
    )
    assert kept_headers(headers) == []
    keep_in_errors(headers=["X-Quota_Left"], query=["customer"])
    back = error_or_stand_in(encode_error(error))
    assert back.response.headers["x-quota-left"] == "5"
    assert "x-acme" not in back.request.headers
    assert back.request.url.params["customer"] == "ACME-12345"
    assert "secret" not in str(back.request.url)
    for wrong in ({"headers": [5]}, {"query": [None]}):
        with pytest.raises(InvalidOptionError, match="list of names"):
            keep_in_errors(**wrong)


def test_the_names_of_a_reset_are_kept():
    from trigger_nb.integrations.http import ResetHeaders

    HTTP("https://h", rate_limit=ResetHeaders("x-acme-max", "x-acme-left", "x-acme-again"))
    assert kept_headers([("X-Acme-Left", "0")]) == [["X-Acme-Left", "0"]]
