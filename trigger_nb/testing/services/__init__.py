"""Services on this machine, for tests and for trying things out: no account, no network, no real customer.

Each speaks as the real one does to the part of its API that an integration uses, keeps what it was asked,
and does twice what it is asked twice unless the real one knows better.
"""

from ._server import Answer, Request, Service, route
from .airtable import FakeAirtable
from .github import FakeGitHub
from .openai import FakeOpenAI
from .replicate import FakeReplicate
from .resend import FakeResend
from .sendgrid import FakeSendGrid
from .slack import FakeSlack
from .stripe import FakeStripe
from .supabase import FakeSupabase
from .web import FakeHTTP

__all__ = [
    "Answer",
    "FakeAirtable",
    "FakeGitHub",
    "FakeHTTP",
    "FakeOpenAI",
    "FakeReplicate",
    "FakeResend",
    "FakeSendGrid",
    "FakeSlack",
    "FakeStripe",
    "FakeSupabase",
    "Request",
    "Service",
    "route",
]
