"""``lanewise.tune``: candidates for training a user's own module, raced as lanes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lanewise.distributed.joining import joined_for_good
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import Interrupted, UsageError
from lanewise.explain import usage
from lanewise.lanes.candidate import Candidate
from lanewise.models.compiled import eagerly
from lanewise.models.groups import Groups
from lanewise.runs.stage_times import StageTimes
from lanewise.search.bayesian import Search
from lanewise.search.policy import Policy
from lanewise.search.registry import policy_of
from lanewise.settings.budget import parse_budget
from lanewise.settings.fit import Payload
from lanewise.training.device import device_here
from lanewise.training.modules.teams import form_of
from lanewise.training.ranks.crew import mesh_of
from lanewise.training.ranks.planning import workers_here
from lanewise.training.stopping import stop_on_signals
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.averaging import check_undivided
from lanewise.tuning.checking import judge_of
from lanewise.tuning.inputs.rows import Rows
from lanewise.tuning.model_settings import ModelArguments
from lanewise.tuning.planning import Wanted
from lanewise.tuning.posed import Posed
from lanewise.tuning.posing import Question, grown, pose
from lanewise.tuning.precision import Precision, check_casts
from lanewise.tuning.proposing import Where
from lanewise.tuning.racing import race
from lanewise.tuning.result import TuneResult
from lanewise.tuning.stated import check_parted, check_stated, seeds_of
from lanewise.tuning.storing import Keeping, stored, told

Metric = str | tuple[Callable[[Tensor, Tensor], Tensor], Literal["min", "max"]]


def tune(
    make_model: Callable[..., nn.Module],
    *,
    train: Any,
    valid: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    groups: Groups | None = None,
    folds: int | None = None,
    early_stopping: bool = False,
    budget: str = "60s",
    candidates: int | Sequence[Mapping[str, Any]] | None = None,
    space: Mapping[str, Any] | None = None,
    search: Search = "sobol",
    where: Where | None = None,
    policy: str | Policy = "halving",
    seeds: int | Sequence[int] = 1,
    batch_size: int | None = None,
    metric: Metric | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str | torch.device = "auto",
    full_length: int | None = None,
    mesh: str | None = None,
    payload: Payload = "full",
    precision: Precision = "float32",
    watch: Callable[[Pulse], None] | None = None,
    home: str | Path | None = None,
    name: str | None = None,
) -> TuneResult:
    """Race optimizers, learning rates, schedules and batch sizes for a module, and keep what trains it best.

    Every candidate trains the same module from the same start on the same batches, as a lane of stacked runs.
    The winner has the best score on the validation rows; one that is not better than the default by more than one
    paired standard error loses to it, and of equals the one with fewer steps wins.

    Args:
        make_model: builds the module, on the CPU; called under ``torch.manual_seed(seed)``. Arguments that it takes by
            name are settings: of the candidates, or drawn from the space.
        train: ``X [N, ...]`` and ``y [N, ...]``, tensors or arrays; a batch of X is what the module is called with, by
            name where X is a dict and by place where it is a tuple. Or a torch ``Dataset``, a ``DataLoader``, or an
            iterable of batches. For a step X alone will do.
        valid: as ``train``, or the share of train to hold out; decides the race, so a fair score of the winner needs
            rows that are in neither.
        loss: ``(outputs, targets)`` to the mean over rows, or to one loss per row ``[B]``.
        step: instead of the loss, a training step of your own: ``(model, batch)`` to such a loss.
        groups: a function of the module to groups of its parameters, ``[{"params": module.body.parameters(),
            "lr_factor": 0.1}, {"params": norms, "weight_decay_factor": 0.0}]``, for which the rate and the weight decay
            of every candidate are multiplied so. Of parameters in no group they are as the candidate says.
        folds: instead of ``valid``, into how many folds train is parted; every row is judged by models without it, and
            the winner is trained once more on all.
        early_stopping: whether each candidate is judged after that tenth of its steps where it was best, instead of
            after all. No row chooses where it is judged itself: for each fifth of the validation rows the others do.
            The winner is then trained once more up to there. With folds it is always so, fold by fold.
        budget: steps of each training, such as ``"300steps"``, which depends on no clock; or the time for all, such
            as ``"60s"``.
        candidates: a list of settings, ``[{"optimizer": "adamw", "lr": 1e-3, "schedule": "cosine"}, ...]``, the
            first being the default; or how many to draw from the space. None: 16, or of Sobol and random points, where
            a budget in seconds has no room for so many, as many as it has room for, four at least.
        space: what to draw from, ``{"optimizer": ["adamw", "sgd"], "lr": (1e-4, 1e-1), "batch_size": [32, 64]}``;
            what it does not name is varied as the optimizer's rule declares. See :mod:`lanewise.tuning.space` for
            priors and conditions. The default of each optimizer is always in the race.
        search: how points are drawn: ``"sobol"`` covers the space evenly, ``"random"`` does not, ``"grid"`` has every
            combination of what the space names, arguments of make_model included. ``"bayesian"`` begins with a third of
            them evenly and proposes the others in three batches, where those before did well at the first look of the
            policy (needs Optuna).
        where: a function of all settings, those of make_model too, that is true where they may be raced.
        policy: who is dropped on the way: ``"halving"``, ``"hyperband"``, ``"racing"``, ``"population"`` (copies of
            the best take the place of the worst), ``"genetic"`` (children of two do), ``"never"`` anybody, or an
            instance of a :class:`lanewise.search.policy.Policy` of yours.
        seeds: how many times each confirmed candidate is trained, or the seeds.
        batch_size: rows of a batch where a candidate does not say; None: that of a loader, else 16 to 128 by how many
            rows train.
        metric: what decides: the name of a metric, such as ``"accuracy"``, ``"roc_auc"``, ``"f1"`` or ``"r2"``, or
            ``(function, "min" | "max")``, the function giving a number per row; None: the loss.
        seed: of the points that are drawn from the space.
        workers: stacks that train side by side, in processes where that pays; with 1 all stays in this one. None: as
            many as there are cores, at most 8.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"`` is the processor. On a GPU all stacks train in this
            process, one after another, and under torchrun those of each rank on its own; the rows may lie there
            already. The module that comes back is on the CPU.
        full_length: steps of the training that the race is about, at the default's batch size. The result warns where
            the race is shorter by half, and says how late its order still moved.
        mesh: under torchrun, how its ranks share the work: ``"lane=2,data=2"``; None: each trains lanes of its own;
            ``"auto"``: what ends the race sooner by what is measured. See ``docs/ranks.md``.
        payload: what gradients travel as between ranks that share batches: as they are, or ``"bfloat16"``, half as
            many bytes; ``document["hardware"]["payload_error"]`` says what that does to them.
        precision: of the products in training: ``"float32"`` as the weights are, ``"bfloat16"`` or, on a GPU,
            ``"float16"`` by ``torch.autocast``, weights and optimizer state staying float32; float16 with a loss scale
            for each lane. ``"auto"`` is bfloat16 where a step was measured to be clearly faster in it. Lanes are judged
            in float32.
        watch: is told how far the race is, see :class:`lanewise.training.race.Pulse`.
        home: folder of a run store, such as ``".lanewise"``, where the race is recorded and leaves checkpoints; None:
            nothing is stored.
        name: of the stored run. The same call again goes on with a run of that name that was stopped or killed, and
            ends in the same bits.

    Returns:
        the trained module and the settings that won, see :class:`TuneResult`.

    Raises:
        UsageError: a setting, the module, the loss or the budget cannot be used.
        DataError: train or valid cannot be used.
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
    if name is not None and home is None:
        message = f"name={name!r} is that of a stored run; give home too, the folder to store it in"
        raise UsageError(message)
    with joined_for_good() as ranks:
        posed = asked(
            make_model,
            train=train,
            valid=valid,
            loss=loss,
            step=step,
            groups=groups,
            folds=folds,
            early_stopping=early_stopping,
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
            device=device,
            full_length=full_length,
            mesh=mesh,
            payload=payload,
            precision=precision,
            ranks=ranks,
        )
        posed.agree(ranks, name=name)
        if home is None:
            return told(_raced(posed, watch, ranks), ranks)
        return stored(
            partial(race, posed, watch),
            home=Path(home),
            name=name,
            settings=posed.settings,
            fingerprint=posed.fingerprint,
            ranks=ranks,
        )


def _raced(posed: Posed, watch: Callable[[Pulse], None] | None, ranks: Ranks) -> TuneResult:
    """A race that is kept nowhere: Ctrl-C ends it at the next step, as it ends anything in Python."""
    with stop_on_signals() as stop:
        try:
            return race(posed, watch, Keeping(ranks=ranks, stop=stop))
        except Interrupted:
            raise KeyboardInterrupt from None


@eagerly()
def asked(
    make_model: Callable[..., nn.Module],
    *,
    train: Any,
    valid: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    step: Callable[[nn.Module, Any], Tensor] | None = None,
    groups: Groups | None = None,
    folds: int | None = None,
    early_stopping: bool = False,
    budget: str = "60s",
    candidates: int | Sequence[Mapping[str, Any]] | None = None,
    space: Mapping[str, Any] | None = None,
    search: Search = "sobol",
    where: Where | None = None,
    policy: str | Policy = "halving",
    seeds: int | Sequence[int] = 1,
    batch_size: int | None = None,
    metric: Metric | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str | torch.device = "auto",
    full_length: int | None = None,
    mesh: str | None = None,
    payload: Payload = "full",
    precision: Precision = "float32",
    ranks: Ranks | None = None,
) -> Posed:
    """Check what :func:`tune` is given, and propose candidates; raises as it does, before anything is trained.

    ``ranks`` are those that will race; None: this process alone.
    """
    ranks = ranks or Lone()
    before = usage()
    times = StageTimes(before.seconds)
    entry = check_stated(
        make_model,
        candidates=candidates,
        space=space,
        search=search,
        where=where,
        loss=loss,
        step=step,
        groups=groups,
        folds=folds,
        early_stopping=early_stopping,
        metric=metric,
        budget=budget,
        policy=policy,
        seeds=seeds,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        device=device,
        full_length=full_length,
        mesh=mesh,
        payload=payload,
        precision=precision,
        ranks=ranks.size,
    )
    where_to = device_here(device, ranks.place)
    rows = Rows.of(train, valid, folds=folds, device=where_to)
    judge = judge_of(metric, loss, several=len(seeds_of(seeds)) > 1)
    question = Question(rows=rows, loss=loss, step=step, judge=judge, groups=groups)
    if early_stopping and not rows.parting.folds:
        check_parted(len(rows.judged))
    own_size = rows.train.batch_size if batch_size is None else batch_size
    entrants, searching = entry.entrants(len(rows.parting.parts[0][0]), batch_size=own_size)
    together = _workers(workers, mesh, ranks)
    check_undivided(entrants, space, shared_by=mesh_of(mesh, ranks.size).data)
    wanted = _wanted(entrants, policy=policy, seeds=seeds, workers=together, budget=budget)
    proposed = 0 if searching is None else searching.count - len(entrants)
    alone = where_to.type != "cpu"  # on a GPU stacks would only wait for each other
    workers = mesh_of(mesh, ranks.size).lane if alone else wanted.workers
    fewest = entry.fewest(entrants)
    wanted = replace(
        wanted,
        folds=len(rows.parting.parts),
        workers=workers,
        proposed=proposed,
        fewest=fewest,
        early=early_stopping and not rows.parting.folds,
    )
    arguments = ModelArguments.of(make_model)
    names = arguments.names
    teams, words = pose(make_model, question, entrants, arguments=names, workers=workers, device=where_to)
    words = (*_fewer(candidates, len(entrants) + proposed), *words)
    check_casts(precision, teams)
    home = form_of(entrants[0], names)
    return Posed(
        question=question,
        teams=teams,
        words=words,
        wanted=wanted,
        full_length=full_length,
        before=before,
        times=times,
        grow=partial(grown, make_model=make_model, question=question, home=home),
        space=searching,
        mesh=mesh,
        payload=payload,
        precision=precision,
        where=arguments.seen_by(where),
    )


def _fewer(asked_for: object, there_are: int) -> tuple[str, ...]:
    """That the space has fewer different candidates than were asked for.

    >>> _fewer(9, 3)
    ('the space has 3 different candidates, fewer than the 9 that were asked for',)
    """
    if not isinstance(asked_for, int) or there_are >= asked_for:
        return ()
    return (f"the space has {there_are} different candidates, fewer than the {asked_for} that were asked for",)


def _wanted(
    entrants: tuple[Candidate, ...],
    *,
    policy: str | Policy,
    seeds: int | Sequence[int],
    workers: int,
    budget: str,
) -> Wanted:
    seconds, steps = parse_budget(budget)
    return Wanted(
        candidates=entrants,
        policy=policy_of(policy),
        seeds=seeds_of(seeds),
        workers=workers,
        steps=steps,
        seconds=seconds,
    )


def _workers(stated: int | None, mesh: str | None, ranks: Ranks) -> int:
    """Workers of all ranks together; those that share batches train one stack at a time."""
    degrees = mesh_of(mesh, ranks.size)
    return degrees.lane * (1 if degrees.data > 1 else workers_here(stated, ranks))
