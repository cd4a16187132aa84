"""``torch.autocast`` under ``torch.func.vmap``, where torch takes some products apart before it asks what to cast."""

from typing import Any, Final, final

import torch
import torch.nn.functional as F  # the name that every PyTorch reader knows
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

PRODUCTS: Final[frozenset[Any]] = frozenset(
    {
        F.linear,
        F.bilinear,
        F.conv1d,
        F.conv2d,
        F.conv3d,
        F.conv_transpose1d,
        F.conv_transpose2d,
        F.conv_transpose3d,
        F.scaled_dot_product_attention,
        torch.addbmm,
        torch.addmm,
        torch.addmv,
        torch.addr,
        torch.baddbmm,
        Tensor.addbmm,
        Tensor.addmm,
        Tensor.addmv,
        Tensor.addr,
        Tensor.baddbmm,
    }
)
"""What ``torch.autocast`` casts and vmap does not let it: a linear layer with a bias, say, is a product and a sum."""

NORMALIZATIONS: Final[frozenset[Any]] = frozenset({F.batch_norm, F.instance_norm})
"""What computes in float32 whatever its inputs have, and fails under vmap where its weights have another dtype."""

DEVICES: Final = ("cpu", "cuda")

LOW: Final = (torch.float16, torch.bfloat16)
"""What ``torch.autocast`` casts to; the first is the one whose gradients need a scale."""


@final
class CastProducts(TorchFunctionMode):
    """Casts the operands of :data:`PRODUCTS` as ``torch.autocast`` would, wherever that is enabled.

    What torch's own functions call within is left to torch: there a sum keeps float32.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func in PRODUCTS:
            args, kwargs = tree_map(_cast, (args, kwargs))
        elif func in NORMALIZATIONS and args and args[0].dtype in LOW:
            return func(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
        return func(*args, **kwargs)


def _cast(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor) or leaf.dtype != torch.float32:
        return leaf
    kind = leaf.device.type
    return leaf.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else leaf


def low_precision(outputs: object) -> torch.dtype | None:
    """The dtype of :data:`LOW` that ``torch.autocast`` is enabled for at the moment, or that ``outputs`` have."""
    if isinstance(outputs, Tensor) and outputs.dtype in LOW:
        return outputs.dtype
    found = [torch.get_autocast_dtype(kind) for kind in DEVICES if torch.is_autocast_enabled(kind)]
    return found[0] if found else None
