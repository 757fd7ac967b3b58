"""An edit of notebook cells, and the verdict that it is to get."""

from __future__ import annotations

from textwrap import dedent
from typing import Literal, NamedTuple


class Edit(NamedTuple):
    name: str
    before: str
    after: str
    verdict: Literal["same", "changed"]
    why: str

    def cells(self) -> tuple[list[str], list[str]]:
        return split(self.before), split(self.after)


def split(source: str) -> list[str]:
    return dedent(source).strip("\n").split("# %%\n")


def same(name: str, before: str, after: str, why: str) -> Edit:
    return Edit(name, before, after, "same", why)


def changed(name: str, before: str, after: str, why: str) -> Edit:
    return Edit(name, before, after, "changed", why)
