"""Signatures, against the services' own libraries and what the services' pages say."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from trigger_nb import signatures
from trigger_nb.errors import InvalidOptionError, InvalidSignatureError, MissingCredentialError

NOW = 1_800_000_000.0
BODY = b'{"id": "evt_1", "event_id": "Ev1", "text": "\xc3\xa4"}'
SECRET = "a secret of nobody"
ALL = {
    "github": signatures.github(SECRET),
    "stripe": signatures.stripe(SECRET),
    "slack": signatures.slack(SECRET),
    "typeform": signatures.typeform(SECRET),
    "hmac": signatures.hmac(SECRET, header="X-Sig", algorithm="sha512", encoding="base64", prefix="v="),
    "hmac with a time": signatures.hmac(SECRET, header="X-Sig", timestamp_header="X-Time", id_header="X-Id"),
}
TIMED = [name for name, each in ALL.items() if "{time}" in each.signed]


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("name", ALL)
def test_what_is_signed_rightly_counts_and_nothing_else(name):
    signature = ALL[name]
    headers = lower(signature.headers(BODY, NOW))
    signature.check(headers, BODY, NOW + 1)
    value = headers[signature.header]
    wrong = [
        ({**headers, signature.header: value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB")}, BODY),
        ({**headers, signature.header: value.swapcase() if name == "typeform" else value.upper()}, BODY),
        ({**headers, signature.header: ""}, BODY),
        ({**headers, signature.header: "é" * 10}, BODY),
        ({each: text for each, text in headers.items() if each != signature.header}, BODY),
        (headers, BODY + b" "),
        (headers, b""),
        (lower(signatures.with_secret(signature, "another secret").headers(BODY, NOW)), BODY),
    ]
    for given, body in wrong:
        with pytest.raises(InvalidSignatureError):
            signature.check(given, body, NOW + 1)


@pytest.mark.parametrize("name", TIMED)
def test_a_signature_that_is_too_old_or_of_the_future_is_refused(name):
    signature = ALL[name]
    headers = lower(signature.headers(BODY, NOW))
    signature.check(headers, BODY, NOW + 299)
    signature.check(headers, BODY, NOW - 299)
    for now in (NOW + 301, NOW - 301):
        with pytest.raises(InvalidSignatureError, match="300 s are the limit"):
            signature.check(headers, BODY, now)
    # The time is signed: to write another one into the request helps nobody.
    later = {each: text.replace(f"{NOW:.0f}", f"{NOW + 400:.0f}") for each, text in headers.items()}
    with pytest.raises(InvalidSignatureError, match="wrong"):
        signature.check(later, BODY, NOW + 400)
    for odd in ("", "yesterday", "-1", "9" * 40, "1e9"):
        changed = {each: text.replace(f"{NOW:.0f}", odd) for each, text in headers.items()}
        with pytest.raises(InvalidSignatureError):
            signature.check(changed, BODY, NOW)


def test_the_services_own_libraries_agree():
    import stripe
    from githubkit.webhooks import verify
    from slack_sdk.signature import Clock, SignatureVerifier

    assert verify(SECRET, BODY, ALL["github"].headers(BODY, NOW)["X-Hub-Signature-256"])
    # As GitHub's page has it: "Validating webhook deliveries".
    said = signatures.github("It's a Secret to Everybody").headers(b"Hello, World!", NOW)
    assert said == {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    }
    header = ALL["stripe"].headers(BODY, NOW)["Stripe-Signature"]
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, SECRET, tolerance=None)
    # A secret that is being changed: Stripe signs with both.
    both = {"stripe-signature": header.replace("v1=", "v0=00,v1=00,v1=")}
    ALL["stripe"].check(both, BODY, NOW)

    class Now(Clock):
        def now(self):
            return NOW

    headers = ALL["slack"].headers(BODY, NOW)
    assert SignatureVerifier(SECRET, Now()).is_valid_request(BODY, headers)
    typeform = base64.b64encode(hmac.digest(SECRET.encode(), BODY, hashlib.sha256)).decode()
    assert ALL["typeform"].headers(BODY, NOW) == {"Typeform-Signature": f"sha256={typeform}"}


def test_deliveries_and_secrets(monkeypatch):
    said = {"id": "evt_1", "event_id": "Ev1"}
    assert ALL["stripe"].delivery({}, said) == "evt_1"
    assert ALL["slack"].delivery({}, said) == ALL["typeform"].delivery({}, said) == "Ev1"
    assert ALL["github"].delivery({"x-github-delivery": "72d3"}, said) == "72d3"
    # A slash command has no id: the same signature is the same request.
    headers = lower(ALL["slack"].headers(b"command=%2Fgo", NOW))
    assert ALL["slack"].delivery(headers, {}) == ALL["slack"].delivery(dict(headers), {}) != ""
    assert ALL["hmac"].delivery(headers, said) == ""
    assert ALL["slack"].challenge({"type": "url_verification", "challenge": "abc"}) == "abc"

    monkeypatch.delenv("GITHUB_WEBHOOK_SECRET", raising=False)
    with pytest.raises(MissingCredentialError, match="GITHUB_WEBHOOK_SECRET"):
        signatures.github().check({"x-hub-signature-256": "sha256=00"}, b"", NOW)
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET)
    signatures.github().check(lower(ALL["github"].headers(BODY, NOW)), BODY, NOW)
    assert SECRET not in repr(ALL)

    bearer = signatures.bearer("0123456789abcdef")
    bearer.check(lower(bearer.headers(BODY, NOW)), BODY, NOW)
    for given in ({}, {"authorization": "Bearer "}, {"authorization": "0123456789abcdef"}):
        with pytest.raises(InvalidSignatureError):
            bearer.check(given, BODY, NOW)


def test_wrong_options_say_what_to_type():
    wrong = [
        lambda: signatures.hmac(SECRET, header=""),
        lambda: signatures.hmac(SECRET, header="X", algorithm="md6"),
        lambda: signatures.hmac(SECRET, header="X", encoding="base32"),
        lambda: signatures.hmac(SECRET, header="X", signed="{time}.{body}"),
        lambda: signatures.hmac(SECRET, header="X", timestamp_header="T", signed="{body}"),
        lambda: signatures.stripe(SECRET, tolerance=0),
        lambda: signatures.github(""),
        lambda: signatures.github(7),
        lambda: signatures.of("gitlab"),
        lambda: signatures.of(3),
    ]
    for each in wrong:
        with pytest.raises(InvalidOptionError):
            each()
