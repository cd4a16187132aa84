"""Bayesian search: points proposed by Parzen estimators of what was good (Bergstra et al. 2011), by Optuna."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from lanewise.errors import UsageError
from lanewise.search.sampling import SAMPLINGS, Sampling

if TYPE_CHECKING:
    import optuna

Search = Sampling | Literal["bayesian"]
SEARCHES: tuple[Search, ...] = (*SAMPLINGS, "bayesian")

Coordinate = float | int | str | bool
Point = Mapping[str, Coordinate]
"""A coordinate of the unit interval for every axis of numbers, the choice itself for an axis of choices."""

BRANCH = "branch"
"""The parameter that says to which branch a point belongs."""

TRIES = 50
"""Points that are looked at for each one wanted, before a space counts as exhausted."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One setting that is searched: over ``choices``, or over the unit interval where there are none.

    Axes of the same name in several branches are one and the same, and learn from points of all of them.
    """

    name: str
    choices: tuple[Coordinate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Told:
    """A point of a branch and its loss, smaller being better; NaN for one that failed.

    Axes on which the loss cannot depend, because a condition does not hold, may be missing.
    """

    branch: str
    point: Point
    loss: float


def propose(
    branches: Mapping[str, Sequence[Axis]],
    told: Sequence[Told],
    count: int,
    *,
    seed: int,
    usable: Callable[[str, Point], bool] = lambda branch, point: True,
) -> list[tuple[str, Point]]:
    """``count`` points that are likely to be better than those ``told``, each with the branch that it belongs to.

    With the points parted into the better g and the worse b, densities ``l(x)`` of the former and ``g(x)`` of the
    latter are estimated, and of points drawn from l the one of the largest ``l(x) / g(x)`` is taken; points of the
    same batch count as bad, so that they differ. What failed counts as bad as the worst. The estimators are made
    anew from what was told: the same evidence and seed give the same points, and no state is kept.

    Fewer points where ``usable`` lets no more through.

    Raises ``UsageError`` where Optuna is not installed.

    Source: Bergstra, Bardenet, Bengio and Kegl (2011), Algorithms for hyper-parameter optimization, NIPS 24 (their
    densities are l and g); Optuna's multivariate estimator over groups of axes.

    >>> seen = [Told(branch="sgd", point={"lr": u / 9}, loss=(u / 9 - 0.7) ** 2) for u in range(10)]
    >>> near = [point["lr"] for _, point in propose({"sgd": [Axis(name="lr")]}, seen, 4, seed=0)]
    >>> all(0.4 < float(u) < 1 for u in near)
    True
    """
    check_installed()
    import optuna

    with _quiet():
        # Our own first points are the start-up; what was told counts from the first.
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=1
        )
        study = optuna.create_study(sampler=sampler)
        study.add_trials(_trials(branches, told))
        found: list[tuple[str, Point]] = []
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            trial = study.ask()
            branch = str(trial.suggest_categorical(BRANCH, tuple(branches)))
            point = {axis.name: _suggested(trial, axis) for axis in branches[branch]}
            if usable(branch, point):
                found.append((branch, point))
            else:
                study.tell(trial, _worst(told))  # so that the next ones lie elsewhere
        return found


def check_installed() -> None:
    """``UsageError`` where Optuna is not installed."""
    if find_spec("optuna") is None:
        message = "search='bayesian' needs the package optuna: pip install 'lanewise[optuna]'; or search='sobol'"
        raise UsageError(message)


def _suggested(trial: "optuna.trial.Trial", axis: Axis) -> Coordinate:
    if axis.choices:
        found = trial.suggest_categorical(axis.name, axis.choices)
        assert found is not None
        return found
    return trial.suggest_float(axis.name, 0.0, 1.0)


def _trials(branches: Mapping[str, Sequence[Axis]], told: Sequence[Told]) -> "list[optuna.trial.FrozenTrial]":
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    worst, found = _worst(told), []
    for one in told:
        distributions: dict[str, BaseDistribution] = {BRANCH: CategoricalDistribution(tuple(branches))}
        for axis in branches[one.branch]:
            if axis.name in one.point:
                own = CategoricalDistribution(axis.choices) if axis.choices else FloatDistribution(0.0, 1.0)
                distributions[axis.name] = own
        finite = math.isfinite(one.loss)
        found.append(
            optuna.trial.create_trial(
                value=one.loss if finite else worst,
                params={BRANCH: one.branch, **{name: one.point[name] for name in distributions if name != BRANCH}},
                distributions=distributions,
            )
        )
    return found


def _worst(told: Sequence[Told]) -> float:
    return max((one.loss for one in told if math.isfinite(one.loss)), default=0.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's lines on stderr, and its warnings that an option is experimental."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
