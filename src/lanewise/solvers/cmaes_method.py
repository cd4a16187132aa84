"""CMA-ES of the package ``cmaes`` behind the interface of :func:`lanewise.minimize`.

Each start is an evolution of its own; the populations of all that still run are evaluated as one batch.
Source: Hansen, *The CMA evolution strategy: a tutorial* (2016).
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from lanewise.errors import UsageError
from lanewise.solvers.method import Method
from lanewise.solvers.outcome import Outcome, Setup, Watch
from lanewise.solvers.solver import Status

SPREAD = 0.3  # first standard deviation, relative to the width of the box or to max(1, |x0|)


def _run(setup: Setup) -> Outcome:
    if find_spec("cmaes") is None:
        message = "method 'cmaes' needs the package cmaes: pip install 'lanewise[cmaes]'; or use method='genetic'"
        raise UsageError(message)
    if setup.starts.shape[1] < 2:
        message = "method 'cmaes' needs at least two variables; use method='genetic'"
        raise UsageError(message)
    scale = _scale(setup)
    evolutions = [_evolution(setup, place, scale) for place in range(len(setup.starts))]
    count = len(evolutions)
    points, values = setup.starts.clone(), setup.objective.values(setup.starts)
    values = torch.where(values.isnan(), torch.inf, values)
    spent, rounds = [1] * count, [0] * count
    status = [Status.RUNNING] * count
    watch = Watch(setup)
    while any(one is Status.RUNNING for one in status):
        going = [place for place, one in enumerate(status) if one is Status.RUNNING]
        asked = [[evolutions[place].ask() for _ in range(evolutions[place].population_size)] for place in going]
        batch = torch.from_numpy(np.array([x for group in asked for x in group])) * scale
        found = setup.objective.values(batch)
        found = torch.where(found.isnan(), torch.inf, found)
        begin = 0
        for place, group in zip(going, asked, strict=True):
            own = slice(begin, begin + len(group))
            begin += len(group)
            # Infinite values would spoil the weighted mean; any that is worse than all others ranks the same.
            told = found[own].clamp(-1e300, 1e300).tolist()
            evolutions[place].tell(list(zip(group, told, strict=True)))
            best = int(found[own].argmin())
            if found[own][best] < values[place]:
                points[place], values[place] = batch[own][best], found[own][best]
            spent[place] += len(group)
            rounds[place] += 1
            if evolutions[place].should_stop():
                status[place] = Status.SETTLED
            elif spent[place] >= setup.max_evaluations:
                status[place] = Status.EVALUATIONS
        if watch.stops(points, values):
            status = [Status.STOPPED if one is Status.RUNNING else one for one in status]
    return Outcome(
        points=points,
        values=values,
        norms=torch.full_like(values, torch.nan),
        violations=torch.zeros_like(values),
        iterations=torch.tensor(rounds),
        status=status,
        history=watch.history,
    )


def _scale(setup: Setup) -> torch.Tensor:
    """The unit ``[P]`` in which each variable is searched."""
    scale = setup.starts[0].abs().clamp_min(1.0)
    if setup.low is None or setup.high is None:
        return scale
    width = setup.high - setup.low
    return torch.where(width.isfinite() & (width > 0), width, scale)


def _evolution(setup: Setup, place: int, scale: torch.Tensor) -> Any:
    import cmaes

    bounds = None
    if setup.low is not None and setup.high is not None:
        bounds = torch.stack((setup.low / scale, setup.high / scale), dim=1).numpy()
    mean = (setup.starts[place] / scale).numpy()
    return cmaes.CMA(mean=mean, sigma=SPREAD, bounds=bounds, seed=(setup.seed + place) % 2**32)


CMAES = Method(
    name="cmaes", words="adapts the covariance of its draws (CMA-ES of the package cmaes)", run=_run, derivatives=0
)
