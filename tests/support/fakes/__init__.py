"""Fake services that only the tests of this repository use; the others are in `trigger_nb.testing.services`."""

from .airtable import FakeAirtable
from .replicate import FakeReplicate
from .sendgrid import FakeSendGrid
from .supabase import FakeSupabase
from .web import FakeHTTP

__all__ = ["FakeAirtable", "FakeHTTP", "FakeReplicate", "FakeSendGrid", "FakeSupabase"]
