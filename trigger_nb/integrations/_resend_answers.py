"""Resend's answers and errors, and how a task shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._tasks.options import Property
from .._tasks.task import Task


def answered(answer: Mapping[str, Any], task: Task, *shown: Property) -> dict[str, Any]:
    """Resend's answer, without the headers that the SDK adds to it, and the task's output properties."""
    said = dict(answer)
    headers = {name.lower(): value for name, value in said.pop("http_headers", {}).items()}
    limit = (
        [Property("Rate limit", f"{headers['ratelimit-remaining']} of {headers.get('ratelimit-limit')} left")]
        if "ratelimit-remaining" in headers
        else []
    )
    task.output_properties = [*shown, *limit]
    return said


def envelope(to: str | Sequence[str], subject: str | None) -> dict[str, object]:
    shown: dict[str, object] = {"To": to if isinstance(to, str) else ", ".join(to)}
    return shown if subject is None else {**shown, "Subject": subject}


def email_page(id: str) -> str:
    return f"https://resend.com/emails/{id}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
