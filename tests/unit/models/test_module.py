"""Ordinary modules as stacked models: what is found in them, and what they draw."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs
from lanewise.models.blueprint import Blueprint
from lanewise.models.keyed_draws import keyed_draws
from lanewise.models.module import StackedModule
from lanewise.testing.models import check_stacked_model
from lanewise.training.step import KeyedNoise

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Mixed(nn.Module):
    """Tied weights, a frozen layer drawn by seed, one that no gradient reaches, buffers that change and that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(requires_grad=False)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("constant", torch.arange(4.0))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, rows: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.get_buffer("seen").add_(rows.sum(0))
        hidden = self.frozen(self.first(rows)).tanh() + self.get_buffer("constant")
        return self.tied(hidden) + self.get_buffer("seen")


def test_what_is_trained_and_what_is_kept_beside() -> None:
    blueprint = Blueprint.of(Mixed, ROWS)
    assert {own.name for own in blueprint.layout.parameters} == {"first.weight", "first.bias", "tied.bias"}
    beside = {own.name for own in blueprint.layout.statistics}
    assert beside == {"frozen.weight", "frozen.bias", "unused.weight", "unused.bias", "seen"}
    assert not blueprint.draws
    assert torch.equal(blueprint.template.get_buffer("seen"), torch.zeros(4)), "the probe left its traces"


class LeavingOut(nn.Module):
    """Leaves each layer out by chance in training, as stochastic depth does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(6))
        self.head, self.unused = nn.Linear(4, 2), nn.Linear(2, 2)

    def forward(self, rows: Tensor) -> Tensor:
        for layer in self.layers:
            if not self.training or float(torch.rand(())) < 0.5:
                rows = rows + layer(rows)
        return self.head(rows)


def test_layers_that_the_first_pass_leaves_out_by_chance_are_trained() -> None:
    blueprint = Blueprint.of(LeavingOut, ROWS)
    trained = {own.name for own in blueprint.layout.parameters}
    assert trained == {name for name, _ in LeavingOut().named_parameters()} - {"unused.weight", "unused.bias"}
    assert blueprint.unreached == ("unused.weight", "unused.bias")


@pytest.mark.parametrize("looped", [False, True])
def test_a_weight_that_a_step_leaves_out_keeps_no_gradient_of_the_step_before(looped: bool) -> None:
    model = StackedModule(Blueprint.of(LeavingOut, ROWS), looped=looped)
    buffer, alone = (LaneBuffer(model.layout, model.init([0] * lanes)) for lanes in (2, 1))
    skipped = 0
    for step in range(6):
        noise = KeyedNoise([0], step)
        for own in (buffer, alone):
            inputs = Inputs(dense=ROWS[None], codes=torch.zeros(1, 6, 0, dtype=torch.int64), sizes=(len(own),))
            model.forward(own.weights, inputs, noise=noise).sum().backward()
        torch.testing.assert_close(buffer.gradients, alone.gradients.repeat(2, 1))
        skipped += int((alone.gradients == 0).any())
    assert skipped > 1, "nothing was left out"


class Routing(nn.Module):
    """The second layer is for batches of positive numbers only."""

    def __init__(self) -> None:
        super().__init__()
        self.usual, self.positive = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return (self.positive if float(rows.min()) > 0 else self.usual)(rows)


def test_weights_are_looked_for_over_several_batches() -> None:
    asked: list[int] = []

    def later(number: int) -> Tensor:
        asked.append(number)
        return ROWS.abs() + 1 if number == 3 else ROWS

    blueprint = Blueprint.of(Routing, ROWS, others=later)
    assert asked == [1, 2, 3]
    assert blueprint.unreached == ()
    assert Blueprint.of(Routing, ROWS).unreached == ("positive.weight", "positive.bias")


class Remembering(nn.Module):
    """Keeps its last activation for whoever wants to look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, rows: Tensor) -> Tensor:
        self.last = self.inner(rows)
        return self.last


def test_what_a_module_keeps_of_a_pass_does_not_hinder_copies_of_it() -> None:
    assert not hasattr(Blueprint.of(Remembering, ROWS).module(), "last")


def test_a_module_that_is_the_same_each_time_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    Blueprint.of(lambda: module, ROWS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


class Computed(nn.Module):
    """Has a tensor among its attributes that its first weights gave, and no pass gives again."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)
        self.twice = 2 * self.inner.weight

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.twice) + self.inner(rows)


class Rebinding(nn.Module):
    """Puts another tensor in the place of its buffer; the other one is a cache, made anew for each size of batch."""

    def __init__(self, *, sums: bool = True) -> None:
        super().__init__()
        self.inner, self.sums = nn.Linear(4, 2), sums
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("ones", torch.ones(1, 1))

    def forward(self, rows: Tensor) -> Tensor:
        self.ones = torch.ones(len(rows), 1)
        if self.sums:
            self.mean = self.get_buffer("mean") + rows.detach().mean(0)
        return self.inner(rows - self.get_buffer("mean")) * self.ones


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Computed, r"self\.twice was computed from weights when the module was made, .*; compute it in forward"),
        (Rebinding, r"a new tensor as mean, which a lane would lose; .* self\.mean\.copy_"),
    ],
)
def test_modules_that_lanes_cannot_call(make, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Blueprint.of(make, ROWS).module()
    assert "\n" not in str(caught.value)


def test_a_buffer_that_is_a_cache_is_no_matter() -> None:
    Blueprint.of(lambda: Rebinding(sums=False), ROWS)


@pytest.mark.parametrize("looped", [False, True])
def test_the_contract_of_a_stacked_model(looped: bool) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 2)).double()

    blueprint = Blueprint.of(make, torch.randn(5, 3).double())
    check_stacked_model(lambda: _ForTables(blueprint, looped=looped), dense=3)


class _ForTables(StackedModule):  # pyright: ignore[reportGeneralTypeIssues]  # final: only to take codes along
    def solo(self, row):
        module = super().solo(row)

        class Taking(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, dense: Tensor, codes: Tensor) -> Tensor:
                return self.inner(dense)

        return Taking()


def test_the_start_of_a_seed_is_that_of_manual_seed() -> None:
    model = StackedModule(Blueprint.of(Mixed, ROWS))
    rows = model.init([5, 0, 5], torch.float64)
    torch.manual_seed(5)
    alone = dict(Mixed().named_parameters())
    for name, view in model.layout.all_views(rows).items():
        assert torch.equal(view[0], view[2]), name
        if name in alone:
            assert torch.equal(view[0], alone[name].detach().double()), name
            assert not torch.equal(view[0], view[1]), name


def test_evaluation_changes_no_statistics_and_training_those_of_each_lane() -> None:
    from lanewise.lanes.buffer import LaneBuffer
    from lanewise.training.step import KeyedNoise

    model = StackedModule(Blueprint.of(Mixed, ROWS))
    buffer = LaneBuffer(model.layout, model.init([0, 1]))
    inputs = Inputs(dense=torch.stack([ROWS, 2 * ROWS]), codes=torch.zeros(2, 6, 0, dtype=torch.int64), sizes=(1, 1))
    before = buffer.rows.clone()
    with torch.no_grad():
        model.forward(buffer.weights, inputs)
        assert torch.equal(before, buffer.rows)
        model.forward(buffer.weights, inputs, noise=KeyedNoise([0, 1], 0))
    seen = model.layout.all_views(buffer.rows)["seen"]
    torch.testing.assert_close(seen, torch.stack([ROWS.sum(0), 2 * ROWS.sum(0)]))


@pytest.mark.parametrize(
    "drop",
    [
        lambda x: F.dropout(x, 0.4),
        lambda x: F.dropout(x.clone(), 0.4, inplace=True),
        lambda x: F.dropout2d(x, 0.4),
        lambda x: F.scaled_dot_product_attention(x, x + 1, x - 1, dropout_p=0.4, is_causal=True),
    ],
    ids=["dropout", "in place", "channels", "attention"],
)
def test_draws_do_not_depend_on_how_a_tensor_lies_in_memory(drop) -> None:
    lying = torch.randn(2, 3, 4, 5)
    other = lying.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    assert lying.stride() != other.stride()
    with keyed_draws(3):
        one = drop(lying)
    with keyed_draws(3):
        two = drop(other)
    torch.testing.assert_close(one, two)
    with keyed_draws(4):
        assert not torch.equal(drop(lying), one)


def test_the_attention_that_drops_is_torchs_apart_from_dropping() -> None:
    from lanewise.models.keyed_draws import attention

    q, k, v = torch.randn(3, 2, 4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) > 0.3
    mask.fill_diagonal_(fill_value=True)
    cases: list[dict[str, Any]] = [{}, {"attn_mask": mask}, {"attn_mask": mask.double()}, {"is_causal": True}]
    for settings in [*cases, {"scale": 0.1}]:
        expected = F.scaled_dot_product_attention(q, k, v, **settings)
        torch.testing.assert_close(attention(q, k, v, **settings), expected)
    few = k[:, :2], v[:, :2]
    expected = F.scaled_dot_product_attention(q, *few, enable_gqa=True)
    torch.testing.assert_close(attention(q, *few, enable_gqa=True), expected)


def test_dropout_keeps_the_mean_and_its_rate() -> None:
    with keyed_draws(0):
        dropped = F.dropout(torch.ones(200, 200), 0.25)
        assert torch.equal(F.dropout(torch.ones(3), 0.5, training=False), torch.ones(3))
        assert torch.equal(F.dropout(torch.ones(3), 1.0), torch.zeros(3))
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
    assert float((dropped == 0).double().mean()) == pytest.approx(0.25, abs=0.02)


class Settled(nn.Module):
    """Keeps its normalization in evaluation whatever it is told, as one that was trained before."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner = nn.BatchNorm1d(4), nn.Linear(4, 2)

    def train(self, mode: bool = True) -> "Settled":  # as torch has it
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(self.norm(rows))


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("looped", [True, False])
def test_a_part_that_the_module_keeps_in_evaluation_is_so_from_the_first_pass_on(lanes: int, looped: bool) -> None:
    model = StackedModule(Blueprint.of(Settled, ROWS), looped=looped)
    buffer = LaneBuffer(model.layout, model.init([0] * lanes))
    inputs = Inputs(dense=ROWS[None], codes=torch.zeros(1, 6, 0, dtype=torch.int64), sizes=(lanes,))
    outputs = model.forward(buffer.weights, inputs, noise=KeyedNoise([0], 0))
    torch.manual_seed(0)
    alone = Settled().train()
    assert torch.allclose(outputs, alone(ROWS).expand(lanes, -1, -1), atol=1e-6)
    assert not model._module.get_submodule("norm").training


class Watched(nn.Module):
    """Hooks of other people's modules keep what layers return, in the module that they were made with."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(4, 2), {}
        self.layer.register_forward_hook(lambda _part, _inputs, out: self.seen.update(last=[out]))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layer(rows)


def test_what_a_hook_keeps_of_a_pass_does_not_hinder_copies() -> None:
    blueprint = Blueprint.of(Watched, ROWS)
    for looped in (False, True):
        model = StackedModule(blueprint, looped=looped)
        buffer = LaneBuffer(model.layout, model.init([0, 1]))
        inputs = Inputs(dense=ROWS[None], codes=torch.empty(1, 6, 0, dtype=torch.int64), sizes=(2,))
        assert model.forward(buffer.weights, inputs, noise=KeyedNoise([0], 0)).shape == (2, 6, 2)
    assert blueprint.module()(ROWS).shape == (6, 2)
