"""A payment service that takes idempotency keys as Stripe does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._server import Asked, Service


@dataclass
class PaymentService(Service):
    """Customers. A key that came before gets the first answer again, and nothing is done twice."""

    customers: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The idempotency key of each request, in the order in which they came."""
        return [asked.headers["idempotency-key"] for asked in self.asked]

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        if asked.path != "/v1/customers":
            return 404, {"error": {"message": f"no such path: {asked.path}"}}
        key = asked.headers["idempotency-key"]
        if key not in self.answers:
            customer = {"id": f"cus_{len(self.customers) + 1}", "object": "customer", **asked.body}
            self.customers.append(customer)
            self.answers[key] = customer
        return 200, self.answers[key]
