"""What a race decides: from the plan and the evidence, never from the order or the time of arrival."""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.errors import Interrupted, StoreError, TrainingError, UsageError
from lanewise.lanes.candidate import Candidate, Event, Failure
from lanewise.lanes.roster import Lane
from lanewise.search.policy import Decision, Policy, Standing, ranked
from lanewise.storage.strict_json import dump_json, parse_json
from lanewise.training.planning.amending import Amending
from lanewise.training.planning.plan import Plan
from lanewise.training.team import Evidence, Team, nothing

Script = Callable[[Lane, float, np.ndarray], np.ndarray | None]
FIRST_RUNG = 1 / 3


class ScriptedTeam(Team):
    """A team whose predictions are written down: None loses the lane."""

    def __init__(self, lane: Lane, small: ModuleType, script: Script, pause: Callable[[], None]) -> None:
        self.lanes = (lane,)
        self.length = 100
        self._small, self._script, self._pause = small, script, pause
        self._fraction = 0.0

    @property
    def fraction(self) -> float:
        return self._fraction

    def advance(self, fraction: float, between: Callable[[], None] = nothing) -> None:
        self._pause()
        between()
        self._fraction = fraction

    def evidence(self) -> list[Evidence]:
        (lane,) = self.lanes
        truth = self._small.numbers()[1][self._small.data().folds[lane.fold].valid.numpy()]
        valid = self._script(lane, self._fraction, truth)
        if valid is None:
            return []
        return [Evidence(lane=lane, fraction=self._fraction, valid=valid, train_loss=1.0)]

    def export(self, lane: str) -> Any:
        raise NotImplementedError

    def keep(self, lanes: Collection[str]) -> None:
        self.lanes = tuple(lane for lane in self.lanes if lane.id in lanes)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {}, {"fraction": self._fraction}

    def restore(self, tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]) -> None:
        self._fraction = rest["fraction"]

    def repairs(self) -> dict[str, tuple[Event, ...]]:
        return {}

    def lost(self) -> dict[str, Failure]:
        failure = Failure(cause="it was written so", fraction=self.fraction)
        return {} if self.evidence() else {lane.id: failure for lane in self.lanes}


def certainty(truth: np.ndarray, share: float) -> np.ndarray:
    """Probabilities ``[n, 3]`` that give the right class ``share``."""
    found = np.full((len(truth), 3), (1 - share) / 2)
    found[np.arange(len(truth)), truth] = share
    return found


def scripted(small: ModuleType, script: Script, pause: Callable[[], None] = nothing) -> Any:
    """A builder of scripted teams."""

    def form(lanes: Sequence[Lane], phase: str) -> list[Team]:
        return [ScriptedTeam(lane, small, script, pause) for lane in lanes]

    return SimpleNamespace(data=small.data(), form=form)


class BestTwo(Policy):
    """Keeps the best two and the protected at each rung."""

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (FIRST_RUNG, 1.0)

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        keep = [*order[:2], *(place for place in order[2:] if standing.protected[place])]
        return Decision(keep=tuple(keep), words="two")


@dataclass(frozen=True, kw_only=True)
class Uncut:
    """A plan, what comes of it, bit for bit, and how often that was saved."""

    plan: Plan
    found: Any
    shown: list[Any]
    saves: int


@pytest.fixture(scope="module")
def uncut(small: ModuleType) -> Uncut:
    """A race of many rules on two threads, one of which diverges."""
    plan, whole = small.plan(small.company(lr=1e4)), small.MemoryJournal()
    found = small.race(plan, journal=whole).run()
    return Uncut(plan=plan, found=found, shown=small.shown(found), saves=whole.saves)


def fates(found: Any, phase: str) -> dict[str, str]:
    return {trace.lane.candidate.id: trace.fate for trace in found.traces if trace.phase == phase}


def test_predictions_are_out_of_fold_and_in_the_right_rows(small: ModuleType) -> None:
    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray:
        return certainty(truth, 0.4 + 0.1 * lane.fold + 0.1 * lane.seed)

    one = small.candidate("one", is_default=True)
    (confirmed,) = small.race(small.plan([one], rungs=()), build=scripted(small, script)).run().confirmed
    target = small.numbers()[1]
    for number, fold in small.data().folds.items():
        rows = fold.valid.numpy()
        # 0.4 with seed 0 and 0.5 with seed 1, averaged; the second fold has 0.1 more.
        assert confirmed.predictions[rows, target[rows]] == pytest.approx(0.45 + 0.1 * number)
    assert np.isfinite(confirmed.predictions).all()


def test_stop_is_chosen_on_the_other_folds(small: ModuleType) -> None:
    best = {0: 0.25, 1: 0.75}

    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray:
        at_best = fraction == best[lane.fold]
        return certainty(truth, (0.9 if lane.fold == 0 else 0.6) if at_best else 0.4 + 0.01 * fraction)

    one = small.candidate("one", is_default=True)
    (confirmed,) = small.race(small.plan([one], rungs=()), build=scripted(small, script)).run().confirmed
    target = small.numbers()[1]
    for number, fold in small.data().folds.items():
        rows = fold.valid.numpy()
        other = best[1 - number]
        assert confirmed.predictions[rows, target[rows]] == pytest.approx(0.4 + 0.01 * other)
    assert confirmed.stop == 0.25  # the best mean over both folds
    assert len(confirmed.curve) == 4


def test_full_length_wins_a_tie_of_looks(small: ModuleType) -> None:
    one = small.candidate("one", is_default=True)
    plan = small.plan([one], rungs=())
    race = small.race(plan, build=scripted(small, lambda lane, fraction, truth: certainty(truth, 0.5)))
    assert race.run().confirmed[0].stop == 1.0


def test_fates(small: ModuleType) -> None:
    shares = {"default": 0.4, "good": 0.9, "fair": 0.8, "slow": 0.5, "lost": 0.7, "late": 0.85}
    candidates = [small.candidate(name, is_default=name == "default") for name in shares]

    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray | None:
        name = lane.candidate.id
        confirming = len(truth) != 31 or lane.seed != 0 or fraction not in (FIRST_RUNG, 1.0)
        if name == "lost" or (name == "late" and confirming):
            return None
        return certainty(truth, shares[name])

    found = small.race(small.plan(candidates), build=scripted(small, script), policy=BestTwo()).run()
    assert fates(found, "screen") == {
        "default": "confirmed",
        "good": "confirmed",
        "late": "confirmed",
        "fair": "pruned",
        "slow": "pruned",
        "lost": "diverged",
    }
    assert fates(found, "confirm") == {"default": "confirmed", "good": "confirmed", "late": "diverged"}
    assert {trace.lane.candidate.id for trace in found.traces if trace.failure} == {"lost", "late"}
    assert {one.candidate.id for one in found.confirmed} == {"default", "good"}


class FewerAndFewer(BestTwo):
    """Keeps the best three after the first rung, and the best one after the last, beside the protected."""

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        most = (3, 1)[standing.rung]
        keep = [*order[:most], *(place for place in order[most:] if standing.protected[place])]
        return Decision(keep=tuple(keep), words="fewer")


@pytest.mark.parametrize("resumed", [False, True])
def test_with_time_left_over_those_are_confirmed_that_only_the_last_rung_dropped(
    small: ModuleType, *, resumed: bool
) -> None:
    shares = {"default": 0.4, "first": 0.9, "third": 0.7, "second": 0.8, "early": 0.6}
    candidates = [small.candidate(name, is_default=name == "default") for name in shares]
    build = scripted(small, lambda lane, fraction, truth: certainty(truth, shares[lane.candidate.id]))
    asked: list[list[list[str]]] = []

    def amend(
        plan: Plan, ordered: Sequence[Candidate], last: Sequence[Candidate], slowness: Mapping[str, float]
    ) -> Plan:
        asked.append([[one.id for one in several] for several in (ordered, last)])
        return replace(plan, confirmed=("default", "first", "second"), amended=("three go on",))

    plan = small.plan(candidates)
    race = small.race(amend(plan, [], [], {}) if resumed else plan, build=build, policy=FewerAndFewer())
    race.amend = None if resumed else amend
    found = race.run()
    assert asked[-1] == ([[], []] if resumed else [["first", "default"], ["second", "third"]])
    assert fates(found, "screen") == {
        "default": "confirmed",
        "first": "confirmed",
        "second": "confirmed",
        "third": "pruned",
        "early": "pruned",
    }
    assert [one.candidate.id for one in found.confirmed] == ["first", "default", "second"]
    assert found.rungs[-1] == "three go on"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_at_the_chosen_look_retire_a_candidate(small: ModuleType, value: float) -> None:
    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray:
        sick = lane.candidate.id == "sick" and lane.fold == 1
        return np.full((len(truth), 3), value) if sick else certainty(truth, 0.5)

    candidates = [small.candidate("one", is_default=True), small.candidate("sick")]
    found = small.race(small.plan(candidates, rungs=()), build=scripted(small, script)).run()
    assert [one.candidate.id for one in found.confirmed] == ["one"]
    assert fates(found, "confirm") == {"one": "confirmed", "sick": "diverged"}


@pytest.mark.parametrize("rungs", [(), (FIRST_RUNG, 1.0)])
def test_nobody_left_is_one_line_with_a_reason(small: ModuleType, rungs: tuple[float, ...]) -> None:
    candidates = [small.candidate("one", is_default=True), small.candidate("two")]
    race = small.race(small.plan(candidates, rungs=rungs), build=scripted(small, lambda lane, fraction, truth: None))
    where = " in the screen" if rungs else r" on some fold: 2 of 2 on fold 1 of 2, 2 of 2 on fold 2 of 2"
    words = rf"^every candidate failed{where} \(first mlp[^;]+: it was written so\); lower"
    with pytest.raises(TrainingError, match=words) as error:
        race.run()
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 3


def test_nobody_left_says_how_many_failed_on_which_fold(small: ModuleType) -> None:
    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray | None:
        failed = lane.fold == 1 or (lane.candidate.id == "two")
        return None if failed else certainty(truth, 0.5)

    candidates = [small.candidate("one", is_default=True), small.candidate("two")]
    race = small.race(small.plan(candidates, rungs=()), build=scripted(small, script))
    with pytest.raises(TrainingError, match="on some fold: 1 of 2 on fold 1 of 2, 2 of 2 on fold 2 of 2"):
        race.run()


def test_timing_decides_nothing(small: ModuleType) -> None:
    candidates = [small.candidate(f"c{place}", is_default=place == 0) for place in range(6)]

    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray:
        return certainty(truth, 0.5 + 0.05 * int(lane.candidate.id[1:]) * fraction)

    def run(seed: int, threads: int) -> list[Any]:
        draw = random.Random(seed)
        build = scripted(small, script, pause=lambda: time.sleep(draw.random() * 0.003))
        return small.shown(small.race(small.plan(candidates), build=build, threads=threads).run())

    expected = run(0, 1)
    assert all(run(seed, threads) == expected for seed, threads in ((1, 1), (2, 2), (3, 5)))


def test_same_plan_on_one_or_two_threads_gives_the_same_bits(small: ModuleType, uncut: Uncut) -> None:
    assert uncut.plan.workers == 2
    assert small.shown(small.race(uncut.plan, threads=1).run()) == uncut.shown


@pytest.fixture(scope="module")
def longer(small: ModuleType) -> tuple[Plan, Any, int]:
    """A race without a screen whose time allows for a second seed: its plan in the end, what is found, its saves."""
    plan = replace(small.plan(small.company()[:5], rungs=()), seeds=(0,), wished_seeds=(0, 1), parts=2)
    race = small.race(plan, journal=(whole := small.MemoryJournal()))
    race.amend = Amending(left=lambda: 1e9, agreed=lambda own: own, keep=lambda plan: None)
    shown = race.run()
    return race.plan, shown, whole.saves


def test_without_a_screen_the_time_left_adds_seeds_and_the_plan_repeats_that_to_the_bit(
    small: ModuleType, longer: tuple[Plan, Any, int]
) -> None:
    plan, found, _ = longer
    assert (plan.begun, plan.folds, plan.seeds) == ((2, 1), 2, (0, 1))
    before = "where the plan was for 2 folds with 1 seed"
    words = f"with the time left each candidate is trained on 2 folds with 2 seeds, {before}"
    assert (found.rungs, plan.amended) == ((words,), (words,))
    assert len({trace.lane.id for trace in found.traces}) == len(found.traces) == 5 * 2 * 2
    assert len(found.confirmed) == 5
    again = Plan.from_json(parse_json(dump_json(plan.to_json()), source="the plan"))
    repeated = small.race(again).run()
    assert small.shown(repeated) == small.shown(found)
    assert repeated.rungs == found.rungs


def test_who_is_lost_on_the_folds_at_first_is_not_trained_on_those_that_are_added(small: ModuleType) -> None:
    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray | None:
        return None if (lane.candidate.id, lane.fold) == ("lost", 1) else certainty(truth, 0.5)

    candidates = [small.candidate("one", is_default=True), small.candidate("lost"), small.candidate("two")]
    plan = replace(small.plan(candidates, rungs=()), seeds=(0,), wished_seeds=(0, 1), parts=2)
    race = small.race(plan, build=scripted(small, script))
    race.amend = Amending(left=lambda: 1e9, agreed=lambda own: own, keep=lambda plan: None)
    found = race.run()
    assert (race.plan.begun, race.plan.folds, race.plan.seeds) == ((2, 1), 2, (0, 1))
    lanes = [(trace.lane.candidate.id, trace.lane.fold, trace.lane.seed) for trace in found.traces]
    both = [(fold, seed) for fold in (0, 1) for seed in (0, 1)]
    assert lanes == [*(("one", *own) for own in both), ("lost", 0, 0), ("lost", 1, 0), *(("two", *own) for own in both)]
    assert fates(found, "confirm") == {"one": "confirmed", "lost": "diverged", "two": "confirmed"}
    assert [one.candidate.id for one in found.confirmed] == ["one", "two"]


def test_a_race_that_was_amended_and_killed_goes_on_to_the_same_bits(
    small: ModuleType, longer: tuple[Plan, Any, int]
) -> None:
    plan, found, saves = longer
    kept: dict[str, Any] = {}
    for share in (0.3, 0.4, 0.25):  # three kills in one race
        journal = small.MemoryJournal(kept, last=round(share * saves))
        with pytest.raises(small.CutOffError):
            small.race(plan, journal=journal, threads=1).run()
        kept = journal.kept
    assert small.shown(small.race(plan, journal=small.MemoryJournal(kept)).run()) == small.shown(found)


def test_plan_survives_json(small: ModuleType) -> None:
    event = Event(fraction=1 / 3, restored=0.1, rate_factor=0.3, cause="diverged by step 7")
    plan = small.plan([small.candidate("one", is_default=True), small.candidate("two", lr=0.1 + 0.2, events=(event,))])
    again = Plan.from_json(parse_json(dump_json(plan.to_json()), source="plan"))
    assert again == plan
    assert [type(value) for value in again.candidates[1].settings.values()] == [
        type(value) for value in plan.candidates[1].settings.values()
    ]


def test_race_that_ends_after_any_save_goes_on_to_the_same_bits(small: ModuleType, uncut: Uncut) -> None:
    assert uncut.saves > 100  # mid-team, mostly
    third = (uncut.saves - 1) // 3
    kept: dict[str, Any] = {}
    # Five kills in one race: before anything is kept and after the first, then after each third of all.
    for part in (0, 1, third - 1, third, third):
        journal = small.MemoryJournal(kept, last=part)
        with pytest.raises(small.CutOffError):
            small.race(uncut.plan, journal=journal).run()
        kept = journal.kept
    assert small.shown(small.race(uncut.plan, journal=small.MemoryJournal(kept)).run()) == uncut.shown


class Listens(Policy):
    """Notes what it is shown; the last of the listed leaves at the first rung."""

    reads_losses = True

    def __init__(self) -> None:
        self.seen: list[Standing] = []

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (FIRST_RUNG, 1.0)

    def decide(self, standing: Standing) -> Decision:
        self.seen.append(standing)
        places = range(len(standing.scores))
        return Decision(keep=tuple(places)[: -1 if standing.rung == 0 else None], words="all but one")


def test_a_policy_is_shown_places_among_all_and_losses_of_rows(small: ModuleType) -> None:
    shares = {"adam": 0.8, "sgd": 0.5, "momentum": 0.6}

    def script(lane: Lane, fraction: float, truth: np.ndarray) -> np.ndarray | None:
        lost = lane.candidate.id == "sgd" and fraction > FIRST_RUNG
        return None if lost else certainty(truth, shares[lane.candidate.id])

    policy = Listens()
    company = [*small.company()[:3], small.candidate("late", optimizer="sgd")]
    shares["late"] = 0.4
    small.race(small.plan(company), build=scripted(small, script), policy=policy).run()
    first, second = policy.seen
    assert [list(standing.numbers) for standing in (first, second)] == [[0, 1, 2, 3], [0, 2]]
    assert first.entrants == second.entrants == 4
    assert second.losses is not None
    np.testing.assert_allclose(second.losses.mean(1), -np.log([0.8, 0.6]))
    assert second.losses.shape == (2, len(small.data().folds[0].valid))


def test_a_decision_that_is_none_ends_the_race_in_one_line(small: ModuleType) -> None:
    class Overboard(BestTwo):
        def decide(self, standing: Standing) -> Decision:
            return Decision(keep=(len(standing.scores),), words="")

    with pytest.raises(UsageError, match=r"Overboard\.decide must keep positions from 0 to 1"):
        small.race(small.plan(small.company()[:2]), policy=Overboard()).run()


def test_repaired_lane_goes_on_as_a_new_candidate(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanewise.training import stack

    real = stack.step

    def step(model: Any, buffer: Any, optimizer: Any, *others: Any, **named: Any) -> Any:
        """The one step; the lane "bad" of the screen turns infinite in step 9."""
        losses = real(model, buffer, optimizer, *others, **named)
        if optimizer.taken == 9 and sick(optimizer) is not None:
            buffer.values[sick(optimizer)] = float("inf")
        return losses

    rows: dict[int, int] = {}

    def sick(optimizer: Any) -> int | None:
        return rows.get(id(optimizer))

    created = stack.Stack.__init__

    def init(self: Any, lanes: Any, *others: Any, **named: Any) -> None:
        created(self, lanes, *others, **named)
        screened = [row for row, lane in enumerate(self.lanes) if lane.id == "bad.f0.s0"]
        if screened and all(lane.fold == 0 and lane.seed == 0 for lane in self.lanes):
            rows[id(self.optimizer)] = screened[0]
            kept.append(self)

    kept: list[Any] = []
    monkeypatch.setattr(stack, "step", step)
    monkeypatch.setattr(stack.Stack, "__init__", init)
    default, *others = small.company(lr=0.1)
    journal = small.MemoryJournal()
    plan = small.plan([default, others[-1]])
    found = small.race(plan, journal=journal, policy=BestTwo()).run()
    assert fates(found, "screen") == {"adam": "confirmed", "bad": "diverged"}
    (trace,) = [trace for trace in found.traces if trace.events]
    (event,) = trace.events
    assert event.cause == "diverged by step 20"
    repaired = next(one.candidate for one in found.confirmed if one.candidate.id == "bad-slower1")
    assert repaired.events == (event,)
    assert not repaired.is_default
    # The screen's lane and the confirmed one of its fold and seed are the same training.
    screened = trace.scores[-1]
    again = next(t for t in found.traces if t.lane.id == "bad-slower1.f0.s0")
    assert again.scores[-1] == pytest.approx(screened, rel=1e-4)
    # What the journal has tells the same story.
    resumed = small.race(plan, journal=small.MemoryJournal(journal.kept), policy=BestTwo()).run()
    assert small.shown(resumed) == small.shown(found)


def test_candidate_that_diverges_when_it_is_confirmed_is_retired(small: ModuleType) -> None:
    plan = small.plan(small.company(lr=1e5)[-1:] + small.company()[:1], rungs=())
    found = small.race(plan).run()
    assert fates(found, "confirm") == {"bad": "diverged", "adam": "confirmed"}
    assert [one.candidate.id for one in found.confirmed] == ["adam"]


def test_failure_of_one_team_stops_and_saves_the_others(small: ModuleType, uncut: Uncut) -> None:
    class FullDisk(small.MemoryJournal):
        def save(self, key: str, tensors: Any, state: Any) -> None:
            if key.endswith("-0") and self.saves > 5:
                message = "the disk is full"
                raise StoreError(message)
            super().save(key, tensors, state)

    journal = FullDisk()
    with pytest.raises(StoreError, match="the disk is full"):
        small.race(uncut.plan, journal=journal).run()
    resumed = small.race(uncut.plan, journal=small.MemoryJournal(journal.kept)).run()
    assert small.shown(resumed) == uncut.shown


def test_stopped_race_has_saved_every_team_that_ran(small: ModuleType, uncut: Uncut) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 70

    journal = small.MemoryJournal()
    race = small.race(uncut.plan, journal=journal, build=small.builder(stop=stop), save_every=1e9)
    with pytest.raises(Interrupted):
        race.run()
    assert journal.saves >= 1
    pulses: list[Any] = []
    resumed = small.race(uncut.plan, journal=journal, watch=pulses.append).run()
    assert small.shown(resumed) == uncut.shown
    assert max(pulse.kept for pulse in pulses if pulse.phase == "screen") > 0
    assert all(pulse.kept <= pulse.done for pulse in pulses)
    assert any(pulse.kept < pulse.done for pulse in pulses)


def test_slow_saves_are_fewer(small: ModuleType) -> None:
    class Slow(small.MemoryJournal):
        def save(self, key: str, tensors: Any, state: Any) -> None:
            time.sleep(0.2)
            super().save(key, tensors, state)

    candidates: list[Candidate] = small.company()[:2]
    journal = Slow()
    small.race(small.plan(candidates, rungs=()), journal=journal, save_every=0.001).run()
    # 60 steps take far less than the 4 s for which a save of 0.2 s is enough: one at the end of each team,
    # and one at the first chance.
    assert journal.saves <= 2 * len(journal.kept)


def test_training_scores_are_taken_at_every_look_of_the_confirmation(uncut: Uncut) -> None:
    found = uncut.found
    for trace in found.traces:
        assert len(trace.train_scores) == len(trace.scores)
        assert np.isfinite(trace.train_scores).all() == (trace.phase == "confirm")
    for item in found.confirmed:
        own = [t for t in found.traces if t.phase == "confirm" and t.lane.candidate.id == item.candidate.id]
        np.testing.assert_allclose(item.train_curve, np.mean([trace.train_scores for trace in own], axis=0))
        assert item.train_curve[-1] < item.train_curve[0]
