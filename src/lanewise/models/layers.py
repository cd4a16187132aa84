"""Operations whose weights carry a lane axis, with backward passes that write into the lane buffer."""

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import Weight

JOINT_OUTPUTS = 16
"""Most outputs per lane for which lanes that share their inputs are multiplied as one matrix.

A product with few columns each wastes the vector units; beyond this the batched product is as fast, and
its result lies lane by lane, as the next layer wants it.
"""

NARROW = 4
"""Most outputs of a layer for which the rows of the batch, and not the outputs, lie side by side: products and losses
then run along memory, in a third of the time."""

LONG = 8_192
"""Rows from which on a joint product has them side by side as well. In mini-batches the lanes are: their number then is
seldom seen in the last bit of one."""

ONE_BY_ONE = 16_384
"""Weights of a layer from which on the gradient product of each lane is worth a call of its own."""


def stacked_linear(inputs: Tensor, weight: Weight, bias: Weight | None, *, relu: bool = False) -> Tensor:
    """``inputs [L, B, D]`` times ``weight [L, H, D]`` plus ``bias [L, H]``, rectified if asked: ``[L, B, H]``.

    The layout of ``torch.nn.Linear`` with a lane axis in front. ``inputs`` may be an expanded view
    (stride 0 over lanes): the batched product reads it without a copy. The gradients of both weights
    go straight to their places in the gradient buffer. Under ``torch.autocast`` the products are torch's, in its dtype.
    """
    if torch.is_autocast_enabled(inputs.device.type):
        turned = weight.read().transpose(1, 2)
        product = torch.bmm(inputs, turned) if bias is None else torch.baddbmm(bias.read()[:, None], inputs, turned)
        return product.relu_() if relu else product
    parameters = (weight.value, bias.value if bias is not None else None)
    return _StackedLinear.apply(inputs, *parameters, weight.compute, relu)  # pyright: ignore[reportReturnType]  # apply is untyped


class _StackedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *operands) -> Tensor:
        inputs, weight, bias, compute, relu = operands
        inputs = inputs.to(compute.dtype)
        joint = inputs.stride(0) == 0 and len(inputs) > 1 and compute.shape[1] <= JOINT_OUTPUTS
        outputs = _joint_forward(inputs[0], compute, bias) if joint else _batched_forward(inputs, compute, bias)
        if relu:
            outputs.relu_()
        ctx.weight, ctx.bias, ctx.relu, ctx.joint = weight, bias, relu, joint
        ctx.save_for_backward(inputs, compute, outputs if relu else None)
        return outputs

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, compute, outputs = ctx.saved_tensors
        grad = grads[0].to(compute.dtype)
        if ctx.relu:
            grad = _through_relu(grad, outputs)
        if ctx.bias is not None:
            torch.sum(grad, 1, dtype=ctx.bias.dtype, out=ctx.bias.grad)
        if ctx.joint:
            if grad.shape[1] >= LONG:
                flat = grad.transpose(1, 2).reshape(-1, grad.shape[1])
            else:
                flat = grad.transpose(0, 1).reshape(grad.shape[1], -1).t()
            ctx.weight.grad.copy_((flat @ inputs[0]).view(ctx.weight.shape))
        else:
            _write_product(grad.transpose(1, 2), inputs, ctx.weight.grad)
        into_inputs = torch.bmm(grad, compute) if ctx.needs_input_grad[0] else None
        return into_inputs, None, None, None, None


def _through_relu(grad: Tensor, outputs: Tensor) -> Tensor:
    """``grad`` where ``outputs`` are positive, else zero, in the memory of ``outputs``.

    Nobody reads the activations any more: the layers above are done. Their memory is still in cache, where a fresh
    block would have to be brought in page by page.
    """
    return torch.ops.aten.threshold_backward.grad_input(grad, outputs, 0, grad_input=outputs)


def _batched_forward(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if weight.shape[1] <= NARROW:
        turned = inputs.transpose(1, 2)
        if bias is None:
            return torch.bmm(weight, turned).transpose(1, 2)
        return torch.baddbmm(bias.to(weight.dtype).unsqueeze(2), weight, turned).transpose(1, 2)
    if bias is None:
        return torch.bmm(inputs, weight.transpose(1, 2))
    return torch.baddbmm(bias.to(weight.dtype).unsqueeze(1), inputs, weight.transpose(1, 2))


def _joint_forward(shared: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """All lanes read the same rows ``shared [B, D]``: one product with the weights end to end.

    ``[B, D] x [D, L H]`` runs at full speed where L products with few columns each would not. Of many rows it is
    ``[L H, D] x [D, B]``: they lie side by side in the result, so that what a loss does to them runs along memory.
    """
    lanes, outputs, columns = weight.shape
    flat = weight.reshape(lanes * outputs, columns)
    offset = None if bias is None else bias.to(weight.dtype).reshape(-1, 1)
    if len(shared) < LONG:
        product = shared @ flat.t() if offset is None else torch.addmm(offset[:, 0], shared, flat.t())
        return product.view(len(shared), lanes, outputs).transpose(0, 1)
    product = flat @ shared.t() if offset is None else torch.addmm(offset, flat, shared.t())
    return product.view(lanes, outputs, len(shared)).transpose(1, 2)


def _write_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``a @ b`` into ``out``, a view of the gradient buffer whose lanes lie apart.

    Into such a view torch multiplies lane by lane, which suits large matrices; small ones are multiplied as one
    batch and copied.
    """
    if a.dtype == out.dtype and out[0].numel() >= ONE_BY_ONE:
        torch.bmm(a, b, out=out)
    else:
        out.copy_(torch.bmm(a, b))


def stacked_embedding(codes: Tensor, table: Weight, sizes: tuple[int, ...]) -> Tensor:
    """Rows of ``table [L, V, E]`` picked by ``codes [G, B]``, shared within each group: ``[L, B, E]``."""
    values = table.read()
    if len(sizes) == 1:
        return values.index_select(1, codes[0])
    blocks = values.split(sizes)
    return torch.cat([block.index_select(1, picked) for block, picked in zip(blocks, codes, strict=True)])


def stacked_lookup(codes: Tensor, table: Weight, sizes: tuple[int, ...], *, padding: int = -1) -> Tensor:
    """Rows of ``table [L, V, E]`` picked by ``codes [G, B, ...]``, shared within each group: ``[L, B, ..., E]``.

    As ``torch.nn.Embedding``, in the order of whose gradient the rows that pick the same entry are added up; the entry
    ``padding`` gets none. The gradient goes straight to its place in the gradient buffer, and cannot be differentiated.
    """
    return _StackedLookup.apply(codes, table.value, sizes, padding)  # pyright: ignore[reportReturnType]  # apply is untyped


class _StackedLookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *operands) -> Tensor:
        codes, table, sizes, padding = operands
        ctx.table, ctx.sizes, ctx.padding = table, sizes, padding
        ctx.save_for_backward(codes)
        blocks = zip(table.split(sizes), codes, strict=True)
        found = [block.index_select(1, own.flatten()).unflatten(1, own.shape) for block, own in blocks]
        return found[0] if len(found) == 1 else torch.cat(found)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[None, ...]:
        (codes,) = ctx.saved_tensors
        entries, width = ctx.table.shape[1:]
        for own, grad, out in zip(codes, grads[0].split(ctx.sizes), ctx.table.grad.split(ctx.sizes), strict=True):
            # Lanes side by side: one table, the entries of which are as wide as all lanes together.
            joined = grad.flatten(1, -2).transpose(0, 1).reshape(-1, len(grad) * width)
            found = torch.ops.aten.embedding_dense_backward(
                joined, own.flatten(), entries, ctx.padding, scale_grad_by_freq=False
            )
            out.copy_(found.view(entries, len(grad), width).transpose(0, 1))
        return None, None, None, None


def stacked_layer_norm(inputs: Tensor, scale: Weight, shift: Weight, eps: float = 1e-5) -> Tensor:
    """Layer norm over the last dim of ``inputs [L, B, H]`` with per-lane ``scale`` and ``shift [L, H]``.

    Under ``torch.autocast`` it is taken in the dtype of the weights, and returned in what torch's own layer returns.
    """
    casts = torch.is_autocast_enabled(inputs.device.type)
    rows = inputs.to(scale.value.dtype) if casts else inputs
    normal = torch.nn.functional.layer_norm(rows, rows.shape[-1:], eps=eps)
    scaled = torch.addcmul(shift.read().unsqueeze(1), normal, scale.read().unsqueeze(1))
    return scaled.to(inputs.dtype) if casts and inputs.device.type == "cpu" else scaled


def solo_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """An ordinary linear layer with copies of ``weight [H, D]`` and ``bias [H]``; D may be 0."""
    linear = nn.Linear(1, 1)
    linear.out_features, linear.in_features = weight.shape
    linear.weight, linear.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return linear
