"""One stage of a sequential model, of which every rank along ``pipeline`` has another: PyTorch's 1F1B schedule."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from lanewise.distributed.groups import Groups
from lanewise.distributed.portion import Pass, Pieces, Portion
from lanewise.distributed.spread import Spread, blocks_of, whole_of
from lanewise.distributed.stages import keep_only
from lanewise.errors import UsageError


@final
class Staged(Portion):
    """The stage of ``module`` that this rank has; the layers of all others are taken out of it.

    ``stages`` are the names of the layers of each; ``passed`` is what each layer hands on for a microbatch, as shapes.
    The pieces of a batch are the microbatches: of p stages, stage s has up to p - s of them in flight (one forward, one
    backward; Narayanan et al. 2021). With ``data`` or ``shard`` the stage is split by FSDP2.
    """

    complete = False

    def __init__(
        self,
        module: nn.Module,
        groups: Groups,
        stages: Sequence[Sequence[str]],
        passed: Mapping[str, Tensor],
        inputs: Tensor,
        *,
        microbatches: int,
        blocks: Sequence[str] | None = None,
    ) -> None:
        self.stage = groups.coordinates["pipeline"]
        self._last = len(stages) - 1
        self._group = groups.group("pipeline")
        self._dist: Any = importlib.import_module("torch.distributed")
        _check_passed(stages, passed)
        blocks_of(module, blocks)
        self._whole = {name: _empty(own) for name, own in module.state_dict().items()}
        self._home = {name: _stage_of(name, stages) for name in self._whole}
        keep_only(module, stages[self.stage])
        self.module = module
        here = dict(module.named_modules())
        self._spread = Spread(module, groups, blocks=None if blocks is None else [own for own in blocks if own in here])
        self.leaves, self.share, self.splits = self._spread.leaves, self._spread.share, self._spread.splits
        self._way: Pass | None = None
        self._schedule = self._scheduled(stages, passed, inputs, microbatches)

    def _scheduled(
        self, stages: Sequence[Sequence[str]], passed: Mapping[str, Tensor], inputs: Tensor, microbatches: int
    ) -> Any:
        """The shapes are given, so that torch need not send them, which it does by pickling."""
        pipelining: Any = importlib.import_module("torch.distributed.pipelining")
        before = inputs.to("meta") if self.stage == 0 else passed[stages[self.stage - 1][-1]].requires_grad_()
        stage = pipelining.PipelineStage(
            self.module,
            self.stage,
            len(stages),
            inputs.device,
            input_args=before,
            output_args=passed[stages[self.stage][-1]].requires_grad_(),
            group=self._group,
        )
        return pipelining.Schedule1F1B(stage, microbatches, loss_fn=self._loss)

    def _loss(self, outputs: Any, targets: Any) -> Tensor:
        assert self._way is not None
        return self._way.loss(outputs, targets)

    def gradients(self, pieces: Pieces, way: Pass) -> Tensor:
        self._way = way
        return self._spread.filled(lambda: self._passes(pieces))

    def _passes(self, pieces: Pieces) -> Tensor:
        given = [torch.cat([inputs for inputs, _ in pieces])] if self.stage == 0 else []
        losses: list[Tensor] = []
        more: dict[str, Any] = {}
        if self.stage == self._last:
            more = {"target": torch.cat([targets for _, targets in pieces]), "losses": losses}
        self._schedule.step(*given, return_outputs=False, **more)
        if not losses:
            return next(iter(self.leaves.values())).new_zeros(())
        return torch.stack([own.detach() for own in losses]).mean()

    def norm(self) -> Tensor:
        square = self._spread.norm().square()
        self._dist.all_reduce(square, group=self._group)
        return square.sqrt()

    def mean(self, losses: Tensor) -> Tensor:
        mean = self._spread.mean(losses).clone()
        self._dist.all_reduce(mean, group=self._group)  # that of the last stage: the others have zeros
        return mean

    def spread(self, name: str, part: Tensor) -> Tensor:
        return self._spread.spread(name, part)

    def whole(self, name: str, function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        return self._spread.whole(name, function, part)

    def writes(self, name: str) -> bool:
        return self._spread.writes(name)

    def gathered(self) -> dict[str, Tensor]:
        own, device = self.module.state_dict(), next(iter(self.leaves.values())).device
        found = {}
        for name, blank in self._whole.items():
            home = self._home[name]
            sent = whole_of(own[name]).to(device) if home == self.stage else torch.empty_like(blank, device=device)
            self._dist.broadcast(sent, group=self._group, group_src=home)
            found[name] = sent.cpu()
        return found


def _empty(own: Tensor) -> Tensor:
    return torch.empty_like(own, device="meta")


def _stage_of(name: str, stages: Sequence[Sequence[str]]) -> int:
    return next(place for place, layers in enumerate(stages) if any(name.startswith(f"{own}.") for own in layers))


def _check_passed(stages: Sequence[Sequence[str]], passed: Mapping[str, Tensor]) -> None:
    for layers in stages:
        if layers[-1] not in passed:
            message = (
                f"layer {layers[-1]} is the last of its stage and makes no single tensor of floats, which alone can be "
                "passed on; give split, which cuts the model elsewhere"
            )
            raise UsageError(message)
