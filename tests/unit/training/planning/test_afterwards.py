"""What trainings would cost one at a time is measured after a race in steps, and changes nothing of it."""

import pytest

from lanewise.training.planning.afterwards import costs_afterwards
from lanewise.training.watching.trace import seconds_of, trainings


def test_networks_are_timed_alone_and_solvers_cost_what_they_took(small) -> None:
    plan = small.plan([one for one in small.company() if one.id in ("adam", "line", "lbfgs")])
    result = small.race(plan).run()
    took, done = seconds_of(result.traces), trainings(result.traces)
    used = 0.5 * sum(took.values())
    found = costs_afterwards(plan, small.builder(), result, cpu_seconds=used)
    assert set(found) == {one.id for one in plan.candidates}
    assert found["lbfgs"] == pytest.approx(0.5 * took["lbfgs"] / done["lbfgs"])
    assert found["adam"] > 0
    assert small.shown(small.race(plan).run()) == small.shown(result)
