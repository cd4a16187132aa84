"""``torch.compile``: what it made of a user's module, as it was before, and a compiled call of our own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, Final, Literal, cast, final

import torch
from torch import Tensor, nn

from lanewise.models.batch import Tree

WORDS = (
    "torch.compile of your own is left out while lanes train, for each way in which they are called would be compiled "
    "anew; compile the module that comes back"
)
"""What the plan says where it was asked for."""


def uncompiled(given: nn.Module) -> tuple[nn.Module, bool]:
    """The module, and all its parts, as they were before ``torch.compile``, and whether any had been compiled."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    if frames is None:  # nobody compiles
        return given, False
    module: Any = given
    found = False
    while isinstance(module, frames.OptimizedModule):
        module, found = module._orig_mod, True
    for part in module.modules():
        for name, child in part._modules.items():
            own: Any = child
            while isinstance(own, frames.OptimizedModule):
                own, found = own._orig_mod, True
            part._modules[name] = own
        if part._compiled_call_impl is not None:  # by module.compile()
            part._compiled_call_impl, found = None, True
    return module, found


@contextmanager
def eagerly() -> Iterator[None]:
    """Functions that ``torch.compile`` made are called as they were written; nothing where nobody has imported it."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


BACKEND = "inductor"

SHAPES = 64
"""Forms of batches that a call is compiled for at the most: torch's own limit is for those who did not ask."""

OPTIONS: Final[dict[str, int | bool]] = {"compile_threads": 1, "fallback_random": True}
"""No threads, which a fork would leave behind; and what is drawn in compiled code is drawn as it is elsewhere."""


def _call(module: nn.Module, batch: Tree) -> Tensor:
    return module(batch)


@final
class CompiledCall:
    """``module(batch)``, compiled for modules of one structure; within :func:`eagerly`, too.

    It is compiled where that is asked for, by a call within :meth:`compiling`: for the form of its batch, as a whole or
    not at all. Any other call takes the compiled code that fits, if there is some, and else the module as it is, so
    that nobody waits for a compiler at a step that happens to be unlike those before. Processes forked later have the
    code, too. As torch has it the switch is one for all threads: only one of them may call.
    """

    def __init__(self) -> None:
        # By torch compiled code belongs to the code of the function, and a few are kept of each.
        own = FunctionType(_call.__code__.replace(), globals())
        made = torch.compile(own, backend=BACKEND, fullgraph=True, dynamic=False, options={**OPTIONS})
        self._compiled = cast("Callable[[nn.Module, Tree], Tensor]", made)
        self._stance: Literal["default", "eager_on_recompile"] = "eager_on_recompile"

    def __call__(self, module: nn.Module, batch: Tree) -> Tensor:
        with torch.compiler.set_stance(self._stance):
            return self._compiled(module, batch)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Calls within compile what they find no code for, and raise what torch raises where that cannot be."""
        self._stance = "default"
        try:
            with torch._dynamo.config.patch(recompile_limit=SHAPES):
                yield
        finally:
            self._stance = "eager_on_recompile"
