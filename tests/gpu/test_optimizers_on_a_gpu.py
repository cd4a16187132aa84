"""Drop-in optimizers over parameters on a GPU: as on the processor, with a gradient scaler, compiled; and minimize."""

from typing import Any

import pytest
import torch
from torch import nn

import lanewise
from lanewise import optim
from lanewise.optim.drop_in import DropIn

NAMES = sorted(
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name), type) and issubclass(getattr(optim, name), DropIn) and name != "DropIn"
)
APART = {"SAM", "SGLD"}
"""One takes another optimizer, the other draws on the device."""


def trained(name: str, device: str, dtype: torch.dtype, **settings: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).to(dtype)
    x, y = torch.randn(32, 5, dtype=dtype), torch.randn(32, 2, dtype=dtype)
    net, x, y = net.to(device), x.to(device), y.to(device)
    optimizer = getattr(optim, name)(net.parameters(), **settings)
    for _ in range(8):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
    return [weight.detach().cpu() for weight in net.parameters()]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in APART])
def test_as_on_the_processor(name: str) -> None:
    for here, there in zip(trained(name, "cpu", torch.float64), trained(name, "cuda", torch.float64), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Muon", "SGD", "RMSprop"])
def test_capturable(name: str) -> None:
    for here, there in zip(
        trained(name, "cpu", torch.float64), trained(name, "cuda", torch.float64, capturable=True), strict=True
    ):
        torch.testing.assert_close(there, here, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["AdamW", "Lion", "SGD"])
def test_a_gradient_scaler_skips_a_step_that_overflows(name: str) -> None:
    weight = nn.Parameter(torch.ones(3, device="cuda"))
    optimizer = getattr(optim, name)([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cuda", init_scale=4.0)
    before = weight.detach().clone()
    scaler.scale((weight * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weight.detach(), before)
    optimizer.zero_grad()
    scaler.scale((weight * 2).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(weight.detach(), before)
    assert bool(weight.isfinite().all())


def test_a_recorded_step() -> None:
    """A CUDA graph of a capturable drop-in, as torch's own allow it."""
    weight = nn.Parameter(torch.ones(4, device="cuda"))
    weight.grad = torch.full_like(weight, 0.5)
    optimizer = optim.AdamW([weight], lr=0.1, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for _ in range(3):
        graph.replay()
    twin = nn.Parameter(torch.ones(4))
    twin.grad = torch.full_like(twin, 0.5)
    plain = torch.optim.AdamW([twin], lr=0.1)
    for _ in range(4):
        plain.step()
    torch.testing.assert_close(weight.detach().cpu(), twin.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["auto", "bfgs", "lbfgs", "newton", "gd"])
def test_minimize_on_a_gpu(method: str) -> None:
    def bowl(x: torch.Tensor) -> torch.Tensor:
        return ((x - torch.arange(3.0, device=x.device)) ** 2).sum()

    start = torch.full((3,), 5.0, device="cuda", dtype=torch.float64)
    settings: dict[str, Any] = {} if method == "auto" else {"method": method}
    found = lanewise.minimize(bowl, start, starts=4, bounds=([-9] * 3, [9] * 3), **settings)
    assert torch.as_tensor(found.x).cpu().tolist() == pytest.approx([0, 1, 2], abs=1e-4)
