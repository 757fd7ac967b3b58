"""Signatures of incoming requests: who has sent a webhook is known by a secret that both sides have.

```
from trigger_nb import signatures

payments = client.http_endpoint("payments", verify=signatures.stripe())       # STRIPE_WEBHOOK_SECRET
orders = client.http_endpoint("orders", verify=signatures.hmac("ORDERS_SECRET", header="X-Signature"))
```

Each checks the bytes that came, compares in constant time, and refuses a request whose signed time is more than `tolerance`
seconds off. GitHub and Typeform sign no time: of theirs, the delivery's own id sees to it that one starts a run once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac as _hmac
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, cast

from ._redact import secrets
from .errors import InvalidOptionError, InvalidSignatureError, MissingCredentialError

__all__ = ["Signature", "bearer", "github", "hmac", "slack", "stripe", "supabase", "typeform"]

TOLERANCE = 300.0  # seconds
Encoding: TypeAlias = Literal["hex", "base64"]
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_DIGITS = re.compile(r"\d{1,12}\Z")


class SecretText(Protocol):
    """A `pydantic.SecretStr`, or an object with the same method."""

    def get_secret_value(self) -> str:
        """The text."""
        ...


Secret: TypeAlias = str | SecretText | None  # a type


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A way in which requests are signed. Make it with a function of this module.

    `headers(body)` signs a request as the service does, which tests need.
    """

    service: str
    header: str  # lower case
    secret: Secret = field(default=None, repr=False)
    variable: str = ""  # the environment variable with the secret
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    timestamp_header: str = ""
    signed: str = "{body}"  # what is signed; "{time}" is the time in it
    tolerance: float = TOLERANCE
    id_header: str = ""  # the header with the id of the delivery
    id_field: str = ""  # the field of the signed JSON with it, which is better

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Raise `InvalidSignatureError` unless the request is signed with the secret, and not too long ago.

        `headers` have names in lower case, `now` is in UTC seconds.
        """
        given = headers.get(self.header, "")
        if not given:
            raise InvalidSignatureError(f"the request is not signed: it has no header {_title(self.header)}")
        time, candidates = self._read(given, headers)
        wanted = self._sign(body, time)
        # All are compared, so that the time that it takes tells nothing.
        found = [_hmac.compare_digest(wanted.encode(), each.encode()) for each in candidates]
        if not any(found):
            raise InvalidSignatureError(
                f"the signature in {_title(self.header)} is wrong: it was made with another secret, or of another body"
            )
        if time and abs(now - float(time)) > self.tolerance:
            raise InvalidSignatureError(
                f"the request was signed {abs(now - float(time)):.0f} s {'ago' if now > float(time) else 'ahead'}, and "
                f"{self.tolerance:g} s are the limit: somebody may have sent it again, or a clock is wrong"
            )

    def headers(self, body: bytes, now: float) -> dict[str, str]:
        """The headers of a signed request, as the service sends them. `now` is in UTC seconds."""
        time = f"{now:.0f}" if "{time}" in self.signed else ""
        signature = self._sign(body, time)
        if self.service == "stripe":
            return {_title(self.header): f"t={time},v1={signature}"}
        stamp = {_title(self.timestamp_header): time} if self.timestamp_header else {}
        return {_title(self.header): self.prefix + signature, **stamp}

    def delivery(self, headers: Mapping[str, str], payload: object) -> str:
        """The service's own id of what it has sent; "" if there is none. A second delivery has the same one."""
        if self.id_field and isinstance(payload, dict):
            found = cast("dict[str, Any]", payload).get(self.id_field)
            if isinstance(found, str) and found:
                return found
        if self.id_header:
            return headers.get(self.id_header, "")
        # The time is signed: the same signature again is the same request again.
        return _digest(headers.get(self.header, "")) if "{time}" in self.signed else ""

    def challenge(self, payload: object) -> str | None:
        """The answer that the service wants before it sends anything, if this is its question."""
        if self.service == "slack" and isinstance(payload, dict):
            said = cast("dict[str, Any]", payload)
            if said.get("type") == "url_verification":
                return str(said.get("challenge", ""))
        return None

    def read_secret(self) -> str:
        """The secret itself. Raises `MissingCredentialError` if there is none."""
        given = self.secret
        text = given if isinstance(given, str) else None if given is None else given.get_secret_value()
        text = text or os.environ.get(self.variable, "")
        if not text:
            raise MissingCredentialError(
                f"no secret for the signatures of {self.service}: pass signatures.{self.service}(secret), or set the "
                f"environment variable {self.variable}"
            )
        secrets.add(text)
        return text

    def _read(self, given: str, headers: Mapping[str, str]) -> tuple[str, list[str]]:
        """The signed time, and the signatures of a request."""
        if self.service == "stripe":
            parts = [part.strip().partition("=") for part in given.split(",")[:20]]
            time = next((value for name, _, value in parts if name == "t"), "")
            candidates = [value for name, _, value in parts if name == "v1"]
        else:
            time = headers.get(self.timestamp_header, "") if self.timestamp_header else ""
            candidates = [given.removeprefix(self.prefix)] if given.startswith(self.prefix) else []
        if "{time}" in self.signed and not _DIGITS.match(time):
            raise InvalidSignatureError(
                "the request says no time at which it was signed"
                + (f": {_title(self.timestamp_header)}" if self.timestamp_header else "")
            )
        return time, candidates

    def _sign(self, body: bytes, time: str) -> str:
        before, _, after = self.signed.partition("{body}")
        message = before.replace("{time}", time).encode() + body + after.encode()
        made = _hmac.new(self.read_secret().encode(), message, self.algorithm)
        return made.hexdigest() if self.encoding == "hex" else base64.b64encode(made.digest()).decode()


@dataclass(frozen=True, kw_only=True)
class Bearer:
    """A token in the header `Authorization`, for a sender that cannot sign."""

    service: str = "bearer"
    secret: Secret = field(default=None, repr=False)
    variable: str = ""

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Raise `InvalidSignatureError` unless the request has the token."""
        given = headers.get("authorization", "")
        wanted = "Bearer " + self.read_secret()
        if not _hmac.compare_digest(given.encode(), wanted.encode()):
            raise InvalidSignatureError(
                "the request needs the header Authorization: Bearer, with the token of this endpoint"
            )

    read_secret = Signature.read_secret

    def headers(self, body: bytes, now: float) -> dict[str, str]:
        """The headers of a request with the token."""
        return {"Authorization": "Bearer " + self.read_secret()}

    def delivery(self, headers: Mapping[str, str], payload: object) -> str:
        """Nothing is known of deliveries."""
        return ""

    def challenge(self, payload: object) -> str | None:
        """There is none."""
        return None


def github(secret: Secret = None) -> Signature:
    """GitHub's: `X-Hub-Signature-256`. Without a secret, GITHUB_WEBHOOK_SECRET is read when a request comes.

    >>> github("s3cret").service
    'github'
    """
    return Signature(
        service="github",
        header="x-hub-signature-256",
        secret=_checked(secret),
        variable="GITHUB_WEBHOOK_SECRET",
        prefix="sha256=",
        id_header="x-github-delivery",
    )


def stripe(secret: Secret = None, *, tolerance: float = TOLERANCE) -> Signature:
    """Stripe's: `Stripe-Signature`, with a time. Without a secret, STRIPE_WEBHOOK_SECRET is read when a request comes.

    >>> stripe("whsec_1").tolerance
    300.0
    """
    return Signature(
        service="stripe",
        header="stripe-signature",
        secret=_checked(secret),
        variable="STRIPE_WEBHOOK_SECRET",
        signed="{time}.{body}",
        tolerance=_seconds(tolerance),
        id_field="id",
    )


def slack(secret: Secret = None, *, tolerance: float = TOLERANCE) -> Signature:
    """Slack's: `X-Slack-Signature`, with a time. Without a secret, SLACK_SIGNING_SECRET is read when a request comes.

    Slack's first request, which asks whether the address is yours, is answered by itself.

    >>> slack("8f7e").header
    'x-slack-signature'
    """
    return Signature(
        service="slack",
        header="x-slack-signature",
        secret=_checked(secret),
        variable="SLACK_SIGNING_SECRET",
        prefix="v0=",
        timestamp_header="x-slack-request-timestamp",
        signed="v0:{time}:{body}",
        tolerance=_seconds(tolerance),
        id_field="event_id",
    )


def typeform(secret: Secret = None) -> Signature:
    """Typeform's: `Typeform-Signature`. Without a secret, TYPEFORM_WEBHOOK_SECRET is read when a request comes.

    >>> typeform("s3cret").encoding
    'base64'
    """
    return Signature(
        service="typeform",
        header="typeform-signature",
        secret=_checked(secret),
        variable="TYPEFORM_WEBHOOK_SECRET",
        encoding="base64",
        prefix="sha256=",
        id_field="event_id",
    )


def supabase(token: Secret = None) -> Bearer:
    """Supabase's: database webhooks are not signed, and send the headers that you give them.

    Give the webhook the header `Authorization` with `Bearer` and a token. Without a token here, SUPABASE_WEBHOOK_SECRET is
    read when a request comes.

    >>> supabase("s3cret").service
    'supabase'
    """
    return Bearer(service="supabase", secret=_checked(token), variable="SUPABASE_WEBHOOK_SECRET")


def hmac(
    secret: str | SecretText,
    *,
    header: str,
    algorithm: str = "sha256",
    encoding: Encoding = "hex",
    prefix: str = "",
    timestamp_header: str = "",
    signed: str = "",
    tolerance: float = TOLERANCE,
    id_header: str = "",
) -> Signature:
    """Any other service's: an HMAC of the body in a header.

    - `secret`: the secret, or the name of an environment variable such as "ORDERS_SECRET", read when a request comes.
    - `header`: where the signature is; `prefix` is what stands before it, such as "sha256=".
    - `algorithm`, `encoding`: such as "sha512", and "hex" or "base64".
    - `timestamp_header`: the header with the time of the signature, in seconds. Then a request that is more than `tolerance`
      seconds old is refused, and `signed` says what is signed, by default "{time}.{body}".
    - `id_header`: the header with the id of the delivery: one that comes twice starts a run once.

    Raises `InvalidOptionError`.

    >>> hmac("s3cret", header="X-Signature").header
    'x-signature'
    """
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        raise InvalidOptionError(f'algorithm is the name of a hash such as "sha256", not {algorithm!r:.100}')
    if encoding not in ("hex", "base64"):
        raise InvalidOptionError(f'encoding is "hex" or "base64", not {encoding!r:.100}')
    if not header or not isinstance(header, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
        raise InvalidOptionError(f'header is the name of a header such as "X-Signature", not {header!r:.100}')
    signed = signed or ("{time}.{body}" if timestamp_header else "{body}")
    if signed.count("{body}") != 1 or ("{time}" in signed) != bool(timestamp_header):
        raise InvalidOptionError(
            'signed is what is signed, such as "{time}.{body}", with {body} once, and with {time} if there is a '
            f"timestamp_header=; not {signed!r:.100}"
        )
    is_variable = isinstance(secret, str) and _VARIABLE.match(secret) is not None
    return Signature(
        service="hmac",
        header=header.lower(),
        secret=None if is_variable else _checked(secret),
        variable=cast("str", secret) if is_variable else "",
        algorithm=algorithm,
        encoding=encoding,
        prefix=prefix,
        timestamp_header=timestamp_header.lower(),
        signed=signed,
        tolerance=_seconds(tolerance),
        id_header=id_header.lower(),
    )


def bearer(token: str | SecretText) -> Bearer:
    """A fixed token in `Authorization: Bearer`, for a sender that cannot sign.

    `token` is the token, or the name of an environment variable such as "SENSOR_TOKEN".

    >>> bearer("SENSOR_TOKEN").variable
    'SENSOR_TOKEN'
    """
    if isinstance(token, str) and _VARIABLE.match(token):
        return Bearer(variable=token)
    return Bearer(secret=_checked(token))


Verify: TypeAlias = Signature | Bearer | str | Callable[[Any], object] | None
_BY_NAME: dict[str, Callable[[], Signature | Bearer]] = {
    "github": github,
    "slack": slack,
    "stripe": stripe,
    "supabase": supabase,
    "typeform": typeform,
}


def of(verify: Verify) -> Signature | Bearer | Callable[[Any], object] | None:
    """What `verify=` of an endpoint means. Raises `InvalidOptionError`."""
    if isinstance(verify, str):
        if verify not in _BY_NAME:
            raise InvalidOptionError(
                f"verify is one of {', '.join(map(repr, _BY_NAME))}, a signature such as signatures.hmac(...), or a "
                f"function of the request; not {verify!r:.100}"
            )
        return _BY_NAME[verify]()
    if verify is None or isinstance(verify, (Signature, Bearer)) or callable(verify):
        return verify
    raise InvalidOptionError(
        f"verify is a signature such as signatures.github(), or a function of the request, not {verify!r:.100}"
    )


def with_secret(signature: Signature, secret: Secret) -> Signature:
    """The same signature with another secret."""
    return replace(signature, secret=_checked(secret))


def _checked(secret: Any) -> Any:
    if secret is not None and not isinstance(secret, str) and not hasattr(secret, "get_secret_value"):
        raise InvalidOptionError(f"a secret is text or a SecretStr, not {type(secret).__name__}")
    if secret == "":
        raise InvalidOptionError("the secret of a signature is empty, which everybody knows")
    return secret


def _seconds(tolerance: object) -> float:
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 < tolerance < 1e9:
        raise InvalidOptionError(f"tolerance is a number of seconds, not {tolerance!r:.100}")
    return float(tolerance)


def _title(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
