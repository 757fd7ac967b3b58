"""What a body shows in an executor comes home with its result, or its error (C3, S8)."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.remote.jobs import last, run
from trigger_nb._runs.showing import make_model
from trigger_nb._view.render import details


def test_what_a_worker_shows(client, pool):
    """Pictures too; `redact=` of the task applies there."""

    def body(fails, task):
        task.show(pd.DataFrame({"id": [1, 2], "email": ["ana@x.org", "bo@x.org"]}), label="rows")
        figure = Figure()
        figure.add_subplot().plot([1, 2])
        task.show(figure, label="plot")
        if fails:
            raise ValueError("no")
        return 3

    async def job(payload, io):
        return await io.run_task("a", body, payload, executor=pool, redact=["email"])

    assert run(client, job, False) == 3
    with pytest.raises(ValueError, match="no"):
        run(client, job, True)
    for each in client.runs():
        model = make_model(client.runtime, each.id)
        sections = details.sections(model, model.rows["a"])
        shown = {section.label: section.display for section in sections if section.display}
        assert list(shown) == ["rows", "plot"]
        assert shown["rows"].table.rows == (("1", "•••"), ("2", "•••"))
        assert shown["plot"].picture is not None
    assert last(client).task("a").shown.startswith("rows: DataFrame 2 × 2")
