"""R9: the tasks that started after a task had ended, found in a pass without looking at all records each time."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from trigger_nb._engine.followers import Followers
from trigger_nb._keys import ancestors
from trigger_nb._records.forget import forget
from trigger_nb._records.records import TaskRecord

KINDS = ["task", "task", "map", "parallel", "log"]


class Records:
    """A ledger, as far as `Followers` reads it."""

    def __init__(self, records):
        self._records = records

    def records(self):
        return list(self._records.values())


@st.composite
def runs(draw):
    """The records of a run in which each task starts within the one around it, in any order otherwise."""
    paths = [""]
    for number in range(draw(st.integers(1, 14))):
        around = draw(st.sampled_from([path for path in paths if path.count("/") < 3]))
        paths.append(f"{around}/{number}" if around else str(number))
    ordinals = draw(st.permutations(range(1, 2 * len(paths) + 1)))
    records = {}
    for path in paths[1:]:
        first, last = sorted((ordinals.pop(), ordinals.pop()))
        outer = [records[each].started for each in ancestors(path)]
        kind = draw(st.sampled_from(KINDS))
        records[path] = TaskRecord(
            path=path, kind=kind, started=max([first, *(100 + each for each in outer)]), ended=0
        )
        records[path].ended = max(last, records[path].started) + draw(st.integers(0, 150))
    return records


@given(records=runs(), data=st.data())
@settings(max_examples=300)
def test_the_same_tasks_are_found_as_in_a_run_at_rest(records, data):
    """As by `forget`, of which each is found once."""
    followers, known = Followers(Records(records)), set()
    for _ in range(3):
        path = data.draw(st.sampled_from(list(records)))
        own = {path, *ancestors(path), *(other for other in records if other.startswith(path + "/"))}
        moved = {each.path for each in forget(records, path) if each.forced or each.kind == "log"}
        opened = {around for each in moved for around in ancestors(each)}
        expected = {each for each in moved - own if records[each].started > records[path].ended}
        assert moved - own <= expected | opened
        found = followers.after(path, records[path].ended)
        assert len(found) == len(set(found))
        assert set(found) == expected - known
        known |= expected
