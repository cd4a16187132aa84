"""The look at which all candidates are compared is fair to those dropped early."""

import numpy as np
import pytest

from lanewise.explain.looks import fair_look
from lanewise.lanes.candidate import Event
from lanewise.metrics import METRICS

RMSE, R2 = METRICS["rmse"], METRICS["r2"]
RUNGS = [1 / 9, 1 / 3, 1.0]


def test_survivors_alone_are_not_compared(make):
    traces = [make.trace(make.candidate(f"p{n}"), [5.0 + n], fractions=RUNGS[:1]) for n in range(6)]
    traces += [make.trace(make.candidate(f"s{n}"), [5.0 + n, 3.0, 1.0], fractions=RUNGS) for n in range(3)]
    look = fair_look(traces, RMSE)
    assert look is not None
    assert look.fraction == pytest.approx(1 / 9)
    assert sorted(look.losses) == [5, 5, 6, 6, 7, 7, 8, 9, 10]
    assert look.words == "compared on one fold, after 11% of their training"


def test_the_whole_training_where_everybody_was_confirmed(make):
    traces = [
        make.trace(make.candidate(id), [2.0, best, 1.5], phase="confirm", fold=fold, fractions=[0.5, 0.9, 1.0])
        for id, best in (("a", 1.0), ("b", 1.2))
        for fold in range(3)
    ]
    look = fair_look(traces, RMSE)
    assert look is not None
    assert (look.phase, look.fraction, look.lanes) == ("confirm", 1.0, 3)
    assert look.losses.tolist() == [1.0, 1.2]
    assert look.errors.tolist() == [0.0, 0.0]
    assert look.words == "compared over 3 trainings each, at the best look at each in all of their training"


def test_a_lane_that_was_lost_or_repaired_has_no_score(make):
    event = Event(fraction=0.1, restored=0.0, rate_factor=0.3, cause="diverged by step 3")
    traces = [make.trace(make.candidate(f"c{n}"), [1.0]) for n in range(2)]
    traces += [make.trace(make.candidate("lost"), [], fate="diverged")]
    traces += [make.trace(make.candidate("slow"), [1.0], events=[event])]
    look = fair_look(traces, RMSE)
    assert look is not None
    assert [c.id for c in look.candidates] == ["c0", "c1", "lost", "slow"]
    assert np.isnan(look.losses).tolist() == [False, False, True, True]


def test_scores_to_be_maximised_turn_into_losses(make):
    look = fair_look([make.trace(make.candidate("a"), [0.2, 0.7, 0.6])], R2)
    assert look is not None
    assert look.losses.tolist() == [-0.7]


def test_no_traces_and_scores_that_are_not_numbers(make):
    assert fair_look([], RMSE) is None
    look = fair_look([make.trace(make.candidate("a"), [np.nan, np.nan])], RMSE)
    assert look is not None
    assert np.isnan(look.losses).all()
