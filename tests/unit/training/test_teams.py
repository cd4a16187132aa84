"""Teams of solvers and trees: one lane's failure is its own, and what was saved is regrown to the same bits."""

import copy
import dataclasses
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.errors import Interrupted, TrainingError
from lanewise.models.trees import TREE_KINDS
from lanewise.training.data import Moving
from lanewise.training.planning.plan import Lengths
from lanewise.training.race import Race
from lanewise.training.solver_team import SolverTeam
from lanewise.training.trees.pool import TreePool
from lanewise.training.trees.team import TreeTeam


@pytest.fixture(scope="module")
def pool(small: ModuleType) -> Iterator[TreePool]:
    with TreePool(small.tree_data(), small.task(), workers=1, threads_per_worker=1, single_trees=True) as found:
        yield found


def solvers(small: ModuleType, **bad: Any) -> list[Any]:
    own = [one for one in small.company() if one.optimizer == "lbfgs"]
    return small.lanes([*own, small.candidate("bad", "linear", "lbfgs", **bad)] if bad else own)


def solver_team(small: ModuleType, lanes: list[Any], data: Any = None, stop: Any = lambda: False) -> SolverTeam:
    return SolverTeam(lanes, data or small.data(), iterations=20, stop=stop)


def tree_team(
    small: ModuleType, pool: TreePool, phase: str, names: Any = ("a", "b"), stop: Any = lambda: False
) -> TreeTeam:
    candidates = [small.candidate(name, "lightgbm", "boosting") for name in names]
    lanes = small.lanes(candidates, folds=1)
    return TreeTeam(lanes, small.data(), pool, phase=phase, lengths=Lengths(rows_seen=1), stop=stop)


def points(team: SolverTeam) -> dict[str, bytes]:
    return {lane.id: team.row(place).numpy().tobytes() for place, lane in enumerate(team.lanes)}


def test_lanes_that_take_the_gradient_twice_have_stacks_of_their_own(small: ModuleType) -> None:
    builder = small.builder()
    once, twice = (small.lanes([small.candidate("a", "mlp", "adamw", sam_rho=rho)])[0] for rho in (0.0, 0.1))
    assert builder.key(once) != builder.key(twice)
    assert builder.key(once) == builder.key(small.lanes([small.candidate("b", "mlp", "adamw")])[0])


class TestSolver:
    def test_goes_on_from_any_moment_to_the_same_bits(self, small: ModuleType) -> None:
        saved: list[tuple[Any, ...]] = []
        first = solver_team(small, solvers(small))

        def keep() -> None:
            tensors, rest = first.state()
            copied = {name: tensor.clone() for name, tensor in tensors.items()}
            saved.append((first.lanes, copied, copy.deepcopy(rest)))

        first.advance(0.4, keep)
        first.keep({"lbfgs.f1.s0", "sparse.f0.s0"})
        after = len(saved)
        first.advance(1.0, keep)
        assert after > 2
        assert len(saved) > after
        for place, (_, tensors, rest) in list(enumerate(saved))[::2]:
            later = solver_team(small, solvers(small))
            if place >= after:  # as a race does: restore the end of the rung before, drop, restore again
                later.keep({"lbfgs.f1.s0", "sparse.f0.s0"})
            later.restore(tensors, rest)
            if place < after:
                later.advance(0.4)
                later.keep({"lbfgs.f1.s0", "sparse.f0.s0"})
            later.advance(1.0)
            assert points(later) == points(first)
            assert small.evidence_of(later) == small.evidence_of(first)

    def test_lane_that_is_not_finite_is_lost_alone(self, small: ModuleType) -> None:
        data = small.data()
        sick = dataclasses.replace(data.folds[1], dense=data.folds[1].dense.clone())
        sick.dense[int(sick.train[0])] = float("inf")
        team = solver_team(small, solvers(small), dataclasses.replace(data, folds={0: data.folds[0], 1: sick}))
        team.advance(1.0)
        healthy = solver_team(small, solvers(small))
        healthy.advance(1.0)
        expected = small.evidence_of(healthy)
        assert small.evidence_of(team) == {name: valid for name, valid in expected.items() if ".f0." in name}
        assert set(team.lost()) == {"lbfgs.f1.s0", "sparse.f1.s0"}
        assert "not finite" in team.lost()["lbfgs.f1.s0"].cause
        assert team.lost()["lbfgs.f1.s0"].fraction == team.fraction

    def test_stops_within_an_evaluation_and_can_be_saved(self, small: ModuleType) -> None:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            return len(asked) == 15

        team = solver_team(small, solvers(small), stop=stop)
        with pytest.raises(Interrupted, match="stopped on request"):
            team.advance(1.0)
        later = solver_team(small, solvers(small))
        later.restore(*team.state())
        later.advance(1.0)
        whole = solver_team(small, solvers(small))
        whole.advance(1.0)
        assert points(later) == points(whole)

    def test_stop_before_the_first_evaluation(self, small: ModuleType) -> None:
        team = solver_team(small, solvers(small), stop=lambda: True)
        with pytest.raises(Interrupted):
            team.advance(1.0)
        later = solver_team(small, solvers(small))
        later.restore(*team.state())
        later.advance(1.0)
        assert later.fraction == 1.0


class TestTrees:
    def test_resumed_boosters_are_regrown_to_the_same_bits(self, small: ModuleType, pool: TreePool) -> None:
        first = tree_team(small, pool, "whole")
        first.advance(0.5)
        tensors, rest = first.state()
        assert set(rest["digests"]) == {"a.f0.s0", "b.f0.s0"}
        first.advance(1.0)
        later = tree_team(small, pool, "later")
        later.restore(tensors, rest)
        assert small.evidence_of(later) != small.evidence_of(first)
        later.advance(1.0)
        assert small.evidence_of(later) == small.evidence_of(first)
        for name in ("a.f0.s0", "b.f0.s0"):
            one, other = first.export(name).trees, later.export(name).trees
            assert one is not None
            assert other is not None
            assert one.text == other.text

    def test_finished_team_is_exported_after_it_was_resumed(self, small: ModuleType, pool: TreePool) -> None:
        first = tree_team(small, pool, "done", ["a"])
        first.advance(1.0)
        later = tree_team(small, pool, "done again", ["a"])
        later.restore(*first.state())
        one, other = first.export("a.f0.s0").trees, later.export("a.f0.s0").trees
        assert one == other

    @pytest.mark.parametrize("way", ["advance", "export"])
    def test_booster_that_is_regrown_to_other_bits_is_refused(
        self, small: ModuleType, pool: TreePool, way: str
    ) -> None:
        first = tree_team(small, pool, f"true {way}", ["a"])
        first.advance(0.5)
        tensors, rest = first.state()
        later = tree_team(small, pool, f"false {way}", ["a"])
        later.restore(tensors, {**rest, "digests": {"a.f0.s0": "0" * 64}})
        with pytest.raises(TrainingError, match=r"could not be replayed to the same bits: .*; start the run anew"):
            later.advance(1.0) if way == "advance" else later.export("a.f0.s0")

    def test_lane_that_fails_is_lost_alone(
        self, small: ModuleType, pool: TreePool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        team = tree_team(small, pool, "partly", ["a", "b"])
        real = pool.advance

        def advance(lane: str, rounds: int, **others: Any) -> Any:
            if ".b." in lane and rounds > 3:
                message = f"lane {lane!r} could not be trained: memory ran out"
                raise TrainingError(message)
            return real(lane, rounds, **others)

        monkeypatch.setattr(pool, "advance", advance)
        team.advance(0.5)
        team.advance(1.0)
        assert set(small.evidence_of(team)) == {"a.f0.s0"}
        assert "memory ran out" in team.lost()["b.f0.s0"].cause
        assert team.lost()["b.f0.s0"].fraction == 0.5
        later = tree_team(small, pool, "partly again", ["a", "b"])
        later.restore(*team.state())
        assert later.lost() == team.lost()
        later.keep({"a.f0.s0"})

    def test_stop_is_heard_between_slices_and_changes_no_tree(self, small: ModuleType, pool: TreePool) -> None:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            return len(asked) == 3

        team = tree_team(small, pool, "stopped", ["a"], stop=stop)
        with pytest.raises(Interrupted):
            team.advance(1.0)
        tensors, rest = team.state()
        assert rest["fraction"] == 0.0
        later = tree_team(small, pool, "went on", ["a"])
        later.restore(tensors, rest)
        later.advance(1.0)
        whole = tree_team(small, pool, "never stopped", ["a"])
        whole.advance(1.0)
        assert small.evidence_of(later) == small.evidence_of(whole)

    def test_saved_in_the_middle(self, small: ModuleType, pool: TreePool) -> None:
        team = tree_team(small, pool, "middle", ["a", "b"])
        team.advance(0.5)
        saved: list[tuple[dict[str, torch.Tensor], dict[str, Any]]] = []
        team.advance(1.0, lambda: saved.append(copy.deepcopy(team.state())))
        expected = small.evidence_of(team)
        for place, (tensors, rest) in enumerate(saved[::3]):
            later = tree_team(small, pool, f"middle {place}", ["a", "b"])
            later.restore(tensors, rest)
            later.advance(1.0)
            assert small.evidence_of(later) == expected

    @pytest.mark.parametrize(("phase", "trees"), [("screen", 30), ("confirm", 30), ("trial", 10)])
    def test_the_first_look_at_a_forest_is_at_trees_enough(
        self, small: ModuleType, pool: TreePool, phase: str, trees: int
    ) -> None:
        lanes = small.lanes([small.candidate("wood", "forest", trees=100)], folds=1)
        lengths = Lengths(rows_seen=1)
        team = TreeTeam(lanes, small.data(), pool, phase=phase, lengths=lengths, stop=lambda: False)
        grown = []
        for fraction in (0.1, 0.5):
            team.advance(fraction)
            found = team.export("wood.f0.s0").trees
            assert found is not None
            grown.append(found.meta["rounds"])
        assert grown == [trees, 50]


def test_race_of_all_families_goes_on_after_any_save(small: ModuleType) -> None:
    names = {"lightgbm": "boosting", "forest": "splitting", "tree": "splitting"}
    trees = [small.candidate(f"of {model}", model, optimizer) for model, optimizer in names.items()]
    plan = small.plan([*small.company()[:1], *trees])

    def run(journal: Any, workers: int = 1) -> Any:
        with TreePool(
            small.tree_data(), small.task(), workers=workers, threads_per_worker=1, single_trees=True
        ) as pool:
            race: Race = small.race(plan, journal=journal, build=small.builder(pool=pool))
            return small.shown(race.run())

    whole = small.MemoryJournal()
    expected = run(whole)
    journal = small.MemoryJournal(last=whole.saves // 2)
    with pytest.raises(small.CutOffError):
        run(journal, workers=2)
    assert run(small.MemoryJournal(journal.kept)) == expected


def test_lanes_show_what_they_make_of_their_training_rows(small: ModuleType, pool: TreePool) -> None:
    """Here the rows that are held out are those that are shown, so both must be the same."""
    data = small.data()
    both = {
        fold: dataclasses.replace(part, valid=part.train[torch.from_numpy(part.shown)])
        for fold, part in data.folds.items()
    }
    trees = [small.candidate(f"of {model}", model) for model in TREE_KINDS]
    candidates = [*small.company(), *trees]
    built = small.builder(pool=pool)
    built = dataclasses.replace(built, data=dataclasses.replace(data, folds=both))
    seen = {}
    for phase in ("confirm", "screen"):
        for team in built.form(small.lanes(candidates), phase):
            team.advance(0.5)
            for item in team.evidence():
                seen[phase, item.lane.id] = item
            team.keep(())
    for lane in small.lanes(candidates):
        item = seen["confirm", lane.id]
        assert item.train is not None
        assert np.abs(item.train - item.valid).max() < 1e-12
        assert seen["screen", lane.id].train is None
        assert seen["screen", lane.id].valid.tobytes() == item.valid.tobytes()


def test_lanes_on_gpus_make_a_stack_for_each_rank(small: ModuleType) -> None:
    nets = small.lanes([small.candidate(f"net{n}", "mlp", "sgd") for n in range(6)])
    builder = dataclasses.replace(small.builder(), moving=Moving(torch.device("meta")), workers=4)
    for ranks, sizes in ((1, [12]), (2, [6, 6]), (4, [3] * 4)):
        parts = dataclasses.replace(builder, ranks=ranks).parts(nets, "confirm")
        assert [len(lanes) for lanes, _ in parts] == sizes
