"""The part of the document about the race: what is said of a rate at an end of those tried."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.composing.race_section import card, edge_section
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.metrics import METRICS
from lanewise.training.planning.plan import Lengths
from lanewise.training.watching.trace import Trace


def stage(*rates: float, won: int, ensemble: bool = False) -> Any:
    tried = [
        Candidate(id=f"mlp-{place}", model="mlp", optimizer="adamw", settings={"lr": rate})
        for place, rate in enumerate(rates)
    ]
    traces = tuple(Trace(lane=Lane(candidate=one, fold=0, seed=0), phase="screen") for one in tried)
    return SimpleNamespace(
        choice=SimpleNamespace(is_ensemble=ensemble),
        result=SimpleNamespace(traces=traces),
        winner=tried[won],
        problem=SimpleNamespace(metric=METRICS["rmse"]),
    )


@pytest.mark.parametrize(
    ("rates", "won", "advice"),
    [
        (
            (1e-3, 3e-3, 0.01),
            2,
            "a larger one might be better; --candidates and a longer --budget try more, up to 0.1.",
        ),
        ((1e-3, 3e-3, 0.095), 2, "a larger one might be better; a race tries none above 0.1."),
        (
            (1e-3, 3e-3, 0.01),
            0,
            "a smaller one might be better; --candidates and a longer --budget try more, down to 0.0001.",
        ),
    ],
)
def test_a_rate_at_an_end_is_told_with_how_far_a_race_goes(rates, won, advice):
    (edge,) = edge_section(stage(*rates, won=won), None)
    assert edge["words"].endswith(advice)


def test_an_ensemble_has_no_rate_of_its_own():
    assert edge_section(stage(1e-3, 3e-3, 0.01, won=2, ensemble=True), None) == []


def test_a_candidate_that_a_plan_shortens_is_told_with_the_trees_that_it_has() -> None:
    forest = Candidate(id="forest-0", model="forest", optimizer="splitting", settings={"trees": 300})
    lengths = Lengths(rows_seen=1000, trees_share=0.5)
    assert card(forest, lengths)["hyperparameters"] == {"trees": 150}
    assert card(replace(forest, is_default=True), lengths)["hyperparameters"] == {"trees": 300}
