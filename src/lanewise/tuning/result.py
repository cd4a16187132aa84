"""What a tuning race has found, ready for the user's own loop."""

import html
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.optimizer import ParamsT

from lanewise.lanes.candidate import Candidate, Value
from lanewise.metrics import Metric
from lanewise.models.groups import Groups
from lanewise.optim.drop_in import DropIn
from lanewise.optim.schedules import factors
from lanewise.selection import Selection
from lanewise.statistics import CorrectedScore
from lanewise.training.planning.plan import Plan
from lanewise.training.race import Result
from lanewise.tuning.answer.tradeoffs import TradeOffs
from lanewise.tuning.averaging import Averaged
from lanewise.tuning.drop_ins import drop_in, steady_rate

if TYPE_CHECKING:
    import optuna
    import polars as pl

    from lanewise.explain import Effects
    from lanewise.explain.sensitivity import Sensitivities


COLUMNS = frozenset((
    "candidate", "rank", "score", "behind", "behind_low", "behind_high", "standard_error", "tied", "fate", "default",
    "steps", "fractions", "scores", "train_losses", "optimizer",
))  # fmt: skip
"""What a table says of every candidate; an argument of make_model of such a name is told as ``model_...``."""

SHOWN_LAST = ("optimizer", "lr")
"""Columns at the end of a table: where it is too wide to show, its first and last ones are seen."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The factor of the learning rate at each step, from 0; for ``torch.optim.lr_scheduler.LambdaLR``.

    ``changes`` are steps from which on every factor is multiplied by another: what a race with copies has found.

    >>> schedule = Schedule(name="linear", steps=4)
    >>> [schedule(step) for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    name: str
    steps: int
    warmup: float = 0.0
    changes: tuple[tuple[int, float], ...] = ()

    def __call__(self, step: int) -> float:
        changed = math.prod(factor for since, factor in self.changes if step >= since)
        return float(factors(self.name, torch.tensor([step]), self.steps, self.warmup)[0]) * changed


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TuneResult:
    """The outcome of :func:`lanewise.tune`.

    ``model`` is the winner as trained in the race, with the first seed; ``winner`` its candidate; ``selection`` the
    scores of all that were confirmed, with paired standard errors, and ``plan`` what was decided before training.
    ``arguments`` are the settings among the winner's that make_model takes: ``make_model(**result.arguments)``.
    ``corrected`` is the score to expect of the winner on other rows, corrected for having been picked as the best of
    those that were confirmed (the screen before chose by the same rows, which no correction can know).
    ``groups`` are those of the parameters, as they were given.
    ``stop`` is the share of the full length after which the winner was best, where trainings end early: see ``steps``.
    ``averaged`` says of each candidate whose workers train apart what ranks would exchange, and for which loss.
    ``pareto`` are the candidates on the Pareto front of score against weights or against seconds, the best first: no
    better one undercuts them.
    ``run`` and ``folder`` are the id and the folder of a race that was stored.

    A result can be pickled, and so sent to another process, where the classes of the module and the function
    ``groups`` can be imported; :meth:`save` keeps the weights of any module.
    """

    model: nn.Module
    winner: Candidate
    selection: Selection
    plan: Plan
    race: Result
    metric: Metric
    batch_size: int
    words: tuple[str, ...]
    document: Mapping[str, Any]
    corrected: CorrectedScore
    groups: Groups | None = None
    stop: float = 1.0
    averaged: tuple[Averaged, ...] = ()
    pareto: TradeOffs = field(default_factory=TradeOffs)
    arguments: Mapping[str, Value] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    run: str | None = None
    folder: Path | None = None

    @property
    def settings(self) -> Mapping[str, Value]:
        """Every setting of the winner, the optimizer's name among them."""
        return {"optimizer": self.winner.optimizer, **self.winner.settings, "lr": steady_rate(self.winner)}

    @property
    def score(self) -> float:
        """The winner's: a mean over the validation rows unless its metric is of all together, and a mean over seeds."""
        return self.selection.standing(self.winner.id).score

    @property
    def steps(self) -> int:
        """How many steps :attr:`model` was trained for: those of the schedule, or fewer where it was best before."""
        return round(self.stop * self._full_length)

    @property
    def _full_length(self) -> int:
        return self.plan.lengths.steps(self.batch_size)

    @property
    def schedule(self) -> Schedule:
        """The winner's learning-rate schedule over as many steps as in the race, of which :attr:`steps` are taken."""
        name, warmup = self.winner.text("schedule", "linear"), self.winner.number("warmup")
        steps = self._full_length
        changes = tuple(
            (round(event.fraction * steps), event.rate_factor) for event in self.winner.events if not event.rewinds
        )
        return Schedule(name=name, steps=steps, warmup=warmup, changes=changes)

    @property
    def changes(self) -> tuple[tuple[int, dict[str, float]], ...]:
        """Settings other than the rate that change on the way, with the step from which on: for ``param_groups``.

        Where training ends early, those after :attr:`steps` are not reached.

        A winner has some only where ``policy="genetic"`` bred it.
        """
        steps = self._full_length
        return tuple((round(own.fraction * steps), dict(own.changes)) for own in self.winner.events if own.changes)

    @property
    def events(self) -> tuple[str, ...]:
        """What happened to single trainings, in plain words: who diverged and went on slower, who has dead units."""
        return tuple(f"step {own['step']:,}: {own['words']}" for own in self.document["events"])

    def optimizer(self, params: ParamsT | nn.Module) -> DropIn:
        """The winner's optimizer with its settings, those of its first step, over ``params``.

        Of a module they are all its parameters, in the groups of the race where it had any.

        Raises ``UsageError`` where it had, and bare parameters are given: nobody could tell which group is whose.
        """
        return drop_in(self.winner, params, groups=self.groups)

    @cached_property
    def table(self) -> "pl.DataFrame":
        """A row per candidate, the best first: settings, score, how far behind the winner, and its curve.

        ``behind`` has its paired standard error and 95% interval; ``tied`` are those within one such error of the best.
        """
        import polars as pl

        standings = {standing.id: standing for standing in self.selection.standings}
        rows = []
        raced = {own.id: own for own in (*self.plan.candidates, *(item.candidate for item in self.race.confirmed))}
        for candidate in raced.values():
            traces = [trace for trace in self.race.traces if trace.lane.candidate.id == candidate.id]
            last = traces[-1]
            standing = standings.get(candidate.id)
            steps = self.plan.lengths.steps(int(candidate.number("batch_size")))
            rows.append(
                {
                    "candidate": candidate.id,
                    "rank": standing.rank if standing else None,
                    "score": standing.score if standing else (last.scores[-1] if last.scores else None),
                    "behind": standing.behind_winner.mean if standing else None,
                    "behind_low": standing.behind_winner.low if standing else None,
                    "behind_high": standing.behind_winner.high if standing else None,
                    "standard_error": standing.behind_winner.standard_error if standing else None,
                    "tied": standing.tied if standing else None,
                    "fate": "winner" if candidate.id == self.winner.id else last.fate,
                    "default": candidate.is_default,
                    "steps": steps,
                    "fractions": last.fractions,
                    "scores": last.scores,
                    "train_losses": last.train_losses,
                    "optimizer": candidate.optimizer,
                    **{f"model_{name}" if name in COLUMNS else name: own for name, own in candidate.settings.items()},
                }
            )
        names = sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name in SHOWN_LAST)
        columns = {name: [row.get(name) for row in rows] for name in names}
        return pl.DataFrame(columns, strict=False).sort("rank", nulls_last=True, maintain_order=True)

    @property
    def effects(self) -> "Effects | None":
        """How the score goes with each setting that varied, with intervals and a corrected p; None without candidates.

        The settings of an optimizer's own rule are read among the candidates of the winner's. See
        :func:`lanewise.explain.effects`.
        """
        from lanewise.explain import effects

        own = self.winner
        return effects(self.race.traces, self.metric, model=own.model, optimizer=own.optimizer, seed=0)

    @property
    def sensitivity(self) -> "Sensitivities":
        """Score against learning rate for each optimizer that tried at least two rates, the best first."""
        from lanewise.explain import sensitivity

        return sensitivity(self.race.traces, self.metric)

    def to_polars(self, *, curves: bool = False) -> "pl.DataFrame":
        """The :attr:`table`, or with ``curves`` a row for each look at each lane.

        The columns of these are candidate, phase, seed, fraction (of the full length), step, score (of the validation
        rows) and train_loss (the mean since the look before).
        """
        from lanewise.tuning.answer.exporting import curves_of

        return curves_of(self) if curves else self.table

    def to_optuna(self, *, study_name: str | None = None, storage: Any = None) -> "optuna.study.Study":
        """The race as an Optuna study, for its plots and importances, or as the start of a search with Optuna.

        A trial for each candidate: complete where it was confirmed, pruned where it was dropped, failed where it
        diverged. Intermediate values are the scores at its looks, by step. Parameters are the settings that vary, each
        with the distribution that the candidates span; the user attribute ``settings`` has them all. ``lr`` is the rate
        that a repaired candidate ended with.

        Args:
            study_name: as ``optuna.create_study`` takes it.
            storage: as well.

        Raises:
            UsageError: Optuna is not installed.
        """
        from lanewise.tuning.answer.exporting import to_optuna

        return to_optuna(self, study_name=study_name, storage=storage)

    def to_tensorboard(self, folder: str | Path) -> Path:
        """Write curves and settings for TensorBoard, a run for each candidate; returns the folder.

        Raises ``UsageError`` where the package tensorboard is not installed.
        """
        from lanewise.tuning.answer.exporting import to_tensorboard

        return to_tensorboard(self, folder)

    def to_mlflow(self, *, experiment: str = "lanewise", tracking_uri: str | None = None) -> str:
        """Log a run for each candidate, with settings, curves and fate, to MLflow; returns the experiment's id.

        Args:
            experiment: its name; made where there is none.
            tracking_uri: of the server or database, such as ``sqlite:///mlflow.db``; None: what MLflow is set to.

        Raises:
            UsageError: MLflow is not installed.
        """
        from lanewise.tuning.answer.exporting import to_mlflow

        return to_mlflow(self, experiment=experiment, tracking_uri=tracking_uri)

    def report(self, path: str | Path) -> Path:
        """Write the race as one HTML file that needs no network; returns where it is."""
        target = Path(path)
        target.write_text(self._html(), encoding="utf-8")
        return target

    def save(self, path: str | Path) -> Path:
        """Write the model's weights and buffers as a safetensors file, for ``load_state_dict``; returns where it is."""
        from lanewise.storage.durable import write_atomically
        from lanewise.storage.tensorfile import write_tensors

        target = Path(path)
        content = io.BytesIO()
        write_tensors(self.model.state_dict(), content)
        write_atomically(target, content.getvalue(), private=False)
        return target

    def _html(self) -> str:
        from lanewise.reporting.report import render

        return render(self.document)

    def __repr__(self) -> str:
        return "\n".join(["TuneResult", *(f"  {line}" for line in (*self.words, *self.document["warnings"]))])

    def _repr_html_(self) -> str:
        frame = "width:100%;height:80vh;border:1px solid #ccc"
        return f'<iframe srcdoc="{html.escape(self._html())}" style="{frame}"></iframe>'
