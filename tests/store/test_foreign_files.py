"""A store that came from somebody else, in a repository or an archive: links, FIFOs and files that are not ours."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.worlds import World, age
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.lease import acquire
from trigger_nb.errors import CorruptRecordError, StoreError

BIG = "x" * 100_000  # a value file of its own
YEARS_AGO = (0, 0)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights, and there are no FIFOs")


@pytest.fixture
def plain(tmp_path):
    world = World(tmp_path / "store")
    yield world
    world.new_kernel()


@pytest.fixture
def projects(tmp_path):
    """A folder of the user's, outside of every store. What is in it has lain for long."""
    root = tmp_path / "projects"
    for name in ("thesis", "photos", "like-ours-0123456789abcdef"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("precious")
        (root / name / ("0" * 64)).write_text("precious")
        os.utime(root / name, YEARS_AGO)
    return root


def all_of(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def one_task(world):
    @world.client.job(id="job")
    async def job(payload, io):
        return await io.run_task("task", lambda: payload)

    return job


def values_of(world):
    return world.client.dir / "values"


def the_file(world):
    """The one value file."""
    (path,) = values_of(world).glob("*/*")
    return path


def replace(path, target):
    """Put a link in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


# What is removed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["values", "leases"])
def test_prune_removes_nothing_that_a_link_leads_to(plain, projects, name):
    """The link came while the store was open."""
    plain.run(one_task(plain), BIG)
    before = all_of(projects)
    replace(plain.client.dir / name, projects)
    assert len(plain.client.prune(older_than=0).runs) == 1
    assert all_of(projects) == before


def test_a_run_whose_folder_is_a_link_goes_without_what_the_link_leads_to(plain, projects):
    job = one_task(plain)
    for remove in (lambda: plain.client.runs()[0].delete(), lambda: plain.client.prune(older_than=0)):
        plain.run(job, BIG)
        folder = the_file(plain).parent
        before = all_of(projects)
        replace(folder, projects / "thesis")
        remove()
        assert len(plain.client.runs()) == 0
        assert all_of(projects) == before
        folder.unlink()


def test_own_files_in_the_folder_of_values_stay(plain):
    """By whatever name they lie there, and where a run's values lay."""
    job = one_task(plain)
    plain.run(job, BIG)
    plain.run(job, BIG + "2")
    values = values_of(plain)
    files = [values / "mine.txt", values / "mine" / "a.draft", values / ("0" * 64)]
    files += [folder / name for folder in values.iterdir() for name in ("mine.txt", ".half.draft")]
    files += [folder / ("0" * 64) / "mine.txt" for folder in values.iterdir()]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("precious")
    age(values)
    plain.client.runs()[0].delete()
    age(values)
    plain.client.prune(older_than=0)
    assert len(plain.client.runs()) == 0
    age(values)
    plain.client.prune(older_than=0)
    assert {path for path in values.rglob("*") if path.is_file()} == set(files)


def test_what_has_another_name_elsewhere_stays_there(plain, tmp_path):
    """A hard link loses its name in the store, and is neither emptied nor written to."""
    plain.run(one_task(plain), BIG)
    (tmp_path / "mine").hardlink_to(the_file(plain))
    held = (tmp_path / "mine").read_bytes()
    plain.client.prune(older_than=0)
    assert list(values_of(plain).iterdir()) == []
    assert (tmp_path / "mine").read_bytes() == held


def test_heartbeats_of_older_versions_stay_where_they_are(plain):
    plain.run(one_task(plain), "a")
    leases = plain.client.dir / "leases"
    leases.mkdir()
    (leases / ("0" * 16 + ".beat")).write_text("{}")
    os.utime(leases / ("0" * 16 + ".beat"), YEARS_AGO)
    plain.new_kernel()
    assert plain.client.prune(older_than=0).skipped == ()
    assert (leases / ("0" * 16 + ".beat")).exists()


# What is opened -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["file", "folder", "nothing"])
@pytest.mark.parametrize("name", ["cache.db", "cache.db-wal", "cache.db-shm", "run.lock", "values"])
def test_a_store_that_holds_a_link_is_not_opened(plain, projects, name, to):
    """Git keeps links: a cloned store could have its files written, and removed, anywhere else."""
    plain.run(one_task(plain), BIG)
    plain.new_kernel()
    place = plain.directory / "world"
    target = {"file": projects / "thesis" / "file", "folder": projects, "nothing": projects / "new"}[to]
    replace(place / name, target)
    before = all_of(projects)
    with pytest.raises(StoreError, match=rf"{name} is a link.*remove it.*dir="):
        plain.client.prune(older_than=0)
    assert all_of(projects) == before
    (place / name).unlink()
    if name != "cache.db":
        assert plain.client.prune(older_than=0).skipped == ()


def test_the_database_of_another_store_is_not_used_through_a_link(plain, tmp_path):
    """It was put there while the store was open."""
    other = World(tmp_path / "other")
    other.run(one_task(other), "other")
    place = other.client.dir / "cache.db"
    other.new_kernel()
    plain.run(one_task(plain), "mine")
    replace(plain.client.dir / "cache.db", place)
    with pytest.raises(StoreError, match="is a link"):
        plain.client.prune(older_than=0)
    assert [run.payload for run in other.client.runs()] == ["other"]
    other.new_kernel()


@pytest.mark.parametrize("name", ["cache.db", "run.lock", "values"])
def test_a_store_with_a_fifo_in_it_is_not_opened(plain, name):
    plain.run(one_task(plain), "a")
    plain.new_kernel()
    path = plain.directory / "world" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(StoreError, match=f"{name} is not the kind of file or folder"):
        plain.client.runs()


@pytest.mark.parametrize("link", ["dir", ".trigger_nb/client"])
def test_a_store_that_lies_behind_a_link_works(tmp_path, link):
    """On a larger disk, where its user has put it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    place = tmp_path / "here"
    if link == "dir":
        place.symlink_to(disk)
    else:
        place.mkdir()
        (place / "world").symlink_to(disk)
    world = World(place)
    job = one_task(world)
    world.run(job, BIG)
    world.new_kernel()
    assert world.client.runs()[0].output == BIG
    assert list(disk.rglob("cache.db"))
    assert len(world.client.prune(older_than=0).runs) == 1
    assert list(values_of(world).iterdir()) == []
    world.new_kernel()


# What is read ---------------------------------------------------------------------------------------


def link_to_a_copy(path):
    copy = path.parents[3] / "copy"
    shutil.copy(path, copy)
    replace(path, copy)


def link_to_nothing(path):
    replace(path, path.parents[3] / "nothing")


def link_of_the_folder(path):
    moved = path.parents[3] / "moved"
    shutil.move(path.parent, moved)
    path.parent.symlink_to(moved)


def link_of_values(path):
    moved = path.parents[3] / "moved"
    shutil.move(path.parents[1], moved)
    path.parents[1].symlink_to(moved)


def device(path):
    replace(path, "/dev/zero")


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def folder_is_a_fifo(path):
    shutil.rmtree(path.parent)
    os.mkfifo(path.parent)


NO_VALUE = [
    link_to_a_copy, link_to_nothing, link_of_the_folder, link_of_values, device, fifo, folder, folder_is_a_fifo,
]  # fmt: skip


@pytest.mark.parametrize("put", NO_VALUE)
def test_what_is_no_value_file_is_a_lost_value_and_is_not_read(tmp_path, put):
    """Neither through a link, nor from a FIFO, which would have its reader wait for ever."""
    store = DiskStore(tmp_path / "store")
    name = store.blobs("run").put(b"data")
    (path,) = (store.directory / "values").glob("*/*")
    put(path)
    outside = all_of(tmp_path)
    with pytest.raises(
        CorruptRecordError, match=r"'run' is lost: .* is (a link|not the kind of file).*rerun_from"
    ):
        store.blobs("run").get(name)
    store.share_blobs("run", "fork", [name])
    with pytest.raises(CorruptRecordError, match="'fork' is lost"):
        store.blobs("fork").get(name)
    store.blobs_size()
    store.delete_blobs("run")
    copy = Path(tmp_path / "copy")
    assert not copy.exists() or copy.read_bytes() == b"data"
    assert {name: data for name, data in outside.items() if "moved" in name}.items() <= all_of(
        tmp_path
    ).items()
    store.close()


@pytest.mark.parametrize("put", [link_to_a_copy, link_to_nothing, fifo])
def test_a_value_that_comes_again_replaces_what_is_in_its_place(tmp_path, put):
    """And not what a link leads to."""
    store = DiskStore(tmp_path / "store")
    name = store.blobs("run").put(b"data")
    (path,) = (store.directory / "values").glob("*/*")
    put(path)
    assert store.blobs("run").put(b"data") == name
    assert store.blobs("run").get(name) == b"data"
    assert not path.is_symlink()
    assert not (tmp_path / "nothing").exists()
    store.close()


@pytest.mark.parametrize("place", ["values", "folder"])
def test_no_value_is_written_through_a_link(plain, projects, place):
    """The cell says what is wrong, and what came is kept until the link is gone."""
    job = one_task(plain)
    plain.run(job, BIG)
    link = values_of(plain) if place == "values" else the_file(plain).parent
    replace(link, projects)
    before = all_of(projects)
    with pytest.raises(StoreError, match="is a link.*remove it"):
        plain.client.runtime.store.blobs(plain.client.runs()[0].id).put(b"other")
    assert all_of(projects) == before


@pytest.mark.parametrize("put", [link_of_the_folder, link_of_values])
def test_a_value_that_a_link_leads_to_is_not_taken_for_kept(tmp_path, put):
    """It could not be read again."""
    store = DiskStore(tmp_path / "store")
    store.blobs("run").put(b"data")
    (path,) = (store.directory / "values").glob("*/*")
    put(path)
    with pytest.raises(StoreError, match="is a link"):
        store.blobs("run").put(b"data")
    store.close()


def test_a_replay_says_that_its_value_is_a_link(plain):
    job = one_task(plain)
    plain.run(job, BIG)
    plain.new_kernel()
    link_to_a_copy(next((plain.directory / "world" / "values").glob("*/*")))
    with pytest.raises(CorruptRecordError, match="is a link"):
        _ = plain.client.runs()[0].output


# Locks and heartbeats -------------------------------------------------------------------------------


def test_no_lock_is_taken_in_a_file_behind_a_link(tmp_path):
    """The lock would stand in the way of whatever that file belongs to."""
    target = tmp_path / "mine.db"
    (tmp_path / "run.lock").symlink_to(target)
    with pytest.raises(StoreError, match=r"run\.lock is a link"):
        acquire(tmp_path, "run")
    assert not target.exists()


def test_a_lock_file_that_was_replaced_by_a_link_is_noticed(plain, tmp_path):
    job = one_task(plain)
    plain.run(job, "a")
    lock = plain.client.dir / "run.lock"
    lock.rename(tmp_path / "moved.lock")
    lock.symlink_to(tmp_path / "moved.lock")
    with pytest.raises(StoreError, match=r"run\.lock is a link"):
        plain.run(job, "b")
