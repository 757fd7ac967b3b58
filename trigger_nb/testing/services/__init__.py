"""Services on this machine, for tests and for trying things out: no account, no network, no real customer.

Each speaks as the real one does to the part of its API that an integration uses, keeps what it was asked,
and does twice what it is asked twice unless the real one knows better.
"""

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
