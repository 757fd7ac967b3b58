"""The ids of runs, and the names that none of them may have."""

from __future__ import annotations

import secrets

from ..errors import InvalidOptionError

# Prefixes of row keys and tags of rows that the store uses beside the ids of runs.
RESERVED = frozenset({"run", "runs", "event", "events", "kv", "export", "deleted", "reuse", "post", "answer"})


def new_run_id() -> str:
    """An id for a run that its payload does not identify."""
    return "run_" + secrets.token_hex(10)


def check_run_id(run_id: object) -> None:
    """Raise `InvalidOptionError` for an id that a user cannot give to a run."""
    if not isinstance(run_id, str) or not run_id:
        raise InvalidOptionError(f'run_id is text such as "import-2024-05", not {run_id!r:.100}')
    if "/" in run_id or run_id in RESERVED:
        # The run's rows would be mistaken for those of another run or of the store, and deleted with them.
        raise InvalidOptionError(
            f'run_id must not contain "/" or be one of {", ".join(sorted(RESERVED))}; it is {run_id!r:.100}'
        )
