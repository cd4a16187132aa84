"""What every rule must do."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lanewise.optim.rule import Rule

ROWS, WIDTH, STEPS = 4, 7, 60


def check_rule(rule: Rule) -> None:
    """A rule descends, keeps its rows apart, leaves gradients alone and its state in shape.

    Raises ``AssertionError`` with the name of the rule and what it broke.
    """
    _declares(rule)
    for dtype in (torch.float64, torch.float32):
        _descends(rule, dtype)
        _keeps_rows_apart(rule, dtype)
    _contains_nan(rule)
    _fused_is_the_same(rule)


def _declares(rule: Rule) -> None:
    names = [hyper.name for hyper in rule.hypers]
    assert rule.name, f"{type(rule).__name__} has no name"
    assert "lr" in names, f"{rule.name} declares no learning rate 'lr'"
    assert len(set(names)) == len(names), f"{rule.name} declares a hyper-parameter twice"
    for hyper in rule.hypers:
        if hyper.low is not None and hyper.high is not None:
            assert hyper.low <= hyper.high, f"{rule.name}: the range of {hyper.name} is empty"


def _hyper(rule: Rule, rows: int, **given: float) -> dict[str, Tensor]:
    values = {hyper.name: float(hyper.default) for hyper in rule.hypers} | given
    return {name: torch.full((rows,), value, dtype=torch.float64) for name, value in values.items()}


def _run(
    rule: Rule, start: Tensor, curvature: Tensor, hyper: dict[str, Tensor], steps: int
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Minimize ``curvature x^2 / 2`` from ``start [R, P]``; returns the points and the state."""
    params = [start.clone()]
    state = {slot: [torch.zeros_like(start)] for slot in rule.slots}
    for step in range(1, steps + 1):
        grads = [curvature * params[0]]
        before = grads[0].clone()
        rule.update(params, grads, state, hyper, torch.full((len(start),), float(step), dtype=torch.float64))
        assert torch.equal(grads[0], before) or not bool(before.isfinite().all()), f"{rule.name} changed a gradient"
    return params[0], state


def _problem(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    curvature = torch.linspace(0.2, 1.0, WIDTH, dtype=dtype)
    return start, curvature


def _descends(rule: Rule, dtype: torch.dtype) -> None:
    start, curvature = _problem(dtype)
    end, state = _run(rule, start, curvature, _hyper(rule, ROWS, lr=0.05), STEPS)
    before, after = ((curvature * point.square()).sum(1) for point in (start, end))
    assert bool((after < 0.7 * before).all()), f"{rule.name} does not descend on a quadratic bowl"
    assert end.dtype == dtype, f"{rule.name} changed the dtype of its parameters"
    for slot, (leaf,) in state.items():
        assert leaf.shape == start.shape, f"{rule.name} changed the shape of {slot}"
        assert leaf.dtype == dtype, f"{rule.name} changed the dtype of {slot}"


def _keeps_rows_apart(rule: Rule, dtype: torch.dtype) -> None:
    start, curvature = _problem(dtype)
    hyper = _hyper(rule, ROWS)
    hyper["lr"] = torch.tensor([0.01, 0.05, 0.002, 0.1], dtype=torch.float64)
    together, _ = _run(rule, start, curvature, hyper, 10)
    for row in range(ROWS):
        alone, _ = _run(
            rule, start[row : row + 1], curvature, {name: column[row : row + 1] for name, column in hyper.items()}, 10
        )
        assert torch.equal(together[row], alone[0]), f"{rule.name}: row {row} depends on its neighbours"


def _contains_nan(rule: Rule) -> None:
    start, curvature = _problem(torch.float64)
    healthy, _ = _run(rule, start, curvature, _hyper(rule, ROWS), 5)
    sick = start.clone()
    sick[2] = float("nan")
    found, _ = _run(rule, sick, curvature, _hyper(rule, ROWS), 5)
    others = [0, 1, 3]
    assert torch.equal(found[others], healthy[others]), f"{rule.name}: a NaN spread to another row"


def _fused_is_the_same(rule: Rule) -> None:
    start, curvature = _problem(torch.float32)
    hyper = _hyper(rule, 1)
    plain, fused = start[:1].clone(), start[:1].clone()
    states = [{slot: [torch.zeros_like(plain)] for slot in rule.slots} for _ in range(2)]
    settings = {name: float(column[0]) for name, column in hyper.items()}
    for step in range(1, 8):
        rule.update([plain], [curvature * plain], states[0], hyper, torch.tensor([float(step)], dtype=torch.float64))
        leaves: list[Sequence[Tensor]] = [[fused[0]], [(curvature * fused)[0]]]
        leaves += [[leaf[0]] for (leaf,) in states[1].values()]
        if not rule.fused(leaves, settings, torch.tensor(float(step))):
            return
    assert torch.allclose(plain, fused, rtol=1e-5, atol=1e-7), f"{rule.name}: its fused kernel does something else"
