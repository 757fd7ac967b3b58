"""The locked environments (`constraints/`, written by `make lock`) go with pyproject.toml, on every machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = [item.rpartition(" ")[2] for item in PROJECT["classifiers"] if "Python :: 3." in item]
MACHINES = [
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
]


def lines(extra):
    return (ROOT / "constraints" / f"{extra}.txt").read_text(encoding="utf-8").splitlines()


def direct(extra):
    """What an extra asks for, those in it included."""
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == PROJECT["name"]:
            for name in requirement.extras:
                yield from direct(name)
        else:
            yield requirement


@pytest.mark.parametrize("extra", ["dev", "bench"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(machine.values()))
@pytest.mark.parametrize("python", PYTHONS)
def test_what_pyproject_asks_for_is_locked(extra, machine, python):
    """Fails when pyproject.toml was changed without `make lock`."""
    environment = machine | {"python_version": python, "python_full_version": f"{python}.9"}

    def holds(requirement):
        return requirement.marker is None or requirement.marker.evaluate(environment)

    locked = {}
    pins = [Requirement(line) for line in lines(extra) if not line.startswith("#")]
    for requirement in filter(holds, pins):
        (pin,) = requirement.specifier  # one release ...
        assert pin.operator == "=="
        assert requirement.name not in locked  # ... of each package
        locked[requirement.name] = pin.version
    for requirement in filter(holds, [*map(Requirement, PROJECT["dependencies"]), *direct(extra)]):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("extra", ["dev", "bench"])
def test_the_lock_names_no_place(extra):
    """No package host, no path and no option: what one machine has does not get onto another."""
    assert [line for line in lines(extra) if line.startswith("-") or set(line) & {"/", "\\", "@"}] == []


def test_all_means_everything_that_users_can_add():
    """`make test-oldest` takes the lower bounds from it."""
    for_us = {"all", "test", "lint", "dev", "bench"}
    assert set().union(*(Requirement(item).extras for item in EXTRAS["all"])) == EXTRAS.keys() - for_us
