"""Maps that several test files use."""

from __future__ import annotations


def squaring(world):
    def square(item):
        world.note(item)
        return item * item

    return world.body(square)


def mapping(world, **options):
    """A job that maps over its payload."""
    square = squaring(world)

    @world.job(identity=lambda payload: "the same run")
    def job(payload, io):
        return (yield io.map("square", payload, square, **options))

    return job


def paths(run):
    return [task.path for task in run.tasks]


def sometimes(world, bad):
    """A body that fails for some of the items."""

    def body(item):
        world.note(item)
        if item in bad:
            raise ValueError(f"no {item}")
        return item

    return world.body(body)
