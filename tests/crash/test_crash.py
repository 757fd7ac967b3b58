"""R3, seen from outside: no body whose result was committed runs again, whenever the process is killed."""

from __future__ import annotations

import pytest

from . import history_check
from .harness import FIRST_SEED, HISTORIES, crash_test, launch_once
from .trace import Line, check


@pytest.mark.timeout(3600)
def test_random_jobs_killed_at_random_moments(tmp_path):
    """R3, R1, I6, A1: the short form of `python -m tests.crash`, which runs 200."""
    summary = crash_test(tmp_path / "crash", range(FIRST_SEED, FIRST_SEED + 12))
    assert summary.faults == []
    assert all(one.kills for one in summary.outcomes)


@pytest.mark.timeout(3600)
def test_it_finds_out_a_commit_after_the_return(tmp_path, monkeypatch):
    """The same jobs under an engine that hands out a value before it commits it."""
    monkeypatch.setenv("CRASH_TEST_DELAY", "0.25")
    summary = crash_test(tmp_path / "crash", range(FIRST_SEED, FIRST_SEED + 4), mutant="commit-after-return")
    assert any(one.findings.repeated for one in summary.outcomes), summary.table()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_runs_that_share_results_killed_at_random_moments(tmp_path):
    """Reuse, expiry, edited files, deleting and pruning, in random histories. `make crashtest` has 200."""
    summary = crash_test(tmp_path / "crash", range(FIRST_SEED, FIRST_SEED + 2), subject=HISTORIES)
    assert summary.faults == []
    assert all(one.kills for one in summary.outcomes)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mutant", ["wipe-shared-files", "never-expire"])
def test_it_finds_out_wrong_reuse(tmp_path, mutant):
    """The same histories, left alone, in a client that is wrong on purpose."""
    launch_once(tmp_path, "1", 1003, mutant=mutant, subject=HISTORIES)
    assert history_check.check(history_check.read(tmp_path / "1003.trace"), 1003).faults


# The check itself: each fault in a trace made by hand ------------------------------------------

ALONE = [
    Line("begin", "a", attempt=1, key="ka"),
    Line("begin", "a/b", attempt=1, key="kb"),
    Line("end", "a/b", attempt=1, key="kb", digest="2"),
    Line("seen", "a/b", digest="2"),
    Line("end", "a", attempt=1, key="ka", digest="1"),
    Line("seen", "a", digest="1"),
    Line("output", digest="0"),
]


def test_no_fault_in_a_run_left_alone():
    found = check(ALONE, ALONE)
    assert found.faults == []
    assert (found.bodies, found.interrupted, found.committed) == (2, 0, 2)


def test_an_interrupted_body_may_run_again():
    found = check([Line("begin", "a", launch="0", attempt=1, key="ka"), *ALONE], ALONE)
    assert found.faults == []
    assert (found.bodies, found.interrupted) == (3, 1)


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/c"])
def test_a_committed_body_that_runs_again(path):
    """In it, too: a committed parent is replayed without a look at its children."""
    again = Line("begin", path, launch="2", attempt=1, key=f"k{path[-1]}")
    assert len(check([*ALONE[:4], again], ALONE).repeated) == (path != "a")
    assert len(check([*ALONE, again], ALONE).repeated) == 1


def test_a_child_committed_says_nothing_of_its_parent():
    lines = [*ALONE[:4], Line("begin", "a", launch="2", attempt=1, key="ka"), *ALONE[4:]]
    assert check(lines, ALONE).faults == []


HANDLED = [
    Line("begin", "a", attempt=1, key="ka"),
    Line("failed", "a", attempt=1, key="ka"),
    Line("caught", "a"),
]
LATER = [Line("call", "b"), Line("seen", "b", digest="2")]
AGAIN = Line("begin", "a", launch="2", attempt=1, key="ka")


def test_an_error_that_was_handled_for_good_is_not_run_into_again():
    """R5: a stored task began after it."""
    assert len(check([*HANDLED, *LATER, AGAIN], []).repeated) == 1


def test_an_error_that_was_handled_by_something_that_is_done_in_part():
    part = [Line("call", "b"), Line("call", "b/part"), Line("seen", "b/part", digest="3")]
    assert len(check([*HANDLED, *part, AGAIN], []).repeated) == 1
    assert check([part[0], *HANDLED, *part[1:], AGAIN], []).repeated == []


def test_an_error_that_may_have_ended_the_run_may_be_run_into_again():
    assert check([*HANDLED, AGAIN], []).repeated == []
    assert check([*HANDLED, LATER[0], AGAIN], []).repeated == []
    assert check([LATER[0], *HANDLED, LATER[1], AGAIN], []).repeated == []


def test_a_wrong_value():
    lines = [Line(one.what, one.path, digest="9") if one.what == "seen" else one for one in ALONE]
    assert len(check(lines, ALONE).wrong) == 2


def test_a_wrong_output():
    assert len(check([*ALONE[:-1], Line("output", digest="9")], ALONE).wrong) == 1


def test_a_value_that_is_lost():
    assert len(check([line for line in ALONE if line.what != "seen"], ALONE).lost) == 2
    assert len(check(ALONE[:-1], ALONE).lost) == 1


def test_another_idempotency_key():
    assert len(check([Line("begin", "a", launch="0", attempt=1, key="other"), *ALONE], ALONE).keys) == 1


def test_an_idempotency_key_of_two_tasks():
    assert len(check([Line("begin", "c", attempt=1, key="ka"), *ALONE], ALONE).keys) == 1


def test_a_forgotten_attempt():
    second = Line("begin", "a", launch="0", attempt=2, key="ka")
    assert len(check([second, *ALONE], ALONE).attempts) == 1
    assert check([second, Line("stopped", launch="0"), *ALONE], ALONE).attempts == []
    given_up = Line("failed", "a", launch="0", attempt=2, key="ka", last=True)
    assert check([second, given_up, *ALONE], ALONE).attempts == []
