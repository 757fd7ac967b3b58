"""Bodies that results are reused of: module-level functions, as cells define them, that note their calls."""

from __future__ import annotations

from typing import Any

calls: list[Any] = []


def take() -> list[Any]:
    """What was called since the last call of this function."""
    taken = calls[:]
    calls.clear()
    return taken


def length(text: Any) -> int:
    calls.append(text)
    return len(text)


def length_of_file(file: Any) -> int:
    calls.append(file)
    with open(file, encoding="utf-8") as opened:
        return len(opened.read())


def double(number: int) -> int:
    calls.append(number)
    return 2 * number


def negative(number: int) -> int:
    calls.append(number)
    return -number


def large(number: int) -> list[str]:
    """More than fits into a row of the database."""
    calls.append(number)
    return [f"{number} {n}" for n in range(10_000)]


def picky(number: int) -> int:
    calls.append(number)
    if number < 0:
        raise ValueError("negative")
    return number


def in_batches(numbers: list[int]) -> list[int]:
    calls.append(tuple(numbers))
    return [sum(numbers)] * len(numbers)


async def with_subtasks(number: int, io: Any) -> int:
    calls.append(number)
    twice = await io.run_task("twice", double, number)
    return await io.run_task("minus", negative, twice)


async def with_random(number: int, io: Any) -> float:
    calls.append(number)
    return await io.random("r") + number


async def with_failure(number: int, io: Any) -> int:
    calls.append(number)
    try:
        return await io.run_task("p", picky, -number)
    except ValueError:
        return 0


def shows(task: Any) -> int:
    """Shows a figure, too."""
    from matplotlib.figure import Figure

    calls.append("shows")
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    task.show(figure, label="plot")
    return 7
