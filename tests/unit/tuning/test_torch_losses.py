"""What torch's own losses take is said in words where outputs and targets do not fit them."""

import pytest
import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.tuning.checking import _loss_of
from lanewise.tuning.torch_losses import is_vain, misfit

CLASSES = torch.tensor([0, 2, 1, 0])
NUMBERS = torch.tensor([0.5, -1.0, 2.25, 0.0])
TWO = torch.tensor([0, 1, 1, 0])


def outputs(*shape: int) -> Tensor:
    return torch.zeros(4, *shape, requires_grad=True)


MISFITS = {
    "classes as numbers": (
        *(F.mse_loss, outputs(3), CLASSES),
        "the loss mse compares each output with a target of its own, but the outputs are (4, 3) float32, and the "
        "targets (4,) int64, whole numbers from 0 to 2, as classes are; take the loss cross_entropy for classes",
    ),
    "numbers as classes": (
        *(F.cross_entropy, outputs(3), NUMBERS),
        "the loss cross_entropy takes classes, one for each row, and an output for each class, but the targets are "
        "(4,) float32, numbers from -1 to 2.25; for numbers such as these take the loss mse, with an output for each",
    ),
    "classes written as numbers": (nn.CrossEntropyLoss(), outputs(3), CLASSES.float(), "give them as y.long()"),
    "a column of classes": (F.cross_entropy, outputs(3), CLASSES[:, None], "give them as y.flatten()"),
    "classes of another type": (F.cross_entropy, outputs(3), CLASSES.int(), "are int32; give them as y.long()"),
    "too few outputs": (F.cross_entropy, outputs(2), CLASSES, "has 2 outputs, .* of the classes 0 to 2 or more"),
    "a class below 0": (F.cross_entropy, outputs(3), CLASSES - 1, "from -1 to 1; number the classes from 0"),
    "one output of three classes": (F.cross_entropy, outputs(1), CLASSES, "the loss mse for numbers, or let the"),
    "one output of two classes": (F.cross_entropy, outputs(1), TWO, "the loss bce_with_logits for two classes, or"),
    "one output of numbers": (F.cross_entropy, outputs(1), NUMBERS[:, None], "a single output, .*; take the loss mse"),
    "flat classes beside a column": (F.l1_loss, outputs(1), CLASSES, "l1 .*; give them in the shape of the outputs"),
    "flat answers beside a column": (
        *(F.binary_cross_entropy_with_logits, outputs(1), TWO),
        "give them in the shape of the outputs and as floating numbers, y.float()",
    ),
    "flat answers beside probabilities": (
        *(nn.BCELoss(), outputs(1), TWO),
        "the loss BCELoss .*; give them in the shape of the outputs and as floating numbers, y.float()",
    ),
    "flat truths beside a column": (
        *(F.binary_cross_entropy_with_logits, outputs(1), TWO.bool()),
        "(4,) bool, whole numbers from 0 to 1; give them in the shape of the outputs and as floating numbers",
    ),
    "endless numbers as classes": (F.cross_entropy, outputs(3), NUMBERS / 0.0, "float32, numbers from .*; for numbers"),
    "more outputs than numbers": (nn.HuberLoss(), outputs(3), NUMBERS, "return [rows, 1], an output for each target"),
    "more outputs than targets": (nn.MSELoss(), outputs(3), torch.zeros(4, 2), "return [rows, 2], an output for each"),
}


@pytest.mark.parametrize(("loss", "out", "y", "words"), MISFITS.values(), ids=MISFITS)
def test_a_loss_that_does_not_fit_says_what_it_takes_and_what_fits(loss, out: Tensor, y: Tensor, words: str) -> None:
    pattern = words.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(UsageError, match=pattern) as caught:
        _loss_of(loss, out, y)
    assert "Error" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_of_the_user_s_own_that_fails_is_told_all_that_the_targets_lack_at_once() -> None:
    def own(out: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(out, y)

    with pytest.raises(UsageError, match=r"; .* give targets like the outputs: y\.float\(\)\.reshape\(-1, 1\)$"):
        _loss_of(own, outputs(1), TWO)
    with pytest.raises(UsageError, match=r"targets \(4,\) int64: RuntimeError: .*like the outputs: y\.float\(\)$"):
        _loss_of(own, outputs(), TWO)
    with pytest.raises(UsageError, match=r"targets \(4,\) float32: ValueError: .*: y\.reshape\(-1, 1\)$"):
        _loss_of(own, outputs(1), TWO.float())
    with pytest.raises(UsageError) as caught:
        _loss_of(own, outputs(3), TWO)
    assert "like the outputs" not in str(caught.value)


FITS = {
    "classes": (F.cross_entropy, outputs(3), CLASSES),
    "classes of pixels": (F.cross_entropy, outputs(3, 2, 2), torch.zeros(4, 2, 2).long()),
    "probabilities": (F.cross_entropy, outputs(3), torch.full((4, 3), 1 / 3)),
    "a class that is left out": (nn.CrossEntropyLoss(ignore_index=-1), outputs(3), CLASSES - 1),
    "numbers": (F.mse_loss, outputs(1), NUMBERS[:, None]),
    "whole numbers": (F.mse_loss, outputs(1), CLASSES[:, None]),
    "answers": (nn.BCEWithLogitsLoss(), outputs(1), TWO[:, None].float()),
}


@pytest.mark.parametrize(("loss", "out", "y"), FITS.values(), ids=FITS)
def test_of_what_fits_nothing_is_said(loss, out: Tensor, y: Tensor) -> None:
    assert torch.isfinite(_loss_of(loss, out, y))
    assert misfit(loss, out, y) == ""


def test_of_a_loss_of_ones_own_nothing_is_claimed() -> None:
    def own(out: Tensor, y: Tensor) -> Tensor:
        return (out - y).pow(2).mean()

    assert not is_vain(own, outputs(1), CLASSES)
    assert misfit(own, outputs(3), CLASSES) == ""
    with pytest.raises(UsageError, match=r"the loss failed on outputs \(4, 3\) and targets \(4,\) int64: RuntimeError"):
        _loss_of(own, outputs(3), CLASSES)
