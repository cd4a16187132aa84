"""Small comparisons of a stack with the truth, a few hundred milliseconds each, for planted bugs.

Rates of dropout and of label smoothing are sums of powers of two, so that no rounding hides behind a bug.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from lane_cases import BEYOND_TORCH, RULES, Race, Value, assert_same, lane, plain_net, race_data, rows_of, truth
from plain_loop import Rewind

from lanewise.lanes.roster import Lane

STEPS, BATCH = 12, 8
# Each rule meets each of these once in the lanes below; together they switch every part of a step on.
SETTINGS: Final[tuple[Mapping[str, Value], ...]] = (
    {"l1": 0.01, "weight_decay": 0.1, "schedule": "constant"},
    {"clip_norm": 0.1, "dropout": 0.5, "schedule": "cosine"},
    {"l2": 0.1, "label_smoothing": 0.25, "warmup": 0.25},
    {"weight_decay": 0.2, "dropout": 0.5, "clip_norm": 0.3, "l2": 0.05},
)


def lanes_of(model: str, turns: tuple[int, ...] = (0, 1), **shape: Value) -> list[Lane]:
    """Two lanes of every rule: unlike folds, seeds and settings."""
    return [
        lane(
            f"{rule}{turn}",
            model,
            rule,
            {**SETTINGS[(at + 2 * turn) % len(SETTINGS)], **shape},
            fold=(at + turn) % 3,
            seed=(at + turn) % 2,
        )
        for at, rule in enumerate(RULES)
        for turn in turns
    ]


def normed_networks() -> None:
    lanes = lanes_of("mlp", layer_norm=True, activation="silu")
    Race(lanes=lanes, data=race_data(), length=STEPS, batch=BATCH).check()


def rectified_networks() -> None:
    # One fold and one seed, no categories: the lanes share their inputs.
    lanes = [lane(rule, "mlp", rule, SETTINGS[(at + 1) % len(SETTINGS)], depth=3) for at, rule in enumerate(RULES)]
    Race(lanes=lanes, data=race_data(levels=()), length=STEPS, batch=BATCH).check()


def linear_models() -> None:
    Race(lanes=lanes_of("linear"), data=race_data(), length=STEPS, batch=BATCH).check()


def full_batches() -> None:
    lanes = [lane(f"c{fold}", "linear", "gd", fold=fold) for fold in (1, 2)]
    Race(lanes=lanes, data=race_data(), length=STEPS, batch=BATCH).check()


def leaving_lanes() -> None:
    race = Race(lanes=lanes_of("mlp"), data=race_data(), length=STEPS, batch=BATCH)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(0.5)
    stack.keep({one.id for one in stack.lanes[1::2]})
    stack.advance(1.0)
    race.hold(start, rows_of(stack))


def resumed_lanes() -> None:
    race = Race(lanes=lanes_of("linear"), data=race_data(), length=STEPS, batch=BATCH)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(0.5)
    tensors, rest = stack.state()
    later = race.stack()
    later.restore({name: tensor.clone() for name, tensor in tensors.items()}, rest)
    later.advance(1.0)
    race.hold(start, rows_of(later))


def repaired_lanes() -> None:
    """Lanes whose Poisson loss overflows are put back to their last finite snapshot, at 0.3 of their rate.

    Losses are looked at after 25 steps, snapshots are taken every 3 (of 60) steps. Then the first lane
    leaves, so that what is known of the repaired ones has to move up with their rows.
    """
    shared: dict[str, Value] = {"loss": "poisson", "schedule": "constant", "warmup": 0.0}
    lanes = [
        lane("leaves", "linear", "sgd", shared, lr=0.01),
        lane("ball", "linear", "momentum", shared, lr=0.3, seed=1),
        lane("ill", "linear", "sgd", shared, lr=0.6, fold=1),
        lane("well", "linear", "sgd", shared, lr=0.02, fold=1),
    ]
    race = Race(lanes=lanes, data=race_data("count"), length=60)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(0.5)
    stack.keep({one.id for one in lanes[1:]})
    stack.advance(1.0)
    rows = rows_of(stack)
    for one in lanes[1:]:
        to = max(
            step
            for step in range(0, 25, 3)
            if all(weight.isfinite().all() for weight in truth(one, start[one.id], race.data, until=step).values())
        )
        rewinds = [] if one.candidate.id == "well" else [Rewind(at=25, to=to, factor=0.3)]
        alone = truth(one, start[one.id], race.data, length=race.length, rewinds=rewinds)
        assert_same(one, rows[one.id], alone, start[one.id], tolerance=1e-10)


def starts_of_lanes() -> None:
    lanes = lanes_of("mlp")
    together = rows_of(Race(lanes=lanes, data=race_data()).stack())
    for one in lanes[::3]:
        alone = rows_of(Race(lanes=[one], data=race_data()).stack())[one.id]
        assert all(torch.equal(together[one.id][name], alone[name]) for name in alone), one.id


def predictions() -> None:
    """Evidence and export at the end of training: the plain net's outputs, in the unit of the target."""
    data = race_data("regression")
    lanes = [lane(f"c{fold}", rule="adam", fold=fold, loss="squared", dropout=0.5) for fold in (0, 1, 2)]
    stack = Race(lanes=lanes, data=data, length=STEPS, batch=BATCH).stack()
    stack.advance(1.0)
    rows = rows_of(stack)
    for found in stack.evidence():
        part = data.folds[found.lane.fold]
        net = plain_net(found.lane, data, rows[found.lane.id])
        expected = net(part.dense[part.valid], part.codes[part.valid]).detach() * part.scale + part.center
        assert found.valid.shape == expected.shape
        assert torch.allclose(torch.from_numpy(found.valid), expected, rtol=1e-10, atol=1e-10), found.lane.id


def fused_kernels() -> None:
    shape = {"width": 64, "eps": 1e-6}
    lanes = [
        lane(f"{rule}{seed}", "mlp", rule, shape, seed=seed, weight_decay=0.1 * seed, beta2=0.9 + 0.05 * seed)
        for rule in ("adam", "adamw")
        for seed in (0, 1)
    ]
    Race(lanes=lanes, data=race_data(dtype=torch.float32), length=STEPS, dtype=torch.float32).check()


def rules_beyond_torch() -> None:
    """Once plain and once where the gradient is taken twice."""
    lanes = [
        lane(f"{rule}{rho}", "linear", rule, {"sam_rho": rho, "warmup": 0.25}, fold=at % 3, seed=at % 2)
        for at, rule in enumerate(BEYOND_TORCH)
        for rho in (0.0, 0.2)
    ]
    Race(lanes=lanes, data=race_data(), length=STEPS, batch=BATCH).check()


CHECKS: Final[tuple[Callable[[], None], ...]] = (
    normed_networks,
    linear_models,
    rectified_networks,
    full_batches,
    leaving_lanes,
    resumed_lanes,
    repaired_lanes,
    starts_of_lanes,
    predictions,
    fused_kernels,
    rules_beyond_torch,
)
