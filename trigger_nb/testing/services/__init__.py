"""Services on this machine, for tests and for trying things out: no account, no network, no real customer.

Each speaks as the real one does to the part of its API that an integration uses, keeps what it was asked,
and does twice what it is asked twice unless the real one knows better.
"""

from ._server import Answer, Request, Service, route
from .slack import FakeSlack

__all__ = ["Answer", "FakeSlack", "Request", "Service", "route"]
