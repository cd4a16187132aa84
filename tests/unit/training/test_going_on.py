"""Confirmations that go on from the screen: the same as those that train everybody from the start.

Lanes that are trained one by one are so to the bit. A product of many matrices may round by where each of them lies, so
that lanes of a stack are as they are in any other company: equal to 1e-10 in float64.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.search.halving import Halving
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.divisible import Divisible
from lanewise.training.modules import seats as module_seats
from lanewise.training.modules.seats import seated
from lanewise.training.modules.teams import ModuleTeams, Way, everywhere
from lanewise.training.planning.plan import GRID, Lengths, Plan
from lanewise.training.race import Race, Result
from lanewise.training.stack import Stack
from lanewise.training.team import Team
from lanewise.training.watching.trace import trainings
from lanewise.tuning.checking import judge_of

LENGTH, BATCH = 60, 10
KEPT = tuple(fraction for fraction in GRID if fraction <= 1 / 3)
LOOPED = Way(looped=True, loss_looped=False, width=1, words="")
STACKED = Way(looped=False, loss_looped=False, width=64, words="")
RULES = ("sgd", "momentum", "nesterov", "adamw", "adam", "rmsprop")


def data(dtype: torch.dtype = torch.float32) -> TrainingData:
    """50 rows to train on and 20 to judge by."""
    X = torch.randn(70, 3, generator=torch.Generator().manual_seed(70), dtype=dtype)
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
    """Two rates for each rule; the default is too slow to survive on its own merit, and one rate explodes at once."""
    usual: dict[str, Any] = {"batch_size": BATCH, "schedule": "linear", "warmup": 0.05}
    rates = {"adamw": (1e-2, 3e-3), "adam": (1e-2, 1e-3), "rmsprop": (3e-3, 1e-3)}
    found = [
        Candidate(id=f"{rule}-{place}", model="m", optimizer=rule, settings={**usual, "lr": lr})
        for rule in RULES
        for place, lr in enumerate(rates.get(rule, (0.1, 0.02)))
    ]
    found[3] = replace(found[3], settings={**found[3].settings, "schedule": "plateau"})
    found[5] = replace(found[5], settings={**found[5].settings, "lr": 1e9})
    return [replace(found[0], is_default=True), *found[1:]]


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))


def drawing() -> nn.Module:
    """A module with dropout, whose draws are keyed, and statistics that are carried on."""
    return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 1))


def teams(
    make: Callable[[], nn.Module] = plain,
    *,
    kept: Sequence[float] = KEPT,
    dtype: torch.dtype = torch.float32,
    **others: Any,
) -> ModuleTeams:
    own = data(dtype)
    settings: dict[str, Any] = {"ways": {BATCH: LOOPED}, **others}
    return ModuleTeams(
        blueprint=Blueprint.of(lambda: make().to(dtype), own.folds[0].dense[:2]),
        data=own,
        loss=nn.MSELoss(),
        score=None,
        lengths=Lengths(rows_seen=LENGTH * BATCH),
        kept_looks=tuple(kept),
        **settings,
    )


def race(formed: ModuleTeams, *, journal: Any = None, ended: Callable[[Sequence[Team]], None] | None = None) -> Race:
    entrants = candidates()
    plan = Plan(
        candidates=tuple(entrants),
        rungs=Halving().rungs(len(entrants))[:-1],
        confirm={"m": 4},
        folds=1,
        seeds=(0,),
        lengths=formed.lengths,
        workers=formed.workers,
        costs={},
    )
    others: dict[str, Any] = {"journal": journal} if journal else {}
    return Race(
        plan=plan,
        builder=formed,
        policy=Halving(),
        metric=judge_of(None).metric,
        y=np.zeros(formed.data.rows),
        weight=None,
        watch=lambda pulse: None,
        save_every=0.0,
        ended=ended or (lambda teams: None),
        **others,
    )


def all_of(small: ModuleType, formed: ModuleTeams, **others: Any) -> tuple[list[Any], Result]:
    """Everything that a race has shown, notices and trained weights included, and the result itself."""
    weights: dict[str, bytes] = {}

    def ended(teams: Sequence[Team]) -> None:
        for team in teams:
            for lane in team.lanes:
                tensors = team.export(lane.id).tensors or {}
                weights[lane.id] = b"".join(own.numpy().tobytes() for own in tensors.values())

    result = race(formed, ended=ended, **others).run()
    notices = [(trace.lane.id, trace.phase, trace.notices) for trace in result.traces]
    return [small.shown(result), notices, sorted(weights.items())], result


@dataclass(frozen=True)
class Ran:
    """A race that was run to its end: what it has shown, what it saved, and how many steps its lanes took together."""

    shown: list[Any]
    result: Result
    journal: Any
    steps: int


@pytest.fixture(scope="module")
def ran(small: ModuleType) -> Callable[..., Ran]:
    """Runs a race that several tests look at, once. None of them changes it."""

    @cache
    def once(make: Callable[[], nn.Module] = plain, kept: Sequence[float] = KEPT, way: Way = LOOPED) -> Ran:
        taken: list[int] = []
        step = Stack._step

        def counted(self: Stack, at: int) -> Tensor:
            taken.append(len(self.lanes))
            return step(self, at)

        journal = small.MemoryJournal()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stack, "_step", counted)
            found, result = all_of(small, teams(make, kept=kept, ways={BATCH: way}), journal=journal)
        return Ran(shown=found, result=result, journal=journal, steps=sum(taken))

    return once


def begun(found: Result) -> dict[str, float]:
    return {trace.lane.candidate.id: trace.begun for trace in found.traces if trace.phase == "confirm"}


@pytest.mark.parametrize("make", [plain, drawing])
def test_a_confirmation_that_goes_on_is_the_same_to_the_bit(
    ran: Callable[..., Ran], make: Callable[[], nn.Module]
) -> None:
    found, anew = ran(make), ran(make, ())
    assert found.shown == anew.shown
    assert set(begun(anew.result).values()) == {0.0}
    went = [fraction for fraction in begun(found.result).values() if fraction]
    assert len(went) >= 3
    assert set(went) == {20 / LENGTH}


@pytest.mark.parametrize("make", [plain, drawing])
@pytest.mark.parametrize("width", [3, 64])
def test_stacked_lanes_that_go_on_are_as_in_any_other_company(make: Callable[[], nn.Module], width: int) -> None:
    ways = {BATCH: replace(STACKED, width=width)}
    found, anew = (race(teams(make, ways=ways, kept=kept, dtype=torch.float64)).run() for kept in (KEPT, ()))
    assert any(begun(found).values())
    assert len(found.traces) == len(anew.traces)
    for one, other in zip(found.traces, anew.traces, strict=True):
        assert (one.lane, one.phase, one.fractions, one.fate) == (other.lane, other.phase, other.fractions, other.fate)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(one.train_losses, other.train_losses, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(found.confirmed, anew.confirmed, strict=True):
        np.testing.assert_allclose(mine.predictions, theirs.predictions, rtol=1e-10, atol=1e-10)


def test_what_was_trained_is_counted_once(ran: Callable[..., Ran]) -> None:
    found, anew = ran().result, ran(plain, ()).result
    more, less = sum(trainings(anew.traces).values()), sum(trainings(found.traces).values())
    assert more - less == pytest.approx(sum(begun(found).values()))


def test_steps_of_the_screen_are_not_taken_again(ran: Callable[..., Ran]) -> None:
    found, anew = ran(), ran(plain, ())
    assert anew.steps - found.steps == round(LENGTH * sum(begun(found.result).values())) > 0


def test_progress_counts_what_the_screen_has_trained_as_done_before(small: ModuleType) -> None:
    pulses: list[Any] = []
    found = replace(race(teams()), watch=pulses.append).run()
    last = pulses[-1]
    went = begun(found)
    assert (last.phase, last.done) == ("confirm", 1.0)
    assert last.kept == pytest.approx(sum(went.values()) / len(went), abs=1e-3)
    assert last.trained == pytest.approx(len(went) - sum(went.values()), abs=1e-3)


def test_a_repaired_lane_is_a_new_candidate_and_begins_at_the_start(small: ModuleType) -> None:
    entrants = [own for own in candidates() if own.id in ("sgd-0", "nesterov-1")]
    (bad,) = [own for own in entrants if not own.is_default]
    bad = replace(bad, settings={**bad.settings, "lr": 1e9})
    one = race(teams())
    one = replace(one, plan=replace(one.plan, candidates=(entrants[0], bad), rungs=(1 / 3,)))
    found = one.run()
    assert {id: fraction > 0 for id, fraction in begun(found).items()}["sgd-0"]
    assert not any(fraction for id, fraction in begun(found).items() if "slower" in id)


@pytest.mark.parametrize("way", [LOOPED, STACKED])
def test_a_killed_race_goes_on_to_the_same_bits(small: ModuleType, ran: Callable[..., Ran], way: Way) -> None:
    expected, formed = ran(plain, KEPT, way), teams(ways={BATCH: way})
    kept: dict[str, Any] = {}
    # Four kills in one race: after a fifth of all that is saved, half, three quarters and nine tenths.
    for share in (0.2, 0.3, 0.25, 0.15):
        cut = small.MemoryJournal(kept, last=round(share * expected.journal.saves))
        with pytest.raises(small.CutOffError):
            race(formed, journal=cut).run()
        kept = cut.kept
    assert all_of(small, formed, journal=small.MemoryJournal(kept))[0] == expected.shown


def test_a_race_that_kept_nothing_yet_when_it_was_killed_begins_at_the_start(
    small: ModuleType, ran: Callable[..., Ran]
) -> None:
    """A version that did not keep looks has saved the screen."""
    saved = ran(plain, ()).journal.kept
    kept = {key: own for key, own in saved.items() if key.startswith("screen")}
    shown, found = all_of(small, teams(), journal=small.MemoryJournal(kept))
    assert shown == ran().shown
    assert set(begun(found).values()) == {0.0}


def test_lanes_in_processes_go_on_to_the_same_bits(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_seats, "can_fork", lambda: True)  # also where a test has loaded JAX, which waits idle
    expected, _ = all_of(small, teams(workers=2, processes=True, kept=()))
    with seated(teams(workers=2, processes=True)) as formed:
        assert formed.seats is not None
        shown, found = all_of(small, formed)
    assert shown == expected
    assert any(begun(found).values())


def test_lanes_that_find_no_room_when_they_go_on_begin_at_the_start(
    small: ModuleType, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ran().shown  # run before it is refused

    def refused(self: Stack, held: Mapping[str, Any]) -> None:
        raise MemoryError

    monkeypatch.setattr(Stack, "begin_with", refused)
    shown, found = all_of(small, teams())
    assert shown == expected
    assert set(begun(found).values()) == {0.0}


def test_a_lane_that_was_not_sound_at_a_snapshot_is_not_passed_on() -> None:
    """It would go back to another step than in a confirmation, which keeps whoever has finite numbers."""
    own = teams(ways={BATCH: STACKED})
    lanes = [Lane(candidate=one, fold=0, seed=0) for one in candidates()[:3]]
    team = own.at_home(lanes, own.reading("screen").data)
    assert isinstance(team, Divisible)
    team.advance(0.1)
    (stack,) = [part.team for part in team._parts]
    assert isinstance(stack, Stack)
    stack.oversight.course.sound = lambda values: torch.tensor([True, False, True])  # type: ignore[method-assign]
    team.advance(1 / 3)
    assert list(team.passed([lane.id for lane in lanes])) == [team.lanes[0].id, team.lanes[2].id]


def test_modules_that_are_built_otherwise_go_on_as_well(small: ModuleType) -> None:
    def made(width: int = 6) -> nn.Module:
        return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))

    other = teams(lambda: made(4), kept=())
    form = (("width", 4),)

    def grown(kept: Sequence[float]) -> ModuleTeams:
        return everywhere(teams(made, kept=(), arguments=("width",), others={form: other}), kept_looks=tuple(kept))

    def run(kept: Sequence[float]) -> tuple[list[Any], Result]:
        one = race(grown(kept))
        entrants = [
            replace(own, settings={**own.settings, "width": 4}) if place % 2 else own
            for place, own in enumerate(one.plan.candidates)
        ]
        found = replace(one, plan=replace(one.plan, candidates=tuple(entrants))).run()
        return small.shown(found), found

    shown, found = run(KEPT)
    assert shown == run(())[0]
    assert sum(fraction > 0 for fraction in begun(found).values()) >= 2


def test_states_of_lanes_survive_as_json_and_tensors(small: ModuleType) -> None:
    """What is saved of a confirmation that has yet to tell its first looks."""
    own = teams(ways={BATCH: STACKED})
    lanes = [Lane(candidate=one, fold=0, seed=0) for one in candidates()[:3]]
    screened = own.at_home(lanes, own.reading("screen").data)
    screened.advance(1 / 3)
    assert isinstance(screened, Divisible)
    held = screened.passed([lane.id for lane in lanes])

    def confirmed() -> Divisible:
        team = own.at_home(lanes, own.reading("confirm").data)
        assert isinstance(team, Divisible)
        return team

    one, other = confirmed(), confirmed()
    one.begin_with(held)
    tensors, rest = one.state()
    other.restore({name: own.clone() for name, own in tensors.items()}, copy.deepcopy(rest))
    for fraction in GRID:
        one.advance(fraction)
        other.advance(fraction)
        assert small.evidence_of(one) == small.evidence_of(other)
