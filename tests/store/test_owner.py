"""A script has a store of its own, and a job of one id from two files is two jobs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trigger_nb import TriggerClient
from trigger_nb._store.owner import Known, Owner, Source

ROOT = Path(__file__).parents[2]

SCRIPT = """
from trigger_nb import TriggerClient, job


def body():
    with open("effects", "a") as file:
        file.write("{letter} ")
    return "rows of {letter}"


@{client}job
def pipeline(payload, io):
    return io.run_task("load", body)


print(pipeline.run_sync())
"""


def write(path, letter, client=""):
    path.write_text(SCRIPT.format(letter=letter, client=client))
    return path


def run(folder, *command):
    """What a Python process in a folder prints, and what it warns."""
    env = {key: value for key, value in os.environ.items() if key != "TRIGGER_NB_DIR"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


def stores(folder):
    return sorted(path.name for path in (folder / ".trigger_nb").iterdir())


def effects(folder):
    return (folder / "effects").read_text().split()


# Stores of scripts --------------------------------------------------------------------------------


def test_two_scripts_in_a_folder_share_nothing(tmp_path):
    for letter in "ab" * 2:
        assert run(tmp_path, write(tmp_path / f"{letter}.py", letter).name) == (f"rows of {letter}", "")
    assert stores(tmp_path) == ["a.py", "b.py"]
    assert effects(tmp_path) == ["a", "b"]


def test_a_script_that_was_renamed_keeps_its_store_and_says_so(tmp_path):
    write(tmp_path / "a.py", "a")
    run(tmp_path, "a.py")
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    out, err = run(tmp_path, "b.py")
    assert out == "rows of a"
    assert err.count("RuntimeWarning") == 1
    assert "keeps its store" in err
    assert run(tmp_path, "b.py") == ("rows of a", "")
    assert effects(tmp_path) == ["a"]


def test_a_script_beside_the_store_of_one_that_is_gone_says_how_to_take_it(tmp_path):
    """It may be the same one, with another name and other code."""
    write(tmp_path / "a.py", "a")
    run(tmp_path, "a.py")
    (tmp_path / "a.py").unlink()
    text = SCRIPT.format(letter="b", client="").replace("\n\n", "\n#\n")
    (tmp_path / "b.py").write_text(text)
    out, err = run(tmp_path, "b.py")
    assert out == "rows of b"
    mine, other = tmp_path / ".trigger_nb" / "b.py", tmp_path / ".trigger_nb" / "a.py"
    assert f"delete {mine}, rename {other} to it, and delete owner.json in it" in err
    shutil.rmtree(mine)
    other.rename(mine)
    (mine / "owner.json").unlink()
    assert run(tmp_path, "b.py")[0] == "rows of a"
    assert effects(tmp_path) == ["a", "b"]


def test_a_script_ignores_the_notebook_that_runs_it(tmp_path, monkeypatch):
    """`!python a.py` in a cell: the process inherits the notebook's name."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "notebook.ipynb"))
    run(tmp_path, write(tmp_path / "a.py", "a").name)
    assert stores(tmp_path) == ["a.py"]


def test_the_names_of_default_stores(tmp_path):
    (tmp_path / "package").mkdir()
    write(tmp_path / "package" / "__main__.py", "p")
    write(tmp_path / "module.py", "m")
    run(tmp_path, "-m", "package")
    run(tmp_path, "-m", "module")
    run(tmp_path, "-c", "import module")  # no file is known
    assert stores(tmp_path) == ["default", "module.py", "package"]


def test_scripts_of_one_name_that_are_run_in_one_folder_are_told_apart(tmp_path):
    for letter in "ab":
        (tmp_path / letter).mkdir()
        write(tmp_path / letter / "main.py", letter)
        out, err = run(tmp_path, f"{letter}/main.py")
        assert out == f"rows of {letter}"
        assert ("has the runs of" in err) == (letter == "b")
        assert run(tmp_path, f"{letter}/main.py") == (out, "")
    assert effects(tmp_path) == ["a", "b"]


# Jobs of one id -----------------------------------------------------------------------------------


def test_a_job_of_one_id_from_two_scripts_is_two_jobs(tmp_path):
    client = 'TriggerClient("shared").'
    for letter in "ab":
        write(tmp_path / f"{letter}.py", letter, client)
    assert run(tmp_path, "a.py") == ("rows of a", "")
    out, err = run(tmp_path, "b.py")
    assert out == "rows of b"
    assert "is of a job 'pipeline' with other code in" in err
    assert run(tmp_path, "b.py") == (out, "")  # it is said once
    assert run(tmp_path, "a.py") == ("rows of a", "")
    assert effects(tmp_path) == ["a", "b"]


def test_equal_code_in_two_files_is_one_job_until_one_is_edited(tmp_path):
    """Two notebooks may share a store, and work on one run."""
    client = 'TriggerClient("shared").'
    for name in ("a.py", "b.py", "a.py"):
        assert run(tmp_path, write(tmp_path / name, "x", client).name) == ("rows of x", "")
    write(tmp_path / "b.py", "b", client)
    out, err = run(tmp_path, "b.py")
    assert out == "rows of b"
    assert "with other code in" in err
    assert run(tmp_path, "b.py") == ("rows of b", "")
    assert run(tmp_path, "a.py") == ("rows of x", "")
    assert effects(tmp_path) == ["x", "b"]


def test_an_event_starts_a_run_of_its_own_for_each_file(tmp_path):
    code = """
        import asyncio
        from trigger_nb import TriggerClient, event_trigger
        client = TriggerClient("shared", display=False)

        @client.job(trigger=event_trigger("day"))
        def job(payload):
            return LETTER

        async def main():
            event = await client.send_event("day", 1)
            print([await run for run in event.runs])

        asyncio.run(main())
    """
    for letter in "abab":
        (tmp_path / f"{letter}.py").write_text(textwrap.dedent(code).replace("LETTER", repr(letter)))
        assert run(tmp_path, f"{letter}.py")[0] == f"[{letter!r}]"


def test_a_job_in_a_module_is_one_job_for_all_that_import_it(tmp_path):
    write(tmp_path / "jobs.py", "j", 'TriggerClient("shared").')
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("import jobs")
        assert run(tmp_path, name) == ("rows of j", "")
    assert run(tmp_path, "jobs.py") == ("rows of j", "")
    assert effects(tmp_path) == ["j"]


def test_processes_that_define_jobs_at_once_forget_none(tmp_path):
    code = """
        import sys
        from trigger_nb import TriggerClient
        client = TriggerClient("c", dir=sys.argv[1])
        sys.stdin.readline()
        for n in range(20):
            client.job(id=f"{sys.argv[2]}-{n}")(lambda payload: 1)
    """
    for name in "abcd":
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / f"{name}.py"), str(tmp_path), name],
            stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        )
        for name in "abcd"
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(Owner(tmp_path / "c").jobs) == 80


@pytest.mark.parametrize("fate", ["removed", "moved"])
def test_a_job_is_defined_again_after_its_store_was(tmp_path, fate):
    client = TriggerClient("c", dir=tmp_path / "a", display=False)

    def job(payload):
        return 1

    client.job(job).run_sync()
    if fate == "removed":
        shutil.rmtree(tmp_path / "a")
    else:
        (tmp_path / "a").rename(tmp_path / "b")
    with pytest.warns(RuntimeWarning, match=fate):
        again = client.job(job)
    assert again.run_sync() == 1
    assert list(Owner(client.dir).jobs) == ["job"]
    assert client.dir.parent.name == ("a" if fate == "removed" else "b")


# The file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"default": 1, "jobs": []}', '{"default": null, "jobs": {"j": [{}]}}', "[" * 100_000, "null"],
    ids=range(7),
)  # fmt: skip
def test_a_damaged_file_is_written_anew(tmp_path, text):
    client = TriggerClient("c", dir=tmp_path)
    _ = client.runtime
    (client.dir / "owner.json").write_text(text)
    client.job(id="j")(lambda payload: 1)
    assert Owner(client.dir).jobs["j"][0].path == __file__


def test_a_store_that_cannot_be_written_is_defined_upon_all_the_same(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError("the disk is full")

    client = TriggerClient("c", dir=tmp_path)
    monkeypatch.setattr("trigger_nb._store.owner.create_file", refuse)
    assert client.job(id="j")(lambda payload: 1).id == "j"


def test_no_file_is_read_or_written_through_a_link(tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"default": None, "jobs": {"j": []}}))
    client = TriggerClient("c", dir=tmp_path)
    _ = client.runtime
    (client.dir / "owner.json").symlink_to(mine)
    assert Owner(client.dir).jobs == {}
    client.job(id="j")(lambda payload: 1)
    assert not (client.dir / "owner.json").is_symlink()
    assert json.loads(mine.read_text())["jobs"] == {"j": []}


def test_what_another_file_is_to_a_known_one(tmp_path):
    (tmp_path / "store").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).touch()
    known = Known.of(Source(tmp_path / "a", frozenset("123")), tmp_path / "store")

    def kinship(name, marks):
        return known.kinship(Source(tmp_path / name, frozenset(marks)), tmp_path / "store")

    assert kinship("a", "789") == "same"
    assert kinship("b", "123") == "copy"
    assert kinship("b", "189") == "other"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert kinship("link", "") == "same"
    (tmp_path / "a").unlink()
    assert kinship("b", "1234") == "renamed"
    assert kinship("b", "1789") == "other"
    assert kinship("b", "") == "other"
