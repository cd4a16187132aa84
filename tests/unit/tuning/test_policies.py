"""``lanewise.tune`` under every policy, and under one that somebody else wrote; how candidates are drawn."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.search.policy import Decision, Policy, Standing, ranked
from lanewise.search.racing import Racing
from lanewise.search.registry import POLICIES
from lanewise.tuning import TuneResult, near, tune
from lanewise.tuning.planning import Wanted, _looks, _stretches

X = torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-1.0], [0.5], [2.0]]) + 0.3 * torch.randn(
    160, 1, generator=torch.Generator().manual_seed(1)
)
RATES = [{"optimizer": "sgd", "lr": lr} for lr in (0.05, 0.1, 0.2, 0.3, *(1e-5 * n for n in range(1, 14)))]


def race(**settings: Any) -> TuneResult:
    usual: dict[str, Any] = {"candidates": RATES, "budget": "60steps", "loss": nn.MSELoss(), "workers": 1}
    return tune(lambda: nn.Linear(4, 1), train=(X[:100], Y[:100]), valid=(X[100:], Y[100:]), **(usual | settings))


def fates(found: TuneResult) -> dict[str, str]:
    return dict(found.table.select("candidate", "fate").iter_rows())


class BestThree(Policy):
    """A policy as a third party writes it: three go on from each rung, and the protected."""

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.2, 0.6)

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        keep = [*order[:3], *(place for place in order[3:] if standing.protected[place])]
        return Decision(keep=tuple(keep), words=f"three and the protected of {len(order)}")


def test_a_policy_of_somebody_else_decides_the_race() -> None:
    found = race(policy=BestThree())
    assert found.plan.rungs == (0.2, 0.6)
    assert "policy BestThree" in found.plan.words[0]
    went_on = {name for name, fate in fates(found).items() if fate not in ("pruned",)}
    assert len(went_on) in (3, 4)
    assert "sgd-00" in went_on  # the default
    assert "after 20% of the full length three and the protected of 17" in found.words
    # Those who went on were trained to the end as if the others had never been there.
    alone = race(candidates=[RATES[0], *(RATES[int(name[-2:])] for name in sorted(went_on - {"sgd-00"}))])
    assert alone.score == pytest.approx(found.score, rel=1e-6)
    assert alone.settings["lr"] == found.settings["lr"]


@pytest.mark.parametrize("policy", ["halving", "hyperband", "racing", "never"])
def test_every_policy_finds_the_same_winner_here(policy: str) -> None:
    found = race(policy=policy)
    assert found.settings["lr"] >= 0.05
    pruned = {name for name, fate in fates(found).items() if fate == "pruned"}
    assert "sgd-00" not in pruned
    assert pruned <= {f"sgd-{place:02}" for place in range(1, 17)}
    assert bool(pruned) == (policy != "never")


def test_racing_drops_those_who_cannot_win_and_keeps_the_ties() -> None:
    found = race(policy=Racing(looks=(0.5,)))
    assert {name for name, fate in fates(found).items() if fate == "pruned"} == {
        f"sgd-{place:02}" for place in range(4, 17)
    }


def test_the_last_looks_are_left_out_where_confirming_all_who_are_left_costs_no_more() -> None:
    def looks(policy: Policy, count: int, **more: Any) -> list[float]:
        given: dict[str, Any] = {"candidates": (None,) * count, "policy": policy, "seeds": (0,), "workers": 1}
        return [round(rung, 2) for rung in _looks(Wanted(**(given | more)))[0]]

    halving = POLICIES["halving"]
    # 9 to the end are 9 trainings; all looks would be 9/9 + 5 2/9 + 5 2/3 + 5.
    assert looks(halving, 9) == []
    # 24/9 + 9 against 24/9 + 9 2/9 + 5 2/3 + 5.
    assert looks(halving, 24) == [0.11]
    assert looks(halving, 64) == [0.11, 0.33]
    assert looks(halving, 1000) == [0.11, 0.33, 1.0]
    # Where confirming is dear, because of folds or seeds, more look on the way.
    assert looks(halving, 24, folds=5) == looks(halving, 24, seeds=(0, 1, 2)) == [0.11, 0.33]
    # Who is proposed on the way is proposed at a look.
    assert looks(halving, 6, proposed=3) == [0.11]
    for other in ("racing", "population"):
        assert looks(POLICIES[other], 9) == [round(rung, 2) for rung in POLICIES[other].rungs(9)]


def test_a_budget_in_seconds_reckons_with_what_the_policy_leaves() -> None:
    def shares(policy: Policy) -> list[tuple[int, float]]:
        found = _stretches(17, policy.rungs(17), policy.remaining(17), seeds=(0, 1))
        return [(lanes, round(share, 3)) for lanes, share in found]

    assert shares(POLICIES["halving"]) == [(17, 0.111), (7, 0.222), (5, 0.667), (10, 1.0)]
    assert shares(POLICIES["hyperband"]) == [(17, 0.111), (12, 0.222), (7, 0.667), (10, 1.0)]
    assert shares(POLICIES["never"]) == [(34, 1.0)]
    # One that does not say how many it leaves: everybody, all the way.
    assert shares(BestThree()) == [(17, 0.2), (17, 0.4), (34, 1.0)]


@pytest.mark.parametrize(
    ("policy", "words"), [("asha", "policy must be one of halving"), (BestThree, "give BestThree")]
)
def test_what_is_no_policy_is_refused(policy: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        race(policy=policy)


def test_a_grid_is_raced_whole() -> None:
    found = race(
        candidates=None,
        space={"optimizer": "sgd", "lr": (1e-3, 0.1, 3), "batch_size": [16, 32]},
        search="grid",
        policy="never",
        budget="20steps",
    )
    points = {(round(own.number("lr"), 6), own.settings["batch_size"]) for own in found.plan.candidates}
    assert points == {(lr, size) for lr in (1e-3, 1e-2, 0.1) for size in (16, 32)}
    assert len(found.plan.candidates) == 6


def test_a_prior_and_a_constraint_are_raced() -> None:
    found = race(
        candidates=12,
        space={"optimizer": "sgd", "lr": near(0.05)},
        search="random",
        where=lambda one: one["lr"] < 0.1,
        budget="20steps",
    )
    rates = [own.number("lr") for own in found.plan.candidates]
    assert len(rates) == 12
    assert max(rates) < 0.1
    assert abs(math.log10(sorted(rates)[6] / 0.05)) < 0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"search": "grid"}, "search and where are for candidates that are drawn"),
        ({"candidates": None, "search": "lattice"}, "must be one of sobol, random, grid, bayesian, got 'lattice'"),
    ],
)
def test_mistakes_about_the_search(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        race(**settings)


def test_steps_are_those_of_the_default_where_batches_differ() -> None:
    def planned(*sizes: int) -> str:
        return race(candidates=[{"optimizer": "sgd", "lr": 0.05, "batch_size": size} for size in sizes]).plan.words[0]

    assert "steps each, policy" in planned(16, 16)
    assert "steps of 16 rows each, or as many rows in other batches, policy" in planned(16, 32)
