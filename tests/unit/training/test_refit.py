"""A refit trains the chosen on all rows, up to where each stopped best, and says which of them fail."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.errors import TrainingError
from lanewise.training.data import ALL_ROWS
from lanewise.training.race import Confirmed
from lanewise.training.refit import refit


def whole(small: ModuleType) -> Any:
    """A builder over one fold that trains on the first 60 rows; the others are the test rows."""
    data = small.data()
    every = replace(data.folds[0], train=torch.arange(60), valid=torch.arange(60, small.ROWS))
    return replace(small.builder(), data=replace(data, folds={ALL_ROWS: every}))


def confirmed(candidate: Any, stop: float = 1.0) -> Confirmed:
    return Confirmed(candidate=candidate, predictions=np.zeros((0, 3)), stop=stop, curve=(), seconds=0.0)


def test_members_and_test_predictions_of_every_seed(small: ModuleType) -> None:
    adam, line = small.candidate("adam"), small.candidate("line", "linear", "lbfgs", l2=0.01)
    plan = small.plan([adam, line])
    race = small.race(plan, build=whole(small))
    found = refit(race, [confirmed(adam, 0.5), confirmed(line)], needed=["adam", "line"])
    assert {name: len(one.members) for name, one in found.items()} == {"adam": 2, "line": 2}
    assert [member.seed for member in found["adam"].members] == [0, 1]
    assert {member.stop for member in found["adam"].members} == {0.5}
    lanes = small.lanes([adam], folds=1, seeds=(0, 1))
    stack = race.builder.form([replace(lane, fold=ALL_ROWS) for lane in lanes], "again")
    for team in stack:
        team.advance(0.5)
    looks = [item.valid for team in stack for item in team.evidence()]
    assert found["adam"].test == pytest.approx(np.mean(looks, axis=0), rel=1e-5)
    assert found["line"].test.sum(axis=1) == pytest.approx(np.ones(30))


def test_default_that_fails_is_missing_and_a_winner_that_fails_is_an_error(small: ModuleType) -> None:
    adam, bad = small.candidate("adam"), small.candidate("bad", optimizer="sgd", lr=1e6)
    chosen = [confirmed(adam), confirmed(bad)]
    race = small.race(small.plan([adam, bad]), build=whole(small))
    assert set(refit(race, chosen, needed=["adam"])) == {"adam"}
    race = small.race(small.plan([adam, bad]), build=whole(small))
    with pytest.raises(
        TrainingError, match=r"failed on all rows \(diverged by step \d+, .*\); lower its learning rate"
    ):
        refit(race, chosen, needed=["bad"])


def test_refit_that_is_cut_off_goes_on_to_the_same_bits(small: ModuleType) -> None:
    candidates = [small.candidate("adam"), small.candidate("line", "linear", "lbfgs", l2=0.01)]
    chosen = [confirmed(candidates[0], 0.75), confirmed(candidates[1])]

    def weights(journal: Any) -> dict[str, list[bytes]]:
        race = small.race(small.plan(candidates), journal=journal, build=whole(small))
        found = refit(race, chosen, needed=["adam", "line"])
        return {
            name: [tensor.numpy().tobytes() for member in one.members for tensor in (member.tensors or {}).values()]
            for name, one in found.items()
        }

    complete = small.MemoryJournal()
    expected = weights(complete)
    assert complete.saves > 60
    third = complete.saves // 3
    kept: dict[str, Any] = {}
    for part in (1, third - 1, third, third - 1):  # four kills, one after another
        journal = small.MemoryJournal(kept, last=part)
        with pytest.raises(small.CutOffError):
            weights(journal)
        kept = journal.kept
    assert weights(small.MemoryJournal(kept)) == expected
