"""One model over ranks along data, shard and tensor, by PyTorch's DDP, FSDP2 and DTensor."""

import importlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from lanewise.distributed.groups import Groups
from lanewise.distributed.portion import Pass, Pieces, Portion, added_up
from lanewise.distributed.tensor_split import check_alike
from lanewise.errors import UsageError


@final
class Spread(Portion):
    """``module`` over the ranks of ``groups``; every axis of degree 1 is left out.

    With ``shard``, parameters are split by FSDP2, each of ``blocks`` (names of submodules) gathered as a whole while it
    computes; None: each child of every ``ModuleList`` and ``Sequential``, then what is left. ``data`` beside it makes
    replicas of the shards (HSDP); alone it is DDP, and beside ``tensor`` or ``pipeline`` it is FSDP2 too: the same
    numbers with less memory. ``tensor`` and ``pipeline`` were applied to the module before: see
    :mod:`lanewise.distributed.tensor_split` and :mod:`lanewise.distributed.pipeline`.
    """

    def __init__(self, module: nn.Module, groups: Groups, *, blocks: Sequence[str] | None = None) -> None:
        self.module = module
        self._fsdp = False
        self._single: list[nn.Parameter] = []  # single numbers, which FSDP does not take: every rank has them
        self._replicas: Any = None
        self._ddp: Any = None
        mesh = groups.mesh
        copies = mesh.data * mesh.shard
        at = groups.coordinates
        self.share = (at["data"] * mesh.shard + at["shard"], copies)
        self.splits = mesh.shard > 1 or mesh.tensor > 1
        self._over = groups.over("data", "shard")
        self._at = at
        self._along_tensor, self._looked = groups.group("tensor"), False
        if copies > 1 and mesh.tensor > 1:
            logging.getLogger("torch.distributed.tensor._redistribute").addFilter(_of_use)
        if mesh.shard > 1 or (copies > 1 and mesh.tensor * mesh.pipeline > 1):
            self._fully_shard(groups, blocks)
        elif copies > 1:
            self._replicas = groups.group("data")
        self._own = {name: own for name, own in module.named_parameters() if own.requires_grad}
        self.leaves = {name: _leaf(own) for name, own in self._own.items()}

    def _fully_shard(self, groups: Groups, blocks: Sequence[str] | None) -> None:
        fsdp: Any = importlib.import_module("torch.distributed.fsdp")
        mesh = groups.over("data", "shard")
        self._single = [own for own in self.module.parameters() if not own.dim()]
        given = {"mesh": mesh, "ignored_params": set(self._single)}
        for block in blocks_of(self.module, blocks):
            fsdp.fully_shard(block, **given)
        fsdp.fully_shard(self.module, **given)
        self._fsdp = True

    def gradients(self, pieces: Pieces, way: Pass) -> Tensor:
        if self._replicas is not None:
            pass_over = self._first if self._ddp is None else self._by_ddp
            return self.filled(lambda: pass_over(pieces, way))
        sync: Any = getattr(self.module, "set_requires_gradient_sync", None)
        before = sync if self._fsdp and len(pieces) > 1 else None
        return self.filled(lambda: added_up(self.module, pieces, way, before=before))

    def filled(self, passes: Callable[[], Tensor]) -> Tensor:
        """The loss that ``passes`` returns, which puts gradients into the parameters; the leaves have them then."""
        for own in self._own.values():
            own.grad = None
        loss = passes()
        self._average_single()
        self._hand_over()
        if not self._looked:
            self._looked = True
            self._check_whole()
        return loss

    def _first(self, pieces: Pieces, way: Pass) -> Tensor:
        """The first step, summed weight by weight, for DDP has to be told whether losses leave some weight out."""
        from torch.nn.parallel import DistributedDataParallel

        dist: Any = importlib.import_module("torch.distributed")
        loss = added_up(self.module, pieces, way)
        own = list(self._own.values())
        uses = torch.tensor([int(weight.grad is not None) for weight in own], device=own[0].device)
        dist.all_reduce(uses, group=self._replicas)
        size = dist.get_world_size(self._replicas)
        for weight, count in zip(own, uses.tolist(), strict=True):
            if count:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                dist.all_reduce(weight.grad, group=self._replicas)
                weight.grad.div_(size)
        left_out = bool((uses < size).any())
        self._ddp = DistributedDataParallel(self.module, process_group=self._replicas, find_unused_parameters=left_out)
        return loss

    def _by_ddp(self, pieces: Pieces, way: Pass) -> Tensor:
        *first, last = pieces
        losses = []
        with self._ddp.no_sync():
            for piece in first:
                losses.append(added_up(self._ddp, [piece], _part(way, len(pieces))))
        losses.append(added_up(self._ddp, [last], _part(way, len(pieces))))
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def _average_single(self) -> None:
        """Give single numbers their mean gradient over the ranks; where no rank has one, there is none."""
        trained = [own for own in self._single if own.requires_grad]
        if not trained:
            return
        with torch.no_grad():
            given = [torch.zeros_like(own) if own.grad is None else own.grad for own in trained]
            there = [torch.full_like(own, own.grad is not None) for own in trained]
            told = mean_over(self._over, torch.stack([one.double() for one in (*given, *there)]))
            for own, mean, some in zip(trained, told[: len(trained)], told[len(trained) :], strict=True):
                own.grad = mean.to(own.dtype) if some > 0 else None

    def _hand_over(self) -> None:
        """Give the leaves the gradients of the parameters that they are parts of."""
        for name, own in self._own.items():
            leaf = self.leaves[name]
            if leaf is own:
                continue
            local = local_of(own)
            if local.data_ptr() != leaf.data_ptr():  # FSDP moves what it holds when it is first called
                leaf.data = local.detach()
            leaf.grad = None if own.grad is None else local_of(laid_as(own, own.grad))

    def _check_whole(self) -> None:
        """What tensor leaves whole has its whole gradient on every rank, or the split is wrong."""
        if self._along_tensor is None:
            return
        whole = {name: own for name, own in self._own.items() if own.grad is not None and "tensor" not in axes_of(own)}
        check_alike({name: local_of(own.grad) for name, own in whole.items()}, self._along_tensor)

    def norm(self) -> Tensor:
        return total_norm([own.grad for own in self._own.values() if own.grad is not None])

    def mean(self, losses: Tensor) -> Tensor:
        return mean_over(self._over, losses)

    def spread(self, name: str, part: Tensor) -> Tensor:
        return spread_as(self._own[name], part)

    def whole(self, name: str, function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        own: Any = self._own[name]
        if not split_axes(own):
            return function(part)
        spread: Any = spread_as(own, part)
        return part_of(own, function(spread.full_tensor()))

    def writes(self, name: str) -> bool:
        own = self._own.get(name)
        split = split_axes(own)
        return all(self._at[axis] == 0 for axis in ("data", "shard", "tensor") if axis not in split)

    def gathered(self) -> dict[str, Tensor]:
        return {name: whole_of(own) for name, own in self.module.state_dict().items()}


def _of_use(record: logging.LogRecord) -> bool:
    """Not torch's note, from every rank, that a weight split along two axes is put together in two rounds."""
    return not str(record.msg).startswith("While redistributing from ")


def made_alike(module: nn.Module) -> None:
    """Give the parameters and buffers of every rank the values that rank 0 has."""
    dist: Any = importlib.import_module("torch.distributed")
    with torch.no_grad():
        for own in (*module.parameters(), *module.buffers()):
            dist.broadcast(own.data, 0)


def blocks_of(module: nn.Module, names: Sequence[str] | None) -> list[nn.Module]:
    """The submodules that are gathered one at a time; raises ``UsageError`` for a name that there is not."""
    named = dict(module.named_modules())
    if names is not None:
        missing = [name for name in names if name not in named]
        if missing:
            message = f"the model has no submodule {missing[0]!r}; blocks are names out of model.named_modules()"
            raise UsageError(message)
        return [named[name] for name in names]
    lists = [own for own in named.values() if isinstance(own, nn.ModuleList | nn.Sequential)]
    found = [child for own in lists for child in own if any(True for _ in child.parameters())]
    # Inner ones first, and a list itself is never called.
    depth = {id(own): name.count(".") for name, own in named.items()}
    unique = list({id(own): own for own in found if not isinstance(own, nn.ModuleList)}.values())
    return sorted(unique, key=lambda own: -depth[id(own)])


def local_of(tensor: Any) -> Tensor:
    """The part of a tensor that this rank holds."""
    return tensor.to_local() if hasattr(tensor, "placements") else tensor


def spread_as(like: Any, part: Tensor) -> Tensor:
    """``part`` as the tensor over ranks that lies as ``like`` does."""
    if not hasattr(like, "placements"):
        return part
    tensor: Any = importlib.import_module("torch.distributed.tensor")
    return tensor.DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def part_of(like: Any, whole: Tensor) -> Tensor:
    """What this rank has of ``whole``, which every rank has, if it lies as ``like`` does."""
    tensor: Any = importlib.import_module("torch.distributed.tensor")
    everywhere = [tensor.Replicate()] * like.device_mesh.ndim
    spread = tensor.DTensor.from_local(whole, like.device_mesh, everywhere, run_check=False)
    return spread.redistribute(placements=like.placements).to_local()


def laid_as(like: Any, tensor: Any) -> Any:
    """``tensor`` over ranks as ``like`` lies; a gradient may still be in parts that are to be added up."""
    placements = getattr(like, "placements", None)
    return tensor if placements in (None, tensor.placements) else tensor.redistribute(placements=placements)


def total_norm(gradients: Sequence[Any]) -> Tensor:
    """The norm of all gradients together, those over ranks whole; one sum for each way in which they are split."""
    groups: dict[Any, list[Any]] = {}
    for own in gradients:
        kind = (own.device_mesh, own.placements) if hasattr(own, "placements") else None
        groups.setdefault(kind, []).append(own)
    norms: list[Any] = [torch.nn.utils.get_total_norm(group) for group in groups.values()]
    whole = [own.full_tensor() if hasattr(own, "full_tensor") else own for own in norms]
    return whole[0] if len(whole) == 1 else torch.linalg.vector_norm(torch.stack(whole))


def mean_over(mesh: Any, values: Tensor) -> Tensor:
    """The mean of ``values`` over the ranks of a device mesh; None: of this one alone."""
    if mesh is None:
        return values
    dist: Any = importlib.import_module("torch.distributed")
    total = values.clone()
    for axis in range(mesh.ndim):
        dist.all_reduce(total, group=mesh.get_group(axis))
    return total / mesh.size()


def _part(way: Pass, pieces: int) -> Pass:
    return Pass(call=way.call, loss=way.loss, back=lambda loss: way.back(loss if pieces == 1 else loss / pieces))


def _leaf(own: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(local_of(own).detach()) if hasattr(own, "placements") else own


def axes_of(own: Any) -> tuple[str, ...]:
    """The axes of the mesh that a tensor lies on."""
    return tuple(own.device_mesh.mesh_dim_names) if hasattr(own, "placements") else ()


def split_axes(own: Any) -> set[str]:
    """The axes of a mesh along which ranks hold different parts of a tensor."""
    if not hasattr(own, "placements"):
        return set()
    named = zip(axes_of(own), own.placements, strict=True)
    return {axis for axis, kind in named if not kind.is_replicate()}


def whole_of(tensor: Any) -> Tensor:
    """A copy of the whole tensor on the CPU; all ranks that hold parts of it call this together."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().clone()
