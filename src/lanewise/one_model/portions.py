"""The part of a model that this rank trains, as the mesh says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from lanewise.distributed.apart import Apart, peers_along
from lanewise.distributed.groups import Groups, make_groups
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.pipeline import Staged
from lanewise.distributed.portion import Portion, Whole
from lanewise.distributed.ranks import Ranks
from lanewise.distributed.spread import Spread, made_alike
from lanewise.distributed.stages import layers_of, passed_on, stages_of
from lanewise.distributed.tensor_plan import plan_of
from lanewise.distributed.tensor_split import split_tensors
from lanewise.errors import UsageError, first_line
from lanewise.models.batch import Tree, called, inputs_and_targets, leaves
from lanewise.one_model.agreed import check_same_model
from lanewise.one_model.averaging import Averaging, check_apart
from lanewise.training.model_training import Course

TRIED = 8
"""So many rows at the most go through a model before and after its matrices are split."""

Read = Callable[[Tensor, int], Tree]


@final
@dataclass(frozen=True, kw_only=True)
class Wished:
    """How the user would have a model shared, as the arguments of ``train`` say it."""

    mesh: str | Mesh | None
    blocks: Sequence[str] | None
    tensor_plan: Mapping[str, str] | None
    split: Sequence[str] | None
    averaging: Averaging | None


def groups_of(mesh: str | Mesh, device: torch.device) -> Groups:
    """Process groups of the mesh that was given; raises ``UsageError`` for axes along which a model is not split."""
    wanted = Mesh.parse(mesh) if isinstance(mesh, str) else mesh
    if wanted.lane != 1:
        message = f"train trains one model, which has no lanes to split, got mesh {wanted}; leave lane out"
        raise UsageError(message)
    if wanted.tensor != 1 and wanted.pipeline != 1:
        message = f"train splits a model along tensor or pipeline, not both, got mesh {wanted}; leave one out"
        raise UsageError(message)
    return make_groups(wanted, device=device.type)


def portion_of(
    module: nn.Module,
    groups: Groups,
    course: Course,
    ranks: Ranks,
    *,
    read: Read,
    wished: Wished,
) -> Portion:
    """What this rank holds of ``module``, which is changed in place; ``read(rows, key)`` makes a batch to try it with.

    Raises ``UsageError`` where ranks have different models, and where the model cannot be split as it is told to.
    """
    averaging = wished.averaging
    if averaging is not None:
        check_apart(averaging, groups.mesh)
    if not groups.mesh.active:
        return Whole(module)
    told = {"tensor_plan": wished.tensor_plan, "split": wished.split, "blocks": wished.blocks}
    ranks.agree({"mesh": str(groups.mesh), **told})
    check_same_model(module, ranks)
    made_alike(module)
    if averaging is not None:
        return Apart(module, peers_along(groups, "data"), every=averaging.every, outer=averaging.outer)
    mesh = groups.mesh
    rows = course.batch_size // (mesh.data * mesh.shard * course.accumulate)
    if mesh.pipeline > 1:
        inputs, targets = inputs_and_targets(read(torch.arange(rows), course.seed))
        return _staged(module, groups, course, inputs, targets, split=wished.split, blocks=wished.blocks)
    if mesh.tensor > 1:
        inputs, _ = inputs_and_targets(read(torch.arange(min(rows, TRIED)), course.seed))
        _split_tensors(module, groups, wished.tensor_plan, inputs)
    return Spread(module, groups, blocks=wished.blocks)


def _staged(
    module: nn.Module,
    groups: Groups,
    course: Course,
    inputs: Tree,
    targets: Tree,
    *,
    split: Sequence[str] | None,
    blocks: Sequence[str] | None,
) -> Portion:
    """The stage of this rank; ``inputs`` and ``targets`` are a microbatch as the model will be shown it."""
    stages, pieces = groups.mesh.pipeline, course.accumulate
    if pieces < stages:
        message = (
            f"accumulate={pieces} makes too few microbatches for pipeline={stages}, with one in each stage; "
            f"set accumulate to {stages} or more, or pipeline to {pieces} or less"
        )
        raise UsageError(message)
    if not isinstance(targets, Tensor):
        message = f"a pipeline takes one tensor as targets, and a batch of the data has {type(targets).__name__}"
        raise UsageError(message)
    layers = layers_of(module)
    cut = stages_of(layers, groups.mesh, split)
    return Staged(module, groups, cut, passed_on(layers, inputs), inputs, microbatches=pieces, blocks=blocks)


def _split_tensors(module: nn.Module, groups: Groups, given: Mapping[str, str] | None, inputs: Tree) -> None:
    """Split matrices along ``tensor``; raises ``UsageError`` where the model is not the same function afterwards."""
    plan = plan_of(module, groups.mesh, given)
    before = _outputs(module, inputs)
    split_tensors(module, groups, plan)
    change = (
        "write -1 for sizes that are split, or give tensor_plan without the layers that do not work in parts; it is "
        f"{plan}"
    )
    try:
        after = _outputs(module, inputs)
    except Exception as error:
        message = f"split along tensor the model fails ({first_line(error)}); {change}"
        raise UsageError(message) from error
    for one, other in zip(before, after, strict=True):
        room = torch.finfo(one.dtype).eps ** 0.5 * one.abs().max().item()
        off = (one - other).abs().max().item() if one.shape == other.shape else float("inf")
        if not off <= room:
            message = f"split along tensor the model's outputs differ by {off:.3g}; {change}"
            raise UsageError(message)


def _outputs(module: nn.Module, inputs: Tree) -> list[Tensor]:
    """What the model says, without draws; gradients are asked for, without which torch takes other ways."""
    training = module.training
    module.eval()
    try:
        with torch.enable_grad():
            found: Any = called(module, inputs)
    finally:
        module.train(training)
    floats = [own for _, own in leaves(found) if isinstance(own, Tensor) and own.is_floating_point()]
    return [own.detach() for own in floats]
