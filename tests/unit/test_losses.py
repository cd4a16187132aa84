import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lanewise.losses import LOSSES, LOSSES_OF, SMOOTH, response, softmax

OUTPUTS = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(0, 5, (1, 8), generator=torch.Generator().manual_seed(1))
SMOOTHING = torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)


def reference(outputs: Tensor) -> Tensor:
    return torch.stack(
        [
            F.cross_entropy(lane, LABELS[0], reduction="none", label_smoothing=float(share))
            for lane, share in zip(outputs, SMOOTHING, strict=True)
        ]
    )


def test_softmax_loss_and_gradient_are_those_of_torch() -> None:
    ours, theirs = OUTPUTS.clone().requires_grad_(), OUTPUTS.clone().requires_grad_()
    found, expected = softmax(ours, LABELS, SMOOTHING), reference(theirs)
    assert torch.allclose(found, expected, rtol=1e-13, atol=1e-13)
    weights = torch.rand(3, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-12, atol=1e-13)


def test_softmax_stands_huge_logits() -> None:
    outputs = torch.tensor([[[1e4, -1e4, 0.0]]])
    assert softmax(outputs, torch.tensor([[1]]), None).tolist() == [[2e4]]


def test_softmax_leaves_the_outputs_as_they_are() -> None:
    # Of one lane and rows that lie side by side the classes are in front already: there is nothing to copy them for.
    outputs = OUTPUTS[:1].transpose(1, 2).contiguous().transpose(1, 2)
    softmax(outputs, LABELS)
    assert torch.equal(outputs, OUTPUTS[:1])


@pytest.mark.parametrize("classes", [2, 3, 7, 26])
@pytest.mark.parametrize("rows", [7, 33, 100])
def test_a_lane_has_the_same_loss_alone(classes: int, rows: int) -> None:
    """To the last bit, wherever its elements lie in the vector registers, and so has its gradient."""
    draw = torch.Generator().manual_seed(classes * rows)
    outputs = torch.randn(5, rows, classes, generator=draw).requires_grad_()
    labels = torch.randint(0, classes, (1, rows), generator=draw)
    smoothing = torch.tensor([0.0, 0.1, 0.2, 0.0, 0.3])
    together = softmax(outputs, labels, smoothing)
    (whole,) = torch.autograd.grad(together.sum(), outputs)
    for lane in range(5):
        own = outputs.detach()[lane : lane + 1].clone().requires_grad_()
        alone = softmax(own, labels, smoothing[lane : lane + 1])
        assert torch.equal(alone[0], together[lane])
        assert torch.equal(torch.autograd.grad(alone.sum(), own)[0][0], whole[lane])


@pytest.mark.parametrize("name", sorted(SMOOTH - {"softmax"}))
def test_gradients_are_right(name: str) -> None:
    outputs = OUTPUTS[..., :1].clone().requires_grad_()
    targets = (LABELS > 2).double()
    assert torch.autograd.gradcheck(lambda outputs: LOSSES[name](outputs, targets, None), outputs)


def test_hinge_counts_every_class_against_the_rest() -> None:
    outputs = torch.tensor([[[2.0, 0.5, -3.0]]])
    assert LOSSES["hinge"](outputs, torch.tensor([[1]]), None).tolist() == [[3.0 + 0.5 + 0.0]]
    assert LOSSES["squared_hinge"](outputs, torch.tensor([[1]]), None).tolist() == [[9.0 + 0.25]]


def test_every_kind_of_task_has_its_losses() -> None:
    assert set(LOSSES) == {name for names in LOSSES_OF.values() for name in names}


def test_responses_are_probabilities_or_means() -> None:
    one = response("logistic", torch.tensor([[[0.0]]]))
    assert one.tolist() == [[[0.5, 0.5]]]
    assert torch.allclose(response("softmax", OUTPUTS).sum(-1), torch.ones(3, 8, dtype=torch.float64))
    assert response("poisson", torch.tensor([[[0.0]]])).tolist() == [[[1.0]]]
    assert response("squared", torch.tensor([[[4.0]]])).tolist() == [[[4.0]]]
