"""Losses of one model as losses of lanes: torch's own over all lanes at once, others vectorized or looped."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.subject import UserLoss, each_element, lane_loss

DRAW = torch.Generator().manual_seed(0)
SCORES = torch.randn(3, 6, 4, generator=DRAW, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (3, 6), generator=DRAW)
NUMBERS = torch.rand(3, 6, 4, generator=DRAW, dtype=torch.float64)

KNOWN = {
    "cross_entropy": (F.cross_entropy, CLASSES),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(), CLASSES),
    "CrossEntropyLoss of rows": (nn.CrossEntropyLoss(reduction="none"), CLASSES),
    "mse_loss": (F.mse_loss, NUMBERS),
    "MSELoss": (nn.MSELoss(), NUMBERS),
    "HuberLoss": (nn.HuberLoss(delta=0.3), NUMBERS),
    "SmoothL1Loss": (nn.SmoothL1Loss(beta=0.2), NUMBERS),
    "L1Loss": (nn.L1Loss(), NUMBERS),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(), NUMBERS),
}


def hooked() -> nn.Module:
    loss = nn.MSELoss()
    loss.register_forward_hook(lambda _loss, _inputs, value: 2 * value)
    return loss


class Doubled(nn.MSELoss):
    """A loss of the user's own."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 2 * super().forward(outputs, targets)


OTHERS = {
    "weighted": nn.CrossEntropyLoss(weight=torch.ones(4, dtype=torch.float64)),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "leaves a class out": nn.CrossEntropyLoss(ignore_index=0),
    "sum": nn.MSELoss(reduction="sum"),
    "weighted positives": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)),
    "hook": hooked(),
    "own class": Doubled(),
    "own function": lambda outputs, targets: (outputs - targets).square().mean(),
}


def data_of(targets: Tensor) -> TrainingData:
    count = len(targets)
    fold = FoldData(
        dense=torch.zeros(count, 1),
        codes=torch.zeros(count, 0, dtype=torch.int64),
        target=targets,
        train=torch.arange(count - 1),
        valid=torch.arange(count - 1, count),
    )
    task = Task(target="y", kind="regression", metric="loss")
    return TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=count)


def values_and_gradients(loss: UserLoss, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    outputs = SCORES.clone().requires_grad_()
    means = loss(outputs, targets).mean(-1)
    means.sum().backward()
    assert outputs.grad is not None
    return means.detach(), outputs.grad, loss.rows(SCORES[1], targets[1])


@pytest.mark.parametrize("name", KNOWN)
def test_a_loss_of_torch_is_the_same_over_all_lanes_at_once(name: str) -> None:
    loss, targets = KNOWN[name]
    assert each_element(loss) is not None
    found = values_and_gradients(lane_loss(loss, data_of(targets), looped=False), targets)
    truth = values_and_gradients(UserLoss(loss, looped=True), targets)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_other_losses_are_left_as_they_are(name: str) -> None:
    assert each_element(OTHERS[name]) is None


@pytest.mark.parametrize("looped", [False, True])
def test_rows_that_a_loss_leaves_out_do_not_count(looped: bool) -> None:
    targets = CLASSES.clone()
    targets[:, 2] = -100
    found = lane_loss(nn.CrossEntropyLoss(), data_of(targets.flatten()), looped=looped)(SCORES, targets).mean(-1)
    kept = [0, 1, 3, 4, 5]
    truth = [F.cross_entropy(own[kept], wanted[kept]) for own, wanted in zip(SCORES, targets, strict=True)]
    torch.testing.assert_close(found, torch.stack(truth))


def test_forms_that_torch_broadcasts_are_left_to_torch() -> None:
    loss = lane_loss(nn.CrossEntropyLoss(), data_of(CLASSES.flatten()), looped=False)
    places = torch.randn(3, 6, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    classes = torch.stack([CLASSES, CLASSES.flip(1)], -1)  # a class for each of two places: outputs [B, C, T]
    found = loss(places, classes).mean(-1)
    truth = [F.cross_entropy(own, wanted) for own, wanted in zip(places, classes, strict=True)]
    torch.testing.assert_close(found, torch.stack(truth))
