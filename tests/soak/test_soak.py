"""A short form of the soak test, and whether it would notice."""

from __future__ import annotations

import threading

import pytest

from tests.soak.__main__ import main
from tests.soak.work import Work, too_much

pytestmark = pytest.mark.slow
A_MOMENT = ["--minutes", "0.05"]


def test_mixed_runs_run(capsys):
    """The hour is run by hand; a moment only shows that the jobs work. What grows in it may be warming up."""
    main(A_MOMENT)
    assert len(capsys.readouterr().out.splitlines()) == 14


def test_it_finds_what_grows(tmp_path):
    """By the samples of two moments, whatever happens to how fast the machine is."""
    work = Work(tmp_path)
    before, over = work.sample(), threading.Event()
    kept = [bytearray(b"x" * 2_000_000) for _ in range(50)]
    opened = [(tmp_path / "open").open("w") for _ in range(20)]
    threads = [threading.Thread(target=over.wait) for _ in range(20)]
    for each in threads:
        each.start()
    try:
        grown = work.sample().growth(before)
    finally:
        over.set()
        for thread, file in zip(threads, opened, strict=True):
            thread.join()
            file.close()
    assert len(kept) == 50
    assert set(too_much(grown)) == {"memory", "threads", "files"}
    assert too_much(dict.fromkeys(grown, 0.0)) == {}
