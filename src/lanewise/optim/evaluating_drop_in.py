"""The base of drop-ins that average: the weights to be judged by are not those that gradients are taken at."""

from typing import Any, ClassVar

import torch
from torch.optim.optimizer import ParamsT

from lanewise.errors import UsageError
from lanewise.optim.batches import KnownStates
from lanewise.optim.drop_in import DropIn
from lanewise.optim.leaves import ListLeaves
from lanewise.optim.parameter_state import LOW, numbers_of
from lanewise.optim.rule import State


class EvaluatingDropIn(DropIn):
    """A drop-in whose weights to be judged by are not those that gradients are taken at.

    It begins ready for training. Which of the two the parameters hold is part of the state dict.
    """

    between: ClassVar[str] = ""
    """The hyper-parameter, if any, that says where between base and average gradients are taken."""

    def __init__(self, params: ParamsT, **settings: Any) -> None:
        super().__init__(params, evaluating=False, **settings)
        for group in self.param_groups if self.between else []:
            between = numbers_of(group)[self.between]
            if not 0 < between < 1:
                words = "the first of betas" if self.between == "beta1" else self.between
                allowed = "above 0 and below 1, or the average cannot be recovered"
                message = f"{type(self).__name__}: {words} must be {allowed}, got {between}"
                raise UsageError(message)

    def eval(self) -> None:
        """Put the weights to be judged by, and to be saved, into the parameters."""
        self._exchange(evaluation=True)

    def train(self) -> None:
        """Put the weights that gradients are taken at back into the parameters."""
        self._exchange(evaluation=False)

    @torch.no_grad()
    def _exchange(self, *, evaluation: bool) -> None:
        for group in self.param_groups:
            rule, hyper = self.rule_of(group), numbers_of(group)
            if group["evaluating"] == evaluation:
                continue
            for param in group["params"]:
                held = self.state.get(param)
                if held:
                    leaf = torch.view_as_real(param) if param.is_complex() else param
                    wide = leaf.float() if leaf.dtype in LOW else leaf
                    state = State({slot.name: ListLeaves([held[slot.name]]) for slot in rule.slots})
                    rule.exchange(ListLeaves([wide]), state, hyper, evaluation=evaluation)
                    leaf.copy_(wide)
            group["evaluating"] = evaluation

    def _step_group(self, group: dict[str, Any], known: KnownStates | None) -> None:
        if group["evaluating"]:
            message = f"{type(self).__name__} is in evaluation mode: call optimizer.train() before step()"
            raise UsageError(message)
        super()._step_group(group, known)
