"""Services on the loopback, for tests that call the outside world: each keeps what it was asked.

A service runs in threads of the test's own process, so it lives on when a process that calls it is killed.
"""

from ._server import Asked, Service
from .mail import MailService
from .payments import PaymentService

__all__ = ["Asked", "MailService", "PaymentService", "Service"]
