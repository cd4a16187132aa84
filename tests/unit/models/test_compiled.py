"""Modules that users compiled train as what they were made of; those that lanes have compiled, as they are."""

import shutil
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.models import compiled
from lanewise.models.blueprint import Blueprint
from lanewise.models.compiled import WORDS, CompiledCall, eagerly, uncompiled
from lanewise.models.keyed_draws import keyed_draws

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.* is deprecated:DeprecationWarning"
)  # torch's own use of it

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2)))


def in_part() -> nn.Module:
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    return nn.Sequential(compiled, nn.ReLU())


def in_place() -> nn.Module:
    made = network()
    made.compile()
    return made


@pytest.mark.parametrize("make", [lambda: torch.compile(network()), in_part, in_place])
def test_a_compiled_module_is_read_as_what_it_was_made_of(make) -> None:
    blueprint = Blueprint.of(make, ROWS)
    assert blueprint.notes == (WORDS,)
    for module in (blueprint.template, blueprint.module(), blueprint.anew()):
        assert not any("OptimizedModule" in type(part).__name__ for part in module.modules())
        assert not any(part._compiled_call_impl for part in module.modules())
    assert not any("_orig_mod" in own.name for own in blueprint.layout.parameters)


def test_a_module_that_is_not_compiled_is_the_same() -> None:
    module = network()
    assert uncompiled(module) == (module, False)
    assert Blueprint.of(network, ROWS).notes == ()


def test_functions_that_were_compiled_are_called_as_they_were_written() -> None:
    compiled = 0

    def backend(graph, inputs):
        nonlocal compiled
        compiled += 1
        return graph

    @torch.compile(backend=backend)
    def twice(rows: Tensor) -> Tensor:
        return 2 * rows

    with eagerly():
        assert torch.equal(torch.func.vmap(twice)(ROWS), 2 * ROWS)
    assert compiled == 0
    assert torch.equal(twice(ROWS), 2 * ROWS)
    assert compiled == 1


@pytest.mark.parametrize("how", ["script", "trace"])
def test_modules_of_torch_jit_are_refused_in_one_line(how: str) -> None:
    def make() -> Any:
        return torch.jit.script(network()) if how == "script" else torch.jit.trace(network(), ROWS)

    with pytest.raises(
        UsageError, match=r"^the module that make_model builds is made by torch\.jit, .* it was made of$"
    ):
        Blueprint.of(make, ROWS)


class Telling(nn.Module):
    """Doubles its rows, and trebles them where it is compiled."""

    def forward(self, rows: Tensor) -> Tensor:
        return 3 * rows if torch.compiler.is_compiling() else 2 * rows


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> CompiledCall:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "OPTIONS", {})
    return CompiledCall()


def test_code_is_compiled_where_it_is_asked_for_and_serves_all_modules_of_its_structure(call: CompiledCall) -> None:
    assert torch.equal(call(Telling(), ROWS), 2 * ROWS)
    with eagerly():
        with call.compiling():
            assert torch.equal(call(Telling(), ROWS), 3 * ROWS)
        assert torch.equal(call(Telling(), ROWS + 1), 3 * (ROWS + 1))
        assert torch.equal(call(Telling(), ROWS[1:]), 2 * ROWS[1:])
    assert torch.equal(CompiledCall()(Telling(), ROWS), 2 * ROWS)


def test_many_blueprints_may_be_compiled_in_one_process(call: CompiledCall) -> None:
    for width in range(2, 2 + 2 * torch._dynamo.config.recompile_limit):
        own = CompiledCall()
        with own.compiling():
            assert own(nn.Linear(4, width), ROWS).shape == (6, width)


def test_what_cannot_be_compiled_as_a_whole_raises_and_is_called_as_it_is(call: CompiledCall) -> None:
    class Deciding(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows if rows.sum().item() > 0 else -rows

    with call.compiling(), pytest.raises(Exception, match=r"Unsupported|[Dd]ata-dependent"):
        call(Deciding(), ROWS)
    assert torch.equal(call(Deciding(), ROWS.abs()), ROWS.abs())


def dropping() -> nn.Module:
    """In inductor's order of things what ``bernoulli_`` fills here is read before it has."""
    parts = (nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.GELU())
    return nn.Sequential(*parts, nn.Dropout(0.2), nn.Linear(16, 4))


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ to compile with")
def test_machine_code_draws_what_the_module_draws() -> None:
    rows = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    blueprint = Blueprint.of(dropping, rows)
    call, plain, own = blueprint.compiled_call, blueprint.module(), blueprint.module()
    for key in (1, 2):
        with keyed_draws(key):
            wanted = plain(rows)
        with call.compiling() if key == 1 else nullcontext(), keyed_draws(key):
            found = call(own, rows)
        torch.testing.assert_close(found, wanted)
        for outputs in (found, wanted):
            outputs.square().sum().backward()
    for one, other in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    for one, other in zip(own.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)
