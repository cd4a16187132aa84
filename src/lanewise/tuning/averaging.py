"""Candidates of a tuning race whose workers train apart: their settings, and what they exchange for which loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lanewise.distributed.outer import Outer
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate, Value
from lanewise.metrics import Metric
from lanewise.optim.registry import rule
from lanewise.reporting.words import size
from lanewise.training.apart_team import USUAL_WORKERS, axes_apart, workers_of
from lanewise.training.judging import Confirmed
from lanewise.training.planning.plan import Plan
from lanewise.tuning.checking import Judge

USUAL: dict[str, Value] = {
    "average_every": 0,
    "average_over": USUAL_WORKERS,
    "outer_lr": 1.0,
    "outer_momentum": 0.0,
}
"""Settings of candidates whose workers train apart, and what they are where nobody says: 0 is synchronous training."""


def check_averaging(settings: Mapping[str, Any], optimizer: str) -> None:
    """Raise ``UsageError`` where a candidate with these ``settings`` cannot be trained apart as they say."""
    named = [name for name in USUAL if name in settings]
    if named and "average_every" not in settings:
        message = (
            f"{named[0]} is for candidates with average_every, the steps between two averagings; give both, or leave "
            f"{named[0]} out"
        )
        raise UsageError(message)
    for name, least in (("average_every", 0), ("average_over", 1)):
        value = settings.get(name, least)
        if value < least or value != int(value):
            message = f"{name} must be a whole number, at least {least}, got {value!r}"
            raise UsageError(message)
    Outer(lr=settings.get("outer_lr", 1.0), momentum=settings.get("outer_momentum", 0.0))
    if settings.get("average_every") and rule(optimizer).evaluates:
        message = (
            f"{optimizer} keeps a second set of weights in its state, which stays with each worker when average_every "
            "averages the weights; use adamw, sgd or another that has one set"
        )
        raise UsageError(message)


def check_undivided(candidates: Sequence[Candidate], space: Mapping[str, Any] | None, *, shared_by: int) -> None:
    """Raise ``UsageError`` where batches of a candidate that averages cannot be parted among its workers.

    They must split evenly, and ranks may not share their rows; that holds for candidates that are drawn later too.
    """
    apart = [own for own in candidates if workers_of(own) > 1]
    for own in apart:
        axes_apart(workers_of(own), int(own.number("batch_size")))
    if shared_by > 1 and (apart or (space or {}).get("average_every")):
        message = (
            f"average_every parts a batch among workers in one process, and data={shared_by} of the mesh parts it "
            "among ranks; leave one of them out (along lane, ranks spread such candidates as any others)"
        )
        raise UsageError(message)


@final
@dataclass(frozen=True, kw_only=True)
class Averaged:
    """What ``workers`` ranks exchange that train a candidate apart, and how it fares against synchronous training.

    ``bytes`` are those that a rank gives to sums of ``[P]`` weights: ``ceil(T / H) P`` numbers in T steps; a gradient
    at every step is ``T P``, ``synchronous_bytes``. ``difference`` is how much larger its score on the validation rows
    is than that of ``reference``, with its paired standard error: of the same settings trained synchronously (``same``)
    or of the best candidate that is; None where no such candidate was confirmed.
    """

    id: str
    label: str
    every: int
    workers: int
    bytes: int
    synchronous_bytes: int
    reference: str | None = None
    same: bool = False
    difference: float = float("nan")
    standard_error: float = float("nan")

    def words(self, metric: Metric) -> str:
        """In one sentence, for the result and the report."""
        step = "step" if self.every == 1 else f"{self.every} steps"
        said = f"{self.label}: {self.workers} ranks that average every {step} give {size(self.bytes)} each to sums"
        if self.bytes < self.synchronous_bytes:
            less = self.synchronous_bytes / self.bytes
            said += f", {less:.3g} times less than {size(self.synchronous_bytes)} of gradients"
        if self.reference is None:
            return f"{said}; no candidate trained synchronously was confirmed to compare it with"
        other = "the same trained synchronously" if self.same else f"{self.reference}, the best trained synchronously"
        more = "more" if self.difference >= 0 else "less"
        return (
            f"{said}; its {metric.name} is {abs(self.difference):.3g} {more} than that of {other} (standard error "
            f"{self.standard_error:.2g})"
        )


def averaged(
    confirmed: Sequence[Confirmed],
    labels: Mapping[str, str],
    *,
    plan: Plan,
    weights: Mapping[str, int],
    itemsize: int,
    valid: np.ndarray,
    judge: Judge,
    y: np.ndarray,
) -> tuple[Averaged, ...]:
    """What there is to say of each of the ``confirmed`` candidates whose workers train apart; ``weights`` by id are P.

    ``itemsize`` is the bytes of a weight; ``valid`` names the validation rows among all ``y [N]``.
    """
    found, sign, y = [], judge.metric.sign, y[valid]
    rows = {item.candidate.id: item.predictions[valid] for item in confirmed}
    synchronous = [item for item in confirmed if workers_of(item.candidate) == 1]
    for item in confirmed:
        own, workers = item.candidate, workers_of(item.candidate)
        if workers == 1:
            continue
        every, steps = int(own.number("average_every")), plan.lengths.steps(int(own.number("batch_size")))
        exchanged = weights[own.id] * itemsize
        twin = next((other for other in synchronous if _same(own, other.candidate)), None)
        best = min(synchronous, key=lambda other: sign * judge.value(y, rows[other.candidate.id]), default=None)
        reference = twin or best
        gap = None if reference is None else judge.lead(y, rows[reference.candidate.id], rows[own.id])
        found.append(
            Averaged(
                id=own.id,
                label=labels[own.id],
                every=every,
                workers=workers,
                bytes=-(-steps // every) * exchanged,
                synchronous_bytes=steps * exchanged,
                reference=None if reference is None else labels[reference.candidate.id],
                same=twin is not None,
                difference=float("nan") if gap is None else sign * gap.mean,
                standard_error=float("nan") if gap is None else gap.standard_error,
            )
        )
    return tuple(found)


def _same(one: Candidate, other: Candidate) -> bool:
    def rest(candidate: Candidate) -> dict[str, Value]:
        return {name: value for name, value in candidate.settings.items() if name not in USUAL}

    return one.optimizer == other.optimizer and rest(one) == rest(other)
