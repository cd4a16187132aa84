"""A tuning race in the forms of other tools: an Optuna study, polars frames, TensorBoard, MLflow."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate, Value
from lanewise.metrics import Metric
from lanewise.optim.registry import RULES
from lanewise.selection import Selection, Standing
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.training.watching.trace import Trace
from lanewise.tuning.drop_ins import steady_rate

if TYPE_CHECKING:
    import optuna
    import polars as pl

LOGARITHMIC = {"batch_size", "clip_norm"} | {
    hyper.name for rule in RULES.values() for hyper in rule.hypers if hyper.scale in ("log", "log_integer")
}
"""Settings that are searched on a log scale."""


class Found(Protocol):
    """What is told of a tuning race; :class:`lanewise.tuning.TuneResult` has it."""

    @property
    def winner(self) -> Candidate: ...
    @property
    def selection(self) -> Selection: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def race(self) -> Result: ...
    @property
    def metric(self) -> Metric: ...


@dataclass(frozen=True, kw_only=True)
class Raced:
    """One candidate of a race: its settings with the rate that it ended with, its fate and its curve.

    ``curve`` holds a pair of step and mean score over the seeds for each look, of the confirmation where it got there.
    """

    candidate: Candidate
    settings: Mapping[str, Value]
    fate: str
    steps: int
    curve: tuple[tuple[int, float], ...]
    train_losses: tuple[tuple[int, float], ...]
    standing: Standing | None
    events: tuple[str, ...]


def raced_of(found: Found) -> list[Raced]:
    """Every candidate, those that stand for a repaired one included, in the order in which they entered."""
    standings = {standing.id: standing for standing in found.selection.standings}
    entered = {own.id: own for own in (*found.plan.candidates, *(item.candidate for item in found.race.confirmed))}
    return [_raced(found, own, standings.get(own.id)) for own in entered.values()]


def _raced(found: Found, candidate: Candidate, standing: Standing | None) -> Raced:
    own = [trace for trace in found.race.traces if trace.lane.candidate.id == candidate.id]
    last = [trace for trace in own if trace.phase == own[-1].phase] if own else []
    steps = found.plan.lengths.steps(int(candidate.number("batch_size")))
    fate = "diverged" if any(trace.fate == "diverged" for trace in last) else last[-1].fate if last else "pruned"
    return Raced(
        candidate=candidate,
        settings={"optimizer": candidate.optimizer, **candidate.settings, "lr": steady_rate(candidate)},
        fate="confirmed" if standing is not None else fate,
        steps=steps,
        curve=_mean(last, "scores", steps),
        train_losses=_mean(last, "train_losses", steps),
        standing=standing,
        events=tuple(dict.fromkeys(cause for trace in own for cause in _causes(trace))),
    )


def _causes(trace: Trace) -> list[str]:
    """Why the lane, or the candidate that it stands for, was set back or given up."""
    events = (*trace.lane.candidate.events, *trace.events)
    return [event.cause for event in events] + ([trace.failure.cause] if trace.failure else [])


def _mean(traces: Sequence[Trace], name: str, steps: int) -> tuple[tuple[int, float], ...]:
    """Step and mean over the lanes of each look that all of them had; looks without a finite number are left out."""
    shared = min((len(trace.fractions) for trace in traces), default=0)
    means = [float(np.mean([getattr(trace, name)[place] for trace in traces])) for place in range(shared)]
    at = [round(fraction * steps) for fraction in traces[0].fractions[:shared]] if shared else []
    return tuple((step, mean) for step, mean in zip(at, means, strict=True) if np.isfinite(mean))


def to_optuna(found: Found, *, study_name: str | None, storage: Any) -> "optuna.study.Study":
    """A study with a trial for each candidate; see :meth:`lanewise.tuning.TuneResult.to_optuna`."""
    _needs("optuna", "to_optuna", extra="optuna")
    import optuna

    entered = raced_of(found)
    distributions = _distributions(entered)
    direction = "minimize" if found.metric.direction == "min" else "maximize"
    study = optuna.create_study(study_name=study_name, storage=storage, direction=direction)
    states = {"confirmed": optuna.trial.TrialState.COMPLETE, "diverged": optuna.trial.TrialState.FAIL}
    for own in entered:
        settings = {name: value for name, value in own.settings.items() if name in distributions}
        trial = optuna.trial.create_trial(
            state=states.get(own.fate, optuna.trial.TrialState.PRUNED),
            value=None if own.standing is None else own.standing.score,
            params=settings,
            distributions={name: distributions[name] for name in settings},
            intermediate_values=dict(own.curve),
            user_attrs=_attributes(own, found),
        )
        study.add_trial(trial)
    return study


def _attributes(own: Raced, found: Found) -> dict[str, Any]:
    standing = own.standing
    behind = None if standing is None else standing.behind_winner
    return {
        "candidate": own.candidate.id,
        "default": own.candidate.is_default,
        "winner": own.candidate.id == found.winner.id,
        "settings": dict(own.settings),
        "steps": own.steps,
        "behind_winner": None if behind is None else behind.mean,
        "standard_error": None if behind is None else behind.standard_error,
        "events": list(own.events),
    }


def _distributions(entered: Sequence[Raced]) -> dict[str, Any]:
    """What each setting that varies was taken from, as far as the candidates show: the range or set of their values."""
    seen: dict[str, list[Value]] = {}
    for own in entered:
        for name, value in own.settings.items():
            seen.setdefault(name, []).append(value)
    return {name: _distribution(name, values) for name, values in seen.items() if len(set(values)) > 1}


def _distribution(name: str, values: Sequence[Value]) -> Any:
    import optuna

    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(values)))
    low, high = min(numbers), max(numbers)
    log = name in LOGARITHMIC and low > 0
    if all(isinstance(value, int) for value in numbers):
        return optuna.distributions.IntDistribution(int(low), int(high), log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)


def curves_of(found: Found) -> "pl.DataFrame":
    """A row for each look at each lane; see :meth:`lanewise.tuning.TuneResult.to_polars`."""
    import polars as pl

    rows = []
    for trace in found.race.traces:
        candidate = trace.lane.candidate
        steps = found.plan.lengths.steps(int(candidate.number("batch_size")))
        looks = zip(trace.fractions, trace.scores, trace.train_losses, strict=True)
        rows += [
            (candidate.id, trace.phase, trace.lane.seed, fraction, round(fraction * steps), score, train)
            for fraction, score, train in looks
        ]
    schema = {
        "candidate": pl.String,
        "phase": pl.String,
        "seed": pl.Int64,
        "fraction": pl.Float64,
        "step": pl.Int64,
        "score": pl.Float64,
        "train_loss": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def to_tensorboard(found: Found, folder: str | Path) -> Path:
    """A run for each candidate in a folder of its name; see :meth:`lanewise.tuning.TuneResult.to_tensorboard`."""
    _needs("tensorboard", "to_tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    target, metric = Path(folder), found.metric.name
    for own in raced_of(found):
        with SummaryWriter(str(target / own.candidate.id)) as writer:
            for step, score in own.curve:
                writer.add_scalar(f"validation/{metric}", score, step)
            for step, loss in own.train_losses:
                writer.add_scalar("train/loss", loss, step)
            if own.standing is not None:
                writer.add_hparams(dict(own.settings), {f"final/{metric}": own.standing.score}, run_name=".")
    return target


def to_mlflow(found: Found, *, experiment: str, tracking_uri: str | None) -> str:
    """A run for each candidate; see :meth:`lanewise.tuning.TuneResult.to_mlflow`."""
    _needs("mlflow", "to_mlflow")
    from mlflow.entities import Metric as Point  # pyright: ignore[reportMissingImports]  # optional
    from mlflow.entities import Param, RunTag  # pyright: ignore[reportMissingImports]  # optional
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]  # optional

    client = MlflowClient(tracking_uri=tracking_uri)
    known = client.get_experiment_by_name(experiment)
    home = client.create_experiment(experiment) if known is None else known.experiment_id
    metric, now = found.metric.name, int(time.time() * 1000)
    ends = {"confirmed": "FINISHED", "diverged": "FAILED"}
    for own in raced_of(found):
        run = client.create_run(home, run_name=own.candidate.id).info.run_id
        looks = [Point(f"validation_{metric}", score, now, step) for step, score in own.curve]
        looks += [Point("train_loss", loss, now, step) for step, loss in own.train_losses]
        params = [Param(name, str(value)) for name, value in own.settings.items()]
        tags = [RunTag(f"lanewise.{name}", str(value)) for name, value in _attributes(own, found).items()]
        client.log_batch(run, metrics=looks, params=params, tags=tags)
        client.set_terminated(run, status=ends.get(own.fate, "KILLED"))
    return str(home)


def _needs(package: str, method: str, *, extra: str = "") -> None:
    if find_spec(package) is None:
        name = f"'lanewise[{extra}]'" if extra else package
        message = f"{method} needs the package {package}: pip install {name}"
        raise UsageError(message)
