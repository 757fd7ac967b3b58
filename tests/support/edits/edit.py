"""An edit of notebook cells, and the verdict that it is to get."""

from __future__ import annotations

from textwrap import dedent
from typing import Literal, NamedTuple, TypeAlias

After: TypeAlias = (
    str | tuple[str, str]
)  # the cells after the edit, or a piece of the cells before it and its new text


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


def same(name: str, before: str, after: After, why: str) -> Edit:
    return Edit(name, before, _edited(before, after), "same", why)


def changed(name: str, before: str, after: After, why: str) -> Edit:
    return Edit(name, before, _edited(before, after), "changed", why)


def _edited(before: str, after: After) -> str:
    if isinstance(after, str):
        return after
    assert before.count(after[0]) == 1, after
    return before.replace(*after)
