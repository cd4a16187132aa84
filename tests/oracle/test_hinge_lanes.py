"""Lanes of gradient rules with the hinge loss come to the linear support vector machine of scikit-learn.

The loss has kinks, so no solver takes it; a rule with a rate that falls to zero gets there all the same. The objective
is that of ``SVC(kernel="linear")``, whose intercept is not penalised either.
"""

import numpy as np
import pytest
import torch
from lane_cases import Weights, lane, race_data, rows_of
from sklearn.svm import SVC

from lanewise.training.data import TrainingData
from lanewise.training.stack import Stack

STEPS = 750
RATES = {"gd": 0.3, "adam": 0.02}
RELATIVE = 1e-3  # of the least value: a step that is not zero leaves subgradients no nearer


def inputs_of(data: TrainingData, fold: int) -> torch.Tensor:
    part = data.folds[fold]
    codes = [torch.nn.functional.one_hot(part.codes[:, k], count) for k, count in enumerate(data.width.levels)]
    return torch.cat([part.dense, *codes], dim=1)[part.train]


def objective(data: TrainingData, fold: int, l2: float, matrix: torch.Tensor, bias: torch.Tensor) -> float:
    part = data.folds[fold]
    signs = 2 * part.target[part.train] - 1
    losses = (1 - signs * (inputs_of(data, fold) @ matrix + bias)).clamp_min(0)
    weight = torch.ones(len(losses)) if data.weight is None else data.weight[part.train]
    return float((weight * losses).mean() + l2 / 2 * matrix.square().sum())


def of_lane(data: TrainingData, fold: int, l2: float, row: Weights) -> float:
    tables = [row[f"levels{k}"].reshape(-1) for k in range(len(data.width.levels))]
    return objective(data, fold, l2, torch.cat([row["weight"].reshape(-1), *tables]), row["bias"].reshape(-1))


def of_scikit_learn(data: TrainingData, fold: int, l2: float) -> float:
    part = data.folds[fold]
    weight = None if data.weight is None else data.weight[part.train].numpy()
    model = SVC(kernel="linear", C=1 / (l2 * len(part.train)), tol=1e-9)
    model.fit(inputs_of(data, fold).numpy(), part.target[part.train].numpy(), sample_weight=weight)
    coefficients, intercept = np.array(model.coef_[0]), np.array(model.intercept_)
    return objective(data, fold, l2, torch.from_numpy(coefficients), torch.from_numpy(intercept))


@pytest.mark.parametrize(("rule", "weighted"), [("gd", True), ("adam", False)], ids=["gd-weighted", "adam-equal"])
def test_the_minimum_is_that_of_scikit_learn(rule: str, weighted: bool) -> None:
    data = race_data("binary", weighted=weighted)
    strengths = (0.03, 0.3)
    lanes = [
        lane(f"c{fold}{l2}", "linear", rule, loss="hinge", l2=l2, lr=RATES[rule], fold=fold, warmup=0.0)
        for fold in (0, 2)
        for l2 in strengths
    ]
    rows = min(len(part.train) for part in data.folds.values())
    stack = Stack(lanes, data, length=STEPS, batch_size=rows, dtype=torch.float64)
    stack.advance(1.0)
    found = rows_of(stack)
    for one in lanes:
        l2 = float(one.candidate.settings["l2"])
        least = of_scikit_learn(data, one.fold, l2)
        value = of_lane(data, one.fold, l2, found[one.id])
        assert least * (1 - 1e-6) <= value <= least * (1 + RELATIVE), (one.id, value / least - 1)
