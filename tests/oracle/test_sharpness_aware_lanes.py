"""Sharpness-aware lanes are plain loops that take the gradient twice; their neighbours do not notice."""

import pytest
import torch
from lane_cases import STRUCTURE, Race, lane, race_data, rows_of

from lanewise.lanes.roster import Lane
from lanewise.training.step import KeyedNoise


def company(model: str) -> list[Lane]:
    rules = ("sgd", "adamw", "schedule_free_sgd", "momentum", "sgld")
    settings = ({"sam_rho": 0.3}, {"sam_rho": 0.05, "dropout": 0.3, "clip_norm": 0.3, "l2": 0.1}, {"dropout": 0.3})
    return [
        lane(f"{rule}{turn}", model, rule, own, fold=(at + turn) % 3, seed=turn % 2)
        for at, rule in enumerate(rules)
        for turn, own in enumerate(settings)
    ]


@pytest.mark.parametrize("model", STRUCTURE)
def test_lanes_with_and_without_equal_plain_loops(model: str) -> None:
    Race(lanes=company(model), data=race_data(), length=20).check()


def test_it_makes_a_difference() -> None:
    rows = {}
    for rho in (0.0, 0.3):
        one = lane("a", "mlp", "sgd", sam_rho=rho)
        _, found = Race(lanes=[one], data=race_data()).trained()
        rows[rho] = found[one.id]
    assert float((rows[0.0]["head.weight"] - rows[0.3]["head.weight"]).abs().max()) > 1e-3


def test_lanes_without_are_the_same_bits_beside_one_with() -> None:
    plain = [lane("a", "mlp", "adamw", dropout=0.3), lane("b", "mlp", "sgd", fold=1)]
    sharp, dull = (lane("c", "mlp", "sgd", fold=2, sam_rho=rho) for rho in (0.2, 0.0))
    results = []
    for third in (sharp, dull):
        _, rows = Race(lanes=[*plain, third], data=race_data()).trained()
        results.append([rows[one.id] for one in plain])
    for one, other in zip(*results, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_lane_that_is_nan_touches_no_other() -> None:
    race = Race(lanes=company("linear"), data=race_data(), length=10)
    results = []
    for sick in (False, True):
        stack = race.stack()
        if sick:
            stack.buffer.values[0] = float("nan")
        stack.advance(1.0)
        results.append(stack.buffer.values[1:].clone())
    assert torch.equal(*results)


@pytest.mark.parametrize("rho", [0.0, 0.2])
def test_only_sharp_lanes_are_passed_through_twice(rho: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, torch.Tensor]] = []
    draw = KeyedNoise.uniform

    def counted(self: KeyedNoise, layer: str, shape: tuple[int, ...]) -> torch.Tensor:
        found = draw(self, layer, shape)
        drawn.append((layer, found))
        return found

    monkeypatch.setattr(KeyedNoise, "uniform", counted)
    one = lane("a", "mlp", "sgd", dropout=0.5, depth=1, sam_rho=rho)
    stack = Race(lanes=[one], data=race_data(), length=10).stack()
    before = rows_of(stack)
    stack.advance(0.1)
    assert len(drawn) == (2 if rho else 1)
    assert all(torch.equal(found, drawn[0][1]) for _, found in drawn)
    assert not torch.equal(before[one.id]["head.weight"], rows_of(stack)[one.id]["head.weight"])
