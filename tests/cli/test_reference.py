"""The pages about the command line have all of it, and only what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from trigger_nb._cli import problems
from trigger_nb._cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "trigger-nb " in path.read_text(encoding="utf-8")]


def options(command):
    return [option for parameter in command.params for option in parameter.opts if option.startswith("-")]


def test_each_command_and_option_is_in_the_reference():
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w-]+)[ `]", page.partition("## Arguments")[0], re.MULTILINE)
    assert sorted(told) == sorted(COMMANDS)
    for name, command in COMMANDS.items():
        assert [each for each in options(command) if f"`{each}" not in page] == [], name


def test_the_exit_codes_are_those_of_the_code():
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    told = [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert told == [
        0,
        problems.FAILED,
        problems.USAGE,
        problems.LOCKED,
        problems.NOT_ENDED,
        problems.INTERRUPTED,
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_pages_say_to_type_can_be_typed(page):
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"(?:^|[/`]|run: )trigger-nb ((?:[a-z]|--)[^`\n|&<>#]*)", text, re.MULTILINE)
    for line in lines:
        words = shlex.split(line.replace("...", "").replace("$(date +\\%F)", "x"))
        name, given = words[0], [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
        if name.startswith("--"):
            assert name in ("--help", "--version", "--install-completion", "--show-completion"), line
            continue
        assert name in COMMANDS, line
        assert set(given) <= set(options(COMMANDS[name])), line
