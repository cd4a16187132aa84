"""Every lane of a stack is what an ordinary PyTorch loop makes of the same candidate alone.

The truth is ``plain_loop.train_alone``: ``torch.nn`` and ``torch.optim``, one net, one step after another,
with the keyed draws injected. After 50 steps in float64 no weight may differ by more than 1e-10 of the
largest weight of its row (or of 1).
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from covering import pairwise_design
from lane_cases import (
    BATCH,
    REGULARIZERS,
    RULES,
    STRUCTURE,
    Race,
    Value,
    check_every_regularizer,
    lane,
    race_data,
    rows_of,
)
from plain_loop import FORMULAS

from lanewise.task import TaskKind

SHORT = 20
"""Steps where the issue is what one step does, not what becomes of a rule's state."""

LOSSES: list[tuple[TaskKind, str]] = [
    ("regression", "squared"),
    ("regression", "huber"),
    ("count", "poisson"),
    ("binary", "logistic"),
    ("binary", "hinge"),
    ("binary", "squared_hinge"),
    ("multiclass", "softmax"),
    ("multiclass", "hinge"),
    ("multiclass", "squared_hinge"),
]
TASKS = pairwise_design({"task": LOSSES, "model": tuple(STRUCTURE), "weighted": (False, True)})
STRUCTURES = pairwise_design(
    {
        "depth": (1, 2, 3),
        "activation": ("relu", "silu", "gelu", "tanh"),
        "layer_norm": (False, True),
        "levels": ((), (4,), (5, 3)),
        "dropout": (0.0, 0.3),
    }
)
FACTORS = {
    "model": tuple(STRUCTURE),
    "rule": tuple(RULES),
    "regularizer": tuple(REGULARIZERS),
    "schedule": ("constant", "linear", "cosine"),
    "warmup": (0.0, 0.13, 0.5),
    "fold": (0, 1, 2),
    "seed": (0, 7),
}


@pytest.mark.parametrize("rule", [*RULES, "gd"])
@pytest.mark.parametrize("model", STRUCTURE)
def test_rule_with_every_regularizer(model: str, rule: str) -> None:
    check_every_regularizer(model, rule)


@pytest.mark.parametrize("rule", ["momentum", "adamw"])
@pytest.mark.parametrize(("model", "limit"), [("mlp", 0.05), ("linear", 20.0)])  # linear weights start at zero
def test_adaptive_clipping(model: str, limit: float, rule: str) -> None:
    settings: list[dict[str, Value]] = [{}, {"clip_norm": 0.3, "clip_value": 0.1}, {"layer_norm": True}]
    lanes = [
        lane(f"c{at}", model, rule, {"clip_adaptive": limit, **own}, fold=1 + at % 2, seed=at)
        for at, own in enumerate(settings)
        if model == "mlp" or "layer_norm" not in own
    ]
    Race(lanes=lanes[:2], data=race_data(), length=SHORT).check()
    if lanes[2:]:
        Race(lanes=lanes[2:], data=race_data(), length=SHORT).check()


@pytest.mark.parametrize("model", STRUCTURE)
def test_gradient_descent_on_folds_of_unlike_size(model: str) -> None:
    # 42, 39 and 39 training rows: all rows of a fold are its batch.
    lanes = [lane(f"c{fold}{seed}", model, "gd", fold=fold, seed=seed) for fold in (0, 1, 2) for seed in (0, 1)]
    Race(lanes=lanes, data=race_data()).check()


@pytest.mark.parametrize("length", [1, 7, 50])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedule_and_warmup(schedule: str, length: int) -> None:
    lanes = [
        lane(f"{rule}{warmup}", "linear", rule, schedule=schedule, warmup=warmup)
        for rule in ("momentum", "adamw")
        for warmup in (0.0, 0.1, 0.5, 1.0)
    ]
    Race(lanes=lanes, data=race_data(), length=length).check()


def test_the_other_schedules() -> None:
    lanes = [
        lane(f"{schedule}{warmup}", "linear", rule, schedule=schedule, warmup=warmup)
        for schedule in sorted(set(FORMULAS) - {"constant", "linear", "cosine"})
        for rule, warmup in (("momentum", 0.0), ("adamw", 0.1))
    ]
    Race(lanes=lanes, data=race_data(), length=SHORT).check()


@pytest.mark.parametrize("case", TASKS, ids=lambda case: "-".join(map(str, (*case["task"], *list(case.values())[1:]))))
def test_loss(case: Mapping[str, Any]) -> None:
    (kind, loss), model = case["task"], case["model"]
    lanes = [
        lane("a", model, "momentum", loss=loss, label_smoothing=0.1 if kind in ("binary", "multiclass") else 0.0),
        lane("b", model, "adam", loss=loss, fold=2, seed=3),
        lane("c", model, "rmsprop", loss=loss, fold=1, l1=0.01),
    ]
    Race(lanes=lanes, data=race_data(kind, weighted=case["weighted"]), length=SHORT).check()


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_structure_of_a_network(structure: dict[str, Any]) -> None:
    shape = {name: value for name, value in structure.items() if name != "levels"}
    lanes = [
        lane("a", "mlp", "adamw", shape),
        lane("b", "mlp", "nesterov", shape, fold=1, clip_norm=0.3),
        lane("c", "mlp", "sgd", shape, seed=5, weight_decay=0.05),
    ]
    Race(lanes=lanes, data=race_data(levels=structure["levels"]), length=SHORT).check()


@pytest.mark.parametrize("levels", [(), (4,), (5, 3)], ids=str)
def test_categories_of_a_linear_model(levels: tuple[int, ...]) -> None:
    lanes = [lane(rule, "linear", rule, fold=at % 3, l1=0.01) for at, rule in enumerate(RULES)]
    Race(lanes=lanes, data=race_data(levels=levels), length=SHORT).check()


@pytest.mark.parametrize("model", STRUCTURE)
def test_everything_mixed_in_one_stack(model: str) -> None:
    # Every pair of choices of FACTORS meets in a lane, and all of the lanes of a model are trained as one stack.
    lanes = []
    for at, row in enumerate(row for row in pairwise_design(FACTORS) if row["model"] == model):
        settings = {"schedule": row["schedule"], "warmup": row["warmup"], **REGULARIZERS[row["regularizer"]]}
        lanes.append(lane(f"c{at}", model, row["rule"], settings, fold=row["fold"], seed=row["seed"]))
    Race(lanes=lanes, data=race_data(), length=SHORT).check()


@pytest.mark.parametrize("batch", [1, 5, BATCH, 39])
def test_batches_run_on_across_epochs(batch: int) -> None:
    lanes = [lane(f"c{fold}{seed}", rule="momentum", fold=fold, seed=seed) for fold in (0, 2) for seed in (0, 1)]
    Race(lanes=lanes, data=race_data(), batch=batch).check()


def test_batch_is_no_longer_than_the_shortest_fold() -> None:
    # The shortest of all folds has 39 training rows, whichever folds are in the stack.
    data = race_data()
    for folds in ((0,), (0, 2)):
        lanes = [lane(f"c{fold}", rule="momentum", fold=fold) for fold in folds]
        stack = Race(lanes=lanes, data=data, batch=100).stack()
        start = rows_of(stack)
        stack.advance(1.0)
        Race(lanes=lanes, data=data, batch=39).hold(start, rows_of(stack))


@pytest.mark.parametrize("rule", ["adam", "adamw"])
def test_fused_kernels_in_float32(rule: str) -> None:
    # More than 4096 weights to a lane: torch's fused kernels update the rows.
    shape = {"width": 64, "eps": 1e-6}
    lanes = [
        lane("plain", "mlp", rule, shape),
        lane("decay", "mlp", rule, shape, fold=1, weight_decay=0.1, lr=0.01),
        lane("seed", "mlp", rule, shape, seed=4, beta1=0.7, beta2=0.95, schedule="cosine"),
        lane("l1", "mlp", rule, shape, l1=0.01, clip_norm=0.5, dropout=0.2),
    ]
    Race(lanes=lanes, data=race_data(dtype=torch.float32), dtype=torch.float32).check()
