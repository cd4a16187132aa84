"""One table per contract over every implementation of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lanewise.models.base import StackedModel, Width
from lanewise.models.linear import StackedLinear
from lanewise.models.mlp import ACTIVATIONS, StackedMLP
from lanewise.optim.leaves import Leaves, Scalar
from lanewise.optim.proximal import SquaredL2
from lanewise.optim.registry import RULES
from lanewise.optim.rule import HyperValues, State
from lanewise.optim.sgd import SGDRule
from lanewise.search.halving import Halving
from lanewise.search.hyperband import Hyperband
from lanewise.search.policy import Decision, Policy, Standing, ranked
from lanewise.search.racing import Racing
from lanewise.search.registry import POLICIES
from lanewise.solvers.augmented_lagrangian import AugmentedLagrangian
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.conjugate_gradient import ConjugateGradient
from lanewise.solvers.descent import Descent, DescentState
from lanewise.solvers.gauss_newton import GaussNewton
from lanewise.solvers.lbfgs import LBFGS
from lanewise.solvers.levenberg_marquardt import LevenbergMarquardt
from lanewise.solvers.limited_memory import LimitedMemory
from lanewise.solvers.newton import Newton
from lanewise.solvers.newton_cg import NewtonCG
from lanewise.solvers.proximal_gradient import ProximalGradient
from lanewise.solvers.rule_steps import RuleSteps
from lanewise.solvers.solver import Objective, Solver
from lanewise.testing import check_policy, check_rule, check_solver, check_stacked_model

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

DIRECTIONS = (BFGS(), LimitedMemory(), ConjugateGradient(), Newton(), NewtonCG(), GaussNewton())
SOLVERS: dict[str, Callable[[], Solver]] = {
    **{f"descent {one.name}": lambda d=one: Descent(direction=d) for one in DIRECTIONS},
    "lbfgs": LBFGS,
    "levenberg-marquardt": LevenbergMarquardt,
    "proximal gradient": lambda: ProximalGradient(penalty=SquaredL2(0.0), tolerance=1e-7),
    "gradient descent": lambda: RuleSteps(rule=RULES["gd"], hyper={"lr": 0.05}, max_evaluations=100_000),
    "augmented lagrangian": lambda: AugmentedLagrangian(descent=Descent(direction=BFGS())),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    check_rule(RULES[name])


@pytest.mark.parametrize(
    "policy",
    [
        *POLICIES.values(),
        Halving(eta=2, survivors=1),
        Hyperband(eta=2, shortest=1 / 16, survivors=1),
        Racing(alpha=0.5, looks=(0.5, 1.0)),
    ],
    ids=repr,
)
def test_policies(policy: Policy) -> None:
    check_policy(policy)


@pytest.mark.parametrize("name", MODELS)
def test_stacked_models(name: str) -> None:
    width, build = MODELS[name]
    check_stacked_model(lambda: build(width), dense=width.dense, levels=width.levels)


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers(name: str) -> None:
    check_solver(SOLVERS[name])


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


class _All(Policy):
    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.5, 1.0)

    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=tuple(ranked(standing.scores)), words="all")


class _DropsTheBest(_All):
    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=tuple(int(p) for p in standing.protected.nonzero()[0]), words="protected only")


class _DropsTheProtected(_All):
    def decide(self, standing: Standing) -> Decision:
        return Decision(keep=tuple(ranked(standing.scores)[:1]), words="the best")


class _PrefersTheLost(_All):
    def decide(self, standing: Standing) -> Decision:
        lost = np.flatnonzero(np.isnan(standing.scores))
        keep = dict.fromkeys([ranked(standing.scores)[0], *lost, *np.flatnonzero(standing.protected)])
        return Decision(keep=tuple(map(int, keep)), words="the hopeless")


class _DrawsLots(_All):
    def decide(self, standing: Standing) -> Decision:
        keep = set(ranked(standing.scores)[:1]) | {int(place) for place in np.flatnonzero(standing.protected)}
        scored = np.flatnonzero(~np.isnan(standing.scores))
        keep |= set(np.random.default_rng().choice(scored, 3).tolist())  # no seed: other lots each time
        return Decision(keep=tuple(sorted(keep)), words="lots")


class _Remembers(_All):
    asked = 0

    def decide(self, standing: Standing) -> Decision:
        self.asked += len(standing.scores)
        return Decision(keep=tuple(ranked(standing.scores)), words=f"{self.asked // 7}")


class _GoesByPlace(_All):
    def decide(self, standing: Standing) -> Decision:
        reserved = {ranked(standing.scores)[0], *np.flatnonzero(standing.protected).tolist()}
        half = {place for place in range(len(standing.scores) // 2) if not np.isnan(standing.scores[place])}
        return Decision(keep=tuple(sorted(reserved | half)), words="the first half")


class _Writes(_All):
    def decide(self, standing: Standing) -> Decision:
        standing.scores[:] = 0.0
        return super().decide(standing)


class _MiscountsRungs(_All):
    def remaining(self, candidates: int) -> tuple[int, ...]:
        return (candidates,)


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


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (_DropsTheBest, "drops the best"),
        (_DropsTheProtected, "drops a protected"),
        (_PrefersTheLost, "keeps a candidate without a score"),
        (_DrawsLots, "decides differently on the same evidence|remembers|depends on the order"),
        (_Remembers, "decides differently on the same evidence|remembers"),
        (_GoesByPlace, "depends on the order"),
        (_MiscountsRungs, "a count for each rung"),
    ],
)
def test_a_broken_policy_is_caught(broken: type[Policy], words: str) -> None:
    check_policy(_All())
    with pytest.raises(AssertionError, match=words):
        check_policy(broken())


def test_evidence_is_not_to_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        check_policy(_Writes())


class _GivesUpEarly(Descent):  # pyright: ignore[reportGeneralTypeIssues]  # broken on purpose
    def init(self, points: Tensor, objective: Objective) -> DescentState:
        state = super().init(points, objective)
        state.tolerance += 1.0
        return state


class _AveragesRows(Descent):  # pyright: ignore[reportGeneralTypeIssues]  # see above
    def step(self, state: DescentState, objective: Objective) -> None:
        super().step(state, objective)
        state.directions += 1e-6 * state.directions.mean(0)


class _EvaluatesAll(Descent):  # pyright: ignore[reportGeneralTypeIssues]  # see above
    def step(self, state: DescentState, objective: Objective) -> None:
        super().step(state, objective)
        objective(state.points, state.problems)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (_GivesUpEarly, "away from the minimum"),
        (_AveragesRows, "a row ends elsewhere|iterations depend|nan spread"),
        (_EvaluatesAll, "evaluates rows that have finished"),
    ],
)
def test_a_broken_solver_is_caught(broken: type[Descent], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_solver(lambda: broken(direction=BFGS()))
