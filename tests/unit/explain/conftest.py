"""Races with a known truth: candidates, traces and confirmed results made by hand."""

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pytest

from lanewise.lanes.candidate import Candidate, Failure
from lanewise.lanes.roster import Lane
from lanewise.training.race import Confirmed, Result
from lanewise.training.watching.trace import Fate, Trace


@dataclass
class Maker:
    """Makes the parts of a race over ``rows`` rows whose target is 0, so that a prediction is its error."""

    rows: int = 400
    shared: np.ndarray = field(init=False)

    def __post_init__(self):
        self.shared = np.abs(np.random.default_rng(0).normal(1.0, 0.3, self.rows))

    @property
    def y(self):
        return np.zeros(self.rows)

    def candidate(self, id, model="mlp", optimizer="adamw", *, is_default=False, **settings):
        return Candidate(
            id=id, model=model, optimizer=optimizer, settings=MappingProxyType(settings), is_default=is_default
        )

    def trace(
        self,
        candidate,
        scores,
        *,
        phase="screen",
        fold=0,
        seed=0,
        fractions=None,
        fate: Fate = "pruned",
        events=(),
        lost="",
    ):
        steps = list(fractions or [0.1 * (place + 1) for place in range(len(scores))])
        lane = Lane(candidate=candidate, fold=fold, seed=seed)
        seen = {"fractions": steps, "scores": list(scores), "events": list(events)}
        failure = Failure(cause=lost, fraction=0.5) if lost else None
        return Trace(lane=lane, phase=phase, fate=fate, failure=failure, **seen)

    def confirmed(self, candidate, *, worse=0.0, noise=0.05, curve=(1.0,), missing=0):
        """Its mean absolute error is ``worse`` above that of the others; the first ``missing`` rows have no fold."""
        own = np.random.default_rng([ord(letter) for letter in candidate.id])
        errors = self.shared + worse + noise * own.normal(size=self.rows)
        errors[:missing] = np.nan
        return Confirmed(candidate=candidate, predictions=errors[:, None], stop=1.0, curve=curve, seconds=1.0)

    def result(self, confirmed, traces=()):
        return Result(confirmed=tuple(confirmed), traces=tuple(traces), rungs=(), seconds={})


@pytest.fixture
def make():
    return Maker()
