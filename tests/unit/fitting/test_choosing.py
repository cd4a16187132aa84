"""What the evidence of a race decides, and that nothing else does."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lanewise.data.reading import read
from lanewise.fitting.choosing import choose
from lanewise.lanes.candidate import Candidate
from lanewise.settings.fit import FitSettings
from lanewise.training.judging import Confirmed
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.usual_cost import usual_cost
from lanewise.training.posing import Request, pose
from lanewise.training.race import Result

ROWS = 200
NETWORK = Candidate(id="mlp-0", model="mlp", optimizer="adamw", settings={"width": 64, "depth": 2})
LINE = Candidate(id="linear-0", model="linear", optimizer="lbfgs", settings={})
DEFAULT = Candidate(id="lightgbm-0", model="lightgbm", optimizer="boosting", settings={}, is_default=True)


def raced(problem):
    """The default is bad; two others tie, of which the network scores better by a hair."""
    draw = np.random.default_rng(0)
    noise = 0.1 * draw.normal(size=len(problem.y))
    off = ((DEFAULT, 2.0), (NETWORK, 0.5), (LINE, 0.501))
    confirmed = [
        Confirmed(
            candidate=one,
            predictions=(problem.y + error + draw.permutation(noise))[:, None],
            stop=1.0,
            curve=(1.0,),
            seconds=1.0,
        )
        for one, error in off
    ]
    return Result(confirmed=tuple(confirmed), traces=(), rungs=(), seconds={})


@pytest.mark.parametrize("measured", [{"mlp-0": 0.1, "linear-0": 9.0}, {"mlp-0": 9.0, "linear-0": 0.1}])
def test_the_same_evidence_gives_the_same_winner_whatever_was_measured(measured: dict[str, float]) -> None:
    draw = np.random.default_rng(1)
    table = pl.DataFrame({"x": draw.normal(size=ROWS), "y": draw.normal(size=ROWS)})
    problem = pose(read(table), Request(target="y", kind="regression", folds=3, test_fraction=0.1))
    plan = Plan(
        candidates=(DEFAULT, NETWORK, LINE),
        rungs=(),
        confirm={},
        folds=3,
        seeds=(0,),
        lengths=Lengths(rows_seen=1),
        workers=1,
        costs={"lightgbm-0": 1.0, **measured},
    )
    found = choose(problem, plan, raced(problem), FitSettings(target="y", ensemble="never"))
    assert found.selection.ties == ("mlp-0", "linear-0")
    assert found.selection.winner == "linear-0"


def test_simpler_is_what_has_less_to_compute() -> None:
    assert usual_cost(LINE) < usual_cost(NETWORK) < usual_cost(replace(NETWORK, settings={"width": 128, "depth": 2}))
    fewer, more = (replace(DEFAULT, settings={"rounds": rounds, "num_leaves": 31}) for rounds in (100, 300))
    assert usual_cost(fewer) < usual_cost(more)
