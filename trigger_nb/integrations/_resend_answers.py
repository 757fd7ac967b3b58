"""Resend's answers and errors, and how a task shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from .._tasks.options import Property
from .._tasks.task import Task


def answered(answer: Any, task: Task, *shown: Property) -> Any:
    """Resend's answer, without the headers that the SDK adds to it, and the task's output properties."""
    if not isinstance(answer, dict):
        return answer
    said = dict(cast("dict[str, Any]", answer))
    headers = {name.lower(): value for name, value in said.pop("http_headers", {}).items()}
    limit = (
        [Property("Rate limit", f"{headers['ratelimit-remaining']} of {headers.get('ratelimit-limit')} left")]
        if "ratelimit-remaining" in headers
        else []
    )
    task.output_properties = [*shown, *limit]
    return said


def email_page(id: str) -> str:
    return f"https://resend.com/emails/{id}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
