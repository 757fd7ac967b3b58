"""A seed -> a random history of a client: runs that share results, files that are edited, runs that are deleted; as data.

Acts happen one after the other, whatever the process is killed in. The time stands still during each: so when a result was
made, and whether it has expired, is known without looking at the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from .program import digest

How = Literal["task", "map", "imap"]
Reach = Literal["", "run", "job", "client"]  # "": the default of the job
Doing = Literal["run", "delete", "prune", "replay"]

BEGIN = 2_000_000_000.0  # the time before the first act
JOBS: dict[str, Reach] = {"job-a": "run", "job-b": "client"}  # each with its default of `reuse=`
FILES = ("one", "two", "three")
VERSIONS = 3  # of a file's text: so an old one comes back
ITEMS = 14


@dataclass(frozen=True)
class Step:
    """A task, or a map over several arguments. No other step of the run has its body."""

    key: str
    how: How
    body: str
    arguments: tuple[int | str, ...]  # numbers, or the names of files
    reuse: Reach = ""
    expires_after: float | None = None

    def calls(self) -> list[str]:
        return [f"{self.key}:{argument}" for argument in self.arguments]


@dataclass(frozen=True)
class Plan:
    """What a run does, in each of its passes."""

    job: str
    steps: tuple[Step, ...]

    def step(self, call: str) -> Step:
        return next(step for step in self.steps if step.key == call.split(":", maxsplit=1)[0])

    def reuse(self, call: str) -> Reach:
        """How far a call looks. A subtask says nothing of it itself."""
        return ("" if "/" in call else self.step(call).reuse) or JOBS[self.job]


@dataclass(frozen=True)
class Act:
    """Something that is done to the client."""

    doing: Doing
    runs: tuple[str, ...] = ()  # at the same time, if there are two
    until: int | None = None  # the runs fail after so many steps
    after: float = 1.0  # seconds since the act before
    keep_last: int | None = None  # of `prune`
    older_than: float | None = None


@dataclass(frozen=True)
class History:
    seed: int
    plans: dict[str, Plan]
    acts: tuple[Act, ...]

    def time(self, number: int) -> float:
        """When an act happens."""
        return BEGIN + sum(act.after for act in self.acts[: number + 1])

    def edits(self, number: int, launch: int) -> dict[str, str]:
        """The texts of the files that are edited just before an act is begun for the n-th time."""
        random = Random(f"{self.seed} {number} {launch}")
        edited = [name for name in FILES if random.random() < 0.2]
        return {name: text_of(name, random.randrange(VERSIONS)) for name in edited}


def text_of(name: str, version: int) -> str:
    """The text of a file: all versions have one length, and no other file has one of them."""
    return f"{name} {version}"


def value_of(body: str, argument: int | str, text: str = "") -> Any:
    """What a body returns for an argument, and the text of the file if it is one. Each third value is in a file."""
    made = digest([body, argument, text])
    return [made * 4_000] if int(made, 16) % 3 == 0 else [made]


def history_of(seed: int) -> History:
    """The history that a seed stands for."""
    random = Random(seed)
    jobs = [*JOBS, *random.choices(tuple(JOBS), k=random.randint(2, 3))]
    plans = {f"run-{number}": Plan(job, _steps(random)) for number, job in enumerate(jobs)}
    names = tuple(plans)
    acts = [Act("run", names[:1]), Act("run", names[1:2])]  # something that others can take over
    for _ in range(random.randint(6, 9)):
        after = random.choice((1.0, 1.0, 20.0, 60.0))
        doing = random.choice(("run", "run", "run", "pair", "delete", "prune"))
        until = random.randint(1, 2) if random.random() < 0.25 else None
        if doing == "pair":
            pair = [random.choice([name for name in names if plans[name].job == job]) for job in JOBS]
            acts.append(Act("run", tuple(pair), until, after))
        elif doing == "run":
            acts.append(Act("run", (random.choice(names),), until, after))
        elif doing == "delete":
            acts.append(Act("delete", (random.choice(names),), after=after))
        else:
            older_than = random.choice((None, 1.0, 30.0))
            keep_last = random.choice((1, 2)) if older_than is None or random.random() < 0.3 else None
            acts.append(Act("prune", after=after, keep_last=keep_last, older_than=older_than))
    # At the end all that is there replays, and again when half of it is gone.
    acts += [Act("replay"), Act("prune", keep_last=1), Act("replay"), Act("run", names)]
    return History(seed, plans, tuple(acts))


def _steps(random: Random) -> tuple[Step, ...]:
    bodies = random.sample(("work", "awork", "read", "parent"), random.randint(3, 4))
    return tuple(_step(random, f"s{number}", body) for number, body in enumerate(bodies))


def _step(random: Random, key: str, body: str) -> Step:
    how: How = random.choice(("task", "map", "map", "imap"))
    first = random.randrange(4)
    arguments: list[int | str] = list(range(first, first + random.randint(4, ITEMS - 4)))
    if body == "read":
        arguments = list(FILES[: random.randint(1, len(FILES))])
    if body == "parent":
        arguments = arguments[:4]
    random.shuffle(arguments)
    reuse: Reach = random.choice(("", "run", "job", "job", "client", "client", "client"))
    return Step(
        key,
        how,
        body,
        tuple(arguments[:1] if how == "task" else arguments),
        reuse,
        random.choice((None, None, 10.0, 50.0)),
    )
