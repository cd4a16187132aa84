import pytest
import torch
from torch import nn

from lanewise.errors import UsageError
from lanewise.optim import Accumulation, AdamW


def test_small_batches_make_the_step_of_the_large_one() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(24, 3, dtype=torch.float64), torch.randn(24, 1, dtype=torch.float64)
    whole, parts = nn.Linear(3, 1).double(), nn.Linear(3, 1).double()
    parts.load_state_dict(whole.state_dict())
    optimizer, other = AdamW(whole.parameters(), lr=0.1), AdamW(parts.parameters(), lr=0.1)
    # 12, then 8 rows left of the epoch
    for rows in (slice(0, 12), slice(12, 20)):
        optimizer.zero_grad()
        nn.functional.mse_loss(whole(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    updates = Accumulation(other, every=3)
    stepped = []
    for start in range(0, 20, 4):
        nn.functional.mse_loss(parts(inputs[start : start + 4]), targets[start : start + 4]).backward()
        stepped.append(updates.step())
    assert stepped == [False, False, True, False, False]
    assert updates.flush()
    assert not updates.flush()
    assert torch.allclose(parts.weight, whole.weight, rtol=1e-12, atol=1e-14)


def test_the_mean_gradient_can_be_clipped_before_the_step() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    updates = Accumulation(optimizer, every=2, before=lambda: nn.utils.clip_grad_value_(weight, 1.0))
    for gradient in ([6.0, 0.5], [-2.0, 0.5]):
        (weight * torch.tensor(gradient)).sum().backward()
        updates.step()
    assert weight.tolist() == [-1.0, -0.5]


def test_no_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="every must be at least 1, got 0"):
        Accumulation(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), every=0)
