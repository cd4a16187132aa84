"""``lanewise.find_rate``: the whole curve of loss against learning rate from one short race."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lanewise.errors import Mistakes, TrainingError, UsageError
from lanewise.models.groups import Groups
from lanewise.training.device import device_of
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.entrants import check_whole
from lanewise.tuning.finders.rate_curve import MARGIN, RateCurve, read_curve
from lanewise.tuning.inputs.judged_rows import Readable
from lanewise.tuning.planning import SHORTEST
from lanewise.tuning.result import TuneResult
from lanewise.tuning.stated import check_stated
from lanewise.tuning.tune import tune

if TYPE_CHECKING:
    import polars as pl

Optimizer = str | Mapping[str, Any]

FEWEST = 2
AT_REST: Mapping[str, Any] = {"optimizer": "sgd", "lr": 0.0, "schedule": "constant"}
"""The lane that the others must beat. It is shown the same batches, so statistics of normalization are alike."""

LIKE = ("batch_size",)
"""What it has from the first optimizer, for all lanes see as many rows as it does."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RateFinding:
    """The outcome of :func:`lanewise.find_rate`: a :class:`RateCurve` for each optimizer, the lowest first.

    ``rows`` judged the trainings; ``trained`` says whether they were among the training rows.
    """

    curves: tuple[RateCurve, ...]
    steps: int
    batch_size: int
    rows: int
    trained: bool
    seconds: float

    @property
    def curve(self) -> RateCurve:
        """That of the optimizer whose loss fell lowest."""
        return self.curves[0]

    @property
    def suggested(self) -> float:
        """The rate to train with, of the optimizer whose loss fell lowest."""
        assert self.curve.suggested is not None, "find_rate raises where there is none"
        return self.curve.suggested

    @property
    def edge(self) -> float | None:
        """The largest stable rate of that optimizer; None where every tried rate up to the highest is stable."""
        return self.curve.edge

    @property
    def words(self) -> tuple[str, ...]:
        """Each curve in a line, and how it was come by."""
        of = "rows that it trains on" if self.trained else "validation rows"
        how = f"after {self.steps} steps of {self.batch_size} rows at a constant rate, judged on {self.rows:,} {of}"
        return (*(curve.words for curve in self.curves), how)

    @cached_property
    def table(self) -> "pl.DataFrame":
        """A row for each rate: optimizer, rate, loss (null where it diverged), standard error of the gap."""
        import polars as pl

        rows = [
            {"optimizer": curve.optimizer, "rate": rate, "loss": _known(loss), "standard_error": _known(error)}
            for curve in self.curves
            for rate, loss, error in zip(curve.rates, curve.losses, curve.errors, strict=True)
        ]
        kinds = {"optimizer": pl.String, "rate": pl.Float64, "loss": pl.Float64, "standard_error": pl.Float64}
        return pl.DataFrame(rows, schema=kinds)

    @property
    def document(self) -> dict[str, Any]:
        """Everything as plain data; what is not finite is None."""
        return {
            "schema_version": 1,
            "words": list(self.words),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "rows": self.rows,
            "seconds": self.seconds,
            "curves": [
                {
                    "optimizer": curve.optimizer,
                    "start": curve.start,
                    "best": curve.best,
                    "tied": None if curve.tied is None else list(curve.tied),
                    "edge": curve.edge,
                    "suggested": curve.suggested,
                    "rates": list(curve.rates),
                    "losses": [_known(loss) for loss in curve.losses],
                    "errors": [_known(error) for error in curve.errors],
                }
                for curve in self.curves
            ],
        }

    def report(self, path: str | Path) -> Path:
        """Write the curves as one HTML file that needs no network; returns where it is."""
        from lanewise.reporting.rate_page import rate_page
        from lanewise.storage.durable import write_atomically

        write_atomically(Path(path), rate_page(self.document).encode(), private=False)
        return Path(path)

    def __repr__(self) -> str:
        return "\n".join(["RateFinding", *(f"  {line}" for line in self.words)])

    def _repr_html_(self) -> str:
        from lanewise.reporting.page import framed
        from lanewise.reporting.rate_page import rate_page

        return framed(rate_page(self.document))


def find_rate(
    make_model: Callable[[], nn.Module],
    *,
    train: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    groups: Groups | None = None,
    optimizer: Optimizer | Sequence[Optimizer] = "adamw",
    valid: Any = None,
    rates: int = 64,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    margin: float = MARGIN,
    workers: int | None = None,
    device: str | torch.device = "auto",
    watch: Callable[[Pulse], None] | None = None,
) -> RateFinding:
    """Train at every learning rate of a grid at once, a little, and say which rate to train with.

    Each rate is a lane of one race: the same start, the same batches, a constant rate. The stable edge is the largest
    rate that neither diverges, nor has its loss rise by half on the way, nor ends above its start. Suggested is
    the largest that does as well as the best (within one paired standard error), divided by ``margin`` and taken down
    to the grid: the best constant rate of a training of N steps falls as ``1 / √N``, so half of it serves four times
    the steps. See :func:`lanewise.tuning.finders.rate_curve.read_curve` for the rules and their source.

    Args:
        make_model: as for :func:`lanewise.tune`, and so are ``loss``, ``step``, ``groups``, ``batch_size``,
            ``workers``, ``device`` and ``watch``.
        train: as for :func:`lanewise.tune`: a pair of tensors or arrays, a ``Dataset``, a ``DataLoader``, or an
            iterable of batches, which is read once.
        optimizer: a name, or settings such as ``{"optimizer": "sgd", "weight_decay": 1e-4}``; or several of these.
        valid: the rows that judge, as ``train``; None: up to 1,024 of the training rows, evenly taken.
        rates: how many, evenly spaced on the log scale.
        low: the lowest rate.
        high: the highest rate.
        steps: of each training, at least 20.
        margin: what the largest good rate is divided by.

    Raises:
        UsageError: the grid, or as :func:`lanewise.tune`; all mistakes in the settings at once.
        DataError: train or valid cannot be used.
        TrainingError: at no rate does the loss get better than it was.

    >>> import torch
    >>> X = torch.randn(96, 3, generator=torch.Generator().manual_seed(0))
    >>> y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    >>> found = find_rate(
    ...     lambda: torch.nn.Linear(3, 1), train=(X, y), loss=torch.nn.MSELoss(), optimizer="sgd", rates=16, steps=40
    ... )
    >>> 0.01 < found.suggested < found.edge < 1
    True
    """
    wanted = check_rates(
        make_model,
        optimizer=optimizer,
        rates=rates,
        low=low,
        high=high,
        steps=steps,
        margin=margin,
        **{"loss": loss, "step": step, "groups": groups, "batch_size": batch_size, "workers": workers},
        device=device,
    )
    grid = [float(rate) for rate in np.geomspace(low, high, rates)]
    entrants = [{"schedule": "constant", **settings, "lr": rate} for settings in wanted for rate in grid]
    given = Readable.of(train, device_of(device))
    raced = tune(
        make_model,
        train=given.train,
        valid=given.judged if valid is None else valid,
        loss=loss,
        step=step,
        groups=groups,
        candidates=[{**AT_REST, **{name: wanted[0][name] for name in LIKE if name in wanted[0]}}, *entrants],
        budget=f"{steps}steps",
        policy="never",
        batch_size=batch_size or given.batch_size,
        workers=workers,
        device=device,
        watch=None if watch is None else _of_rates(watch),
    )
    start, losses = _losses(raced)
    rises, curves = _rises(raced), []
    for place in range(0, len(entrants), rates):
        own = slice(place, place + rates)
        name = raced.plan.candidates[1 + place].optimizer
        curves.append(read_curve(name, grid, losses[own], start, rises=rises[own], margin=margin))
    if all(curve.suggested is None for curve in curves):
        raise TrainingError(_nothing(losses, low, high, steps))
    return RateFinding(
        curves=tuple(sorted(curves, key=lambda curve: np.nan_to_num(curve.least, nan=np.inf))),
        steps=steps,
        batch_size=int(raced.plan.candidates[1].number("batch_size")),
        rows=len(start),
        trained=valid is None,
        seconds=sum(raced.race.seconds.values()),
    )


def check_rates(
    make_model: Any,
    *,
    optimizer: Any = "adamw",
    rates: Any = 64,
    low: float = 1e-6,
    high: float = 10.0,
    steps: Any = 100,
    margin: float = MARGIN,
    **others: Any,
) -> list[dict[str, Any]]:
    """The settings of each optimizer; ``others`` are settings that :func:`find_rate` shares with ``tune``.

    Raises ``UsageError`` with everything that is off, a line for each mistake.
    """
    mistakes = Mistakes()
    mistakes.of(check_whole, "rates", rates, least=FEWEST)
    mistakes.of(_check_range, low, high)
    mistakes.of(check_whole, "steps", steps, least=SHORTEST)
    mistakes.of(_check_margin, margin)
    wanted = mistakes.of(_several, optimizer)
    entrants = [{"schedule": "constant", **settings, "lr": 1e-3} for settings in wanted or ()]
    mistakes.of(check_stated, make_model, candidates=[dict(AT_REST), *entrants], **others)
    mistakes.tell()
    return wanted or []


def _several(optimizer: Optimizer | Sequence[Optimizer]) -> list[dict[str, Any]]:
    """The settings of each optimizer."""
    several = [optimizer] if isinstance(optimizer, str | Mapping) else list(optimizer)
    if not several:
        message = "optimizer is empty; name at least one, such as 'adamw'"
        raise UsageError(message)
    for one in several:
        if isinstance(one, Mapping) and "lr" in one:
            message = f"the rates are what is looked for; leave lr out of {dict(one)!r}"
            raise UsageError(message)
    return [{"optimizer": one} if isinstance(one, str) else dict(one) for one in several]


def _check_range(low: float, high: float) -> None:
    if not 0 < low < high < float("inf"):
        message = f"low and high must be rates above zero, low below high, got low={low:g} and high={high:g}"
        raise UsageError(message)


def _check_margin(margin: float) -> None:
    if not 1 <= margin < float("inf"):
        message = f"margin must be at least 1, got {margin:g}"
        raise UsageError(message)


def _of_rates(watch: Callable[[Pulse], None]) -> Callable[[Pulse], None]:
    """``watch``, told of the rates only: the lane that is not trained is no rate that anybody asked for."""
    at_rest = f"{AT_REST['optimizer']}, lr {AT_REST['lr']:.2g}"

    def told(pulse: Pulse) -> None:
        leads = pulse.leader.endswith(at_rest)
        leader = "without training: no rate is better yet" if leads else pulse.leader
        watch(replace(pulse, leader=leader, lanes=pulse.lanes - 1, candidates=pulse.candidates - 1))

    return told


def _nothing(losses: np.ndarray, low: float, high: float, steps: int) -> str:
    """What to say where no rate was of use."""
    lost = int(np.isnan(losses).any(1).sum())
    return (
        f"at no rate from {low:g} to {high:g} did {steps} steps make the loss better; {lost} of {len(losses)} "
        "trainings diverged. Give another range (low=, high=), or more steps"
    )


def _losses(raced: TuneResult) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the judged rows ``[n]`` without training, and ``[C, n]`` after it; NaN where it diverged."""
    known = {item.candidate.id: item.predictions[:, 0] for item in raced.race.confirmed}
    at_rest, *trained = [own.id for own in raced.plan.candidates]
    judged = ~np.isnan(known[at_rest])
    nothing = np.full(int(judged.sum()), np.nan)
    return known[at_rest][judged], np.array([known[id][judged] if id in known else nothing for id in trained])


def _rises(raced: TuneResult) -> list[float]:
    """By which share the mean loss of a tenth of each training exceeded that at rest on the same batches, at most."""
    losses = {trace.lane.candidate.id: np.array(trace.train_losses) for trace in raced.race.traces}
    at_rest, *trained = [own.id for own in raced.plan.candidates]
    rest = losses[at_rest]
    size = np.maximum(np.abs(rest), np.finfo(np.float64).tiny)
    own = [losses[id] if len(losses[id]) == len(rest) else np.full(len(rest), np.nan) for id in trained]
    return [float(np.max((loss - rest) / size)) for loss in own]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
