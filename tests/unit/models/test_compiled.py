"""A module that was compiled trains as the module that it was made of; one of torch.jit is refused in one line."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.models.blueprint import Blueprint
from lanewise.models.compiled import WORDS, eagerly, uncompiled

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
