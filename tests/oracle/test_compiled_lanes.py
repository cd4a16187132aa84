"""A lane that runs compiled code is what an ordinary loop with ``torch.optim`` makes of it alone.

The truth and the tolerance are those of ``test_modules_equal_solo``, and so are its architectures, but for those whose
time goes into kernels of torch's recurrent layers, and for the GPT, whose ``unflatten`` torch does not compile while
draws are keyed. They are compiled to what autograd sees (``aot_eager``), and one to machine code.
"""

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from plain_modules import ARCHITECTURES, BATCH
from test_modules_equal_solo import RECURRENT, STEPS, assert_equal_to_the_module_alone, formed, lanes
from torch._dynamo import lookup_backend

from lanewise.models import compiled
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

CASES = [pytest.param(name, "aot_eager", id=name) for name in ARCHITECTURES if name not in (*RECURRENT, "tied_gpt")]
CASES += [
    pytest.param(
        "transformer_encoder",
        "inductor",
        id="transformer_encoder to machine code",
        marks=pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ to compile with"),
    )
]

# torch's own use of it
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")


class Counting:
    """A backend of ``torch.compile`` that counts how often its code is called."""

    def __init__(self, name: str) -> None:
        self.compile: Callable[..., Any] = lookup_backend(name)
        self.calls = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Sequence[torch.Tensor], **settings: Any) -> Any:
        made = self.compile(graph, inputs)

        def call(*given: Any) -> Any:
            self.calls += 1
            return made(*given)

        return call


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_lanes_equal_the_module_alone(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(backend)
    monkeypatch.setattr(compiled, "BACKEND", counting)
    blueprint, data = formed.__wrapped__(name)
    subject = ModuleSubject(blueprint, data, ARCHITECTURES[name][2], looped=True, compiled=True)
    turn = list(ARCHITECTURES).index(name)
    own = lanes()[turn % 4 : 6 : 4]
    with torch._inductor.config.patch(fallback_random=True):
        for place, lane in enumerate(own):
            stack = Stack([lane], data, length=STEPS, batch_size=BATCH, dtype=torch.float64, subject=subject)
            stack.buffer.gradients.fill_(float("nan"))
            if place == 0:
                with blueprint.compiled_call.compiling():
                    stack.advance(1 / STEPS)
            stack.advance(1.0)
            assert_equal_to_the_module_alone(name, stack)
    assert counting.calls == STEPS * len(own)
