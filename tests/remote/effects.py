"""What bodies on workers have done, told by files: they share no memory with the test."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

PATIENCE = 300  # seconds, for what is bound to come


class Effects:
    """A folder that bodies write to, and gates that they wait at. It goes to workers, too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def add(self, what: object) -> None:
        """From a body: something was done."""
        fd = os.open(self.folder / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{what}\n".encode())
        os.close(fd)

    @property
    def all(self) -> list[str]:
        file = self.folder / "effects"
        return file.read_text().split() if file.exists() else []

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.all)

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    def pass_through(self, gate: str) -> None:
        """From a body: wait until the gate is open."""
        wait_for(lambda: (self.folder / gate).exists())


def wait_for(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.01)


async def until(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        await asyncio.sleep(0.01)
