"""Fake services on this machine, for tests and for trying things out: no account, no network, no real customer.

Each answers like the real service in the part of its API that an integration uses, and keeps the requests. A
repeated request takes effect twice, unless the real service recognizes it.

```
with FakeSlack() as service:
    slack = Slack("xoxb-1234", base_url=f"{service.url}/api/")
```
"""

from __future__ import annotations

from ._server import Answer, Request, Service, route
from .github import FakeGitHub
from .openai import FakeOpenAI
from .resend import FakeResend
from .slack import FakeSlack
from .stripe import FakeStripe

__all__ = [
    "Answer",
    "FakeGitHub",
    "FakeOpenAI",
    "FakeResend",
    "FakeSlack",
    "FakeStripe",
    "Request",
    "Service",
    "route",
]
