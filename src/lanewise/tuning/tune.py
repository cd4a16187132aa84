"""``lanewise.tune``: candidates for training a user's own module, raced as lanes."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import StackedModule
from lanewise.search.policy import Policy
from lanewise.search.registry import policy_name, policy_of
from lanewise.search.sampling import SAMPLINGS, Sampling
from lanewise.selection import Contender, Selection, select
from lanewise.settings import parse_budget
from lanewise.training.data import TrainingData
from lanewise.training.fitted import Fitted
from lanewise.training.module_seats import seated
from lanewise.training.module_teams import ModuleTeams, batch_of, choose_way
from lanewise.training.plan import Lengths, Plan
from lanewise.training.race import Pulse, Race, Result
from lanewise.training.team import Team, never
from lanewise.tuning.checking import Judge, check_first_batch, fitted_to, judge_of, training_data
from lanewise.tuning.document import document_of
from lanewise.tuning.drop_ins import steady_rate
from lanewise.tuning.fingerprint import digest, fingerprint, sha256_of
from lanewise.tuning.planning import Wanted, plan_race
from lanewise.tuning.proposing import Where, drawn, listed
from lanewise.tuning.result import TuneResult
from lanewise.tuning.storing import Keeping, read_plan, stored, write_plan

MOST_WORKERS = 8

Metric = Literal["accuracy"] | tuple[Callable[[Tensor, Tensor], Tensor], Literal["min", "max"]]


def tune(
    make_model: Callable[[], nn.Module],
    *,
    train: tuple[Any, Any],
    valid: tuple[Any, Any],
    loss: Callable[[Tensor, Tensor], Tensor],
    budget: str = "60s",
    candidates: int | Sequence[Mapping[str, Any]] | None = None,
    space: Mapping[str, Any] | None = None,
    search: Sampling = "sobol",
    where: Where | None = None,
    policy: str | Policy = "halving",
    seeds: int | Sequence[int] = 1,
    batch_size: int | None = None,
    metric: Metric | None = None,
    seed: int = 0,
    workers: int | None = None,
    watch: Callable[[Pulse], None] | None = None,
    home: str | Path | None = None,
    name: str | None = None,
) -> TuneResult:
    """Race optimizers, learning rates, schedules and batch sizes for a module, and keep what trains it best.

    Every candidate trains the same module from the same start on the same batches, as a lane of stacked runs.
    The winner has the best mean over the validation rows; one that is not better than the default by more than one
    paired standard error loses to it, and of equals the one with fewer steps wins.

    Args:
        make_model: builds the module, on the CPU; called under ``torch.manual_seed(seed)``.
        train: ``X [N, ...]`` and ``y [N, ...]``, tensors or arrays; a batch of X is what the module is called with.
        valid: as ``train``; decides the race, so a fair score of the winner needs rows that are in neither.
        loss: ``(outputs, targets)`` to the mean over rows, or to one loss per row ``[B, ...]``.
        budget: steps of each training, such as ``"300steps"``, which depends on no clock; or the time for all, such
            as ``"60s"``.
        candidates: a list of settings, ``[{"optimizer": "adamw", "lr": 1e-3, "schedule": "cosine"}, ...]``, the
            first being the default; or how many to draw from the space.
        space: what to draw from, ``{"optimizer": ["adamw", "sgd"], "lr": (1e-4, 1e-1), "batch_size": [32, 64]}``;
            what it does not name is varied as the optimizer's rule declares. See :mod:`lanewise.tuning.space` for
            priors and conditions. The default of each optimizer is always in the race.
        search: how points are drawn: ``"sobol"`` covers the space evenly, ``"random"`` does not, ``"grid"`` has every
            combination of what the space names.
        where: a function of the settings that is true where they may be raced.
        policy: who is dropped on the way: ``"halving"``, ``"hyperband"``, ``"racing"``, ``"population"`` (copies of
            the best take the place of the worst), ``"never"`` anybody, or an instance of a
            :class:`lanewise.search.policy.Policy` of yours.
        seeds: how many times each confirmed candidate is trained, or the seeds.
        batch_size: rows of a batch where a candidate does not say.
        metric: ``"accuracy"`` or ``(function, "min" | "max")``, the function giving a number per row; None: the loss.
        seed: of the points that are drawn from the space.
        workers: stacks that train side by side, in processes where that pays; with 1 all stays in this one.
        watch: is told how far the race is, see :class:`lanewise.training.race.Pulse`.
        home: folder of a run store, such as ``".lanewise"``, where the race is recorded and leaves checkpoints; None:
            nothing is stored.
        name: of the stored run. The same call again goes on with a run of that name that was stopped or killed, and
            ends in the same bits.

    Returns:
        the trained module and the settings that won, see :class:`TuneResult`.

    Raises:
        UsageError: a setting, the module, the loss or the budget cannot be used.
        DataError: train or valid cannot be used, or are not those that the run of that name began with.
        TrainingError: every candidate diverged.
        Interrupted: Ctrl-C or SIGTERM, where the race is stored; what it had is kept.

    >>> import torch
    >>> X = torch.randn(96, 3, generator=torch.Generator().manual_seed(0))
    >>> y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    >>> rates = [{"optimizer": "sgd", "lr": lr} for lr in (1e-4, 1e-3, 1e-1)]
    >>> found = tune(
    ...     lambda: torch.nn.Linear(3, 1), train=(X[:64], y[:64]), valid=(X[64:], y[64:]),
    ...     loss=torch.nn.MSELoss(), candidates=rates, budget="60steps",
    ... )
    >>> found.settings["lr"]
    0.1
    """
    posed = pose(
        make_model,
        train=train,
        valid=valid,
        loss=loss,
        budget=budget,
        candidates=candidates,
        space=space,
        search=search,
        where=where,
        policy=policy,
        seeds=seeds,
        batch_size=batch_size,
        metric=metric,
        seed=seed,
        workers=workers,
    )
    if home is not None:
        return stored(
            partial(race, posed, watch),
            home=Path(home),
            name=name,
            settings=posed.settings,
            fingerprint=posed.fingerprint,
        )
    if name is not None:
        message = f"name={name!r} is that of a stored run; give home too, the folder to store it in"
        raise UsageError(message)
    return race(posed, watch, Keeping())


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """A question that can be raced: all that was given, checked, and the candidates."""

    blueprint: Blueprint
    data: TrainingData
    loss: Callable[[Tensor, Tensor], Tensor]
    judge: Judge
    wanted: Wanted

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a stored race must find again to go on."""
        return fingerprint(self.blueprint, self.data, self.loss, seed=self.wanted.seeds[0])

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it is no data: another answer to any of these is another race."""
        own = self.wanted
        return {
            "model": own.candidates[0].model,
            "metric": self.judge.metric.name,
            "policy": policy_name(own.policy),
            "seeds": list(own.seeds),
            "steps": own.steps,
            "seconds": own.seconds,
            "candidates": sha256_of([asdict(candidate) for candidate in own.candidates]),
        }


def pose(
    make_model: Callable[[], nn.Module],
    *,
    train: tuple[Any, Any],
    valid: tuple[Any, Any],
    loss: Callable[[Tensor, Tensor], Tensor],
    budget: str = "60s",
    candidates: int | Sequence[Mapping[str, Any]] | None = None,
    space: Mapping[str, Any] | None = None,
    search: Sampling = "sobol",
    where: Where | None = None,
    policy: str | Policy = "halving",
    seeds: int | Sequence[int] = 1,
    batch_size: int | None = None,
    metric: Metric | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Posed:
    """Check what :func:`tune` is given, and propose candidates; raises as it does, before anything is trained."""
    judge = judge_of(metric)
    data = training_data(train, valid)
    entrants = _entrants(
        make_model,
        len(data.folds[0].train),
        candidates=candidates,
        space=space,
        search=search,
        where=where,
        batch_size=batch_size,
        seed=seed,
    )
    wanted = _wanted(entrants, policy=policy, seeds=seeds, workers=workers, budget=budget)
    first = batch_of(entrants[0])
    blueprint = Blueprint.of(make_model, data.folds[0].dense[:first])
    data = fitted_to(data, blueprint.dtype)
    check_first_batch(blueprint, data, loss, judge, batch_size=first)
    return Posed(blueprint=blueprint, data=data, loss=loss, judge=judge, wanted=wanted)


def race(posed: Posed, watch: Callable[[Pulse], None] | None, keeping: Keeping) -> TuneResult:
    """Plan, unless there is a plan, and race by it."""
    teams = teams_of(posed, stop=keeping.stop)
    if keeping.plan_file is not None and keeping.plan_file.exists():
        plan, ways = read_plan(keeping.plan_file)
    else:
        ways = {batch: choose_way(teams, batch) for batch in dict.fromkeys(map(batch_of, posed.wanted.candidates))}
        plan = plan_race(posed.wanted, replace(teams, ways=ways))
        if keeping.plan_file is not None:
            write_plan(keeping.plan_file, plan, ways)
    teams = replace(teams, ways=ways, lengths=plan.lengths, workers=plan.workers)
    # Copies are made between lanes of one process.
    with nullcontext(teams) if posed.wanted.policy.copies else seated(teams, plan) as placed:
        return _run(posed, plan, placed, watch, keeping)


def teams_of(posed: Posed, *, stop: Callable[[], bool] = never) -> ModuleTeams:
    """Forms the lanes of the question; how long they are and how they are run is yet to be planned."""
    return ModuleTeams(
        blueprint=posed.blueprint,
        data=posed.data,
        loss=posed.loss,
        score=posed.judge.score,
        lengths=Lengths(rows_seen=1),
        ways={},
        workers=posed.wanted.workers,
        stop=stop,
    )


def _entrants(
    make_model: Callable[[], nn.Module],
    rows: int,
    *,
    candidates: int | Sequence[Mapping[str, Any]] | None,
    space: Mapping[str, Any] | None,
    search: Sampling,
    where: Where | None,
    batch_size: int | None,
    seed: int,
) -> tuple[Candidate, ...]:
    if not callable(make_model) or isinstance(make_model, nn.Module):
        message = (
            f"make_model must be a function that builds the module anew, got {type(make_model).__name__}; "
            "give lambda: MyModel() or the class itself"
        )
        raise UsageError(message)
    if batch_size is not None and batch_size < 1:
        message = f"batch_size must be at least 1, got {batch_size}"
        raise UsageError(message)
    # Some 40 batches in an epoch, a power of two.
    usual = batch_size or int(min(128, max(16, 2 ** round(np.log2(max(rows, 1) / 40)))))
    name = str(getattr(make_model, "__name__", "module")).strip("<>")
    model = "module" if name == "lambda" else name
    if candidates is not None and not isinstance(candidates, int):
        if space is not None:
            message = "give either a list of candidates or a space to draw them from, not both"
            raise UsageError(message)
        if search != "sobol" or where is not None:
            message = "search and where are for candidates that are drawn; a list of candidates is raced as it is"
            raise UsageError(message)
        return tuple(listed(list(candidates), model=model, batch_size=usual))
    if candidates is not None and candidates < 1:
        message = f"candidates must be at least 1, got {candidates}"
        raise UsageError(message)
    if search not in SAMPLINGS:
        message = f"search must be one of {', '.join(SAMPLINGS)}, got {search!r}"
        raise UsageError(message)
    return tuple(drawn(space or {}, candidates, model=model, batch_size=usual, seed=seed, sampling=search, where=where))


def _wanted(
    entrants: tuple[Candidate, ...],
    *,
    policy: str | Policy,
    seeds: int | Sequence[int],
    workers: int | None,
    budget: str,
) -> Wanted:
    own = tuple(range(seeds)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    if not own or min(own) < 0:
        message = f"seeds must be a count of at least 1, or seeds that are not negative, got {seeds!r}"
        raise UsageError(message)
    seconds, steps = parse_budget(budget)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(cores, MOST_WORKERS) if workers is None else workers
    if threads < 1:
        message = f"workers must be at least 1, got {workers}"
        raise UsageError(message)
    return Wanted(
        candidates=entrants, policy=policy_of(policy), seeds=own, workers=threads, steps=steps, seconds=seconds
    )


def _run(
    posed: Posed, plan: Plan, teams: ModuleTeams, watch: Callable[[Pulse], None] | None, keeping: Keeping
) -> TuneResult:
    judge, policy = posed.judge, posed.wanted.policy
    kept: dict[str, Fitted] = {}
    digests: dict[str, str] = {}

    def keep(ended: Sequence[Team]) -> None:
        for team in ended:
            lost = team.lost()
            for lane in team.lanes:
                if lane.id in lost:
                    continue
                fitted = team.export(lane.id)
                digests[lane.id] = digest(fitted.tensors or {})
                if lane.seed == plan.seeds[0]:
                    kept[lane.candidate.id] = fitted

    own = Race(
        plan=plan,
        builder=teams,
        policy=policy,
        metric=judge.metric,
        y=np.zeros(teams.data.rows),
        weight=None,
        watch=watch or (lambda pulse: None),
        journal=keeping.journal,
        ended=keep,
    )
    with keeping.stop.polled():
        result = own.run()
    valid = teams.data.folds[0].valid.numpy()
    selection = _selected(plan, result, judge, valid)
    won = next(item.candidate for item in result.confirmed if item.candidate.id == selection.winner)
    tensors = kept[won.id].tensors
    assert tensors is not None
    words = (*_words(plan, selection, won, judge), *result.rungs)
    warnings = tuple(dict.fromkeys(teams.notes))
    document = document_of(
        plan=plan,
        result=result,
        selection=selection,
        metric=judge.metric,
        valid=valid,
        train_rows=len(teams.data.folds[0].train),
        words=words,
        warnings=warnings,
        digests=digests,
    )
    return TuneResult(
        model=StackedModule(teams.blueprint).solo(tensors).eval(),
        winner=won,
        selection=selection,
        plan=plan,
        race=result,
        batch_size=batch_of(won),
        words=words,
        warnings=warnings,
        document=document,
    )


def _selected(plan: Plan, result: Result, judge: Judge, valid: np.ndarray) -> Selection:
    contenders = [
        Contender(
            id=item.candidate.id,
            prediction=item.predictions[valid, 0],
            cost=plan.costs.get(item.candidate.id, float(plan.lengths.steps(batch_of(item.candidate)))),
            is_default=item.candidate.is_default,
        )
        for item in result.confirmed
    ]
    return select(contenders, y=np.zeros(len(valid)), metric=judge.metric, seed=0)


def _words(plan: Plan, selection: Selection, won: Candidate, judge: Judge) -> tuple[str, ...]:
    standing = selection.standing(won.id)
    settings = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in won.settings.items()
    )
    repairs = [
        f"it {event.cause} and was set back; its rate is {steady_rate(won):.3g} since then, and is handed over so"
        for event in [event for event in won.events if event.rewinds][-1:]
    ]
    return (
        f"{won.optimizer} wins with a validation {judge.metric.name} of {standing.score:.4g}",
        settings,
        *repairs,
        *_copies(won),
        *selection.reasons,
        *plan.words,
    )


def _copies(won: Candidate) -> list[str]:
    """How the winner came about, if copies of better lanes took the place of others."""
    found = [
        f"at {event.fraction:.0%} the rate times {event.rate_factor:g}" for event in won.events if not event.rewinds
    ]
    return [f"its rate was changed on the way: {', '.join(found)}; its schedule repeats that"] if found else []
