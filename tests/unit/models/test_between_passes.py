"""Passes of a module do not depend on each other but by its buffers; what else is drawn or kept is told."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.models.between_passes import Between, between_passes
from lanewise.models.blueprint import Blueprint

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Holding(nn.Module):
    """A layer that does with its attributes in each pass what ``does`` says, and adds what that gives."""

    def __init__(self, does: Callable[[Any, Tensor], Any], **held: Any) -> None:
        super().__init__()
        self.inner, self.does = nn.Linear(4, 4), does
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.inner(rows)
        return hidden + self.does(self, hidden.detach())


def mean(self: Any, hidden: Tensor) -> Tensor:
    self.mean = 0.9 * self.mean + 0.1 * hidden.mean(0)
    self.last = hidden
    return self.mean


def cell(self: Any, hidden: Tensor) -> Tensor:
    self.cell = hidden if self.cell is None else self.cell.tanh() + hidden
    return self.cell


def history(self: Any, hidden: Tensor) -> float:
    self.norms.append(float(hidden.norm()))
    return sum(self.norms)


def thaw(self: Any, hidden: Tensor) -> float:
    del hidden
    self.steps += 1
    return float(self.steps > 500)


def inner(self: Any, hidden: Tensor) -> Tensor:
    self.record["sum"] = self.record["sum"] + hidden
    return self.record["sum"]


def teacher(self: Any, hidden: Tensor) -> Tensor:
    with torch.no_grad():
        self.teacher[0].weight.lerp_(self.inner.weight, 0.1)
    return self.teacher[0](hidden)


def ring(self: Any, hidden: Tensor) -> float:
    self.norms[self.place] = float(hidden.norm())
    self.place = (self.place + 1) % len(self.norms)
    return float(self.place)


GLOBAL: list[float] = []


def outside(self: Any, hidden: Tensor) -> float:
    del self
    GLOBAL.append(1.0)
    return float(hidden.mean()) + len(GLOBAL)


@pytest.mark.parametrize(
    ("does", "held", "words"),
    [
        (mean, {"mean": torch.zeros(4), "last": None}, r"^self\.mean is left by one .*register_buffer\('mean'"),
        (cell, {"cell": None}, r"^self\.cell is left by one training pass for the next"),
        (history, {"norms": []}, r"^self\.norms"),
        (thaw, {"steps": 0}, r"^self\.steps is left .* self\.steps\.copy_\(\.\.\.\)$"),
        (inner, {"record": {"sum": torch.zeros(4)}}, r"^self\.record"),
        (ring, {"norms": [0.0] * 9, "place": 0}, r"^self\.norms\[0\] .*self\.place|^self\.place"),
        (teacher, {"teacher": [nn.Linear(4, 4)]}, r"^self\.teacher\[0\]\.weight is left by one training pass"),
    ],
)
def test_what_one_pass_leaves_for_the_next_is_refused_by_name(does, held, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Blueprint.of(lambda: Holding(does, **held), ROWS)
    assert "\n" not in str(caught.value)


def test_an_average_of_weights_that_begins_as_they_do_is_seen() -> None:
    class Averaging(Holding):
        def __init__(self) -> None:
            super().__init__(teacher)
            self.teacher = [copy.deepcopy(self.inner)]  # in a list, so that its weights are not among the module's

    with pytest.raises(UsageError, match=r"^self\.teacher\[0\]\.weight"):
        Blueprint.of(Averaging, ROWS)


def checked(make: Callable[[], nn.Module]) -> Between:
    return between_passes(make, lambda module: module(ROWS))


def seeded(does: Callable[[Any, Tensor], Any], **held: Callable[[], Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return Holding(does, **{name: value() for name, value in held.items()})

    return make


def calls(self: Any, hidden: Tensor) -> float:
    self.calls, self.last = self.calls + 1, hidden
    return 0.0


def test_what_no_pass_reads_is_let_be() -> None:
    found = checked(seeded(calls, calls=lambda: 0, last=lambda: None))
    assert not found.unkeyed
    assert found.counted == (
        "self.calls is changed by every pass, and kept by no lane: no pass was seen to depend on it",
    )


def pull(self: Any, hidden: Tensor) -> Tensor:
    at = hidden.requires_grad_()
    (self.last,) = torch.autograd.grad(at.square().sum(), at, create_graph=True)
    return self.last


def test_a_pass_may_ask_for_gradients() -> None:
    assert Blueprint.of(lambda: Holding(pull, last=None), ROWS).notes == ()


def with_graph(self: Any, hidden: Tensor) -> Tensor:
    del hidden
    self.states.append(self.inner.weight.square().sum())
    return sum(self.states)  # type: ignore[return-value]


def test_what_was_computed_with_gradients_is_named_as_well() -> None:
    with pytest.raises(UsageError, match=r"^self\.states is left by one training pass"):
        checked(seeded(with_graph, states=list, other=lambda: 0))


def noted(self: Any, hidden: Tensor) -> float:
    self.norms[self.place] = float(hidden.norm())
    self.place = (self.place + 1) % len(self.norms)
    return 0.0


def test_a_place_in_a_ring_that_nobody_reads_is_let_be() -> None:
    """Further on than the ring is long it would raise, which says nothing."""
    found = checked(seeded(noted, norms=lambda: [0.0] * 9, place=lambda: 0))
    assert found.counted[0].startswith("self.place")


def cached(self: Any, hidden: Tensor) -> Tensor:
    if len(hidden) not in self.table:
        self.table[len(hidden)] = torch.arange(len(hidden))
    return self.table[len(hidden)][:, None]


def test_a_cache_that_is_the_same_each_time_is_no_matter() -> None:
    assert checked(seeded(cached, table=dict)) == Between()


def grown(self: Any, hidden: Tensor) -> Tensor:
    if len(hidden) > self.longest:
        self.longest, self.table = len(hidden), torch.arange(float(len(hidden))).cos()
    return self.table[: len(hidden), None]


def test_a_table_that_grows_with_its_length_beside_it_is_no_matter() -> None:
    """As positional tables are kept; of another length than its own a table would be wrong."""
    assert checked(seeded(grown, longest=lambda: 0, table=lambda: torch.zeros(0))) == Between()


OWN = {
    "torch": (lambda: torch.Generator().manual_seed(3), lambda draw: float(torch.randn((), generator=draw))),
    "numpy": (lambda: np.random.default_rng(3), lambda draw: float(draw.normal())),
    "python": (lambda: random.Random(3), lambda draw: draw.random()),
}


@pytest.mark.parametrize(("begin", "draw"), OWN.values(), ids=OWN)
def test_a_generator_of_the_modules_own_is_told(begin, draw) -> None:
    found = checked(seeded(lambda self, hidden: draw(self.noise), noise=begin))
    assert len(found.unkeyed) == 1
    assert found.unkeyed[0].startswith("self.noise is a generator of its own")
    assert "draw from torch's default generator" in found.unkeyed[0]


def test_draws_from_nowhere_that_is_known_are_told() -> None:
    found = checked(seeded(outside))
    assert "two passes from the same weights, rows and torch seed differ" in found.unkeyed[0]


@pytest.mark.parametrize(
    "draw",
    [lambda shape: torch.as_tensor(np.random.rand(*shape)).float(), lambda shape: random.random()],  # what users write
)
def test_draws_of_numpy_and_python_are_keyed_as_those_of_torch(draw) -> None:
    numpys, pythons = np.random.get_state()[1].tobytes(), random.getstate()  # pyright: ignore
    blueprint = Blueprint.of(lambda: Holding(lambda self, hidden: draw(hidden.shape)), ROWS)
    assert blueprint.draws
    assert blueprint.draws_elsewhere
    assert not blueprint.unkeyed
    assert np.random.get_state()[1].tobytes() == numpys  # pyright: ignore
    assert random.getstate() == pythons


def in_evaluation(self: Any, hidden: Tensor) -> Tensor:
    return torch.zeros_like(hidden) if self.training else torch.randn_like(hidden)


def test_draws_in_evaluation_alone_are_keyed() -> None:
    assert Blueprint.of(lambda: Holding(in_evaluation), ROWS).draws


def test_weights_that_are_drawn_anew_at_every_call_are_refused() -> None:
    draw = np.random.default_rng(3)

    def make() -> nn.Module:
        module = nn.Linear(4, 2)
        nn.init.constant_(module.bias, draw.normal())
        return module

    with pytest.raises(UsageError, match="make_model gave bias other numbers when it was called again with seed 0"):
        Blueprint.of(make, ROWS).start(0)


def test_weights_that_are_drawn_by_numpy_start_alike() -> None:
    def make() -> nn.Module:
        module = nn.Linear(4, 2)
        nn.init.constant_(module.bias, np.random.rand())  # what users write
        return module

    blueprint = Blueprint.of(make, ROWS)
    assert torch.equal(blueprint.start(0), Blueprint.of(make, ROWS).start(0))
    assert not torch.equal(blueprint.start(0), blueprint.start(1))


def test_nothing_is_tried_of_torchs_own_layers() -> None:
    def never(module: nn.Module) -> None:
        raise AssertionError(module)

    assert between_passes(lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), never) == Between()
