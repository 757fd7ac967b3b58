"""`check=`: a result that is not as it should be is a failed attempt. `Retry(subtasks="again")`, and the attempts that
would only replay."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel, ValidationError

from tests.support.worlds import Gate, World, until
from trigger_nb import Retry, TaskStatus
from trigger_nb._tasks.running import running_bodies
from trigger_nb.errors import InvalidOptionError, RunInterruptedError, TaskTimeoutError

AT_ONCE = Retry(limit=5, min_timeout=0)
GOOD, BAD = '{"label": "sport", "score": 0.5}', '{"label": "sport", "sco'


class Label(BaseModel):
    label: str
    score: float


def answering(world, *answers):
    """A body that notes its call and gives the next answer; the last one stays."""
    left = list(answers)
    return world.body(lambda: left.pop(0) if len(left) > 1 else left[0], note="asked")


def job_of(world, body, **options):
    @world.job
    def job(payload, io):
        return (yield io.run_task("ask", body, **options))

    return job


def parsed(answer):
    return json.loads(answer)


async def parsed_later(answer):
    await asyncio.sleep(0)
    return json.loads(answer)


# --- What is kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "kept"),
    [(Label, Label(label="sport", score=0.5)), (parsed, json.loads(GOOD)), (parsed_later, json.loads(GOOD))],
)
def test_a_malformed_answer_is_asked_for_again_and_the_checked_value_is_kept(world, check, kept):
    """R1, R2: the first pass, a replay and a new kernel give what the check returned, and ask nobody again."""
    checks = []

    def noting(answer):
        checks.append(answer)
        return check(answer)

    body = answering(world, BAD, "no JSON at all", GOOD)
    job = job_of(world, body, check=check if check is Label else noting, retry=AT_ONCE)
    assert world.run(job) == kept
    assert world.take() == ["asked"] * 3
    assert world.run(job) == kept
    world.new_kernel()
    world.client.job(id="job")(job.fn)
    assert world.run(job_of(world, body, check=check if check is Label else noting)) == kept
    assert world.take() == []
    assert checks == ([] if check is Label else [BAD, "no JSON at all", GOOD])
    assert world.last(job).task("ask").output == kept


def test_a_check_of_a_dict_takes_it_as_it_is(world):
    """A model is made of a mapping as well as of a text."""
    job = job_of(world, answering(world, {"label": "x"}, {"label": "x", "score": 1}), check=Label, retry=2)
    assert world.run(job) == Label(label="x", score=1)


def test_a_list_of_models_can_be_checked_for(world):
    job = job_of(world, answering(world, "[{}]", f"[{GOOD}]"), check=list[Label], retry=2)
    assert world.run(job) == [Label(label="sport", score=0.5)]


def test_a_check_sees_what_the_caller_would_get(world):
    """The return annotation of the body applies before the check; what the check returns may be of another type."""

    def ask() -> Label:
        return {"label": "sport", "score": 1}  # type: ignore[return-value]

    def check(label):
        assert isinstance(label, Label)
        return [label.label]

    body = world.body(ask)
    body.__annotations__ = {"return": Label}
    assert world.run(job_of(world, body, check=check)) == ["sport"]
    assert world.run(job_of(world, body, check=check)) == ["sport"]


def test_without_retry_a_malformed_answer_fails_the_task(world):
    """The error is the check's own; the next pass asks again."""
    job = job_of(world, answering(world, BAD, GOOD), check=Label)
    assert isinstance(world.fail(job), ValidationError)
    assert world.run(job) == Label(label="sport", score=0.5)
    assert world.take() == ["asked"] * 2


@pytest.mark.parametrize("method", ["map", "parallel"])
def test_items_are_checked_one_by_one(world, method):
    """C2: an item whose answer is malformed is asked again alone."""
    asked = []

    def ask(item):
        asked.append(item)
        return BAD if item == 1 and asked.count(1) < 3 else GOOD

    body = world.body(ask)

    @world.job
    def job(payload, io):
        return (yield getattr(io, method)("ask", range(3), body, check=Label, retry=AT_ONCE))

    assert world.run(job) == [Label(label="sport", score=0.5)] * 3
    assert sorted(asked) == [0, 1, 1, 1, 2]


def test_an_item_of_a_batch_is_asked_again_alone(world):
    asked = []

    def ask(items):
        asked.append(list(items))
        return [BAD if item == 1 and len(asked) == 1 else GOOD for item in items]

    body = world.body(ask)

    @world.job
    def job(payload, io):
        return (yield io.map("ask", range(3), body, batch=3, check=Label, retry=AT_ONCE))

    assert world.run(job) == [Label(label="sport", score=0.5)] * 3
    assert asked == [[0, 1, 2], [1]]


def test_a_result_from_an_executor_is_checked(world):
    def ask(item):
        return GOOD

    @world.job
    def job(payload, io):
        with ThreadPoolExecutor(1) as pool:
            return (yield io.run_task("ask", ask, 1, check=Label, executor=pool))

    assert world.run(job) == Label(label="sport", score=0.5)


def test_a_check_may_ask_a_judge_as_a_subtask(async_world):
    """An async check has the scope of the task."""
    judged = []

    async def judge(answer):
        judged.append(answer)
        return answer != "bad"

    async def job(payload, io):
        async def check(answer):
            assert await io.run_task(("judge", answer), judge, answer)
            return answer

        return await io.run_task("ask", answering(async_world, "bad", "good"), check=check, retry=AT_ONCE)

    job = async_world.client.job(id="judged")(job)
    assert async_world.run(job) == "good"
    assert async_world.run(job) == "good"
    assert judged == ["bad", "good"]
    assert async_world.last(job).task("ask/~(judge,good)").status == TaskStatus.COMPLETED


@pytest.mark.anyio
@pytest.mark.parametrize("check", [Label, parsed_later])
async def test_the_result_of_a_thread_that_nobody_waits_for_is_checked(tmp_path, check):
    """A5: the attempt had timed out; what the thread returns later is recorded as the check made it."""
    world, gate = World(tmp_path), Gate()

    def body():
        world.note("asked")
        gate.pass_through()
        return GOOD

    @world.client.job
    async def job(payload, io):
        return await io.run_task("ask", body, timeout=0.01, check=check)

    with pytest.raises(TaskTimeoutError):
        await job.run()
    gate.open()
    await until(lambda: not running_bodies)
    kept = await job.run()
    assert (kept if check is parsed_later else kept.model_dump()) == json.loads(GOOD)
    assert world.take() == ["asked"]


# --- What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [BAD, [1, 2, 3]])
def test_the_refused_answer_is_kept_with_the_error_and_shown(world, answer):
    run_job = job_of(world, answering(world, answer), check=Label)
    error = world.fail(run_job)
    text = answer if isinstance(answer, str) else json.dumps(answer)
    assert f"check= refused this result: {text}" in error.__notes__
    world.new_kernel()
    run = world.last(run_job)
    assert f"check= refused this result: {text}" in run.task("ask").error.__notes__
    page = run.export_html(world.directory / "page.html").read_text()
    assert "check= refused this result" in page


def test_what_was_refused_before_the_answer_that_was_kept_stays_with_the_task(world):
    """It is among the printed text, attempt by attempt; the errors of earlier attempts are not kept."""
    job = job_of(world, answering(world, BAD, "no JSON", GOOD), check=Label, retry=AT_ONCE)
    world.run(job)
    world.new_kernel()
    assert world.last(job).task("ask").prints == (
        f"check= refused this result: {BAD}\n— attempt 2 —\ncheck= refused this result: no JSON\n"
    )


def test_a_refused_answer_is_bounded(world):
    error = world.fail(job_of(world, answering(world, "x" * 100_000), check=Label))
    assert len(error.__notes__[0]) < 2200


@pytest.mark.parametrize("answer", ['{"label": "s3cret-word"}', '{"label": "s3cret-word", '])
def test_a_refused_answer_is_shown_without_what_is_redacted(world, answer):
    """S8: the message of the check repeats its input, and is hidden where `redact=` cannot look into that."""
    job = job_of(world, answering(world, answer), check=Label, redact=["label"])
    world.fail(job)
    run = world.last(job)
    page = run.export_html(world.directory / "page.html").read_text()
    assert "s3cret-word" not in page + run.tree() + run.task("ask").prints
    assert "check= refused this result" in page
    assert not any("s3cret" in note for note in run.task("ask").error.__notes__)


def test_a_check_that_returns_nothing_is_a_mistake(world):
    """A check of assertions alone would put None in place of each result."""
    error = world.fail(job_of(world, answering(world, GOOD), check=lambda answer: None))
    assert isinstance(error, InvalidOptionError)
    assert "check= of task 'ask' returned nothing. It returns what is kept" in str(error)


def test_what_is_no_check_is_refused(world):
    error = world.fail(job_of(world, answering(world, GOOD), check="Label"))
    assert "check must be a pydantic model class, or a function of the result" in str(error)


# --- Subtasks in attempts of their parent -----------------------------------------------------------


def parent_of(world, ask, **options):
    def classify(io):
        return json.loads((yield io.run_task("ask", ask)))

    @world.job
    def job(payload, io):
        return (yield io.run_task("classify", world.body(classify), **options))

    return job


def test_an_attempt_that_could_only_replay_is_not_made(async_world):
    """The answer is stored, and parsing it again would fail again; the error names both ways out."""
    world = async_world
    error = world.fail(parent_of(world, answering(world, BAD), retry=5))
    assert world.last(parent_of(world, answering(world, BAD), retry=5)).task("classify").attempt == 1
    assert world.take() == ["asked"]
    (note,) = [note for note in error.__notes__ if "No further attempt" in note]
    assert "'classify/ask'" in note
    assert "check=" in note
    assert 'Retry(..., subtasks="again")' in note


def test_a_def_body_that_only_replayed_names_the_ways_out_at_the_end(tmp_path):
    """What else such a body does cannot be seen, so its attempts are made."""
    world = World(tmp_path, "def")
    error = world.fail(parent_of(world, answering(world, BAD), retry=AT_ONCE))
    assert world.take() == ["asked"]
    assert any("Each further attempt only replayed" in note for note in error.__notes__)


def test_subtasks_run_again_at_each_attempt_when_asked_to(world):
    """A1, I6: they get new idempotency keys; a replay asks nobody."""
    keys = []
    answers = [BAD, BAD, GOOD]

    def ask(task):
        keys.append(task.idempotency_key)
        return answers.pop(0)

    job = parent_of(world, world.body(ask), retry=Retry(min_timeout=5, subtasks="again"))
    assert world.run(job) == json.loads(GOOD)
    assert world.run(job) == json.loads(GOOD)
    assert len(set(keys)) == 3
    assert world.last(job).task("classify").attempt == 3


def test_subtasks_run_again_also_in_the_first_attempt_of_the_next_pass(world):
    """R5: the parent gave up; run again, it does not replay what it gave up on."""
    answers = [BAD, BAD, GOOD]
    ask = world.body(lambda: answers.pop(0), note="asked")
    job = parent_of(world, ask, retry=Retry(limit=2, min_timeout=0, subtasks="again"))
    assert isinstance(world.fail(job), json.JSONDecodeError)
    assert world.run(job) == json.loads(GOOD)
    assert world.take() == ["asked"] * 3


def test_a_failed_subtask_is_run_again_by_its_parents_attempts_when_asked_to(world):
    """A4 holds only where subtasks keep their results."""
    ask = world.failing("asked", OSError("1"), OSError("2"))

    def classify(io):
        return (yield io.run_task("ask", ask))

    def job_with(**retry):
        @world.job(id="job")
        def job(payload, io):
            return (yield io.run_task("classify", world.body(classify), retry=Retry(min_timeout=0, **retry)))

        return job

    assert str(world.fail(job_with())) == "1"
    assert world.take() == ["asked"]
    assert world.run(job_with(subtasks="again"), fresh=True) == "asked"
    assert world.take() == ["asked"] * 2


def test_a_kernel_that_dies_in_an_attempt_keeps_what_its_subtasks_have_done(async_world):
    """R3: subtasks are forgotten between attempts, never what the interrupted attempt has stored."""
    world, answers, stop = async_world, [BAD, GOOD], [True]

    async def classify(io):
        answer = json.loads(await io.run_task("ask", ask))
        if stop:
            world.last(job).pause()
            await asyncio.sleep(60)
        return answer

    ask = answering(world, *answers)

    async def run(payload, io):
        return await io.run_task("classify", classify, retry=Retry(min_timeout=0, subtasks="again"))

    job = world.client.job(id="dies")(run)
    with pytest.raises(RunInterruptedError):
        world.run(job)
    assert world.take() == ["asked"] * 2
    stop.clear()
    world.new_kernel()
    job = world.client.job(id="dies")(run)
    assert world.run(job) == json.loads(GOOD)
    assert world.take() == []


@pytest.mark.parametrize("what", ["awaits", "error of the world", "an unfinished subtask"])
def test_a_body_that_does_more_than_replay_is_tried_again(async_world, what):
    """A1: it awaits something itself, meets an error of the system, or one of its subtasks has no result."""
    world, tries = async_world, []

    async def body(io):
        await io.run_task("ask", answering(world, GOOD))
        tries.append(what)
        if what == "awaits":
            await asyncio.sleep(0)
        elif what == "an unfinished subtask":
            try:
                await io.run_task("fails", world.failing("fails", KeyError("x")))
            except KeyError:
                raise ValueError("because of the subtask") from None
        raise OSError("reset") if what == "error of the world" else ValueError(len(tries))

    job = job_of(world, body, retry=Retry(limit=3, min_timeout=0))
    world.fail(job)
    assert len(tries) == 3


def test_a_body_whose_keys_depend_on_the_attempt_is_tried_again(async_world):
    """A1: it asks again by itself, under another key."""
    world = async_world
    ask = answering(world, BAD, BAD, GOOD)

    async def body(io, task):
        return json.loads(await io.run_task(("ask", task.attempt), ask))

    assert world.run(job_of(world, body, retry=AT_ONCE)) == json.loads(GOOD)
    assert world.take() == ["asked"] * 3


def test_retry_subtasks_is_one_of_two_words():
    with pytest.raises(InvalidOptionError, match='"keep" or "again"'):
        Retry(subtasks="anew")
