import copy
import io

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lanewise.errors import UsageError
from lanewise.optim import EMA, SGD


def trained(model: nn.Module, steps: int):
    """Yields after each step of a training."""
    generator = torch.Generator().manual_seed(0)
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        inputs = torch.randn(8, 3, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        yield


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def test_uncorrected_it_is_the_averaged_model_of_torch() -> None:
    model = network()
    ours = EMA(model, decay=0.8, correct=False)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    for _ in trained(model, 12):
        ours.update()
        theirs.update_parameters(model)
    for own, other in zip(ours.averages, theirs.parameters(), strict=True):
        assert torch.allclose(own, other, rtol=1e-12, atol=0)


@pytest.mark.parametrize("every", [1, 3])
def test_corrected_it_is_the_weighted_mean_of_what_it_saw(every: int) -> None:
    model, decay, seen = network(), 0.7, []
    average = EMA(model.parameters(), decay=decay, every=every)
    for step, _ in enumerate(trained(model, 10), 1):
        average.update()
        if step % every == 0:
            seen.append([parameter.detach().clone() for parameter in model.parameters()])
    shares = [decay**age for age in reversed(range(len(seen)))]
    for place, own in enumerate(average.averages):
        mean = sum(share * weights[place] for share, weights in zip(shares, seen, strict=True)) / sum(shares)
        assert torch.allclose(own, mean, rtol=1e-12, atol=1e-15)


def test_it_lends_the_averages_and_gives_the_weights_back_also_after_an_error() -> None:
    model = network()
    average = EMA(model, decay=0.9)
    before = copy.deepcopy(model.state_dict())
    with average.applied():
        assert torch.equal(model[0].weight, before["0.weight"])  # no update yet
    for _ in trained(model, 3):
        average.update()
    weights = copy.deepcopy(model.state_dict())

    def judge() -> None:
        with average.applied():
            assert torch.equal(model[0].weight, average.averages[0])
            assert not torch.equal(model[0].weight, weights["0.weight"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        judge()
    assert all(torch.equal(model.state_dict()[name], own) for name, own in weights.items())


def test_it_goes_on_from_its_state_dict() -> None:
    model = network()
    whole, first, second = (EMA(model, decay=0.9, every=2) for _ in range(3))
    for step, _ in enumerate(trained(model, 9)):
        whole.update()
        if step < 5:
            first.update()
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
        elif step == 5:
            file.seek(0)
            second.load_state_dict(torch.load(file, weights_only=True))
        if step >= 5:
            second.update()
    assert all(torch.equal(*pair) for pair in zip(whole.averages, second.averages, strict=True))


def test_bfloat16_weights_are_averaged_in_float32() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    average = EMA([weight], decay=0.999, correct=False)
    average.update()
    with torch.no_grad():
        weight.copy_(torch.full((2,), 1.25))
    for _ in range(10):
        average.update()
    assert average.averages[0].dtype == torch.float32
    assert average.averages[0].tolist() == pytest.approx([1.25 - 0.25 * 0.999**10] * 2)


def test_what_cannot_be_is_refused() -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(UsageError, match=r"decay must be at least 0 and below 1, got 1\.0"):
        EMA([weight], decay=1.0)
    with pytest.raises(UsageError, match="every must be at least 1, got 0"):
        EMA([weight], every=0)
    with pytest.raises(UsageError, match="no weights to average"):
        EMA([])
    with pytest.raises(UsageError, match=r"shapes \[\(3,\)\], these have \[\(2,\)\]"):
        EMA([weight]).load_state_dict(EMA([nn.Parameter(torch.ones(3))]).state_dict())
