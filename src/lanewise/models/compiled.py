"""What ``torch.compile`` made of a module or a function, as it was before: lanes are called in ways of their own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

WORDS = (
    "torch.compile is left out while lanes train, for each way in which they are called would be compiled anew; "
    "compile the module that comes back"
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
