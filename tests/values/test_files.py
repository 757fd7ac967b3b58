"""Issue 15, Files are values: what makes two files equal, and what is read to find out."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel

from trigger_nb import File, Files
from trigger_nb._store.file_index import FileIndex
from trigger_nb._values import canonical, decode, encode, file_hashes, fingerprint_inputs, preview
from trigger_nb._values.file_hashes import FileHashes, Stamp
from trigger_nb._values.files import needs_reading
from trigger_nb._view.model.readable import value_text
from trigger_nb.errors import FileLostError, InvalidOptionError, NotStorableError, UnreadableFileError


class Folder(BaseModel):
    file: File
    others: list[File] = []


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory of its own, and hashes that no other test knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(file_hashes.hashes, "_known", {})
    monkeypatch.setattr(file_hashes.hashes, "_indexes", [])
    monkeypatch.setattr(file_hashes.hashes, "_unread", [])
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, in order."""
    read, paths = file_hashes._read, []

    def noted(path):
        paths.append(os.path.basename(path))
        return read(path)

    monkeypatch.setattr(file_hashes, "_read", noted)
    return paths


def at_rest(monkeypatch):
    """The files that are there now were written a minute ago."""
    real = file_hashes.now
    monkeypatch.setattr(file_hashes, "now", lambda: real() + 60_000_000_000)


def content(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    Path(path).write_text(text)
    return File(path)


# What counts --------------------------------------------------------------------------------------


def test_an_edited_file_is_another_value(here):
    file = write("a.csv", "1")
    before = fingerprint_inputs((file,))
    write("a.csv", "2")
    assert fingerprint_inputs((file,)) != before


def test_a_touched_file_is_the_same_value(here):
    file = write("a.csv", "1")
    before = fingerprint_inputs((file,))
    os.utime("a.csv", (1, 1))
    assert fingerprint_inputs((file,)) == before


def test_a_file_that_an_equal_one_replaces_is_the_same_value(here):
    file = write("a.csv", "1")
    before = fingerprint_inputs((file,))
    write("b.csv", "1")
    os.replace("b.csv", "a.csv")
    assert fingerprint_inputs((file,)) == before


def test_the_path_counts_as_it_is_written(here):
    """A body may use the name of a file, so a result for one path is none for another."""
    assert canonical(write("a.csv", "1")) != canonical(write("b.csv", "1"))
    assert canonical(File("./a.csv")) == canonical(File("a.csv")) != canonical(File(here / "a.csv"))


def test_a_relative_path_stays_that_of_the_working_directory_at_the_time(here, monkeypatch):
    file = write("a.csv", "1")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert Path(file).read_text() == "1"
    write("a.csv", "1")
    assert canonical(File("a.csv")) == canonical(file), "the same project, moved"
    assert file == File("a.csv")
    write("a.csv", "2")
    assert file != File("a.csv")


def test_a_link_counts_by_the_content_of_its_target(here):
    write("one.csv", "1")
    write("two.csv", "2")
    Path("link.csv").symlink_to("one.csv")
    before = canonical(File("link.csv"))
    Path("link.csv").unlink()
    Path("link.csv").symlink_to("two.csv")
    assert canonical(File("link.csv")) != before


NAMES = st.sampled_from(["a", "b"])
CONTENTS = st.sampled_from(["", "1", "2", "11"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), NAMES, CONTENTS),
        st.tuples(st.just("replace"), NAMES, CONTENTS),
        st.tuples(st.just("touch"), NAMES, st.integers(0, 3)),
        st.tuples(st.just("edit, times kept"), NAMES, CONTENTS),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, rests=st.booleans())
def test_two_looks_are_equal_exactly_if_path_and_content_are(here, steps, rests):
    """The key rule, whatever happens between two looks, and whether hashes are kept or not."""
    with pytest.MonkeyPatch.context() as patch:
        if rests:
            at_rest(patch)
        seen: dict[str, tuple[str, str]] = {}
        for name in ("a", "b"):
            write(name, "")
        for what, name, value in [("edit", "a", ""), *steps]:
            if what == "edit":
                write(name, value)
            elif what == "replace":
                write("new", value)
                os.replace("new", name)
            elif what == "touch":
                os.utime(name, (value, value))
            else:
                status = os.stat(name)
                write(name, value)
                os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))
            if rests and what != "touch":
                _wait_for_another_tick(name)
            for each in ("a", "b"):
                now = (each, Path(each).read_text())
                assert seen.setdefault(canonical(File(each)), now) == now
                assert canonical(File(each)) == canonical(File(each))
        assert len(set(seen.values())) == len(seen)


def _wait_for_another_tick(name):
    """An edit within the tick of a hash that was kept: `at_rest` says what is not so. The clock of the files goes on."""
    before = os.stat(name).st_ctime_ns
    while os.stat(name).st_ctime_ns == before:
        os.chmod(name, 0o600)


# What is read -------------------------------------------------------------------------------------


def test_an_unchanged_file_is_read_once(here, reads, monkeypatch):
    file = write("a.csv", "1")
    at_rest(monkeypatch)
    assert {fingerprint_inputs((file,)) for _ in range(5)} == {fingerprint_inputs((file,))}
    assert reads == ["a.csv"]
    os.utime("a.csv", (1, 1))
    fingerprint_inputs((file,))
    assert reads == ["a.csv"] * 2, "size and times come first"


def test_a_new_kernel_does_not_read_it_again(here, reads, monkeypatch):
    write("a.csv", "1")
    at_rest(monkeypatch)
    index = FileIndex(here)
    for _ in range(3):
        hashes = FileHashes()
        hashes.keep_in(index)
        hashes.of(str(here / "a.csv"))
    assert reads == ["a.csv"]


def test_an_edit_within_one_tick_of_the_clock_is_seen(here, reads, monkeypatch):
    """As Git's "racy" rule: size and times are those of before, so a young file is read at each look."""
    coarse = Stamp.of

    def of(status):
        stamp = coarse(status)
        hour = 3_600_000_000_000
        return stamp._replace(modified=stamp.modified // hour * hour, changed=stamp.changed // hour * hour)

    file = write("a.csv", "1")
    monkeypatch.setattr(Stamp, "of", of)
    now = of(os.stat("a.csv")).modified
    monkeypatch.setattr(file_hashes, "now", lambda: now + file_hashes.REST)
    before = canonical(file)
    write("a.csv", "2")
    assert canonical(file) != before
    assert len(reads) == 2
    monkeypatch.setattr(file_hashes, "now", lambda: now + file_hashes.REST + 1)
    canonical(file)
    canonical(file)
    assert len(reads) == 3, "it is at rest, and its hash is kept"


def test_an_edit_that_sets_the_time_back_is_seen(here, monkeypatch):
    """As `touch -r` and `rsync -t` do: the time of the change tells."""
    file = write("a.csv", "1")
    os.utime("a.csv", (1, 1))
    at_rest(monkeypatch)
    before = canonical(file)
    _wait_for_another_tick("a.csv")
    write("a.csv", "2")
    os.utime("a.csv", (1, 1))
    assert canonical(file) != before


def test_an_edit_that_sets_the_time_back_within_one_tick_is_seen(here, monkeypatch):
    """A file with an old time is young all the same."""
    real = Stamp.of
    monkeypatch.setattr(Stamp, "of", lambda status: real(status)._replace(changed=10**18))
    monkeypatch.setattr(file_hashes, "now", lambda: 10**18 + 1)
    file = write("a.csv", "1")
    os.utime("a.csv", (1, 1))
    before = canonical(file)
    write("a.csv", "2")
    os.utime("a.csv", (1, 1))
    assert canonical(file) != before


def test_a_file_that_is_written_while_it_is_read_is_read_again(here, monkeypatch):
    file = write("a.csv", "1")
    read, left = file_hashes._read, [2]

    def meanwhile(path):
        hashed = read(path)
        if left[0]:
            left[0] -= 1
            write("a.csv", "1" * (left[0] + 2))
            return None if file_hashes.stamp_of(path) != hashed.stamp else hashed
        return hashed

    monkeypatch.setattr(file_hashes, "_read", meanwhile)
    assert file.sha256 == FileHashes().of(str(here / "a.csv")).sha256
    left[0] = 100
    with pytest.raises(
        UnreadableFileError, match=r"a\.csv changes while it is read.*something is writing it"
    ):
        _ = file.sha256


def test_what_is_read_while_it_changes_is_no_hash(here):
    """The stamp before is that after, by the path: also of a file that another one replaces meanwhile."""
    write("a.csv", "1")
    opened = os.open
    with pytest.MonkeyPatch.context() as patch:

        def replace(path, *args, **named):
            descriptor = opened(path, *args, **named)
            patch.undo()
            write("b.csv", "2")
            os.replace("b.csv", "a.csv")
            return descriptor

        patch.setattr(os, "open", replace)
        assert file_hashes._read(str(here / "a.csv")) is None


def test_a_large_file_is_not_read_where_the_loop_would_wait(here, monkeypatch):
    monkeypatch.setattr(file_hashes, "LARGE", 3)
    small, large = write("small", "12"), write("large", "123")
    assert not needs_reading([small])
    assert needs_reading({"files": (small, large)})
    with pytest.raises(file_hashes.NotReadYetError):
        canonical(large, may_read=False)
    at_rest(monkeypatch)
    canonical(large)
    assert not needs_reading([large])


def test_many_threads_may_look_at_once(here):
    files = [write(f"{n}.csv", str(n)) for n in range(20)]
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(canonical(files))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 8
    assert len(set(texts)) == 1


# The index in the store ---------------------------------------------------------------------------


def test_a_damaged_index_is_only_a_reason_to_read(here, reads, monkeypatch):
    write("a.csv", "1")
    at_rest(monkeypatch)
    index = FileIndex(here)
    lines = [
        "no json",
        "[1, 2]",
        '["/x", 1, 2, 3, 4, "short"]',
        '["/x", true, 2, 3, 4, "%s"]' % ("0" * 64),
        "[",
    ]
    index.path.write_text("\n".join(lines))
    for _ in range(2):
        hashes = FileHashes()
        hashes.keep_in(index)
        hashes.of(str(here / "a.csv"))
    assert reads == ["a.csv"], "the line after a cut one is whole"
    assert list(index.read()) == [str(here / "a.csv")]


def test_an_index_that_is_out_of_date_is_written_anew(here):
    index = FileIndex(here)
    hashed = file_hashes.Hashed(Stamp(1, 2, 3, 4), "0" * 64)
    for _ in range(1100):
        index.add("/a.csv", hashed)
    assert index.read() == {"/a.csv": hashed}
    assert index.path.stat().st_size < 1000
    assert index.read() == {"/a.csv": hashed}
    assert index.path.stat().st_mode & 0o077 == 0


def test_an_index_that_is_a_link_is_not_followed(here):
    """As all files in a store, which may come from another person."""
    elsewhere = here / "elsewhere"
    elsewhere.write_text("mine")
    index = FileIndex(here)
    index.path.symlink_to(elsewhere)
    index.add("/a.csv", file_hashes.Hashed(Stamp(1, 2, 3, 4), "0" * 64))
    assert index.read() == {}
    assert elsewhere.read_text() == "mine"


def test_a_store_that_is_gone_gets_no_index(here):
    FileIndex(here / "gone").add("/a.csv", file_hashes.Hashed(Stamp(1, 2, 3, 4), "0" * 64))
    assert not (here / "gone").exists()


# What cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"there is no file .*a\.csv"),
        (lambda path: path.mkdir(), r"a\.csv is a folder, and no file: write Files"),
        (lambda path: os.mkfifo(path), "is a device, a pipe or a socket"),
        (lambda path: path.symlink_to("nowhere"), "there is no file"),
        (lambda path: path.symlink_to("a.csv"), "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_readable_file_says_so(here, make, message):
    make(here / "a.csv")
    with pytest.raises(UnreadableFileError, match=message) as caught:
        canonical(File("a.csv"))
    assert caught.value.path == str(here / "a.csv")
    assert isinstance(caught.value, OSError)
    with pytest.raises(NotStorableError, match="write it before the task returns"):
        encode(File("a.csv"), None)


def test_a_file_without_permission_says_so(here, monkeypatch):
    file = write("a.csv", "1")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "a.csv")  # for root, nothing is forbidden

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableFileError, match=r"a\.csv cannot be read: Permission denied"):
        canonical(file)


@pytest.mark.parametrize("path", [b"a.csv", 7, None, "", ["a.csv"]])
def test_only_a_path_is_a_file(path):
    with pytest.raises(InvalidOptionError, match=r"as text or pathlib\.Path"):
        File(path)


# A file in Python ---------------------------------------------------------------------------------


def test_a_file_is_a_path_for_everything_that_opens_files(here):
    file = write("a.csv", "1")
    assert content(file) == Path(file).read_text() == "1"
    assert os.fspath(file) == str(file) == str(here / "a.csv")
    assert (file.name, file.size, file.path) == ("a.csv", 1, here / "a.csv")
    assert repr(file) == "File('a.csv')"


def test_equal_files_are_equal_and_have_one_hash(here):
    file = write("a.csv", "1")
    assert file == File("a.csv") == File(file)
    assert {file, File("a.csv")} == {file}
    assert file != File("b.csv")
    assert file != "a.csv"
    assert File("gone") == File("gone")
    with pytest.raises(AttributeError, match="cannot be changed"):
        file._given = "b.csv"  # type: ignore[misc]


def test_a_file_travels_to_another_process_with_its_place(here, monkeypatch):
    file, files = write("a.csv", "1"), Files("*.csv")
    sent = pickle.dumps((file, files))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    there, all_there = pickle.loads(sent)
    assert (there, list(all_there)) == (file, [file])
    assert content(there) == "1"
    assert repr(all_there) == "Files('*.csv': 1)"


def test_the_home_folder_is_found(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    write("a.csv", "1")
    assert content(File("~/a.csv")) == "1"
    assert Files("~/*.csv")[0] == File("~/a.csv") != File("a.csv")
    assert repr(File("~/a.csv")) == "File('~/a.csv')"


def test_a_model_has_files_as_fields(here):
    write("a.csv", "1")
    folder = Folder.model_validate_json('{"file": "a.csv", "others": ["b.csv"]}')
    assert folder == Folder(file=File("a.csv"), others=[File("b.csv")])
    assert folder.model_dump_json() == '{"file":"a.csv","others":["b.csv"]}'
    with pytest.raises(ValueError, match="named by its path"):
        Folder(file=7)


# Stored -------------------------------------------------------------------------------------------


def stored(value):
    form, text = encode(value, None)
    return lambda: decode(form, json.loads(text), None)


def test_a_recorded_file_comes_back_while_it_is_the_same(here):
    file = write("a.csv", "1")
    read = stored({"out": [file, Files("*.csv")]})
    assert read() == {"out": [file, Files("*.csv")]}
    os.utime("a.csv", (1, 1))
    write("b.csv", "1")
    os.replace("b.csv", "a.csv")
    assert read()["out"][0] == file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: os.remove("a.csv"), r"the file a\.csv \(/.*/a\.csv\) is gone"),
        (lambda: write("a.csv", "2"), "was altered: it has the same size, and another content"),
        (lambda: write("a.csv", "12"), "was altered: its size was 1 bytes, and is 2 now"),
        (lambda: (os.remove("a.csv"), os.mkdir("a.csv")), "cannot be read any more: .* is a folder"),
    ],
)
def test_a_recorded_file_that_is_not_the_same_is_lost_and_says_why(here, change, message):
    write("a.csv", "1")
    read = stored([File("a.csv")])
    change()
    with pytest.raises(FileLostError, match=message) as caught:
        read()
    assert caught.value.path == str(here / "a.csv")


def test_a_recorded_file_is_found_where_the_project_was_moved(here, monkeypatch):
    (here / "before" / "data").mkdir(parents=True)
    monkeypatch.chdir(here / "before")
    write("data/a.csv", "1")
    read = stored(File("data/a.csv"))
    shutil.move(here / "before", here / "after")
    monkeypatch.chdir(here / "after")
    assert Path(read()) == here / "after" / "data" / "a.csv"
    write("data/a.csv", "2")
    with pytest.raises(FileLostError, match="before.* is gone"):
        read()


def test_a_missing_file_in_an_error_does_not_hide_the_error(here):
    from trigger_nb._values import encode_error, raised_error

    data = encode_error(ValueError("bad file", File("gone.csv")))
    error = raised_error(data)
    assert error.args == ("bad file", File("gone.csv"))


def test_a_file_is_shown_by_path_and_size(here):
    file = write("a.csv", "x" * 2048)
    assert preview({"in": file}) == {"in": "<File a.csv, 2 kB>"}
    form, text = encode([file], None)
    assert value_text(form, json.loads(text), [], 200) == "[<File a.csv, 2 kB>]"
    assert preview((File("gone"),)) == ["<File gone>"]
    os.remove("a.csv")
    assert value_text(form, json.loads(text), [], 200) == "[<File a.csv, 2 kB>]"


# Files --------------------------------------------------------------------------------------------


@pytest.fixture
def data(here):
    for name in (
        "b.csv",
        "a.csv",
        "10.csv",
        "notes.txt",
        ".hidden.csv",
        "deep/c.csv",
        "deep/.git/d.csv",
        "a.b/e.csv",
    ):
        path = here / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return here / "data"


def names(files):
    return [repr(file)[6:-2] for file in files]


def test_a_pattern_gives_its_files_in_the_order_of_paths(data):
    files = Files("data/*.csv")
    assert names(files) == ["data/10.csv", "data/a.csv", "data/b.csv"]
    assert (len(files), files[0], names(files[1:])) == (3, File("data/10.csv"), ["data/a.csv", "data/b.csv"])
    assert names(Files("data/**/*.csv")) == [
        "data/10.csv",
        "data/a.b/e.csv",
        "data/a.csv",
        "data/b.csv",
        "data/deep/c.csv",
    ]
    assert names(Files("data/.*.csv")) == ["data/.hidden.csv"]


def test_a_folder_is_all_its_files_without_hidden_ones(data):
    expected = [
        "data/10.csv",
        "data/a.b/e.csv",
        "data/a.csv",
        "data/b.csv",
        "data/deep/c.csv",
        "data/notes.txt",
    ]
    assert names(Files("data")) == names(Files(Path("data"))) == names(Files("data/")) == expected
    (data / "deep" / "loop").symlink_to(data)
    assert names(Files("data")) == expected, "a link to a folder is not followed"


def test_a_list_keeps_its_order_and_a_file_is_itself(data):
    assert names(Files(["data/b.csv", File("data/a.csv")])) == ["data/b.csv", "data/a.csv"]
    assert Files(Files("data/a.csv")) == Files(["data/a.csv"]) != Files("data/b.csv")
    (data / "odd[1].csv").write_text("")
    assert names(Files("data/odd[1].csv")) == ["data/odd[1].csv"]


def test_no_match_is_empty_and_no_folder_is_an_error(data):
    assert list(Files("data/*.parquet")) == []
    assert canonical(Files("data/*.parquet")) == canonical(Files([]))
    for wrong in ("dta/*.csv", "dta/**/*.csv", "dta"):
        with pytest.raises(UnreadableFileError, match="there is no (folder|file) .*dta"):
            Files(wrong)
    for wrong in (7, None, b"data"):
        with pytest.raises(InvalidOptionError):
            Files(wrong)


def test_files_count_by_their_members(data):
    before = canonical(Files("data/*.csv"))
    assert canonical(Files(["data/10.csv", "data/a.csv", "data/b.csv"])) == before
    (data / "c.csv").write_text("")
    after = canonical(Files("data/*.csv"))
    (data / "c.csv").unlink()
    (data / "a.csv").write_text("edited")
    assert len({before, after, canonical(Files("data/*.csv"))}) == 3
