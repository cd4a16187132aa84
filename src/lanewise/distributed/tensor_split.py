"""Weight matrices split over the ranks of the axis ``tensor``, by PyTorch's DTensor."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.distributed.groups import Groups
from lanewise.distributed.tensor_plan import COLUMN, GATHERED, ROW, TensorPlan
from lanewise.errors import UsageError


def split_tensors(module: nn.Module, groups: Groups, plan: TensorPlan) -> None:
    """Split ``module`` in place as ``plan`` says; activations between its layers stay ordinary tensors."""
    parallel: Any = importlib.import_module("torch.distributed.tensor.parallel")
    tensor: Any = importlib.import_module("torch.distributed.tensor")
    whole = tensor.Replicate()
    by_column, by_row = parallel.ColwiseParallel, parallel.RowwiseParallel
    made = {
        (nn.Linear, COLUMN): by_column,
        (nn.Linear, ROW): by_row,
        (nn.Linear, GATHERED): partial(by_column, output_layouts=whole),
        (nn.Embedding, COLUMN): partial(by_column, output_layouts=whole),
        (nn.Embedding, GATHERED): partial(by_column, output_layouts=whole),
        (nn.Embedding, ROW): partial(by_row, input_layouts=whole),
    }
    mesh, own = groups.over("tensor"), dict(module.named_modules())
    for name, style in plan.styles.items():
        parallel.parallelize_module(own[name], mesh, made[type(own[name]), style]())
        if groups.over("data", "shard") is not None:
            own[name].register_forward_hook(_copied)
    for name, attributes in plan.heads.items():
        for attribute in attributes:
            setattr(own[name], attribute, getattr(own[name], attribute) // groups.mesh.tensor)
    for layer in own.values():
        if isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = 0  # torch's one kernel for a whole layer cannot take parts


def _copied(layer: nn.Module, given: Any, outputs: Tensor) -> Tensor:
    """FSDP would lose a layer whose outputs, if they are a view of what DTensor holds, are changed in place."""
    del layer, given
    return outputs.clone()


def check_alike(gradients: Mapping[str, Tensor], group: Any) -> None:
    """Raise ``UsageError`` where the gradient of a weight that is whole on every rank of ``group`` differs among them.

    Such a weight works on what the ranks have parts of, and none of them has its whole gradient.
    """
    dist: Any = importlib.import_module("torch.distributed")
    if not gradients:
        return
    norms = torch.stack([torch.linalg.vector_norm(own).double() for own in gradients.values()])
    least, most = norms.clone(), norms.clone()
    dist.all_reduce(least, op=dist.ReduceOp.MIN, group=group)
    dist.all_reduce(most, op=dist.ReduceOp.MAX, group=group)
    for (name, own), low, high in zip(gradients.items(), least.tolist(), most.tolist(), strict=True):
        if high - low > high * torch.finfo(own.dtype).eps ** 0.5:
            message = (
                f"the gradient of {name} differs between the ranks along tensor: it works on what they have parts of; "
                "leave the layers before and after it out of tensor_plan"
            )
            raise UsageError(message)
