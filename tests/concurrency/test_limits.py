"""Rates and limits: what is let in, when and in which order."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import weakref

import anyio
import pytest
from hypothesis import given, strategies as st

from trigger_nb import ConcurrencyLimit, Rate
from trigger_nb._clock import SystemClock
from trigger_nb._concurrency.limiter import LONGEST_HOLD, Limiter, limiter_of, rate_of_line, to_rate
from trigger_nb._concurrency.limits import JobLimits, PacedLimiter, TaskLimits
from trigger_nb.errors import InvalidOptionError
from trigger_nb.testing import FakeClock

T0 = 1_900_000_000.0


# --- What users write -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count", "period"),
    [
        ("300/minute", 300, 60),
        ("10/second", 10, 1),
        ("5 per second", 5, 1),
        ("100/10 seconds", 100, 10),
        ("100 / 10s", 100, 10),
        ("1/s", 1, 1),
        ("2/m", 2, 60),
        ("2 per min", 2, 60),
        ("3/h", 3, 3600),
        ("3/2hours", 3, 7200),
        ("4/d", 4, 86400),
        ("4 PER DAY", 4, 86400),
        ("1/0.5 s", 1, 0.5),
    ],
)
def test_a_rate_is_a_number_and_a_time(text, count, period):
    rate = Rate(text)
    assert (rate.count, rate.period) == (count, period)


@pytest.mark.parametrize(
    "text",
    ["", "fast", "10", "10/", "/second", "0/second", "1/0 s", "-1/s", "1.5/s", "1/week", "1//s", 5, None],
)
def test_a_text_that_is_no_rate_is_refused_with_what_is_one(text):
    with pytest.raises(InvalidOptionError, match=r'"300/minute", "5 per second", "100/10 seconds"'):
        Rate(text)


@pytest.mark.parametrize("name", ["", 5])
def test_a_name_of_a_rate_is_text(name):
    with pytest.raises(InvalidOptionError, match="the name of a rate must be text"):
        Rate("1/s", name=name)


@pytest.mark.parametrize("option", [300, 1.5, None, ["1/s"]])
def test_what_is_no_rate_is_refused(option):
    with pytest.raises(InvalidOptionError, match="rate must be text such as"):
        to_rate(option)


def test_rates_are_equal_by_speed_and_name():
    assert Rate("60/minute", name="a") == Rate("60 per m", name="a") != Rate("60/minute", name="b")
    assert Rate("60/minute") != Rate("61/minute")
    assert pickle.loads(pickle.dumps(Rate("3/hour", name="x"))) == Rate("3/hour", name="x")


@pytest.mark.parametrize(
    "arguments", [("", 1), (None, 1), (7, 1), ("x", 0), ("x", -1), ("x", 1.5), ("x", True)]
)
def test_a_concurrency_limit_has_an_id_and_a_number(arguments):
    with pytest.raises(InvalidOptionError):
        ConcurrencyLimit(*arguments)


# --- A driver -------------------------------------------------------------------------------------


def limiter(clock, limit=None, rate=None):
    """The limiter of a job with these limits."""
    return JobLimits().limiter(clock, limit, None if rate is None else to_rate(rate))


class Calls:
    """Calls that go through the limiter of a job with these limits, with what was seen of them."""

    def __init__(self, limit=None, rate=None, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock(T0)
        self.limiter = limiter(self.clock, limit, rate)
        self.began: list[tuple[float, object]] = []
        self.inside = 0
        self.most = 0

    async def one(self, name: object, seconds: float = 0.0, *, hold: float = 0.0) -> None:
        await self.limiter.acquire()
        self.began.append((self.clock.time() - T0, name))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.clock.sleep_until(self.clock.time() + seconds)
            if hold:
                self.limiter.hold(T0 + hold)
        finally:
            self.inside -= 1
            self.limiter.release()

    async def many(self, count: int, seconds: float = 0.0) -> None:
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(self.one, number, seconds)
                await anyio.sleep(0)

    @property
    def times(self) -> list[float]:
        return [round(when, 6) for when, _ in self.began]

    @property
    def order(self) -> list[object]:
        return [name for _, name in self.began]


# --- Slots ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_never_more_than_the_limit_are_inside_and_the_first_comes_first(anyio_backend):
    calls = Calls(3)
    await calls.many(20, seconds=10)
    assert calls.most == 3
    assert calls.order == list(range(20))
    assert calls.times[-1] == 60


@pytest.mark.parametrize("limits", [(1, None), (None, "1/s"), (1, "1/s")])
def test_where_there_is_a_slot_nothing_is_awaited(limits):
    with pytest.raises(StopIteration):
        limiter(FakeClock(), *limits).acquire().send(None)  # outside of any event loop


@pytest.mark.anyio
async def test_who_is_cancelled_while_waiting_leaves_the_line_and_takes_no_slot(anyio_backend):
    calls = Calls(1)
    await calls.limiter.acquire()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await calls.limiter.acquire()
        assert scope.cancelled_caught
        group.start_soon(calls.one, "next")
        await anyio.wait_all_tasks_blocked()
        assert calls.began == []
        calls.limiter.release()
    assert calls.order == ["next"]


@pytest.mark.anyio
@pytest.mark.parametrize("limits", [(1, None), (1, "100/s")])
async def test_who_is_cancelled_just_as_its_turn_comes_hands_the_slot_on(limits, anyio_backend):
    calls = Calls(*limits)
    await calls.limiter.acquire()
    first = anyio.CancelScope()

    async def canceled() -> None:
        with first:
            await calls.one("canceled")

    async with anyio.create_task_group() as group:
        group.start_soon(canceled)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(calls.one, "next")
        await anyio.wait_all_tasks_blocked()
        calls.limiter.release()
        first.cancel()
    assert calls.order in (["next"], ["canceled", "next"])
    assert calls.most == 1


@pytest.mark.anyio
@pytest.mark.parametrize("limits", [(1, None), (1, "100/s")])
async def test_who_resumes_is_before_all_that_wait(limits, anyio_backend):
    calls = Calls(*limits)
    await calls.limiter.acquire()  # the one that resumes

    async def resume() -> None:
        await calls.limiter.reacquire()
        calls.began.append((0, "resumed"))
        calls.limiter.release()

    async with anyio.create_task_group() as group:
        group.start_soon(calls.one, "a", 1)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(calls.one, "b", 1)
        await anyio.wait_all_tasks_blocked()
        calls.limiter.release()
        await anyio.sleep(0)
        group.start_soon(resume)
    assert calls.order.index("resumed") < calls.order.index("b")


def test_another_number_of_slots_holds_at_once_and_counts_what_goes_on():
    """A job's cell is run again with another `concurrency_limit` while its runs go on."""
    limits, clock = JobLimits(), FakeClock(T0)
    assert limits.limiter(clock, 1, None).acquire_nowait()
    assert not limits.limiter(clock, 1, None).acquire_nowait()
    wider = limits.limiter(clock, 3, to_rate("1000/s"))
    clock.advance(1)
    assert wider.acquire_nowait()
    clock.advance(1)
    assert wider.acquire_nowait()
    clock.advance(1)
    assert not wider.acquire_nowait()


# --- Rates ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_starts_are_evenly_spaced(anyio_backend):
    calls = Calls(rate="60/minute")
    await calls.many(10)
    assert calls.times == pytest.approx(range(10), abs=0.06)
    assert calls.order == list(range(10))


@pytest.mark.anyio
async def test_an_hour_of_waiting_takes_no_time_with_a_clock_for_tests(anyio_backend):
    calls = Calls(rate="1/hour")
    await calls.many(3)
    assert [round(when / 3600, 3) for when in calls.times] == [0, 1, 2]


@pytest.mark.anyio
async def test_a_limit_and_a_rate_both_hold(anyio_backend):
    calls = Calls(2, "1/second")
    await calls.many(6, seconds=4)
    assert calls.most == 2
    assert [round(when) for when in calls.times] == [0, 1, 4, 5, 8, 9]
    assert calls.order == list(range(6))


@pytest.mark.anyio
async def test_slots_that_come_free_together_are_still_taken_at_the_rate(anyio_backend):
    """The rate's starts that went by meanwhile are not made up for."""
    calls = Calls(3, "1/second")
    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(calls.one, number, 10 - number if number < 3 else 1)
            await anyio.sleep(0)
    assert [round(when) for when in calls.times] == [0, 1, 2, 10, 11, 12]


def test_a_start_that_finds_no_slot_is_left_to_others_with_the_rate():
    clock, rate = FakeClock(T0), Rate("1/minute")
    runs = limiter(clock, 1, rate)
    assert runs.acquire_nowait()
    clock.advance(61)
    assert not runs.acquire_nowait()
    assert limiter_of(rate, clock).acquire_nowait()


@pytest.mark.anyio
async def test_a_clock_that_is_set_back_stops_nothing(anyio_backend):
    clock = FakeClock(T0)
    rate = limiter(clock, rate="1/minute")
    await rate.acquire()
    clock._now -= 86400
    await rate.acquire()
    assert clock.time() < T0 - 86400 + 62


class LateClock(FakeClock):
    """Its sleeps end a little late, as real ones do."""

    late = 0.0

    async def sleep_until(self, when: float) -> None:
        await super().sleep_until(when + self.late)


@pytest.mark.anyio
async def test_timers_that_are_late_do_not_slow_a_fast_rate_down():
    clock, times = LateClock(T0), []
    clock.late = 0.001
    fast = limiter(clock, rate="1000/second")
    for _ in range(500):
        await fast.acquire()
        times.append(clock.time())
        fast.release()
    assert times[-1] - T0 < 0.53  # 1 ms a start, and as much again without what makes up for it


# --- Holds ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_nothing_starts_before_a_hold_is_over_and_the_latest_wins(anyio_backend):
    calls = Calls(5)
    await calls.limiter.acquire()
    calls.limiter.hold(T0 + 100)
    calls.limiter.hold(T0 + 60)
    calls.limiter.release()
    await calls.one("after")
    assert calls.times == [100]


@pytest.mark.anyio
async def test_after_a_hold_no_more_begin_than_the_limit(anyio_backend):
    calls = Calls(4)
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(lambda number=number: calls.one(number, 1, hold=100 + number))
        await anyio.wait_all_tasks_blocked()
        await calls.many(12, seconds=10)
    assert calls.times[4:] == [103] * 4 + [113] * 4 + [123] * 4
    assert calls.most == 4


@pytest.mark.anyio
async def test_after_a_hold_a_rate_starts_again_at_its_pace(anyio_backend):
    calls = Calls(rate="1/second")
    await calls.limiter.acquire()
    calls.limiter.hold(T0 + 50)
    await calls.many(3, seconds=100)
    assert [round(when) for when in calls.times] == [50, 51, 52]


@pytest.mark.anyio
async def test_a_hold_that_no_service_can_mean_is_bounded(anyio_backend):
    calls = Calls(1)
    calls.limiter.hold(T0 * 1000)  # milliseconds, taken for seconds
    await calls.one("after")
    assert calls.times == [LONGEST_HOLD]


@pytest.mark.anyio
async def test_a_hold_in_the_past_is_none(anyio_backend):
    calls = Calls(1)
    calls.limiter.hold(T0 - 1)
    await calls.one("now")
    assert calls.times == [0]


# --- What is shared -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_rates_of_the_same_name_are_one(anyio_backend):
    clock = FakeClock(T0)
    one, other = (Calls(5, Rate("1/second", name="service"), clock=clock) for _ in range(2))
    async with anyio.create_task_group() as group:
        group.start_soon(one.many, 4)
        group.start_soon(other.many, 4)
    assert sorted(round(when) for when in one.times + other.times) == list(range(8))
    assert max(len(one.began), len(other.began)) == 4


@pytest.mark.anyio
async def test_neither_of_two_limiters_starves_on_a_rate_that_they_share(anyio_backend):
    clock = FakeClock(T0)
    one, other = (Calls(5, Rate("1/second", name="fair"), clock=clock) for _ in range(2))
    async with anyio.create_task_group() as group:
        group.start_soon(one.many, 10)
        group.start_soon(other.many, 10)
    assert abs(max(one.times) - max(other.times)) < 10


@pytest.mark.anyio
async def test_a_hold_on_a_name_is_for_all_that_share_it(anyio_backend):
    """An item of a map is told to wait: tasks and runs with the same rate wait too, and the map's other items."""
    clock, rate = FakeClock(T0), Rate("10/second", name="held")
    a_map, a_job = Limiter(clock, 5), Calls(5, Rate("10/second", name="held"), clock=clock)
    item = TaskLimits([a_map, limiter_of(rate, clock)])
    assert item.acquire_nowait()
    item.release()
    item.hold(T0 + 30)
    assert not a_map.acquire_nowait()
    assert not item.acquire_nowait()
    await a_job.one("run")
    assert a_job.times == [30]


@pytest.mark.anyio
async def test_what_a_batch_acquires_for_its_items_is_held_by_each_of_them(anyio_backend):
    clock = FakeClock(T0)
    a_map = Limiter(clock, 1)
    item = TaskLimits([a_map], acquire=False)
    assert a_map.acquire_nowait()
    assert item.acquire_nowait()
    item.hold(T0 + 30)
    item.release()
    a_map.release()
    await a_map.acquire()
    assert clock.time() == T0 + 30


@pytest.mark.anyio
async def test_without_a_name_the_same_object_is_shared_and_another_is_not(anyio_backend):
    clock, rate = FakeClock(T0), Rate("1/minute")
    assert limiter_of(rate, clock) is limiter_of(rate, clock)
    assert limiter_of(rate, clock) is not limiter_of(Rate("1/minute"), clock)
    await limiter_of(rate, clock).acquire()
    await limiter(clock, 3, rate).acquire()
    assert clock.time() >= T0 + 60


@pytest.mark.anyio
async def test_the_times_of_one_clock_mean_nothing_to_another():
    rate, late, early = Rate("1/minute", name="clocks"), FakeClock(T0 + 1e6), FakeClock(T0)
    await limiter_of(rate, late).acquire()
    await limiter_of(rate, early).acquire()
    assert early.time() == T0
    assert limiter_of(rate, SystemClock()) is limiter_of(rate, SystemClock())


def test_a_rate_that_nobody_has_any_more_leaves_nothing_behind():
    rate = Rate("1/s")
    gone = weakref.ref(limiter_of(rate, FakeClock()))
    del rate
    gc.collect()
    assert gone() is None


def _place(instruction: int = 0):
    return _place.__code__, instruction


def test_the_calls_of_one_line_share_the_rate_that_it_says():
    assert rate_of_line("1/s", _place()) is rate_of_line("1/s", _place())
    assert rate_of_line("1/s", _place()) is not rate_of_line("1/s", _place(1))
    assert rate_of_line("1/s", _place()) is not rate_of_line("2/s", _place())
    rate = Rate("1/s")
    assert rate_of_line(rate, _place()) is rate


@pytest.mark.anyio
async def test_the_same_name_with_another_speed_is_an_error_while_it_is_in_use(anyio_backend):
    clock = FakeClock(T0)
    slow = limiter_of(Rate("1/second", name=f"speed {anyio_backend}"), clock)
    await slow.acquire()
    with pytest.raises(InvalidOptionError, match=r"2/second.*while.*1/second.*is in use"):
        limiter(clock, 3, Rate("2/second", name=f"speed {anyio_backend}"))
    slow.release()
    clock.advance(2)
    assert limiter(clock, 3, Rate("2/second", name=f"speed {anyio_backend}")).acquire_nowait()


def test_the_same_speed_in_other_words_is_the_same():
    clock = FakeClock(T0)
    assert limiter_of(Rate("60/minute", name="words"), clock) is limiter_of(
        Rate("60 per m", name="words"), clock
    )


@pytest.mark.anyio
async def test_a_cell_run_again_with_another_speed_takes_over_and_who_has_the_old_one_is_told(anyio_backend):
    clock = FakeClock(T0)
    old, new = Rate("1/hour", name="edited"), Rate("1/second", name="edited")
    await limiter_of(old, clock).acquire()
    limiter_of(old, clock).release()
    calls = Calls(3, new, clock=clock)
    await calls.many(3)
    assert clock.time() < T0 + 3605
    with pytest.raises(InvalidOptionError, match="was made later.*Run the cell again"):
        limiter_of(old, clock)


@pytest.mark.anyio
async def test_a_concurrency_limit_is_one_by_its_id(anyio_backend):
    clock = FakeClock(T0)
    one, other = (Calls(ConcurrencyLimit("shared", 2), clock=clock) for _ in range(2))
    inside = []

    async def look(calls: Calls) -> None:
        await calls.many(6, seconds=10)
        inside.append(calls.most)

    async with anyio.create_task_group() as group:
        group.start_soon(look, one)
        group.start_soon(look, other)
    assert clock.time() == T0 + 60
    wider = limiter(clock, ConcurrencyLimit("shared", 3))  # nobody uses it now
    assert [wider.acquire_nowait() for _ in range(4)] == [True] * 3 + [False]
    for _ in range(3):
        wider.release()


@pytest.mark.anyio
async def test_a_slot_that_is_free_is_not_kept_for_one_who_waits_for_its_rate(anyio_backend):
    """A job paced to one start an hour does not keep the runs of another one out."""
    clock, limit = FakeClock(T0), ConcurrencyLimit("mixed", 1)
    paced = Calls(limit, "1/hour", clock=clock)
    free = Calls(limit, clock=clock)
    async with anyio.create_task_group() as group:
        group.start_soon(paced.many, 3, 5)
        group.start_soon(free.many, 5, 10)
    assert max(free.times) < 100
    assert [round(when / 3600, 1) for when in paced.times] == [0, 1, 2]


# --- Several event loops --------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [(3, None), (3, "100000/s")])
def test_several_event_loops_share_a_limit(limits):
    shared, lock = limiter(SystemClock(), *limits), threading.Lock()
    seen = {"inside": 0, "most": 0, "ended": 0}

    async def one() -> None:
        await shared.acquire()
        with lock:
            seen["inside"] += 1
            seen["most"] = max(seen["most"], seen["inside"])
        await asyncio.sleep(0)
        with lock:
            seen["inside"] -= 1
            seen["ended"] += 1
        shared.release()

    async def loop() -> None:
        await asyncio.gather(*(one() for _ in range(100)))

    threads = [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {"inside": 0, "most": seen["most"], "ended": 400}
    assert seen["most"] <= 3


def test_an_event_loop_that_is_gone_keeps_nobody_waiting():
    slot = Limiter(FakeClock(T0), 1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(slot.acquire())
    left_behind = loop.create_task(slot.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def main() -> None:
        slot.release()
        await slot.acquire()

    asyncio.run(asyncio.wait_for(main(), 30))
    left_behind._log_destroy_pending = False
    left_behind.get_coro().close()


# --- Whatever happens -----------------------------------------------------------------------------


@st.composite
def _calls(draw):
    return draw(
        st.lists(
            st.tuples(
                st.floats(0, 20),  # comes at
                st.floats(0, 5),  # stays for
                st.one_of(st.none(), st.floats(0, 25)),  # is cancelled at
                st.one_of(st.none(), st.none(), st.floats(0, 40)),  # and is told to wait until
            ),
            min_size=1,
            max_size=25,
        )
    )


@given(_calls(), st.integers(1, 4), st.sampled_from([None, "3/second", "5/2 seconds", "40/minute"]))
def test_no_limit_is_ever_passed_and_nobody_is_forgotten(calls, slots, text):
    """Whoever comes, is cancelled, and is told to wait: never more inside, never more starts, all get in."""
    clock, began, state = FakeClock(T0), [], {"inside": 0, "held": 0.0}
    rate = None if text is None else Rate(text)
    subject = limiter(clock, slots, rate)
    holds = Limiter(clock, slots) if rate is None else limiter_of(rate, clock)
    if rate is None:
        subject = holds

    async def one(comes, stays, hold) -> None:
        await clock.sleep_until(T0 + comes)
        await subject.acquire()
        assert clock.time() >= state["held"]
        began.append(clock.time())
        state["inside"] += 1
        assert state["inside"] <= slots
        try:
            await clock.sleep_until(clock.time() + stays)
            if hold is not None:
                holds.hold(T0 + hold)
                state["held"] = max(state["held"], T0 + hold)
        finally:
            state["inside"] -= 1
            subject.release()

    async def cancel(task, when) -> None:
        await clock.sleep_until(T0 + when)
        task.cancel()

    async def main() -> None:
        tasks, cancels = [], []
        for comes, stays, canceled, hold in calls:
            tasks.append(asyncio.ensure_future(one(comes, stays, hold)))
            if canceled is not None:
                cancels.append(asyncio.ensure_future(cancel(tasks[-1], canceled)))
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        await asyncio.gather(*cancels)
        assert all(error is None or isinstance(error, asyncio.CancelledError) for error in ended)
        for _ in range(slots * 3):  # all slots are free again
            await asyncio.wait_for(one(0, 0, None), 60)

    asyncio.run(main())
    assert not holds.is_used
    if isinstance(subject, PacedLimiter):
        assert not subject._slots.is_used
        assert not subject._turn.is_used
    if rate is not None:
        for first, after in zip(began, began[rate.count :], strict=False):
            assert after - first >= rate.period - 1e-6
