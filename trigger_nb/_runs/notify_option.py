"""The option `notify=` of a client, a job and a run: who is told of a run."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, cast

from ..errors import InvalidOptionError

BROWSER = "browser"
Notifier: TypeAlias = Literal["browser"] | Callable[[Any], object]
Notify: TypeAlias = Notifier | Sequence[Notifier] | Literal[False]
"""Who is told: "browser", a function of the run, a list of both, or False for nobody."""


def check_notify(given: object) -> tuple[Notifier, ...] | None:
    """The value of an option `notify=` as a tuple; None if it says nothing. Raises `InvalidOptionError`."""
    if given is None:
        return None
    if given is False:
        return ()
    each = list(cast("Sequence[object]", given)) if isinstance(given, (list, tuple)) else [given]
    return tuple(_notifier(one) for one in each)


def _notifier(given: object) -> Notifier:
    if given == BROWSER:
        return BROWSER
    if isinstance(given, type) or not callable(given):
        near = isinstance(given, str) and difflib.get_close_matches(given.lower(), [BROWSER])
        if near or given is True:
            hint = 'Did you mean "browser"?'
        elif isinstance(given, str):
            hint = "A function posts to Slack or by e-mail: docs/how-to/be-told.md has some."
        else:
            hint = "notify=False tells nobody."
        raise InvalidOptionError(
            f'notify is "browser", a function that gets the run, or a list of these; not {given!r:.100}. {hint}'
        )
    try:
        inspect.signature(given).bind(None)
    except TypeError as error:
        name = getattr(given, "__name__", type(given).__name__)
        raise InvalidOptionError(f"notify={name} is called with the run, and cannot be: {error}") from None
    except ValueError:
        pass  # a builtin without a signature
    return given


def nearest(*options: object) -> tuple[Notifier, ...]:
    """The first option that says something, from the nearest to the farthest."""
    return next((found for each in options if (found := check_notify(each)) is not None), ())
