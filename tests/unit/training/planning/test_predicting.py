"""What a plan should take counts lanes in the stacks that they will have."""

from dataclasses import replace

import pytest

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.predicting import predicted

DEFAULT = Candidate(id="tree-0", model="tree", optimizer="", settings={}, is_default=True)
NETWORKS = [Candidate(id=f"mlp-{number}", model="mlp", optimizer="adamw", settings={}) for number in range(9)]
PLAN = Plan(
    candidates=(DEFAULT, *NETWORKS),
    rungs=(1 / 9, 1 / 3, 1.0),
    confirm={"mlp": 1},
    folds=5,
    parts=5,
    seeds=(0,),
    lengths=Lengths(rows_seen=1000),
    workers=2,
    costs={"tree-0": 0.0, **{one.id: 1.0 for one in NETWORKS}},
    look_costs={one.id: 0.0 for one in (DEFAULT, *NETWORKS)},
)
SCREENED = 1 / 9 + 2 / 27 + 2 / 27
"""Of a full training, per candidate, where two thirds are dropped at each rung."""


def test_the_few_that_a_screen_leaves_take_what_a_lane_alone_does() -> None:
    lonely = replace(PLAN, single={one.id: 3.0 for one in NETWORKS})
    many, few = 9 / 9, 9 * (SCREENED - 1 / 9)
    # Five lanes on two workers are confirmed 2.5 to a stack: what is paid once is paid by each of these.
    again = predicted(lonely, (SCREENED, 0.0)) - (many + 3.0 * few) / 2
    assert predicted(PLAN, (SCREENED, 0.0)) == pytest.approx((many + few) / 2 + again / (1 + 2 / 2.5))
