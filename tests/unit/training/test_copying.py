"""Races in which lanes give way to copies of others: killed at any moment, they end in the same bits."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.search.policy import Copy, Decision, Policy, Standing, ranked
from lanewise.search.population import PopulationBased
from lanewise.task import Task
from lanewise.training.copying import kinds_of
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.teams import ModuleTeams, Way
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.race import Race, Result
from lanewise.tuning.checking import judge_of

LENGTH, BATCH = 30, 10


def data() -> TrainingData:
    """50 rows to train on and 20 to judge by."""
    X = torch.randn(70, 3, generator=torch.Generator().manual_seed(70))
    fold = FoldData(
        dense=X,
        codes=torch.zeros(70, 0, dtype=torch.int64),
        target=X[:, :1] * X[:, 1:2],
        train=torch.arange(50),
        valid=torch.arange(50, 70),
    )
    task = Task(target="y", kind="regression", metric="loss")
    return TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=70)


def candidates() -> list[Candidate]:
    usual = {"batch_size": BATCH, "schedule": "linear"}
    found = [
        Candidate(id=f"{rule}-{place}", model="m", optimizer=rule, settings={**usual, "lr": 10.0**-place})
        for rule in ("sgd", "adam")
        for place in range(1, 6)
    ]
    return [Candidate(**{**vars(found[0]), "is_default": True}), *found[1:]]


def race(small: ModuleType, policy: Policy, *, journal: Any = None, width: int = 4) -> Race:
    own = data()
    blueprint = Blueprint.of(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), own.folds[0].dense[:2])
    entrants = candidates()
    teams = ModuleTeams(
        blueprint=blueprint,
        data=own,
        loss=nn.MSELoss(),
        score=None,
        lengths=Lengths(rows_seen=LENGTH * BATCH),
        ways={BATCH: Way(looped=False, loss_looped=False, width=width, words="")},
    )
    plan = Plan(
        candidates=tuple(entrants),
        rungs=policy.rungs(len(entrants)),
        confirm={"m": policy.remaining(len(entrants))[-1]},
        folds=1,
        seeds=(0,),
        lengths=teams.lengths,
        workers=1,
        costs={},
        grid=(0.4, 1.0),
    )
    metric: Metric = judge_of(None).metric
    return Race(
        plan=plan,
        builder=teams,
        policy=policy,
        metric=metric,
        y=np.zeros(own.rows),
        weight=None,
        watch=lambda pulse: None,
        journal=journal or small.MemoryJournal(),
        save_every=0.0,
    )


def copies_of(found: Result) -> dict[str, Candidate]:
    return {t.lane.candidate.id: t.lane.candidate for t in found.traces if "-copy" in t.lane.candidate.id}


POLICY = PopulationBased(share=0.4, looks=(0.4, 0.6, 0.8), survivors=6)


@pytest.fixture(scope="module")
def uncut(small: ModuleType) -> tuple[Result, int]:
    """What comes of the race, and how often that was saved."""
    journal = small.MemoryJournal()
    return race(small, POLICY, journal=journal).run(), journal.saves


def test_a_killed_race_makes_the_same_copies_and_ends_in_the_same_bits(
    small: ModuleType, uncut: tuple[Result, int]
) -> None:
    found, saves = uncut
    expected = small.shown(found)
    assert len(copies_of(found)) >= 4
    assert any(len(copy.events) > 1 for copy in copies_of(found).values())  # a copy was copied
    for last in (9, saves - 2):
        kept: dict[str, Any] = {}
        for part in (last // 2, last - last // 2):  # killed twice
            journal = small.MemoryJournal(kept, last=part)
            with pytest.raises(small.CutOffError):
                race(small, POLICY, journal=journal).run()
            kept = journal.kept
        assert small.shown(race(small, POLICY, journal=small.MemoryJournal(kept)).run()) == expected


@pytest.mark.parametrize("width", [1, 64])
def test_copies_do_not_depend_on_how_lanes_are_stacked(
    small: ModuleType, uncut: tuple[Result, int], width: int
) -> None:
    one, other = uncut[0], race(small, POLICY, width=width).run()
    assert copies_of(one) == copies_of(other)
    for mine, theirs in zip(one.confirmed, other.confirmed, strict=True):
        assert mine.candidate == theirs.candidate
        np.testing.assert_allclose(mine.predictions, theirs.predictions, rtol=1e-4, atol=1e-6)


class CopiesToAnyone(Policy):
    """Asks for a copy of the best over the worst, whatever their kinds."""

    copies = True

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.5,)

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        others = [p for p in order if standing.kinds[p] != standing.kinds[order[0]] and not standing.protected[p]]
        other = others[-1]
        keep = tuple(place for place in order if place != other)
        return Decision(keep=keep, words="", copies=(Copy(source=order[0], target=other, factor=1.0),))


def test_a_copy_over_another_kind_is_refused(small: ModuleType) -> None:
    with pytest.raises(UsageError, match=r"CopiesToAnyone\.decide must copy among candidates of equal standing\.kinds"):
        race(small, CopiesToAnyone()).run()


def test_lanes_of_a_table_are_of_no_kind_but_their_own(small: ModuleType) -> None:
    lanes = small.lanes(small.company()[:2], folds=1)
    teams = small.builder().form(lanes, "screen")
    assert len(set(kinds_of([lane.id for lane in lanes], teams).tolist())) == len(lanes)
