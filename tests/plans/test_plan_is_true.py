"""Running a job does what its plan said: random programs, planned and run."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import example, given, settings, strategies as st

from tests.support.plans import rows
from tests.support.programs import Disturbance, Node, Program, disturbances, trees
from tests.support.worlds import running_bodies
from trigger_nb import Reason

# --- It is true ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(root=trees, is_async=st.booleans(), disturbed=disturbances)
@example(
    root=Node(True, groups=((Node(True), Node(False, fails=9, is_handled=False), Node(True)),)),
    is_async=True,
    disturbed=[Disturbance(1, "refused", False), Disturbance(2, "taken", True)],
)
def test_running_it_does_what_the_plan_said(root, is_async, disturbed):
    """R1, R5, R7: what was to be replayed is, what was to run does, and for the reason told."""
    with tempfile.TemporaryDirectory() as directory:
        program = Program(root, is_async, Path(directory))
        try:
            for disturbance in [*disturbed, None]:
                plan = planned(program)
                outcome = program.outcome(disturbance)
                if disturbance is None:
                    check(program, plan, outcome)
                elif disturbance.is_new_kernel:
                    program.world.new_kernel()
            check(program, planned(program), program.outcome())
        finally:
            program.world.new_kernel()


def planned(program):
    calls, before = program.calls, rows(program.world)
    plan = program.job().plan(patience=timedelta(seconds=0.02))
    assert program.calls == calls
    assert rows(program.world) == before
    assert not running_bodies
    return plan


def check(program, plan, outcome):
    (run,) = program.world.client.runs()
    reasons = {task.path: task.reason for task in run.tasks if "/" not in task.path}
    assert all(reasons[path] == Reason.REPLAYED for path in plan.replays)
    for task in plan.runs:
        # A task that fails and has attempts left is "retried" in the end.
        assert reasons[task.path] in (task.reason, Reason.RETRIED)
    if plan.ends == "complete":
        assert set(reasons) == set(plan.replays)
        assert plan.runs == ()
    if program.is_async and plan.runs:
        # All of the group that comes first is in the plan, since all of it begins at once.
        number = int(plan.runs[0].path.partition(".")[0])
        group = {f"{number}.{n}" for n in range(len(program.root.groups[number]))}
        assert group <= {*plan.replays, *(task.path for task in plan.runs)}
    if plan.error is not None:
        assert outcome == f"failed with {plan.error}"
