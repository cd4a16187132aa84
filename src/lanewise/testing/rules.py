"""What every rule must do."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from lanewise.optim.leaves import RowLeaves, Scalar
from lanewise.optim.rule import Rule, State

ROWS = 4

STEPS = (60, 600)
"""What a rule may take to descend: some begin with steps of a millionth."""

_Point = tuple[list[Tensor], list[Tensor], State]
"""Weights, gradients, state."""

RATES = (0.05, 0.5, 1.0)
"""Of which one must descend: rules differ in what a rate of 1 means."""


def check_rule(rule: Rule) -> None:
    """A rule descends, keeps its rows and its leaves apart, leaves gradients alone and its state in shape.

    Raises ``AssertionError`` with the name of the rule and what it broke.
    """
    _declares(rule)
    for dtype in (torch.float64, torch.float32):
        _descends(rule, dtype)
        _keeps_rows_apart(rule, dtype)
    _keeps_leaves_apart(rule)
    _contains_nan(rule)
    _comes_back_from_evaluation(rule)
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


def _start(rule: Rule, params: list[Tensor], hyper: dict[str, Tensor]) -> State:
    """State as before the first step."""
    leaves = {slot.name: RowLeaves([slot.first(leaf, hyper).contiguous() for leaf in params]) for slot in rule.slots}
    rows = len(params[0])
    numbers: dict[str, Scalar] = {
        number.name: torch.full((rows,), number.start, dtype=torch.float64) for number in rule.numbers
    }
    return State(leaves, numbers)


def _take(rule: Rule, point: _Point, hyper: dict[str, Tensor], step: int, *, apart: bool = False) -> None:
    """One step as the executors take it."""
    params, grads, state = point
    count = torch.full((len(params[0]),), float(step), dtype=torch.float64)
    if rule.numbers:
        rule.measure(RowLeaves(params), RowLeaves(grads), state, hyper, count)
    if rule.draws:
        noise = [torch.stack([_noise(step, leaf[0]) for _ in leaf]) for leaf in params]
        state.leaves = {**state.leaves, "draws": RowLeaves(noise)}
    for cut in _pieces(rule, params, apart=apart):
        part = State({name: RowLeaves(cut(leaves)) for name, leaves in state.leaves.items()}, state.numbers)
        rule.update(RowLeaves(cut(params)), RowLeaves(cut(grads)), part, hyper, count)


def _pieces(rule: Rule, params: list[Tensor], *, apart: bool) -> Iterator[Callable[[Iterable[Tensor]], list[Tensor]]]:
    """What to take of lists of leaves for each call of ``update``; all of it unless ``apart``."""
    if not apart:
        yield list
        return
    for at, leaf in enumerate(params):
        if rule.per_weight:
            yield lambda leaves, at=at: [list(leaves)[at]]
        else:
            for cut in (slice(2), slice(2, None)):
                assert leaf.is_contiguous()
                yield lambda leaves, at=at, cut=cut: [list(leaves)[at].view(ROWS, -1)[:, cut]]


def _noise(step: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _run(
    rule: Rule, start: list[Tensor], hyper: dict[str, Tensor], steps: int, *, apart: bool = False
) -> tuple[list[Tensor], State]:
    """Minimize ``sum curvature x^2 / 2`` from ``start``; returns the points and the state.

    ``apart`` updates leaf by leaf, and in pieces where the rule says that it goes element by element.
    """
    params = [leaf.clone() for leaf in start]
    state = _start(rule, params, hyper)
    for step in range(1, steps + 1):
        grads = [_curvature(leaf) * leaf for leaf in params]
        before = [grad.clone() for grad in grads]
        _take(rule, (params, grads, state), hyper, step, apart=apart)
        for grad, old in zip(grads, before, strict=True):
            assert torch.equal(grad, old) or not bool(old.isfinite().all()), f"{rule.name} changed a gradient"
    return params, state


def _curvature(leaf: Tensor) -> Tensor:
    return torch.linspace(0.2, 1.0, leaf[0].numel(), dtype=leaf.dtype).view(leaf.shape[1:])


def _problem(dtype: torch.dtype) -> list[Tensor]:
    """A weight matrix and a bias for each row."""
    generator = torch.Generator().manual_seed(3)
    shapes = ((ROWS, 3, 4), (ROWS, 5))
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def _height(leaves: list[Tensor]) -> Tensor:
    return torch.stack([(_curvature(leaf) * leaf.square()).flatten(1).sum(1) for leaf in leaves]).sum(0)


def _descends(rule: Rule, dtype: torch.dtype) -> None:
    start = _problem(dtype)
    aim = 0.7 * _height(start)
    for rate, steps in ((rate, steps) for steps in STEPS for rate in RATES):
        hyper = _hyper(rule, ROWS, lr=rate)
        end, state = _run(rule, start, hyper, steps)
        rule.exchange(RowLeaves(end), state, hyper, evaluation=True)
        assert all(leaf.dtype == dtype for leaf in end), f"{rule.name} changed the dtype of its parameters"
        _keeps_its_state(rule, start, state, hyper)
        if bool((_height(end) < aim).all()):
            return
    message = f"{rule.name} does not descend on a quadratic bowl"
    raise AssertionError(message)


def _keeps_its_state(rule: Rule, start: list[Tensor], state: State, hyper: dict[str, Tensor]) -> None:
    fresh = _start(rule, [leaf.clone() for leaf in start], hyper)
    for slot in rule.slots:
        for leaf, first in zip(state[slot.name], fresh[slot.name], strict=True):
            assert leaf.shape == first.shape, f"{rule.name} changed the shape of {slot.name}"
            assert leaf.dtype == first.dtype, f"{rule.name} changed the dtype of {slot.name}"
            assert len(leaf) == ROWS, f"{rule.name}: {slot.name} does not begin with the row axis"
    for name, own in state.numbers.items():
        assert isinstance(own, Tensor), f"{rule.name} made {name} one number for all rows"
        assert own.shape == (ROWS,), f"{rule.name} changed the shape of {name}"
        assert own.dtype == torch.float64, f"{rule.name} changed the dtype of {name}"


def _keeps_rows_apart(rule: Rule, dtype: torch.dtype) -> None:
    start = _problem(dtype)
    hyper = _hyper(rule, ROWS)
    hyper["lr"] = torch.tensor([0.01, 0.05, 0.002, 0.1], dtype=torch.float64)
    together, _ = _run(rule, start, hyper, 10)
    for row in range(ROWS):
        own = slice(row, row + 1)
        alone, _ = _run(rule, [leaf[own] for leaf in start], {name: column[own] for name, column in hyper.items()}, 10)
        same = all(torch.equal(leaf[row], single[0]) for leaf, single in zip(together, alone, strict=True))
        assert same, f"{rule.name}: row {row} depends on its neighbours"


def _keeps_leaves_apart(rule: Rule) -> None:
    start = _problem(torch.float64)
    hyper = _hyper(rule, ROWS)
    together, _ = _run(rule, start, hyper, 5)
    apart, _ = _run(rule, start, hyper, 5, apart=True)
    same = all(map(torch.equal, together, apart))
    assert same, f"{rule.name}: update looks at several leaves at once, which only measure may"


def _contains_nan(rule: Rule) -> None:
    start = _problem(torch.float64)
    healthy, _ = _run(rule, start, _hyper(rule, ROWS), 5)
    sick = [leaf.clone() for leaf in start]
    for leaf in sick:
        leaf[2] = float("nan")
    found, _ = _run(rule, sick, _hyper(rule, ROWS), 5)
    others = [0, 1, 3]
    same = all(torch.equal(leaf[others], well[others]) for leaf, well in zip(found, healthy, strict=True))
    assert same, f"{rule.name}: a NaN spread to another row"


def _comes_back_from_evaluation(rule: Rule) -> None:
    hyper = _hyper(rule, ROWS)
    end, state = _run(rule, _problem(torch.float64), hyper, 5)
    before = [leaf.clone() for leaf in end]
    rule.exchange(RowLeaves(end), state, hyper, evaluation=True)
    rule.exchange(RowLeaves(end), state, hyper, evaluation=False)
    same = all(torch.allclose(leaf, old, rtol=1e-12, atol=1e-12) for leaf, old in zip(end, before, strict=True))
    assert same, f"{rule.name}: its weights do not come back from evaluation"


def _fused_is_the_same(rule: Rule) -> None:
    start = [leaf[:1] for leaf in _problem(torch.float32)]
    hyper = _hyper(rule, 1, weight_decay=0.0)
    plain, fused = ([leaf.clone() for leaf in start] for _ in range(2))
    states = [_start(rule, plain, hyper) for _ in range(2)]
    settings = {name: float(column[0]) for name, column in hyper.items()}
    for step in range(1, 8):
        _take(rule, (plain, [_curvature(leaf) * leaf for leaf in plain], states[0]), hyper, step)
        tensors: list[Sequence[Tensor]] = [
            [leaf[0] for leaf in fused],
            [(_curvature(leaf) * leaf)[0] for leaf in fused],
        ]
        tensors += [[leaf[0] for leaf in states[1][slot.name]] for slot in rule.slots]
        if not rule.fused(tensors, settings, float(step)):
            return
    same = all(torch.allclose(one, other, rtol=1e-5, atol=1e-7) for one, other in zip(plain, fused, strict=True))
    assert same, f"{rule.name}: its fused kernel does something else"
