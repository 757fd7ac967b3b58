"""A store whose database could not be made whole is not there: it would be broken for good (S7)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SHIM = Path(__file__).with_name("failing_write.c")
MAKE = """
    import ctypes, sys
    from pathlib import Path
    from trigger_nb._store.disk import DiskStore
    from trigger_nb._store.protocol import Row
    from trigger_nb.errors import StoreError

    shim = ctypes.CDLL(sys.argv[2])
    shim.arm.restype = ctypes.c_long
    refused = 0
    for nth in range(1, 1000, int(sys.argv[4])):
        place = Path(sys.argv[1]) / str(nth)
        shim.arm(ctypes.c_long(nth), int(sys.argv[3]))
        try:
            DiskStore(place).close()
        except StoreError as error:
            refused += 1
            assert "cannot be opened" in str(error) or "cannot be used" in str(error) or "could not be made" in str(error)
            assert not (place / "cache.db").exists(), nth
        done = shim.arm(0, 0) > 0
        store = DiskStore(place)  # the disk has room again
        store.commit([Row("a", "t", "1")])
        assert store.select("t") == [("a", "1")], nth
        store.close()
        assert not list(place.glob(".new-*")), nth
        if done:
            break
    print(nth, refused)
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs LD_PRELOAD and cc")
@pytest.mark.parametrize(("code", "stride"), [("ENOSPC", 1), ("EIO", 7)])
def test_a_write_that_fails_while_a_store_is_made_leaves_no_store_behind(tmp_path, code, stride):
    """Whichever of them fails, the next cell makes the store. SQLite does not report all of them."""
    library = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(MAKE),
            tmp_path,
            library,
            str(getattr(errno, code)),
            str(stride),
        ],
        env={**os.environ, "LD_PRELOAD": str(library)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    writes, refused = map(int, done.stdout.split())
    assert 20 < stride * refused < writes
