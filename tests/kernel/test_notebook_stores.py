"""A notebook keeps its store when it is renamed, run headless or elsewhere, and has no other notebook's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager

from tests.support.kernels import kernel_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """A folder of notebooks, and a home for programs that execute them."""
    (tmp_path / "home").mkdir()
    (tmp_path / "nbs").mkdir()
    return tmp_path / "nbs"


def cell(letter, client="", name="main"):
    """A cell with a job that tells its effect, and prints what the notebook's own code returns."""
    return textwrap.dedent(f"""
        from trigger_nb import TriggerClient, job
        def compute():
            with open({"EFFECTS"!r}, "a") as file:
                file.write("{letter} ")
            return "result of {letter}"
        @{client}job
        async def {name}(payload, io):
            return await io.run_task("compute", compute)
        print(await {name}.run(display=False))
    """)


def write(path, *cells):
    effects = str(path.parent.parent / "effects")
    sources = [source.replace("EFFECTS", effects) for source in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, path)
    return path


def effects(folder):
    path = folder.parent / "effects"
    return path.read_text().split() if path.exists() else []


def in_lab(path, before="", **options):
    """Run a notebook's cells as JupyterLab does, with others before. What they print, and what they warn."""
    with kernel_in(path.parent, notebook=path.name, home=path.parent.parent / "home", **options) as kernel:
        kernel.run(before).check()
        ran = [kernel.run(each.source).check() for each in nbformat.read(path, 4).cells]
    return printed(
        message["content"] for each in ran for message in each.messages if message["msg_type"] == "stream"
    )


def printed(streams):
    streams = list(streams)
    return tuple(
        "".join(each["text"] for each in streams if each["name"] == name).strip()
        for name in ("stdout", "stderr")
    )


def environment(folder, **env):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_"))}
    kept.pop("TRIGGER_NB_DIR", None)
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME")
    home = dict.fromkeys(names, str(folder.parent / "home"))
    return kept | home | {"PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"} | env


def headless(path, *command, output=None, **env):
    """Run a notebook by a program, which leaves its outputs in `output`. What its cells print, and what they warn."""
    done = subprocess.run(
        [sys.executable, *command], cwd=path.parent, env=environment(path.parent, **env), capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(output or path, 4).cells
    return printed(each for cell in cells for each in cell.get("outputs", []) if each.output_type == "stream")


def nbconvert(path, **env):
    return headless(
        path, "-m", "nbconvert", "--execute", "--to", "notebook", "--output", f"{path.stem}.out.ipynb", path.name,
        output=path.with_name(f"{path.stem}.out.ipynb"), **env,
    )  # fmt: skip


def by_api(path, driver="driver.py"):
    """As a program of one's own does: the kernel's command names no notebook."""
    code = """
        import os, sys, nbformat
        from nbclient import NotebookClient
        name = os.environ["NOTEBOOK"]
        notebook = nbformat.read(name, 4)
        NotebookClient(notebook, kernel_name="python3").execute()
        nbformat.write(notebook, name.replace(".ipynb", ".out.ipynb"))
    """
    (path.parent / driver).write_text(textwrap.dedent(code))
    return headless(path, driver, output=path.with_name(f"{path.stem}.out.ipynb"), NOTEBOOK=path.name)


def stores(folder):
    return sorted(path.name for path in (folder / ".trigger_nb").iterdir())


# Its own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [nbconvert, by_api])
def test_a_notebook_has_its_store_in_the_lab_and_headless(folder, run):
    path = write(folder / "A.ipynb", cell("A"))
    assert in_lab(path) == ("result of A", "")
    for _ in range(2):  # the second time, a copy of it with its outputs lies beside it
        assert run(path) == ("result of A", "")
    assert in_lab(path) == ("result of A", "")
    assert effects(folder) == ["A"]
    assert stores(folder) == ["A"]


def test_a_notebook_that_was_renamed_keeps_its_store_and_says_so(folder):
    path = write(folder / "A.ipynb", cell("A"))
    in_lab(path)
    path = path.rename(folder / "B.ipynb")
    out, err = in_lab(path)
    assert out == "result of A"
    assert "keeps its store" in err
    assert nbconvert(path) == ("result of A", "")  # it is said once
    assert effects(folder) == ["A"]
    # A new notebook under the old name is another one.
    out, err = in_lab(write(folder / "A.ipynb", cell("new A")))
    assert out == "result of new A"
    assert "has the runs of" in err
    assert in_lab(path) == ("result of A", "")
    assert effects(folder) == ["A", "new", "A"]
    assert len(stores(folder)) == 2


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_new_notebook_that_is_renamed_before_its_first_job_keeps_its_store(folder, is_saved):
    """Its kernel knows it by the first name. JupyterLab sends the id of the cell along."""
    path = write(folder / "analysis.ipynb", cell("A"))
    notebook = nbformat.read(path, 4)
    if not is_saved:
        write(path)
    with kernel_in(folder, notebook="Untitled.ipynb", home=folder.parent / "home") as kernel:
        content = {"code": notebook.cells[0].source, "silent": False, "store_history": True}
        metadata = {"cellId": notebook.cells[0].id}
        session = kernel.client.session
        request = session.msg("execute_request", content, metadata=metadata)
        kernel.client.shell_channel.send(request)
        assert kernel.client.get_shell_msg()["content"]["status"] == "ok"
    nbformat.write(notebook, path)
    out, err = in_lab(path)
    assert out == "result of A"
    assert ("keeps its store" in err) == (not is_saved)
    assert effects(folder) == ["A"]
    assert stores(folder) == ["analysis" if is_saved else "Untitled"]


def test_a_notebook_whose_folder_was_renamed_keeps_its_store(folder):
    in_lab(write(folder / "A.ipynb", cell("A")))
    folder = folder.rename(folder.parent / "renamed")
    assert in_lab(folder / "A.ipynb") == ("result of A", "")
    assert effects(folder) == ["A"]


def test_a_copy_of_a_notebook_begins_anew_and_says_so(folder):
    path = write(folder / "A.ipynb", cell("A"))
    in_lab(path)
    shutil.copy(path, folder / "A-Copy1.ipynb")
    out, err = in_lab(folder / "A-Copy1.ipynb")
    assert out == "result of A"
    assert "is a copy of" in err
    assert in_lab(folder / "A-Copy1.ipynb") == ("result of A", "")
    assert effects(folder) == ["A", "A"]
    assert stores(folder) == ["A", "A-Copy1"]
    # As it says:
    shutil.rmtree(folder / ".trigger_nb" / "A-Copy1")
    shutil.copytree(folder / ".trigger_nb" / "A", folder / ".trigger_nb" / "A-Copy1")
    (folder / ".trigger_nb" / "A-Copy1" / "owner.json").unlink()
    assert in_lab(folder / "A-Copy1.ipynb") == ("result of A", "")
    assert effects(folder) == ["A", "A"]


@pytest.mark.parametrize("client", ["", 'TriggerClient("c").'])
def test_a_change_of_the_working_directory_before_the_first_job_changes_no_store(folder, client):
    path = write(folder / "A.ipynb", cell("A", client))
    in_lab(path)
    (folder / "elsewhere").mkdir()
    assert in_lab(path, before="%cd -q elsewhere") == ("result of A", "")
    assert effects(folder) == ["A"]
    assert not (folder / "elsewhere" / ".trigger_nb").exists()


def test_a_store_that_an_earlier_version_made_is_taken_or_told(folder):
    """Earlier ones recorded no file, and named the store of a headless notebook "default"."""
    path = write(folder / "A.ipynb", cell("A"))
    in_lab(path)
    (folder / ".trigger_nb" / "A" / "owner.json").unlink()
    assert in_lab(path) == ("result of A", "")
    (folder / ".trigger_nb" / "A" / "owner.json").unlink()
    (folder / ".trigger_nb" / "A").rename(folder / ".trigger_nb" / "default")
    out, err = nbconvert(path)
    assert out == "result of A"
    assert "default has runs of a job 'main'" in err
    assert effects(folder) == ["A", "A"]
    # As it says:
    shutil.rmtree(folder / ".trigger_nb" / "A")
    (folder / ".trigger_nb" / "default").rename(folder / ".trigger_nb" / "A")
    assert nbconvert(path) == ("result of A", "")
    assert effects(folder) == ["A", "A"]


# Not another's ------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [nbconvert, by_api])
def test_two_headless_notebooks_in_a_folder_share_nothing(folder, run):
    for letter in "AB":
        assert run(write(folder / f"{letter}.ipynb", cell(letter))) == (f"result of {letter}", "")
    assert stores(folder) == ["A", "B"]


def test_a_notebook_that_another_one_executes_does_not_take_it_for_itself(folder):
    """The kernel inherits the environment of the notebook that runs `!jupyter nbconvert`."""
    in_lab(write(folder / "A.ipynb", cell("A")))
    path = write(folder / "B.ipynb", cell("B"))
    assert nbconvert(path, JPY_SESSION_NAME=str(folder / "A.ipynb")) == ("result of B", "")
    assert stores(folder) == ["A", "B"]


def test_notebooks_that_one_program_executes_are_told_apart_by_their_cells(folder):
    """All of them are in its command."""
    for letter in "AB":
        write(folder / f"{letter}.ipynb", "from trigger_nb import TriggerClient", cell(letter))
    headless(folder / "B.ipynb", "-m", "jupyter", "execute", "--inplace", "A.ipynb", "B.ipynb")
    for letter in "AB":
        cells = nbformat.read(folder / f"{letter}.ipynb", 4).cells
        assert printed(cells[1].outputs) == (f"result of {letter}", "")
    assert stores(folder) == ["A", "B"]


def test_a_notebook_whose_cells_so_far_are_another_ones_too_says_so(folder):
    for letter in "AB":
        source = cell(letter).split("print")
        job = source[0].replace(f"of {letter}", 'of " + letter + "').replace(f'"{letter} "', "letter")
        path = write(folder / f"{letter}.ipynb", job, f"letter = {letter!r}\nprint{source[1]}")
        out, err = by_api(path)
        assert ("was not told which notebook it runs" in err) == (letter == "B"), (out, err)


def test_the_outputs_of_papermill_have_the_store_of_their_notebook(folder):
    """It writes the output, with one more cell, before it executes it."""
    code = """
        import sys, nbformat
        from nbclient import NotebookClient
        before, after = sys.argv[1:]
        notebook = nbformat.read(before, 4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell("# Parameters\\nday = " + repr(after)))
        notebook.metadata["papermill"] = {"input_path": before, "output_path": after}
        nbformat.write(notebook, after)
        NotebookClient(notebook, kernel_name="python3").execute()
        nbformat.write(notebook, after)
    """
    (folder / "papermill").write_text(textwrap.dedent(code))
    path = write(folder / "A.ipynb", cell("A"))
    in_lab(path)
    for name in ("monday.ipynb", "tuesday.ipynb", "monday.ipynb"):
        assert headless(path, "papermill", "A.ipynb", name, output=folder / name) == ("result of A", "")
    assert effects(folder) == ["A"]
    assert stores(folder) == ["A"]


def test_text_notebooks_are_told_apart(folder):
    """As jupytext executes them: cells of a `.py` file, whose name is in the command."""
    code = """
        import sys, nbformat
        from nbclient import NotebookClient
        source = open(sys.argv[-1]).read().split("# %%")[1]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        NotebookClient(notebook, kernel_name="python3").execute()
        nbformat.write(notebook, sys.argv[2])
    """
    (folder / "textual").write_text(textwrap.dedent(code))
    for letter in "AB":
        path = folder / f"{letter}.py"
        path.write_text("# %%" + cell(letter).replace("EFFECTS", str(folder.parent / "effects")))
        output = folder.parent / f"{letter}.ipynb"
        command = ["textual", "--output", str(output), "--execute", path.name]
        assert headless(path, *command, output=output) == (f"result of {letter}", "")
    assert stores(folder) == ["A", "B"]


def test_notebooks_of_one_name_that_share_a_place_for_stores_are_told_apart(folder):
    for letter in "AB":
        (folder / letter).mkdir()
        path = write(folder / letter / "Untitled.ipynb", cell(letter))
        out, err = in_lab(path, TRIGGER_NB_DIR=str(folder / "stores"))
        assert out == f"result of {letter}"
        assert ("has the runs of" in err) == (letter == "B")
        assert in_lab(path, TRIGGER_NB_DIR=str(folder / "stores")) == (out, "")
    assert len(list((folder / "stores").iterdir())) == 2


def test_two_notebooks_with_one_client_and_a_job_of_one_name_are_told_apart(folder):
    client = 'TriggerClient("shared").'
    A, B = (write(folder / f"{letter}.ipynb", cell(letter, client)) for letter in "AB")
    assert in_lab(A) == ("result of A", "")
    out, err = in_lab(B)
    assert out == "result of B"
    assert "is of a job 'main' with other code in" in err
    assert str(A) in err
    assert in_lab(A) == ("result of A", "")
    assert in_lab(B)[0] == "result of B"
    assert effects(folder) == ["A", "B"]
    # A run that is found by its name, or by its id, is not another file's either.
    name = """
        run, = [run for run in main.client.runs() if run.output == "result of A"]
        for begin in (lambda: main.start(run_id=run.id), lambda: run.rerun_from("compute")):
            try:
                begin()
            except Exception as error:
                print(type(error).__name__, "another file" in str(error))
    """
    path = write(folder / "B.ipynb", cell("B", client), textwrap.dedent(name))
    assert in_lab(path)[0] == "result of B\nRunStateError True\nRunStateError True"
    # As it says: the other file's runs are this one's from then on.
    (folder / ".trigger_nb" / "shared" / "owner.json").unlink()
    assert in_lab(write(B, cell("B", client)))[0] == "result of A"
    assert effects(folder) == ["A", "B"]


def test_a_kernel_that_a_wrapper_starts_knows_its_notebook(folder):
    """As `conda run` does: the wrapper has the notebook's name in its environment, too."""
    manager = KernelManager(kernel_name="python3")
    kernel = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.kernel_spec.argv = ["sh", "-c", '"$@"; true', "sh", *kernel]
    env = environment(folder, JPY_SESSION_NAME=str(folder / "A.ipynb"))
    manager.start_kernel(cwd=str(folder), env=env)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready()
        source = nbformat.read(write(folder / "A.ipynb", cell("A")), 4).cells[0].source
        assert client.execute_interactive(source, output_hook=lambda _: None)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert stores(folder) == ["A"]
