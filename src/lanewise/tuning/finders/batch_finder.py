"""``lanewise.find_batch``: the batch size from which larger ones are no faster, and the rate that goes with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lanewise.errors import Mistakes, UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.models.groups import Groups
from lanewise.reporting.words import count
from lanewise.selection import Standing
from lanewise.training.device import device_of
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.entrants import check_whole, refuse
from lanewise.tuning.finders.rescaling import rescaled, scaling_of
from lanewise.tuning.finders.solo import solo_stacks
from lanewise.tuning.finders.throughput import SHARE, Throughput, knee, measured
from lanewise.tuning.inputs.judged_rows import Readable
from lanewise.tuning.proposing import listed
from lanewise.tuning.result import TuneResult
from lanewise.tuning.stated import check_stated
from lanewise.tuning.tune import tune

if TYPE_CHECKING:
    import polars as pl

FEWEST_BATCHES = 8
"""Of an epoch: larger batches are not measured unless they are asked for."""

USUAL = 32
LEAST_STEPS = 20
RULES = {
    "linear": "in proportion to the batch",
    "root": "with the root of the batch",
    "none": "not at all: the rule finds its rate",
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BatchFinding:
    """The outcome of :func:`lanewise.find_batch`.

    ``knee`` is the smallest batch that is about as fast per row as any. ``batch_size`` and ``lr`` are what to train
    with: the fastest up to the knee that learns as much from the same rows as ``start_size`` with ``start_lr`` does.
    ``race`` is that comparison, None where the knee is the size that it would be compared with.
    """

    throughput: Throughput
    knee: int
    optimizer: str
    start_size: int
    start_lr: float
    batch_size: int
    lr: float
    race: TuneResult | None
    words: tuple[str, ...]

    @cached_property
    def table(self) -> "pl.DataFrame":
        """A row for each batch size: milliseconds of a step, rows per second, and their share of the most."""
        import polars as pl

        speeds = self.throughput.rows_per_second
        return pl.DataFrame(
            {
                "batch_size": self.throughput.sizes,
                "step_milliseconds": [1e3 * seconds for seconds in self.throughput.seconds],
                "rows_per_second": speeds,
                "share": [speed / max(speeds) for speed in speeds],
            }
        )

    @property
    def document(self) -> dict[str, Any]:
        """Everything but the race itself as plain data."""
        return {
            "schema_version": 1,
            "words": list(self.words),
            "optimizer": self.optimizer,
            "sizes": list(self.throughput.sizes),
            "step_seconds": list(self.throughput.seconds),
            "rows_per_second": list(self.throughput.rows_per_second),
            "knee": self.knee,
            "start": {"batch_size": self.start_size, "lr": self.start_lr},
            "chosen": {"batch_size": self.batch_size, "lr": self.lr},
            "race": None if self.race is None else self.race.document["race"]["leaderboard"],
        }

    def report(self, path: str | Path) -> Path:
        """Write the curve as one HTML file that needs no network; returns where it is."""
        from lanewise.reporting.batch_page import batch_page
        from lanewise.storage.durable import write_atomically

        write_atomically(Path(path), batch_page(self.document).encode(), private=False)
        return Path(path)

    def __repr__(self) -> str:
        return "\n".join(["BatchFinding", *(f"  {line}" for line in self.words)])

    def _repr_html_(self) -> str:
        from lanewise.reporting.batch_page import batch_page
        from lanewise.reporting.page import framed

        return framed(batch_page(self.document))


def find_batch(
    make_model: Callable[[], nn.Module],
    *,
    train: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    groups: Groups | None = None,
    optimizer: str | Mapping[str, Any] = "adamw",
    valid: Any = None,
    sizes: Sequence[int] | None = None,
    start_size: int = USUAL,
    steps: int = 200,
    seconds: float = 5.0,
    share: float = SHARE,
    workers: int | None = None,
    device: str | torch.device = "auto",
    watch: Callable[[Pulse], None] | None = None,
) -> BatchFinding:
    """Measure rows per second at every batch size, and race the size where they stop growing against the usual one.

    A larger batch is worth it only while it is faster per row. The knee is the smallest size that reaches ``share`` of
    the highest throughput (:func:`~lanewise.tuning.finders.throughput.knee`), with one model trained alone. The rate of
    a size follows from that of ``start_size`` (``rescaled``). Then the sizes from
    ``start_size`` to the knee, and the knee with the rate left as it was, train on the same rows; the fastest is taken
    that is not behind ``start_size`` by more than one paired standard error.

    Args:
        make_model: as for :func:`lanewise.tune`, and so are ``loss``, ``step``, ``groups``, ``workers``, ``device`` and
            ``watch``.
        train: as for :func:`lanewise.tune`: a pair of tensors or arrays, a ``Dataset``, a ``DataLoader``, or an
            iterable of batches, which is read once.
        optimizer: a name, or settings such as ``{"optimizer": "sgd", "lr": 0.1}`` with the rate at ``start_size``.
        valid: the rows that judge, as ``train``; None: up to 1,024 of the training rows, evenly taken.
        sizes: what to measure; None: powers of two from 8 to 8,192, at most an eighth of the rows.
        start_size: the batch size whose rate is known.
        steps: of the training at ``start_size``; the other sees as many rows, and both take 20 steps at least.
        seconds: that measuring takes, about.
        share: of the highest throughput, within (0, 1].

    Raises:
        UsageError: a size, or as :func:`lanewise.tune`; all mistakes in the settings at once.
        DataError: train or valid cannot be used.
        TrainingError: every training diverged.

    >>> import torch
    >>> X = torch.randn(512, 3, generator=torch.Generator().manual_seed(0))
    >>> y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    >>> found = find_batch(lambda: torch.nn.Linear(3, 1), train=(X, y), loss=torch.nn.MSELoss(), seconds=0.05)
    >>> found.knee in found.throughput.sizes
    True
    """
    learning: Any = {"loss": loss, "step": step, "groups": groups}
    settings = check_sizes(
        make_model,
        optimizer=optimizer,
        sizes=sizes,
        start_size=start_size,
        steps=steps,
        seconds=seconds,
        share=share,
        **learning,
        workers=workers,
        device=device,
    )
    place = device_of(device)
    given = Readable.of(train, place)
    (base,) = listed([settings], model="module", batch_size=start_size)
    measurable = _measurable(sizes, start_size, rows=given.rows)
    stacks = solo_stacks(make_model, given, base, measurable, device=place, **learning)
    speeds = measured(stacks, seconds=seconds, wanted=start_size)
    best = knee(speeds.sizes, speeds.rows_per_second, share=share)
    race = None
    if best != start_size:
        race = tune(
            make_model,
            train=given.train,
            valid=given.judged if valid is None else valid,
            **learning,
            candidates=_rivals(settings, base, speeds.sizes, start_size=start_size, knee=best),
            budget=f"{max(steps, -(-LEAST_STEPS * best // start_size))}steps",
            policy="never",
            workers=workers,
            device=device,
            watch=watch,
        )
    size, rate = _chosen(race, speeds, start=(start_size, base.number("lr")))
    return BatchFinding(
        throughput=speeds,
        knee=best,
        optimizer=base.optimizer,
        start_size=start_size,
        start_lr=base.number("lr"),
        batch_size=size,
        lr=rate,
        race=race,
        words=_words(
            speeds, best, base, start_size=start_size, size=size, lr=rate, race=race, share=share, device=place
        ),
    )


def check_sizes(
    make_model: Any,
    *,
    optimizer: Any = "adamw",
    sizes: Any = None,
    start_size: Any = USUAL,
    steps: Any = 200,
    seconds: float = 5.0,
    share: float = SHARE,
    **others: Any,
) -> dict[str, Any]:
    """The settings of the optimizer; ``others`` are settings that :func:`find_batch` shares with ``tune``.

    Raises ``UsageError`` with everything that is off, a line for each mistake.
    """
    settings = {"optimizer": optimizer} if isinstance(optimizer, str) else dict(optimizer)
    mistakes = Mistakes()
    for name, value in (("start_size", start_size), *(("a batch size", own) for own in sizes or ()), ("steps", steps)):
        mistakes.of(check_whole, name, value, least=1)
    mistakes.of(_check_shares, seconds, share)
    mistakes.of(check_stated, make_model, candidates=[settings], **others)
    mistakes.tell()
    return settings


def _check_shares(seconds: float, share: float) -> None:
    mistakes = Mistakes()
    if not 0 < seconds < float("inf"):
        mistakes.of(refuse, f"seconds must be above 0, got {seconds:g}")
    if not 0 < share <= 1:
        mistakes.of(refuse, f"share must be above 0 and at most 1, got {share:g}")
    mistakes.tell()


def _measurable(given: Sequence[int] | None, start_size: int, *, rows: int) -> list[int]:
    """The sizes to measure, rising, ``start_size`` among them."""
    usual = [2**power for power in range(3, 14) if 2**power * FEWEST_BATCHES <= rows]
    if start_size > rows:
        message = f"start_size is {start_size} and train has {rows} rows; give at most as many"
        raise UsageError(message)
    return sorted({int(size) for size in (start_size, *(given or usual)) if size <= rows})


def _rivals(
    settings: Mapping[str, Any], base: Candidate, sizes: Sequence[int], *, start_size: int, knee: int
) -> list[dict[str, Any]]:
    """The start first; the sizes from there to the knee, each with its rescaled rate; the knee with the old rate."""
    lr = base.number("lr")
    low, high = sorted((start_size, knee))
    found = [{**settings, "lr": lr, "batch_size": start_size}]
    for size in sizes:
        if low <= size <= high and size != start_size:
            own = rescaled(lr, optimizer=base.optimizer, size=start_size, to=size)
            found.append({**settings, "lr": own, "batch_size": size})
    unscaled = {**settings, "lr": lr, "batch_size": knee}
    return found if unscaled in found else [*found, unscaled]


def _chosen(race: TuneResult | None, speeds: Throughput, *, start: tuple[int, float]) -> tuple[int, float]:
    """Size and rate of the fastest training that is not behind the start by more than one paired standard error.

    Of one size, the rate that scores better.
    """
    if race is None:
        return start
    at = {own.id: own for own in race.plan.candidates}
    good = [at[own.id] for own in race.selection.standings if not _behind(own)]
    best = max(good, key=lambda own: speeds.at(int(own.number("batch_size"))), default=None)
    return start if best is None else (int(best.number("batch_size")), best.number("lr"))


def _behind(standing: Standing) -> bool:
    ahead = standing.ahead_of_default
    return ahead is not None and -ahead.mean > (ahead.standard_error if ahead.standard_error > 0 else 0.0)


def _words(
    speeds: Throughput,
    best: int,
    base: Candidate,
    *,
    start_size: int,
    size: int,
    lr: float,
    race: TuneResult | None,
    share: float,
    device: torch.device,
) -> tuple[str, ...]:
    fastest = max(speeds.rows_per_second)
    where = str(device) if device.type != "cpu" else count(torch.get_num_threads(), "thread")
    still = best == speeds.sizes[-1]
    grows = "still grows at" if still else f"reaches {share:.0%} of the most at"
    lines = [
        f"{base.optimizer}: train with batches of {size} and a rate of {lr:.2g}",
        f"throughput {grows} batches of {best}: {speeds.at(best):,.0f} rows per second, against "
        f"{speeds.at(start_size):,.0f} at {start_size} and {fastest:,.0f} at most (one model alone, {where})",
    ]
    if race is not None:
        rule = RULES[scaling_of(base.optimizer)]
        lines.append(f"its rate goes {rule}; from the same rows:")
        lines += [_line(own, race) for own in race.selection.standings]
    return tuple(lines)


def _line(standing: Standing, race: TuneResult) -> str:
    own = next(one for one in race.plan.candidates if one.id == standing.id)
    size = int(own.number("batch_size"))
    gap = standing.ahead_of_default
    against = ""
    if gap is not None and not own.is_default:
        side = "ahead of" if gap.mean > 0 else "behind"
        against = f", {abs(gap.mean):.2g} ± {gap.standard_error:.1g} {side} the start"
    steps = race.plan.lengths.steps(size)
    return f"  batches of {size} at {own.number('lr'):.2g}: loss {standing.score:.4g} after {steps} steps{against}"
