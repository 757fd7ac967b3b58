"""Random programs under random disturbances, against what they give undisturbed (rules R1 to R5, A5, A6, A9).

A program is a tree of tasks, `async def` and `def`, one after another and side by side, some of which
fail a few times or for good, with retries and with handlers. It is disturbed at random commits: the
store refuses one, or takes it and then fails, or the run is cancelled; then the same kernel goes on, or a
new one. However often that happens:

- a body whose result was committed never runs again;
- the run ends as it does undisturbed, with the same value or error;
- every task that was met has the record it has undisturbed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings, strategies as st

from tests.support.programs import Disturbance, Node, Program, disturbances, trees


@settings(max_examples=60)
@given(root=trees, is_async=st.booleans(), plan=disturbances)
@example(
    root=Node(True, groups=((Node(True), Node(False, fails=9, is_handled=False), Node(True)),)),
    is_async=True,
    plan=[Disturbance(1, "refused", False), Disturbance(2, "taken", True)],
)
@example(  # the run is often canceled just as a first attempt fails
    root=Node(False, groups=((Node(False, groups=((Node(False), Node(False, fails=1, limit=2)),)),),)),
    is_async=False,
    plan=[Disturbance(1, "cancel", False)],
)
def test_a_disturbed_run_ends_like_an_undisturbed_one(root, is_async, plan):
    """R1, R3, R5, A5, A6, A9: see above."""
    with tempfile.TemporaryDirectory() as directory:
        calm = Program(root, is_async, Path(directory) / "calm")
        expected = calm.outcome()
        records = calm.records()
        calm.world.new_kernel()
        rough = Program(root, is_async, Path(directory) / "rough")
        try:
            value = None
            for disturbance in plan:
                value = rough.outcome(disturbance)
                assert value in (None, expected)
                if disturbance.is_new_kernel:
                    rough.world.new_kernel()
            assert rough.outcome() == expected
            assert rough.repeated == []
            assert rough.records() == records
            calls = rough.calls
            assert rough.outcome() == expected
            if not str(expected).startswith("failed"):
                assert rough.calls == calls  # the whole run is replayed
        finally:
            rough.world.new_kernel()
