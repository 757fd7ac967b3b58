"""How `make test` comes by a browser."""

from __future__ import annotations

import pytest

from . import chromium


@pytest.fixture
def asked(monkeypatch):
    """What would have been installed; nothing is."""
    asked = []
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    monkeypatch.setattr(chromium, "_of_playwright", lambda: None)
    monkeypatch.setattr(chromium, "_succeeds", lambda *command: asked.append(command) or True)
    chromium.find.cache_clear()
    yield asked
    chromium.find.cache_clear()


def a_program(path, prints):
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return str(path)


def test_one_that_is_there_is_used_and_nothing_is_asked_of_the_network(asked, tmp_path, monkeypatch):
    there = a_program(tmp_path / "chromium", "Chromium 150.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.get() == there
    assert asked == []


def test_a_script_that_only_says_what_to_install_is_none(asked, tmp_path, monkeypatch):
    a_program(tmp_path / "chromium", "Please install the snap")
    there = a_program(tmp_path / "google-chrome", "Google Chrome 150.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.get() == there


def test_the_one_that_is_named_is_used_or_refused(asked, tmp_path, monkeypatch):
    monkeypatch.setenv(chromium.VARIABLE, a_program(tmp_path / "mine", "Chromium 1.0"))
    assert chromium.find() == str(tmp_path / "mine")
    chromium.find.cache_clear()
    monkeypatch.setenv(chromium.VARIABLE, a_program(tmp_path / "other", "hello"))
    with pytest.raises(LookupError, match="is no Chromium that starts"):
        chromium.get()
    assert asked == []


def test_without_any_it_is_installed_and_the_failure_says_what_to_do(asked, tmp_path, monkeypatch, capsys):
    a_program(tmp_path / "apt-get", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "MAC", ())
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="say where one is: TRIGGER_NB_CHROMIUM="):
        chromium.main()
    assert [command[-2:] for command in asked] == [
        ("DPkg::Lock::Timeout=300", "update"),
        chromium.PACKAGES,
        ("install", "chromium"),
    ]
