"""The program `trigger-nb`: its commands, in the order of its help."""

from __future__ import annotations

from . import answering, changing, jobs, looking
from .frame import app

COMMANDS = (jobs, looking, changing, answering)  # each adds its commands to the app when it is imported


def run() -> None:
    """Run the command that the arguments name."""
    app()
