"""``lanewise.tune``: candidates for training a user's own module, raced as lanes."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.explain import Usage, spent, usage
from lanewise.lanes.candidate import Candidate
from lanewise.search.policy import Policy
from lanewise.search.registry import policy_of
from lanewise.search.sampling import SAMPLINGS, Sampling
from lanewise.selection import Contender, Selection, select
from lanewise.settings import parse_budget
from lanewise.training.fitted import Fitted
from lanewise.training.module_seats import seated
from lanewise.training.module_teams import ModuleTeams, batch_of, form_of
from lanewise.training.plan import Plan
from lanewise.training.race import Pulse, Race, Result
from lanewise.training.refit import refit
from lanewise.training.team import Team
from lanewise.tuning.checking import Judge, judge_of
from lanewise.tuning.document import document_of
from lanewise.tuning.drop_ins import steady_rate
from lanewise.tuning.model_settings import ModelArguments
from lanewise.tuning.planning import Wanted, plan_race
from lanewise.tuning.posing import Question, handed_over, on_all_rows, pose, with_ways
from lanewise.tuning.proposing import Where, drawn, listed
from lanewise.tuning.result import TuneResult
from lanewise.tuning.rows import Rows
from lanewise.tuning.story import told

MOST_WORKERS = 8

Metric = Literal["accuracy"] | tuple[Callable[[Tensor, Tensor], Tensor], Literal["min", "max"]]


def tune(
    make_model: Callable[..., nn.Module],
    *,
    train: Any,
    valid: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    folds: int | None = None,
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
    full_length: int | None = None,
    watch: Callable[[Pulse], None] | None = None,
) -> TuneResult:
    """Race optimizers, learning rates, schedules and batch sizes for a module, and keep what trains it best.

    Every candidate trains the same module from the same start on the same batches, as a lane of stacked runs.
    The winner has the best mean over the validation rows; one that is not better than the default by more than one
    paired standard error loses to it, and of equals the one with fewer steps wins.

    Args:
        make_model: builds the module, on the CPU; called under ``torch.manual_seed(seed)``. Arguments that it takes by
            name are settings: of the candidates, or drawn from the space.
        train: ``X [N, ...]`` and ``y [N, ...]``, tensors or arrays; a batch of X is what the module is called with, by
            name where X is a dict and by place where it is a tuple. Or a torch ``Dataset``, a ``DataLoader``, or an
            iterable of batches.
        valid: as ``train``, or the share of train to hold out; decides the race, so a fair score of the winner needs
            rows that are in neither.
        loss: ``(outputs, targets)`` to the mean over rows, or to one loss per row ``[B, ...]``.
        step: instead of the loss, a training step of your own: ``(model, batch)`` to such a loss.
        folds: instead of ``valid``, into how many folds train is parted; every row is judged by models without it, and
            the winner is trained once more on all.
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
        full_length: steps of the training that the race is about, at the default's batch size. The result warns where
            the race is shorter by half, and says how late its order still moved.
        watch: is told how far the race is, see :class:`lanewise.training.race.Pulse`.

    Returns:
        the trained module and the settings that won, see :class:`TuneResult`.

    Raises:
        UsageError: a setting, the module, the loss or the budget cannot be used.
        DataError: train or valid cannot be used.
        TrainingError: every candidate diverged.

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

    A network whose width is searched, a step of one's own, and folds instead of validation rows:

    >>> def network(width=2):
    ...     return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    >>> found = tune(
    ...     network, train=(X, y), folds=2, step=lambda model, batch: (model(batch[0]) - batch[1]).pow(2),
    ...     candidates=[{"lr": 1e-4}, {"lr": 0.05, "width": 8}], budget="40steps",
    ... )
    >>> found.arguments
    {'width': 8}
    """
    before = usage()
    if full_length is not None and full_length < 1:
        message = f"full_length must be at least 1 step, got {full_length}"
        raise UsageError(message)
    judge = judge_of(metric)
    rows = Rows.of(train, valid, folds=folds)
    question = Question(rows=rows, loss=loss, step=step, judge=judge)
    _check_make(make_model)
    arguments = ModelArguments.of(make_model)
    entrants = _entrants(
        make_model,
        arguments,
        len(rows.parting.parts[0][0]),
        candidates=candidates,
        space=space,
        search=search,
        where=where,
        batch_size=rows.train.batch_size if batch_size is None else batch_size,
        seed=seed,
    )
    wanted = _wanted(entrants, policy=policy, seeds=seeds, workers=workers, budget=budget)
    wanted = replace(wanted, folds=len(rows.parting.parts))
    teams, words = pose(make_model, question, entrants, arguments=arguments.names, workers=wanted.workers)
    teams = with_ways(teams, question, entrants)
    plan = plan_race(wanted, teams)
    plan = replace(plan, words=(*plan.words, *rows.words, *words))
    lengthened = replace(teams, lengths=plan.lengths)
    # Copies are made between lanes of one process.
    with nullcontext(lengthened) if wanted.policy.copies else seated(lengthened, plan) as placed:
        return _run(
            plan, placed, rows, judge, policy=wanted.policy, watch=watch, before=before, full_length=full_length
        )


def _check_make(make_model: object) -> None:
    if not callable(make_model) or isinstance(make_model, nn.Module):
        message = (
            f"make_model must be a function that builds the module anew, got {type(make_model).__name__}; "
            "give lambda: MyModel() or the class itself"
        )
        raise UsageError(message)


def _entrants(
    make_model: Callable[..., nn.Module],
    arguments: ModelArguments,
    rows: int,
    *,
    candidates: int | Sequence[Mapping[str, Any]] | None,
    space: Mapping[str, Any] | None,
    search: Sampling,
    where: Where | None,
    batch_size: int | None,
    seed: int,
) -> tuple[Candidate, ...]:
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
        training, own = _parted(candidates, arguments)
        return arguments.added(listed(training, model=model, batch_size=usual), own)
    if candidates is not None and candidates < 1:
        message = f"candidates must be at least 1, got {candidates}"
        raise UsageError(message)
    if search not in SAMPLINGS:
        message = f"search must be one of {', '.join(SAMPLINGS)}, got {search!r}"
        raise UsageError(message)
    training, own = arguments.parted(space or {})
    if own and search == "grid":
        message = (
            f"a grid has settings of the training only, and {', '.join(own)} are make_model's; list the candidates"
        )
        raise UsageError(message)
    found = drawn(training, candidates, model=model, batch_size=usual, seed=seed, sampling=search, where=where)
    return arguments.added(found, arguments.drawn(own, found, seed=seed))


def _parted(
    candidates: Sequence[Mapping[str, Any]], arguments: ModelArguments
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """What the candidates say of the training, and of the model."""
    pairs = [arguments.parted(candidate) for candidate in candidates]
    return [training for training, _ in pairs], [own for _, own in pairs]


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
    plan: Plan,
    teams: ModuleTeams,
    rows: Rows,
    judge: Judge,
    *,
    policy: Policy,
    watch: Callable[[Pulse], None] | None,
    before: Usage,
    full_length: int | None,
) -> TuneResult:
    kept: dict[str, Fitted] = {}

    def keep(ended: Sequence[Team]) -> None:
        for team in ended:
            lost = team.lost()
            for lane in team.lanes:
                if lane.seed == plan.seeds[0] and lane.id not in lost:
                    kept[lane.candidate.id] = team.export(lane.id)

    race = Race(
        plan=plan,
        builder=teams,
        policy=policy,
        metric=judge.metric,
        y=np.zeros(teams.data.rows),
        weight=None,
        watch=watch or (lambda pulse: None),
        ended=keep,
    )
    result = race.run()
    valid = rows.judged.numpy()
    selection = _selected(plan, result, judge, valid)
    won = next(item.candidate for item in result.confirmed if item.candidate.id == selection.winner)
    own = _refitted(race, teams, rows, won, result) if rows.parting.folds else kept[won.id]
    assert own.tensors is not None
    words = (*_words(plan, selection, won, judge), *result.rungs, *_until(own, rows))
    document = document_of(
        plan=plan,
        result=result,
        selection=selection,
        metric=judge.metric,
        valid=valid,
        train_rows=rows.count - len(valid) * (not rows.parting.folds),
        words=words,
    )
    document = told(
        document,
        plan=plan,
        result=result,
        selection=selection,
        metric=judge.metric,
        winner=won,
        cost=spent(before, usage()),
        full_length=full_length,
    )
    return TuneResult(
        model=handed_over(teams.of(won).blueprint, own.tensors).eval(),
        winner=won,
        selection=selection,
        plan=plan,
        race=result,
        metric=judge.metric,
        batch_size=batch_of(won),
        arguments=dict(form_of(won, teams.arguments)),
        words=words,
        document=document,
    )


def _refitted(race: Race, teams: ModuleTeams, rows: Rows, won: Candidate, result: Result) -> Fitted:
    """The winner of a race over folds, trained once more on all rows, as far as was best on the rows held out."""
    plan = replace(race.plan, seeds=race.plan.seeds[:1])
    again = replace(race, plan=plan, builder=on_all_rows(teams, rows))
    confirmed = next(item for item in result.confirmed if item.candidate.id == won.id)
    return refit(again, [confirmed], needed=[won.id])[won.id].members[0]


def _until(own: Fitted, rows: Rows) -> tuple[str, ...]:
    if not rows.parting.folds:
        return ()
    early = f", up to {own.stop:.0%} of the steps, where the rows held out were judged best" if own.stop < 1 else ""
    return (f"the model is the winner trained once more on all {rows.count:,} rows{early}",)


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
