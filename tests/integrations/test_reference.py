"""`docs/reference/integrations.md` lists what there is, and nothing else."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.integrations.surface import KINDS, PAGE, methods, section
from trigger_nb import integrations
from trigger_nb.integrations import Credential, Integration

TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_method_has_its_row(kind):
    rows = re.findall(r"^\| `((?:\w|\.|\(\.\.\.\))+)\((.*?)\)` \|", SECTIONS[kind.service], re.MULTILINE)
    assert {path: signature.replace("\\|", "|") for path, signature in rows} == methods(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_page_says_what_the_code_says(kind):
    """Of its docstring and those of its methods. Written by `python -m tests.integrations.surface`."""
    assert section(kind) in TEXT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_how_to_make_and_install_it_is_told(kind, monkeypatch):
    section = SECTIONS[kind.service]
    assert f"pip install 'trigger-nb[{kind.extra}]'" in section
    told = " ".join(re.findall(r"`([^`\n]+)`", section))
    for name in inspect.signature(kind).parameters:
        assert re.search(rf"\b{name}\b", told), name
    for credential in vars(kind()).values():
        if isinstance(credential, Credential):
            for variable in credential._variables:
                assert f"`{variable}`" in section


def test_there_are_no_other_sections():
    assert set(SECTIONS) - {kind.service for kind in KINDS} == {"In all of them", "To write one"}


def test_what_all_have_and_what_is_there_to_write_one_is_told():
    told = " ".join(re.findall(r"`([^`\n]+)`", SECTIONS["In all of them"] + SECTIONS["To write one"]))
    names = {name for name in vars(Integration) if not name.startswith("_")} | set(integrations.__all__)
    assert [
        name
        for name in sorted(names - {kind.__name__ for kind in KINDS})
        if not re.search(rf"\b{name}\b", told)
    ] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_says_what_is_retried_and_where_the_service_says_so(kind):
    """The docstring of each names its source."""
    assert "**Retried**" in kind.__doc__
    assert "https://" in kind.__doc__
