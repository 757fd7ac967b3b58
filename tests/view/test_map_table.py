"""The items of a map as a table: sorted and filtered by the kernel, read step by step."""

from __future__ import annotations

import pytest

from tests.support.front import Stopwatch
from tests.view.test_model import Clock, run, task
from trigger_nb import TaskStatus
from trigger_nb._records.feed import Progressed, Saved
from trigger_nb._view.live.map_table import Tables, Wish
from trigger_nb._view.model.run_model import RunModel
from trigger_nb.errors import UsageError

VALUES = [{"label": "spam", "n": 10}, {"label": "ham", "n": 9}, {"label": "ham", "n": 1.5}, None, {"n": -1}]


class Kernel:
    """Tables over records that it has, with a count of the queries."""

    def __init__(self, values=VALUES, timer=None, **fields) -> None:
        items = [
            task(
                f"m/i{n}", n + 2, name=f"item {n}", value=value, ended_at=1_700_000_000 + 3 * n + 2, **fields
            )
            for n, value in enumerate(values)
        ]
        self.records = {record.path: record for record in [task("m", 1, kind="map"), *items]}
        self.model = RunModel(run(), self.records.values(), clock=Clock(), read=self.records.get)
        self.queries = []
        self.tables = Tables(self, timer or Stopwatch())

    def whole_records(self, paths):
        self.queries.append(paths)
        return [self.records[path] for path in paths]

    def ask(self, **wish):
        given = {"from": 0, "to": 50, **wish}
        return self.tables.answer(self.model.rows["m"], given, lambda path: list(self.records).index(path))

    def names(self, **wish):
        return [int(row[2].removeprefix("item ")) for row in self.ask(**wish)["rows"]]

    def save(self, record):
        self.records[record.path] = record
        self.model.apply([Saved(record)])


def test_a_row_has_the_fields_of_its_output_in_the_order_of_the_columns():
    part = Kernel().ask()
    assert part["columns"] == [
        ["name", "Item", "name"],
        ["status", "Status", "status"],
        [".label", "label", "text"],
        [".n", "n", "number"],
        ["seconds", "Took", "took"],
    ]
    assert part["rows"][0] == [1, 0, "item 0", False, 1, 0, "", "spam", "10"]
    assert part["rows"][3][7:] == [None, None]
    assert (part["total"], part["all"], part["share"]) == (5, 5, 1.0)


@pytest.mark.parametrize(
    ("sort", "down", "order"),
    [
        ("", False, [0, 1, 2, 3, 4]),
        ("", True, [4, 3, 2, 1, 0]),
        ("name", True, [4, 3, 2, 1, 0]),
        (".n", False, [4, 2, 1, 0, 3]),
        (".n", True, [0, 1, 2, 4, 3]),
        (".label", False, [1, 2, 0, 3, 4]),
        ("seconds", True, [4, 3, 2, 1, 0]),
        (".nothing", False, [0, 1, 2, 3, 4]),
    ],
)
def test_numbers_sort_as_numbers_and_what_is_missing_comes_last(sort, down, order):
    assert Kernel().names(sort=sort, down=down) == order


def test_names_sort_by_the_numbers_in_them():
    kernel = Kernel([1] * 12)
    assert kernel.names(sort="name")[8:] == [8, 9, 10, 11]


def test_it_filters_by_text_state_and_error():
    kernel = Kernel()
    for n in range(3):
        error = {"type": "ValueError", "message": f"no text {n}"}
        kernel.save(task(f"m/bad{n}", 20 + n, TaskStatus.ERRORED, name=f"item {90 + n}", error=error))
    assert kernel.names(text="HAM") == [1, 2]
    assert kernel.names(text="item 4") == [4]
    assert kernel.names(text="no text 2") == [92]
    assert kernel.names(states=["failed"]) == [90, 91, 92]
    assert kernel.names(states=["failed"], group=0) == [90, 91, 92]
    assert kernel.names(group=7) == []
    assert kernel.names(origins=["replayed"]) == []
    assert kernel.names(origins=["reused"]) == []
    assert "error" in [name for name, *_ in kernel.ask()["columns"]]


def test_only_rows_in_view_are_read_unless_all_are_needed():
    """One query for many items, in steps that are bounded."""
    kernel = Kernel([{"n": n} for n in range(1000)])
    kernel.ask(to=20)
    assert [len(paths) for paths in kernel.queries] == [20]
    assert kernel.ask(sort=".n", down=True, to=3)["rows"][0][2] == "item 999"
    assert len(kernel.queries) < 20
    before = len(kernel.queries)
    kernel.ask(text="7", to=3)
    assert len(kernel.queries) == before


def test_a_large_map_is_read_over_several_requests():
    kernel = Kernel([{"n": n} for n in range(500)], Stopwatch(step=0.003))
    shares = [kernel.ask(sort=".n", down=True, to=1)["share"]]
    while shares[-1] < 1:
        shares.append(kernel.ask(sort=".n", down=True, to=1)["share"])
        assert len(shares) < 100
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert kernel.names(sort=".n", down=True, to=2) == [499, 498]


def test_a_result_that_changes_is_read_again():
    kernel = Kernel()
    kernel.ask()
    kernel.save(task("m/i3", 5, name="item 3", value={"label": "new"}, generation=1))
    assert kernel.ask()["rows"][3][7] == "new"


def test_what_is_shown_is_bounded_safe_and_redacted():
    """D5, S8."""
    kernel = Kernel(
        [{"token": "secret", "text": "<b>\x1b" * 200, **{f"f{n}": n for n in range(30)}}], redact=["token"]
    )
    part = kernel.ask()
    assert part["more"]
    assert len(part["columns"]) <= 16
    shown = str(part["rows"])
    assert "secret" not in shown
    assert "\\x1b[" not in shown
    assert len(shown) < 2000


@pytest.mark.parametrize(
    "odd", [{"from": -5, "to": "x"}, {"from": None, "to": 10**9}, {"states": 7, "group": "x", "sort": 5}]
)
def test_odd_messages_are_answered(odd):
    assert len(Kernel().ask(**odd)["rows"]) <= 300
    assert Wish.of(odd).stop - Wish.of(odd).start <= 300


def test_a_row_that_is_no_map_is_refused():
    kernel = Kernel()
    for row in (None, kernel.model.rows["m/i1"]):
        with pytest.raises(UsageError, match="no map"):
            kernel.tables.answer(row, {}, lambda path: 0)


def test_items_of_a_map_under_way_come_with_the_next_request():
    kernel = Kernel(timer=Stopwatch(step=1))
    kernel.model.apply([Progressed("m", 5, 9, None, 0)])
    assert kernel.ask()["all"] == 5
    kernel.save(task("m/i9", 30, name="item 9", value={"n": 4}))
    assert kernel.names()[-1] == 9
