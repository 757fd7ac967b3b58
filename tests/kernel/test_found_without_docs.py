"""What a notebook tells of the package where the docs are not at hand: completions, `?` and `dir()`, in a real kernel."""

from __future__ import annotations

import re

import pytest

from tests.support.kernels import Kernel
from trigger_nb import Io
from trigger_nb._runs.completion import complete
from trigger_nb._runs.job_options import JobKeywords
from trigger_nb._tasks.options import MapOptions, Options

PUBLIC_OF_IO = {name for name in dir(Io) if not name.startswith("_")}


def completions(kernel: Kernel, code: str) -> set[str]:
    reply = kernel.client.complete(code, len(code), reply=True, timeout=120)["content"]
    return set(reply["matches"])


def question(kernel: Kernel, code: str) -> str:
    """What `code?` shows, or Shift+Tab."""
    reply = kernel.client.inspect(code, len(code), reply=True, timeout=120)["content"]
    assert reply["found"], code
    return re.sub(r"\x1b\[[0-9;]*m", "", reply["data"]["text/plain"])


# Completions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", ["payload, io", "payload, io, ctx", "payload, io: Io", "io=None"])
@pytest.mark.parametrize("define", ["@job\nasync def", "def"])
def test_io_completes_in_a_function_that_is_being_written(one_kernel: Kernel, define, parameters):
    one_kernel.run("from trigger_nb import Io").check()
    code = f"{define} greet({parameters}):\n    name = 1\n    if name:\n        await io."
    assert completions(one_kernel, code) >= PUBLIC_OF_IO
    assert completions(one_kernel, code + "run_t") == {"run_task"}


def test_ctx_and_task_complete_too(one_kernel: Kernel):
    assert completions(one_kernel, "@job\nasync def greet(payload, io, ctx):\n    ctx.") >= {"run", "event"}
    assert completions(one_kernel, "def body(user, task):\n    task.idem") == {"idempotency_key"}


def test_a_name_that_is_no_parameter_completes_as_ever(one_kernel: Kernel):
    assert completions(one_kernel, "import io\nio.StringI") == {"StringIO"}
    assert complete("def other(io):\n    pass\n\nio.") == ([], "")
    assert complete("def other(io):\n    def inner(x):\n        io.w") == (
        ["wait", "wait_for_approval", "wait_for_event", "wait_for_request"],
        "w",
    )
    assert complete("def other(io):\n    self.io.w") == ([], "")


# `?` ------------------------------------------------------------------------------------------------


def test_a_jobs_question_mark_shows_the_users_docstring_and_parameters(one_kernel: Kernel):
    one_kernel.run(
        '''
        @job
        async def explained(payload: str, io):
            """Greets a user by name."""
            return payload
        '''
    ).check()
    text = question(one_kernel, "explained")
    assert re.search(r"Docstring:\s+Greets a user by name\.", text)
    assert re.search(r"Signature:\s+explained\(payload: '?str'?, io\)", text)
    assert "await job.run(payload)" in text


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("job", JobKeywords),
        ("TriggerClient.job", JobKeywords),
        ("Io.run_task", Options),
        ("Io.map", MapOptions),
    ],
)
def test_question_marks_have_a_line_for_each_option(one_kernel: Kernel, code, options):
    one_kernel.run("from trigger_nb import Io").check()
    text = question(one_kernel, code)
    lines = re.findall(r"^\s*- .*(?:\n  .*)*", text, re.MULTILINE)
    named = {name for line in lines for name in re.findall(r"`(\w+)`", line)}
    assert named >= set(options.__annotations__)


# dir() ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["of_dir", "of_dir.client", "of_dir.runs()[0]"])
def test_dir_shows_what_users_use(one_kernel: Kernel, expression):
    one_kernel.run("@job\nasync def of_dir(payload, io):\n    return 1", "await of_dir.run()").check()
    cell = one_kernel.run(
        f"print([name for name in dir({expression}) if name.startswith('_')], 'run' in dir(of_dir))"
    )
    assert cell.check().printed == "[] True\n"


@pytest.mark.parametrize("define", ["async def", "def"])
def test_dir_of_io_shows_its_methods_and_the_jobs_integrations(one_kernel: Kernel, define):
    cell = one_kernel.run(
        f"""
        @job(integrations={{"shop": object()}})
        {define} looks(payload, io):
            return dir(io)

        names = await looks.run({define!r})
        print([name for name in names if name.startswith("_")], "shop" in names, "run_task" in names)
        """
    )
    assert cell.check().printed == "[] True True\n"


def test_dir_of_the_package_shows_its_public_names(one_kernel: Kernel):
    cell = one_kernel.run(
        "import trigger_nb",
        "print({name for name in dir(trigger_nb) if not name.startswith('__')} == set(trigger_nb.__all__))",
    )
    assert cell.check().printed == "True\n"
    assert completions(one_kernel, "trigger_nb.") == set(__import__("trigger_nb").__all__)
