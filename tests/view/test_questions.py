"""Questions on screen: the row, the form that the live tree gets, and what static pictures say to type (D2, D4, D5)."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from tests.support.worlds import World, until
from trigger_nb._runs.controls import RunControls
from trigger_nb._view.live import wire
from trigger_nb._view.live.pump import outcome
from trigger_nb._view.render import details, html
from trigger_nb.errors import AlreadyAnsweredError

EVIL = "<script>alert(1)</script>"


class Budget(BaseModel):
    limit: int = Field(ge=1, description=EVIL)
    kind: Literal["once", "monthly"] = "once"


@pytest.fixture
async def run(tmp_path):
    """A run that waits for its answer."""
    world = World(tmp_path / "store")
    world.clock._autojump = False

    @world.job(id="job")
    def job(payload, io):
        yield io.wait_for_approval("go", prompt=f"Really? {EVIL}", schema=Budget, timeout=3600)

    run = job.start()
    await until(lambda: run.reason == "answer")
    yield run
    if run.id in run._runtime.executions:
        run.cancel()
    world.new_kernel()


def sections(run):
    model = run.model()
    return {each.label: each for each in details.sections(model, model.rows["go"])}


@pytest.mark.anyio
async def test_the_live_tree_gets_a_form(run):
    """D2: what is asked, the choices, the fields; elsewhere the same section is code to type."""
    found = sections(run)
    assert found["Question"].text == f"Really? {EVIL}"
    (section,) = details.as_json([found["Answer"]])
    assert section["code"] == "run.approve('go', data={...})\nrun.reject('go')"
    form = section["form"]
    assert (form["asks"], form["choices"], form["named"]) == ("approval", ["approve", "reject"], True)
    limit, kind = form["fields"]
    assert (limit["kind"], limit["required"], limit["limits"], limit["about"]) == (
        "integer",
        True,
        {"ge": 1},
        EVIL,
    )
    assert (kind["kind"], kind["choices"], kind["default"]) == ("choice", ["once", "monthly"], "once")


@pytest.mark.anyio
async def test_the_row(run):
    """D2: an open question is a mark, with the time that is left; an answer is one, too."""
    model = run.model()
    row = model.rows["go"]
    assert wire.row(row, 0.0)["Q"] == f"Really? {EVIL}"
    assert "go · waits for an answer · in 1 h" in run.tree()
    assert "Waiting for an answer, or until" in run.tree()
    run.reject("go", by="ada")
    await run
    assert '"reject" by ada' in run.tree()
    assert "Q" not in wire.row(run.model().rows["go"], 0.0)
    assert sections(run)["Answer"].text == '"reject" by ada'


@pytest.mark.anyio
async def test_the_static_picture(run):
    """D4, D5: what to type, and no text of the user's as markup."""
    page = html.page(run.model(), title="Run")
    assert "run.approve(&#x27;go&#x27;, data={...})" in page or "run.approve('go', data={...})" in page
    assert EVIL not in page
    assert "waits for an answer" in page


@pytest.mark.anyio
async def test_the_live_tree_answers(run):
    """D3: a fault comes back by field; the first answer counts."""
    controls = RunControls(run._runtime, run.id)

    def report():
        raise AssertionError

    def answer(choice, data):
        return outcome(lambda: controls.answer("go", choice, data) or {}, report)

    refused = answer("approve", {"limit": 0})
    assert not refused["ok"]
    assert refused["fields"] == [["limit", "Input should be greater than or equal to 1"]]
    assert answer("approve", {"limit": 2})["ok"]
    late = answer("reject", None)
    assert not late["ok"]
    assert "has its answer" in late["text"]
    with pytest.raises(AlreadyAnsweredError):
        run.reject("go")
    assert (await run) is None
