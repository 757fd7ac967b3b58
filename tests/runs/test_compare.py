"""`run.compare`: the items of two runs side by side."""

from __future__ import annotations

import pytest

from tests.support.worlds import World
from trigger_nb import RunStatus
from trigger_nb.errors import InvalidOptionError, NotFoundError

LONG = "The report says that sales rose in all regions. " * 9


def runs(world: World, here, there, items=range(6), others=None):
    """Two runs of a job with a map whose body is `here` and then `there`."""
    for body, given in ((here, items), (there, items if others is None else others)):
        job = world.job(
            lambda payload, io, b=body, g=given: (yield io.map("classify", g, b, return_errors=True)),
            id="job",
        )
        world.run(job, fresh=True)
    newer, older = job.runs()
    return older, newer


def answer(item, shift=0):
    return {"label": ("ham", "spam")[(item + shift) % 2], "score": item / 4 + shift}


def test_only_items_that_differ_and_counts_by_label(tmp_path):
    world = World(tmp_path)
    here, there = runs(world, answer, lambda item: answer(item, item == 2))
    found = here.compare(there, "classify")
    (pair,) = found
    assert (pair.key, pair.here.output["label"], pair.there.output["label"]) == ("2", "ham", "spam")
    assert [tuple(each) for each in pair.differences] == [("label", "ham", "spam"), ("score", "0.5", "1.5")]
    assert found.labels["label"] == ({"ham": 3, "spam": 3}, {"spam": 4, "ham": 2}, {("ham", "spam"): 1})
    assert found.means["score"] == pytest.approx((0.625, 0.625 + 1 / 6))
    assert (found.items, found.only_here, found.only_there) == (6, 0, 0)
    assert bool(found)
    assert not here.compare(here.id, "classify")
    text = str(found)
    assert "classify: 1 of 6 items differs" in text
    assert "ham → spam" in text
    assert "1 item" in text


def test_fields_choose_what_is_compared(tmp_path):
    world = World(tmp_path)
    here, there = runs(world, answer, lambda item: {**answer(item), "score": 0, "usage": {"tokens": item}})
    assert not here.compare(there, "classify", fields=["label"])
    assert len(here.compare(there, "classify", fields="score")) == 6, "0 and 0.0 differ"
    (first, *_) = here.compare(there, "classify", fields=["usage.tokens"])
    assert [tuple(each) for each in first.differences] == [("usage.tokens", "not there", "0")]
    with pytest.raises(
        InvalidOptionError, match="no output of 'classify' has the field 'labl'; there is 'label', 'score'"
    ):
        here.compare(there, "classify", fields=["labl"])
    for wrong in (7, [7], []):
        with pytest.raises(InvalidOptionError, match="fields= is a list of names"):
            here.compare(there, "classify", fields=wrong)


def test_items_that_one_run_has_and_errors(tmp_path):
    world = World(tmp_path)

    def failing(item):
        if item == 1:
            raise ValueError("no text")
        return "ok"

    here, there = runs(world, lambda item: "ok", failing, range(3), range(1, 5))
    found = here.compare(there, "classify")
    assert [(pair.key, pair.here is None, pair.there is None) for pair in found] == [
        ("0", False, True),
        ("1", False, False),
        ("3", True, False),
        ("4", True, False),
    ]
    assert found[1].differences[0] == ("status", "COMPLETED", "ERRORED · ValueError: no text")
    assert "1 of 2 items differs, 1 only here, 2 only there" in str(found)
    frame = found.to_frame()
    assert list(frame["differs in"]) == ["only here", "status", "only there", "only there"]
    assert list(frame["output there"])[2] == "ok"
    assert list(frame["error there"])[1] == "ValueError: no text"


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [(1, 1.0, True), (1, True, True), ((1,), [1], True), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False)],
)
def test_values_are_compared_in_value_and_type(tmp_path, one, other, differs):
    here, there = runs(World(tmp_path), lambda item: one, lambda item: other, [0])
    assert bool(here.compare(there, "classify")) is differs


def test_of_long_texts_the_part_that_differs_is_shown(tmp_path):
    """Also of values in files."""
    edited = LONG + "Sales fell. " + LONG
    plain = LONG + "Sales rose. " + LONG
    here, there = runs(World(tmp_path), lambda item: [plain] * 90, lambda item: [*[plain] * 89, edited], [0])
    ((pair,), (difference,)) = here.compare(there, "classify"), here.compare(there, "classify")[0].differences
    assert "rose." in difference.here
    assert "fell." in difference.there
    assert len(difference.here) < 250
    page = here.compare(there, "classify")._repr_html_()
    assert "<mark>fell.</mark>" in page
    assert pair.key == "0"


def test_what_is_shown_is_bounded_and_redacted(tmp_path):
    """S8."""
    world = World(tmp_path)
    for n in range(2):
        body = lambda item, n=n: {"token": f"secret-{n}", "n": n}  # noqa: E731
        job = world.job(
            lambda payload, io, b=body: (yield io.map("classify", range(60), b, redact=["token"])), id="job"
        )
        world.run(job, fresh=True)
    there, here = job.runs()
    found = here.compare(there, "classify")
    assert len(found) == 60
    for shown in (str(found), found._repr_html_(), repr(found[0])):
        assert "secret" not in shown
    assert "40 more: to_frame() has all of them" in str(found)
    assert len(found._repr_html_()) < 60_000


def test_without_a_path_the_tasks_of_the_run_function(tmp_path):
    world = World(tmp_path)
    for result in (1, 2):
        job = world.job(lambda payload, io, r=result: (yield io.run_task("a", lambda: r)), id="job")
        world.run(job, fresh=True)
    newer, older = job.runs()
    ((name, here, there),) = older.compare(newer)[0].differences
    assert (name, here, there) == ("output", "1", "2")


def test_members_of_an_enum_are_labels(tmp_path):
    here, there = runs(World(tmp_path), lambda item: RunStatus.FAILED, lambda item: list(RunStatus)[item % 2])
    labels = here.compare(there, "classify").labels["output"]
    assert labels.here == {"RunStatus.FAILED": 6}
    assert sum(labels.there.values()) == 6
    assert str(here.compare(there, "classify")).count("RunStatus.FAILED → ") == 2


def test_wrong_runs_and_paths(tmp_path):
    here, there = runs(World(tmp_path), answer, answer)
    with pytest.raises(NotFoundError, match="no run 'nobody'"):
        here.compare("nobody", "classify")
    with pytest.raises(NotFoundError, match="no task 'clasify'"):
        here.compare(there, "clasify")
    with pytest.raises(InvalidOptionError, match="the other run is a Run or its id, not 7"):
        here.compare(7, "classify")


def test_thousands_of_long_results_cost_few_queries(tmp_path, monkeypatch):
    world = World(tmp_path)
    here, there = runs(world, lambda item: ["x" * 2000, item], lambda item: ["x" * 2000, -item], range(500))
    store = world.client.runtime.store
    asked = []
    ask = store._ask
    monkeypatch.setattr(store, "_ask", lambda query, *given: asked.append(query) or ask(query, *given))
    assert len(here.compare(there, "classify")) == 499
    assert len(here.diff(there)) == 499 + 1
    assert len(asked) < 60
