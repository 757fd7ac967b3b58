"""`run.results`: what became of the items of a map, as a sequence and as a table."""

from __future__ import annotations

import dataclasses
import sys

import pydantic
import pytest

from tests.support.worlds import World
from trigger_nb._runs import frames
from trigger_nb.errors import InvalidOptionError, MissingExtraError, NotFoundError


class Answer(pydantic.BaseModel):
    label: str
    usage: dict[str, int]


@dataclasses.dataclass
class Spot:
    x: int
    status: str


def mapped(world: World, body, items, **options):
    """The run of a job with one map, "classify"."""
    job = world.job(
        lambda payload, io: (yield io.map("classify", items, body, return_errors=True, **options)), id="job"
    )
    world.run(job, run_id=options.pop("run_id", None) or f"run {len(job.runs())}")
    return world.last(job)


def classify(item):
    if item % 5 == 3:
        raise ValueError(f"item {item} has no text")
    return Answer(label="spam" if item % 2 else "ham", usage={"tokens": item})


def test_each_item_has_what_became_of_it(tmp_path):
    world = World(tmp_path)
    results = mapped(world, classify, range(5), item_name=lambda item: f"doc {item}").results("classify")
    assert [each.name for each in results] == [f"doc {n}" for n in range(5)]
    assert [each.key for each in results] == list("01234")
    assert [each.output for each in results] == [classify(n) if n != 3 else None for n in range(5)]
    bad = results[3]
    assert (bad.status, bad.attempts, bad.reused, bad.input) == ("ERRORED", 1, False, 3)
    assert isinstance(bad.error, ValueError)
    assert bad.error_text == "ValueError: item 3 has no text"
    assert bad.task.inputs.args == (3,)
    assert results[0].error is None
    assert results[0].input is None, "only those of failed items are kept"
    assert results[0].seconds is not None
    assert [each.key for each in results.failed] == ["3"]
    assert len(results[1:3]) == 2
    assert repr(results[1]) == '<result \'doc 1\': COMPLETED, {"label": "spam", "usage": {"tokens": 1}}>'


def test_kept_inputs_and_reused_results(tmp_path):
    world = World(tmp_path)
    first = mapped(world, classify, range(3), keep_inputs=True, reuse="job")
    assert [each.input for each in first.results("classify")] == [0, 1, 2]
    second = mapped(world, classify, range(3), keep_inputs=True, reuse="job")
    assert second.id != first.id
    reused = second.results("classify")
    assert [each.reused for each in reused] == [True] * 3
    assert reused[0].reused_from.run_id == first.id
    assert "3 of them reused from other runs" in str(reused)


def test_paths(tmp_path):
    world = World(tmp_path)

    @world.job
    def job(payload, io):
        io.logger.info("begins")
        yield io.wait("soon", seconds=0)
        yield io.map("map", [1, 2], lambda item: item)
        yield io.parallel("all", [7, 8], lambda item: item)
        yield io.run_task("end", lambda: "done")

    world.run(job)
    run = world.last(job)

    def keys(*paths):
        return [each.key for each in run.results(*paths)]

    assert keys() == ["map", "all", "end"], "the tasks of the run function, without log lines and waits"
    assert keys("map") == keys(["map"]) == ["1", "2"]
    assert keys("map", "end") == keys(["map", "end"]) == ["1", "2", "end"]
    assert keys(["map", 2]) == ["2"]
    assert keys("map", "map") == ["1", "2"]
    assert len(keys("all")) == 2
    with pytest.raises(NotFoundError, match="no task 'mapp'; there is 'map'"):
        run.results("mapp")


def test_equal_errors_are_together(tmp_path):
    world = World(tmp_path)

    def body(item):
        raise ValueError(f"item {item} has no text") if item % 4 else KeyError("gone")

    results = mapped(world, body, range(12), max_failures=100).results("classify")
    assert [(each.error, len(each.results)) for each in results.errors] == [
        ("ValueError: item … has no text", 9),
        ("KeyError: 'gone'", 3),
    ]
    assert "  9 × ValueError: item … has no text" in str(results).splitlines()
    assert results.errors[1].results[0].key == "0"


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_a_column_for_each_field(tmp_path, library):
    world = World(tmp_path)
    results = mapped(world, classify, range(5)).results("classify")
    frame = results.to_frame(library=library)
    assert type(frame).__module__.startswith(library)
    wanted = [
        "key",
        "name",
        "status",
        "attempts",
        "seconds",
        "reused",
        "error",
        "input",
        "label",
        "usage.tokens",
    ]
    assert list(frame.columns) == wanted
    assert list(frame["label"])[:3] == ["ham", "spam", "ham"]
    assert list(frame["usage.tokens"])[4] == 4
    assert list(frame["error"])[3] == "ValueError: item 3 has no text"
    assert list(frame["status"])[3] == "ERRORED"


def test_a_field_named_as_a_column_and_values_of_several_kinds(tmp_path):
    world = World(tmp_path)
    values = [Spot(1, "red"), 7, [1, {"a": 2}], None, "x"]
    frame = mapped(world, lambda item: values[item], range(5)).results("classify").to_frame()
    assert list(frame["output.status"])[:1] == ["red"]
    assert list(frame["output.status"].isna()) == [False, True, True, True, True]
    assert list(frame["output"])[1:3] == [7, [1, {"a": 2}]]
    assert list(frame["status"]) == ["COMPLETED"] * 5
    assert list(frame["x"])[0] == 1
    assert (
        list(
            mapped(world, lambda item: values[item], range(5))
            .results("classify")
            .to_frame("polars")["output"]
        )[4]
        == "x"
    )


def test_too_many_different_fields_are_no_columns(tmp_path):
    """A count of words in each text would make a column for each word."""
    world = World(tmp_path)
    results = mapped(world, lambda item: {"words": {f"w{item}-{n}": n for n in range(60)}}, range(9)).results(
        "classify"
    )
    frame = results.to_frame()
    assert list(frame["words"])[8]["w8-59"] == 59
    assert frames.flattened(
        [{f"{item}-{n}": n for n in range(60)} for item in range(9)], "output"
    ).keys() == {"output"}
    assert list(frames.flattened([], "output")) == ["output"]


def test_without_a_library_an_error_says_what_to_install(tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    world = World(tmp_path)
    results = mapped(world, classify, range(2)).results("classify")
    monkeypatch.setattr(frames, "import_library", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'trigger-nb\[pandas\]', or polars"):
        results.to_frame()
    with pytest.raises(MissingExtraError, match=r"needs polars, .* pip install 'trigger-nb\[polars\]'$"):
        results.to_frame(library="polars")
    with pytest.raises(InvalidOptionError, match='library is "pandas" or "polars"'):
        results.to_frame(library="excel")


def test_long_results_are_read_many_at_a_time(tmp_path, monkeypatch):
    """Linear: no query for each item."""
    world = World(tmp_path)
    run = mapped(world, lambda item: {"text": "x" * 2000, "n": item}, range(500))
    world.new_kernel()
    run = world.client.run(run.id)
    store = world.client.runtime.store
    asked = []
    ask = store._ask
    monkeypatch.setattr(store, "_ask", lambda query, *given: asked.append(query) or ask(query, *given))
    frame = run.results("classify").to_frame()
    assert list(frame["n"]) == list(range(500))
    assert len(asked) < 20


def test_what_is_shown_is_bounded_safe_and_redacted(tmp_path):
    """D5, S8."""
    world = World(tmp_path)
    run = mapped(
        world,
        lambda item: {"token": f"secret-{item}", "page": "<b>\x1b[31m" * 99},
        range(50),
        redact=["token"],
    )
    results = run.results("classify")
    page, text = results._repr_html_(), str(results)
    for shown in (page, text):
        assert "secret" not in shown
        assert "\x1b" not in shown
        assert "30 more: to_frame() has all of them" in shown
    assert "&lt;b&gt;" in page
    assert max(map(len, text.splitlines())) < 250
    assert len(page) < 60_000
    assert str(run.results("classify")[:0]) == "0 results of classify"


def test_an_output_that_was_not_stored_is_none_in_a_frame(tmp_path):
    world = World(tmp_path)
    results = mapped(world, lambda item: sys.stdout, range(2)).results("classify")
    assert list(results.to_frame()["output"]) == [None, None]


def test_item_name_is_what_is_shown(tmp_path):
    world = World(tmp_path)
    run = mapped(
        world,
        lambda item: 1,
        [{"id": 7, "title": "a\n" * 99}],
        item_name=lambda item: item["title"],
        redact=["id"],
    )
    assert run.results("classify")[0].name.startswith("a a a")
    assert len(run.results("classify")[0].name) == 80
    with pytest.raises(
        InvalidOptionError, match=r"item_name must be a function, item_name\(item\), not 'title'"
    ):
        mapped(world, lambda item: 1, [1], item_name="title")
