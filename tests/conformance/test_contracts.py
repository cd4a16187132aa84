"""One table per contract over every implementation of it."""

from collections.abc import Callable

import pytest
import torch

from lanewise.models.base import StackedModel, Width
from lanewise.models.linear import StackedLinear
from lanewise.models.mlp import ACTIVATIONS, StackedMLP
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.registry import RULES
from lanewise.optim.rule import HyperValues, State
from lanewise.optim.sgd import SGDRule
from lanewise.search.halving import Halving
from lanewise.search.never import NeverPrune
from lanewise.search.policy import Decision, Policy, Standing
from lanewise.testing import check_policy, check_rule, check_stacked_model

PLAIN = Width(dense=4, levels=(), outputs=3)
EMBEDDED = Width(dense=4, levels=(5, 3), outputs=2)

MODELS: dict[str, tuple[Width, Callable[[Width], StackedModel]]] = {
    "linear": (PLAIN, StackedLinear),
    "linear with levels": (EMBEDDED, StackedLinear),
    "wide linear": (Width(dense=4, levels=(), outputs=40), StackedLinear),
    **{
        f"mlp {activation}{' norm' if norm else ''}": (
            EMBEDDED,
            lambda width, a=activation, n=norm: StackedMLP(width, hidden=6, depth=2, activation=a, layer_norm=n),
        )
        for activation in ACTIVATIONS
        for norm in (False, True)
    },
    "mlp without categories": (PLAIN, lambda width: StackedMLP(width, hidden=20, depth=3)),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    check_rule(RULES[name])


@pytest.mark.parametrize("policy", [Halving(), Halving(eta=2, survivors=1), NeverPrune()], ids=repr)
def test_policies(policy: Policy) -> None:
    check_policy(policy)


@pytest.mark.parametrize("name", MODELS)
def test_stacked_models(name: str) -> None:
    width, build = MODELS[name]
    check_stacked_model(lambda: build(width), dense=width.dense, levels=width.levels)


class _Climbs(SGDRule):
    name = "climbs"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        params.add_(grads, 0.05)


class _Mixes(SGDRule):
    name = "mixes"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        for param, grad in zip(params, grads, strict=True):
            param.sub_(0.05 * grad * (1 + 1e-9 * torch.nan_to_num(grad).sum()))


class _Peeks(SGDRule):
    name = "peeks"

    def update(self, params: Leaves, grads: Leaves, state: State, hyper: HyperValues, step: Scalar) -> None:
        params.add_(grads, -hyper["lr"] / (1 + grads.square_sum()))


class _IsLostInEvaluation(SGDRule):
    name = "lost"

    def exchange(self, params: Leaves, state: State, hyper: HyperValues, *, evaluation: bool) -> None:
        params.mul_(0.5)


class _DropsTheBest(Policy):
    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.5, 1.0)

    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=tuple(int(p) for p in standing.protected.nonzero()[0]), words="protected only")


BROKEN = {
    "does not descend": _Climbs(),
    "depends on its neighbours": _Mixes(),
    "only measure may": _Peeks(),
    "do not come back": _IsLostInEvaluation(),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_rule_is_caught(words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_rule(BROKEN[words])


def test_a_broken_policy_is_caught() -> None:
    with pytest.raises(AssertionError, match="drops the best"):
        check_policy(_DropsTheBest())
