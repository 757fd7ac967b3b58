"""`client.check` and `client.repair`: what is wrong with a store, and what can be saved of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .._store import check as checking, repair as repairing
from .._store.sqlite_errors import explain, explain_os
from .._view.render.store_table import Repaired, StoreCheck
from ..errors import RunStateError, StoreError
from .runtime import active_runs_in

T = TypeVar("T")


def check(directory: Path) -> StoreCheck:
    """Read all of a store, and report."""
    found = _in_store(directory, checking.check)
    return StoreCheck(
        directory=directory,
        records=found.rows,
        damaged=tuple(found.wrong),
        database=tuple(found.database),
        lost_files=tuple(found.lost),
        unused_files=tuple(found.unused),
    )


def repair(directory: Path) -> Repaired:
    """Save what can be saved of a store into a new one."""
    if runs := active_runs_in(directory):
        raise RunStateError(
            f"the store {directory} cannot be copied while its runs are under way here ({', '.join(runs)}): pause or "
            "cancel them first"
        )
    saved = _in_store(directory, repairing.repair)
    return Repaired(
        directory=saved.directory,
        replaces=directory,
        records=saved.rows,
        damaged=tuple(saved.wrong),
        left_out=tuple(saved.left_out),
        files=saved.files,
    )


def _in_store(directory: Path, do: Callable[[Path], T]) -> T:
    if not (directory / "cache.db").exists():
        raise StoreError(f"there is no store in {directory}: its database, cache.db, is missing")
    try:
        return do(directory)
    except OSError as error:
        explain_os(error, directory)
    except sqlite3.Error as error:
        explain(error, directory)
