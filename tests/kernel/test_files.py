"""Issue 15, Files are values: in a real notebook, with a new kernel between passes."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest

from tests.support.kernels import cell

CODE = """
    from trigger_nb import File, Files

    client = TriggerClient("etl")

    def load(file):
        effect(f"load {file.name}")
        return open(file).read().split(",")

    async def total(rows):
        effect("total")
        with open("out/total.txt", "w") as file:
            file.write(str(sum(map(int, rows))))
        return File("out/total.txt")

    @client.job(on_change="only")
    async def etl(payload, io):
        rows = await io.run_task("load", load, File("data/users.csv"))
        out = await io.run_task("total", total, rows)
        each = await io.map("each", Files("data/part-*.csv"), load)
        return open(out).read(), len(each)

    await etl.run()
"""


@pytest.fixture
def folder(one_kernel):
    one_kernel.restart()
    for name, text in [("users.csv", "1,2"), ("part-1.csv", "1"), ("part-2.csv", "2")]:
        path = one_kernel.directory / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (one_kernel.directory / "out").mkdir(exist_ok=True)
    return one_kernel.directory


def test_a_csv_edited_touched_replaced_and_removed(one_kernel, folder):
    """Run again, not, not, a clear error: and the file of a result that is gone says which task writes it."""
    kernel, seen = one_kernel, 0
    users = folder / "data" / "users.csv"

    def passes(change=lambda: None, move=""):
        nonlocal seen
        seen = len(kernel.effects)
        change()
        kernel.restart()
        done = kernel.run(cell(move, CODE))
        return done, sorted(kernel.effects[seen:])

    done, effects = passes()
    assert done.check().result == "('3', 2)"
    assert effects == ["load part-1.csv", "load part-2.csv", "load users.csv", "total"]

    done, effects = passes(lambda: users.write_text("1,3"))
    assert (done.check().result, effects) == ("('4', 2)", ["load users.csv", "total"])
    assert "run again · changed: params" in done.tree

    done, effects = passes(lambda: os.utime(users, (1, 1)))
    assert (done.check().result, effects) == ("('4', 2)", [])

    def replace():
        (folder / "draft").write_text("1,3")
        os.replace(folder / "draft", users)

    done, effects = passes(replace)
    assert (done.check().result, effects) == ("('4', 2)", [])
    assert "Everything was replayed" in done.tree

    done, effects = passes(lambda: (folder / "data" / "part-2.csv").write_text("22"))
    assert (done.check().result, effects) == ("('4', 2)", ["load part-2.csv"])
    assert "data/part-2.csv, 2 B" in done.tree

    total = folder / "out" / "total.txt"
    done, effects = passes(lambda: total.write_text("5"))
    assert (done.error, effects) == ("ValueNotStoredError", [])
    assert (
        f"the file out/total.txt ({total}) was altered: it has the same size, and another content"
        in done.message
    )
    assert "run.rerun_from('total')" in done.message
    rerun = "run = etl.runs()[0]; run.rerun_from('total'); print(await run)"
    assert kernel.run(rerun).check().printed.strip() == "('4', 2)"
    assert "total" in kernel.effects[seen:]

    done, effects = passes(users.unlink)
    assert (done.error, effects) == ("UnreadableFileError", [])
    assert f"there is no file {users}. Put the file there, then run the cell again." in done.message
    assert "trigger_nb/" not in done.traceback, "our frames are cut"

    done, effects = passes(lambda: users.write_text("1,3"))
    assert (done.check().result, effects) == ("('4', 2)", [])


def test_a_large_file_is_read_by_one_kernel_and_not_by_the_next(one_kernel, folder):
    """Size and times first: a kernel that finds the hash in the store reads nothing."""
    kernel = one_kernel
    code = dedent(
        """
        from trigger_nb import File
        from trigger_nb._values import file_hashes
        read, paths = file_hashes._read, []
        file_hashes._read = lambda path: paths.append(path) or read(path)
        now = file_hashes.now
        file_hashes.now = lambda: now() + 10**10  # the file is at rest

        client = TriggerClient("large")

        @client.job
        async def large(payload, io):
            return await io.run_task("size", lambda file: file.size, File("large.bin"))

        print(await large.run(display=False), len(paths))
        """
    )
    (folder / "large.bin").write_bytes(bytes(20_000_000))
    kernel.restart()
    assert kernel.run(code).check().printed == "20000000 1\n"
    kernel.restart()
    assert kernel.run(code).check().printed == "20000000 0\n"
    (folder / "large.bin").write_bytes(bytes(20_000_001))
    kernel.restart()
    assert (
        kernel.run(code.replace("large.run(", "large.run(on_change='only', ")).check().printed
        == "20000001 1\n"
    )
