"""Whether the winner has learned anything: beside the module without training, and beside one answer for all rows."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lanewise.formatting.figures import four_digits
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.solvers.lbfgs import LBFGS
from lanewise.training.data import FoldData
from lanewise.training.modules.subject import FUNCTIONS, UserLoss, each_element
from lanewise.training.modules.teams import ALONE, ModuleTeams, batch_of
from lanewise.tuning.checking import Judge

SAMPLE, FEWEST = 1024, 64
"""Training rows, evenly taken, that the one answer is fitted to, at most and at least."""

ELEMENTS = 2**20
"""Outputs of these rows together: where the fewest rows have more nobody is compared, for time and memory."""

SEARCH = LBFGS(max_iterations=50, max_evaluations=100, value_tolerance=1e-7, tolerance=0.0)
"""Ends by what a step gains, relative to the loss at the start: a gradient has the units of the targets."""

LEAST = 1e-4
"""A gain that is less than this share of the score is none, however sure: steps of any size give one."""

REMEDY = "look at the rates, and whether the inputs tell anything of the targets"


def hopeless(
    winner: Candidate,
    predictions: np.ndarray,
    y: np.ndarray,
    teams: ModuleTeams,
    judge: Judge,
    *,
    seed: int,
    longer: bool = True,
) -> list[str]:
    """A warning where the winner is not clearly better than what has learned nothing; empty where it is.

    ``predictions [N, K]`` are what it is judged by, against ``y [N]``; clearly better is by more than the paired 95%
    interval. It is compared with the module as ``make_model`` gives it and, where the loss is one of torch's own whose
    outputs may be any numbers, with the outputs that are best for all training rows alike. ``longer`` says whether more
    training may help: it does not where less was better.
    """
    own, start, alike = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for fold, data in teams.data.folds.items():
        raw, rows = _untrained(winner, teams, fold, seed)
        own.append(data.valid.cpu().numpy())
        start.append(rows)
        if _bounded(teams) and 0 < FEWEST * raw.shape[1:].numel() <= ELEMENTS:
            alike.append(_same_for_all(raw, data, teams.loss, judge))
    held = np.concatenate(own)
    scores, y = predictions[held], y[held]
    remedy = f"train longer, {REMEDY}" if longer else REMEDY
    for others, what in ((start, "the module without training"), (alike, "the best outputs that are the same for all")):
        if others and not _clearly_better(scores, np.concatenate(others), y, judge):
            than = f"the {four_digits(judge.value(y, np.concatenate(others)))} of {what}"
            own_score = f"the winner's {judge.metric.name} of {four_digits(judge.value(y, scores))}"
            return [f"little was learned: {own_score} is not clearly better than {than}; {remedy}"]
    return []


def _clearly_better(scores: np.ndarray, others: np.ndarray, y: np.ndarray, judge: Judge) -> bool:
    """Whether the scores ``[n, K]`` are, or nobody can tell."""
    if not (np.isfinite(scores).all() and np.isfinite(others).all()):
        return True
    lead, least = judge.lead(y, scores, others), LEAST * abs(judge.value(y, others))
    return not (lead.mean <= least or lead.low <= 0)


def _untrained(winner: Candidate, teams: ModuleTeams, fold: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """Outputs ``[n, ...]`` of the untrained module for the validation rows of a fold, and ``[n, K]`` as judged."""
    plain = {"lr": 0.0, "schedule": "constant", "batch_size": batch_of(winner)}
    lane = Lane(candidate=replace(winner, optimizer="sgd", settings=plain, events=()), fold=fold, seed=seed)
    way = replace(ALONE, loss_looped=teams.ways[batch_of(winner)].loss_looped)
    stack = replace(teams, axis=None).stack([lane], way, length=1)
    (raw,) = stack.outputs(lambda own: teams.data.folds[own].valid)
    return raw, stack.subject.judged(fold, raw)


def _bounded(teams: ModuleTeams) -> bool:
    """Whether the loss is one of torch's own that has a least value over all outputs."""
    functions, kinds = zip(*FUNCTIONS, strict=True)
    loss = teams.loss
    return not teams.blueprint.whole and (type(loss) in kinds or any(loss is own for own in functions))


def _same_for_all(raw: Tensor, data: FoldData, loss: Callable[[Tensor, Tensor], Tensor], judge: Judge) -> np.ndarray:
    """What the validation rows are judged by ``[n, K]`` for outputs that fit a sample of the training rows best."""
    form = raw.shape[1:]
    some = data.train[:: -(-len(data.train) // min(SAMPLE, ELEMENTS // form.numel()))]
    targets = data.targets(some)

    def value(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        answer = points[0].to(raw).view(form).requires_grad_()
        mean = loss(answer.expand(len(some), *form), targets).mean()
        (gradient,) = torch.autograd.grad(mean, [answer])
        return mean.detach().double().cpu()[None] / size, gradient.flatten().double().cpu()[None] / size

    start = torch.zeros(1, form.numel(), dtype=torch.float64)
    if targets.is_floating_point() and targets.shape[1:] == form:
        start = targets.double().mean(0).flatten().cpu()[None]
    size = 1.0  # for the first value, which is that of all others
    size = float(value(start, start)[0]) or 1.0
    # SciPy's, or the first optimizer of torch.optim, would take a third of a second, or seconds, to load.
    state = SEARCH.init(start, value)
    while not SEARCH.progress(state).finished:
        SEARCH.step(state, value)
    answer = SEARCH.progress(state).points[0].to(raw).view(form)
    outputs, wanted = answer.expand(raw.shape), data.targets(data.valid)
    with torch.no_grad():
        score = judge.score or UserLoss(loss, looped=True, each=each_element(loss)).rows
        return score(outputs, wanted).double().cpu().numpy().reshape(len(raw), -1)
