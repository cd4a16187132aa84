"""What a user hands to :func:`lanewise.tune`, checked before anything is trained."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lanewise.errors import UsageError, first_line
from lanewise.metrics import Metric, over_trainings
from lanewise.models.batch import Tree, form_of
from lanewise.models.blueprint import Blueprint
from lanewise.models.keyed_draws import keyed_draws, other_states
from lanewise.statistics import Difference, bootstrap_difference, bootstrap_interval, paired_difference
from lanewise.task import TaskKind
from lanewise.training.judging import as_read
from lanewise.training.modules.subject import BatchLoss, UserLoss
from lanewise.training.objective import Objective, StepObjective, WholePass, checked_loss, mean_of_rows, scored
from lanewise.tuning.named_metrics import Reading, logits_of, reading_of, unknown
from lanewise.tuning.torch_losses import is_vain, misfit

PAIR = 2
AGREES = 1e-3
"""How far, relative to its size, the loss of a batch may be from the mean of the losses of its rows."""

RETURN_ROWS = "return one loss per row, as reduction='none' does where a row has one target"

GRADIENTS_AGREE = 1e-2
"""How far, relative to its largest number, the gradient of a batch may be from the mean of those of its rows."""

DRAWS = 200
"""Of the rows, for a standard error that nothing is decided by but whether a lead is worth a word."""

Score = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What decides the race: ``metric`` of what ``score (outputs, targets)`` gives; None: the mean of the loss.

    That is a number per row ``[n]``, whose mean counts; or with ``reading``, which is then the score, what a metric of
    all rows together reads. Of ``several`` trainings of a candidate their mean is.
    """

    metric: Metric
    score: Score | None
    reading: Reading | None = None
    several: bool = False

    @property
    def apart(self) -> bool:
        """Whether trainings of a candidate are scored one by one, and not the mean of what is judged."""
        return self.several and self.reading is not None

    @property
    def final(self) -> Metric:
        """The metric of all trainings of a candidate together."""
        return over_trainings(self.metric) if self.apart else self.metric

    @property
    def kind(self) -> TaskKind:
        """Whether the metric reads probabilities of classes, or numbers."""
        return self.metric.kinds[0]

    def value(self, y: np.ndarray, prediction: np.ndarray) -> float:
        """The score of ``prediction [n, K]``."""
        return float(self.final.scores(y, as_read(prediction), np.ones((1, len(y))))[0])

    def lead(self, y: np.ndarray, one: np.ndarray, other: np.ndarray) -> Difference:
        """By how much ``one [n, K]`` is better than ``other`` on the same rows, and how sure that is."""
        if self.reading is None:
            return paired_difference(self.metric.sign * other[:, 0], self.metric.sign * one[:, 0])
        return bootstrap_difference(self.final, y, as_read(one), as_read(other), seed=0)

    def error(self, y: np.ndarray, prediction: np.ndarray) -> float:
        """The standard error of the score of ``prediction``, ``[n]`` or ``[n, K]``."""
        if self.reading is not None:
            return bootstrap_interval(self.final, y, prediction, seed=0, draws=DRAWS).standard_error
        values = prediction[np.isfinite(prediction)]
        return float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def judge_of(metric: Any, loss: object = None, *, several: bool = False) -> Judge:
    """None, the name of a metric, or ``(function, "min" | "max")``; the function gives a number per row.

    Raises ``UsageError`` for anything else. The ``loss`` says whether a single output is a logit or a probability;
    ``several`` that candidates are trained with more seeds than one.
    """
    if metric is None:
        return Judge(metric=_mean("loss", "min"), score=None)
    if isinstance(metric, str):
        reading = reading_of(metric, loss)
        if reading.metric.name == "accuracy":  # of rows: they may have several targets each
            return Judge(metric=_mean("accuracy", "max"), score=accuracy)
        return Judge(metric=reading.metric, score=reading, reading=reading, several=several)
    if isinstance(metric, tuple) and len(metric) == PAIR and callable(metric[0]) and metric[1] in ("min", "max"):
        score: Any = metric[0]
        name = str(getattr(score, "__name__", type(score).__name__)).replace("<lambda>", "metric")
        return Judge(metric=_mean(name, metric[1]), score=partial(scored, score))
    raise UsageError(unknown(metric))


def accuracy(outputs: Any, targets: Tensor) -> Tensor:
    """1 where the highest output is that of the target, else 0: ``targets [n, ...]``.

    Outputs are ``[n, C, ...]``, as cross-entropy takes them, or ``[n, ..., C]``; of a dict or an object with ``logits``
    these.

    Raises ``UsageError`` for outputs that are no score of each class.
    """
    outputs = logits_of(outputs)
    for dim in (1, -1):
        if isinstance(outputs, Tensor) and outputs.dim() == targets.dim() + 1 and outputs.shape[dim] > 1:
            best = outputs.argmax(dim)
            if best.shape == targets.shape:
                return (best == targets).double()
    message = (
        f"accuracy is for a score of each class, such as outputs (16, 3) and targets (16,), got outputs "
        f"{form_of(outputs)} and targets {form_of(targets)}; of a single logit give "
        "metric=(lambda out, y: ((out > 0) == (y > 0.5)).double(), 'max')"
    )
    raise UsageError(message)


def _mean(name: str, direction: Any) -> Metric:
    return Metric(
        name=name,
        direction=direction,
        kinds=("regression",),
        words=f"mean {name} of the validation rows",
        values=_each_row,
        averages=True,
    )


def _each_row(y: NDArray[Any], prediction: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """A row's prediction is its score already. It has a name, for a result to be pickled."""
    return prediction[:, None]


def check_first_batch(
    blueprint: Blueprint, pair: tuple[Tensor, Tensor], loss: BatchLoss, judge: Judge, judging: np.ndarray
) -> tuple[str, ...]:
    """What the plan has to say of the loss of a batch X and y; ``judging [N]`` are the targets that judge, if they do.

    Raises ``UsageError`` where it or the metric is not what training and judging need.
    """
    X, y = pair
    module = blueprint.module().train()
    with keyed_draws(0, others=blueprint.draws_elsewhere):
        outputs = module(X)
    with warnings.catch_warnings(record=True, action="always") as said:
        value = _loss_of(loss, outputs, y)
        _check_trains(value)
        rows = UserLoss(loss, looped=True).rows(outputs, y)
        words = _compared(value, rows, [outputs], judges=judge.score is None, broadcast=_broadcast(outputs, y))
    for own in said:  # where something is refused they are in its message, or beside the point
        warnings.warn_explicit(own.message, own.category, own.filename, own.lineno)
    if judge.score is not None:
        with torch.no_grad():
            _check_scores(judge.score(outputs.detach(), y), judging)
    return words


def is_pure(blueprint: Blueprint, pair: tuple[Tensor, Tensor], loss: BatchLoss) -> bool:
    """Whether a loss gives the same for the same outputs and targets, and draws nothing: that is known of torch's own.

    True as well where it cannot be called, which others tell.
    """
    if getattr(loss, "__module__", type(loss).__module__).startswith("torch."):
        return True
    with keyed_draws(0, others=True):
        outputs = blueprint.module().train()(pair[0])
        first = (torch.default_generator.get_state().tolist(), other_states())
        try:
            one, other = loss(outputs, pair[1]), loss(outputs, pair[1])
        except Exception:
            return True
        drawn = first != (torch.default_generator.get_state().tolist(), other_states())
    return not drawn and (
        not isinstance(one, Tensor) or torch.allclose(one, other, rtol=1e-6, atol=0.0, equal_nan=True)
    )


def check_whole_batch(
    blueprint: Blueprint, objective: Objective, batch: Tree, judging: np.ndarray, *, judged_by_loss: bool
) -> tuple[str, ...]:
    """As :func:`check_first_batch` for whole passes; returns what the plan has to say of it."""
    whole = blueprint.module()
    assert isinstance(whole, WholePass)
    with keyed_draws(0, others=blueprint.draws_elsewhere):
        _check_trains(whole.train()(batch))
    whole.eval()
    with keyed_draws(0, others=blueprint.draws_elsewhere), torch.no_grad():
        if not judged_by_loss:
            _check_scores(whole(batch), judging)
        if isinstance(objective, StepObjective):
            if not judged_by_loss:
                return ()
            value = checked_loss(objective.loss(whole.model, batch), batch)
            return _judged_by_rows(value, objective.losses(whole.model, batch))
    with keyed_draws(0, others=blueprint.draws_elsewhere):
        state = torch.default_generator.get_state()
        value = checked_loss(objective.loss(whole.model, batch), batch)
        drawn = not torch.equal(state, torch.default_generator.get_state())
        weights = [own for own in whole.parameters() if own.requires_grad]
        return _compared(value, objective.losses(whole.model, batch), weights, judges=judged_by_loss, drawn=drawn)


def _judged_by_rows(value: Tensor, rows: Tensor) -> tuple[str, ...]:
    whole, apart = float(value.mean()), float(rows.mean())
    if not bool(torch.isfinite(rows).all()) or (whole and not bool(rows.any())):
        message = (
            f"step gives {whole:.6g} for a batch, but its rows one by one have a loss of {apart:.6g}, by which they "
            "cannot be judged; return one loss per row, or give metric=(function, 'min' or 'max')"
        )
        raise UsageError(message)
    if abs(whole - apart) > AGREES * max(abs(whole), AGREES):
        return (
            f"step gives {whole:.4g} for the first batch, by which lanes are trained, and {apart:.4g} as the mean "
            "over its rows one by one, by which they are judged",
        )
    return ()


def _check_trains(value: Tensor) -> None:
    if not value.requires_grad:
        message = "the loss does not depend on the weights: it must be computed from the module's outputs with torch"
        raise UsageError(message)
    if not bool(torch.isfinite(value).all()):
        message = "the loss of the first batch is not finite before any training; check the data and the loss"
        raise UsageError(message)


def _check_scores(values: Tensor, judging: np.ndarray) -> None:
    if not bool(torch.isfinite(values).all()):
        message = "the metric of the first batch is not finite before any training; it must give a number for every row"
        raise UsageError(message)
    if values.dim() == PAIR and 1 < values.shape[1] <= judging.max():
        message = (
            f"targets are classes up to {judging.max()}, and the outputs tell only {values.shape[1]} apart, from 0 on"
        )
        raise UsageError(message)


def _compared(
    value: Tensor,
    rows: Tensor,
    sources: Sequence[Tensor],
    *,
    judges: bool,
    broadcast: str = "",
    drawn: bool = False,
) -> tuple[str, ...]:
    """What the plan has to say of a loss of a batch that is another mean than the plain one of its ``rows``.

    Classes or tokens may weigh differently in it; then it lies between the losses of rows, to which the gradients at
    ``sources`` are compared too. ``judges`` says whether rows are judged by it, ``drawn`` whether the module draws in
    evaluation. Raises ``UsageError`` where they cannot be, where it lies elsewhere, or where torch ``broadcast`` rows
    to rows.
    """
    whole, apart, each = float(value.mean().detach()), float(rows.mean().detach()), rows.detach()
    if not bool(torch.isfinite(each).all()):
        if not judges:
            return ()
        message = (
            f"the loss of a batch is {whole:.6g}, but of its rows one by one some losses are not finite; {RETURN_ROWS}"
        )
        raise UsageError(message)
    near = AGREES * max(abs(whole), AGREES)
    equal = abs(whole - apart) <= near
    if equal and not _gradients_differ(value.mean(), rows.mean(), sources):
        return ()
    low, high = float(each.min()), float(each.max())
    around = near + (high - low if drawn else 0.0)  # other draws give other losses
    if broadcast or not low - around <= whole <= high + around:
        what = f"the loss of a batch ({whole:.6g}) must be a mean of the losses of its rows ({apart:.6g})"
        if equal:
            what = "the gradient of the loss of a batch must be a mean of those of its rows, and is another"
        message = f"{what}; {broadcast or RETURN_ROWS}"
        raise UsageError(message)
    why = (
        "what the module draws is drawn anew for each row"
        if drawn
        else "weights of classes, or of what is left out, count among rows only where it returns one loss per row"
    )
    said = (
        f"the loss gives {whole:.4g} for the first batch, by which lanes are trained, and {apart:.4g} as the mean over "
        f"its rows one by one, by which they are judged: {why}"
    )
    return (said,) if judges else ()


def _gradients_differ(one: Tensor, other: Tensor, sources: Sequence[Tensor]) -> bool:
    if not other.requires_grad:
        return False  # rows that are taken without a gradient
    pairs = zip(*(torch.autograd.grad(own, sources, allow_unused=True) for own in (one, other)), strict=True)
    both = [(left, right) for left, right in pairs if left is not None and right is not None]
    size = max((float(left.abs().max()) for left, _ in both), default=0.0)
    return any(float((left - right).abs().max()) > GRADIENTS_AGREE * size for left, right in both)


def _broadcast(outputs: Tensor, targets: Tensor, *, sep: str = "") -> str:
    """What to do where a loss of elements takes the outputs and targets for a grid of all rows with all rows.

    ``sep`` parts it from what was said before.
    """
    if not targets.is_floating_point() or outputs.shape == targets.shape or outputs.numel() != targets.numel():
        return ""
    forms = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)}"
    return (
        f"{sep}{forms} are paired each with each: give both one shape, such as targets [rows, 1] for outputs [rows, 1]"
    )


def _alike(outputs: Any, targets: Tensor) -> str:
    """What targets lack to be compared with outputs one by one, all at once: their shape, and that they are floating.

    Empty where there are more outputs than targets, as of classes.
    """
    if not isinstance(outputs, Tensor) or outputs.numel() != targets.numel():
        return ""
    number = "" if targets.is_floating_point() else ".float()"
    sizes = ", ".join(["-1", *map(str, outputs.shape[1:])])
    shape = "" if outputs.shape == targets.shape else f".reshape({sizes})"
    if not number and not shape:
        return ""
    return f"; to compare each output with a target of its own, give targets like the outputs: y{number}{shape}"


def _loss_of(loss: BatchLoss, outputs: Tensor, y: Tensor) -> Tensor:
    forms = f"outputs {tuple(outputs.shape)} and targets {tuple(y.shape)} {str(y.dtype).removeprefix('torch.')}"
    try:
        value = loss(outputs, y)
    except Exception as error:
        why = misfit(loss, outputs, y)
        if why:
            raise UsageError(why) from error
        message = f"the loss failed on {forms}: {type(error).__name__}: {first_line(error)}{_alike(outputs, y)}"
        raise UsageError(message) from error
    if is_vain(loss, outputs, y):
        raise UsageError(misfit(loss, outputs, y))
    if not isinstance(value, Tensor):
        message = f"the loss must return a tensor, a scalar or one loss per row, got {type(value).__name__}"
        raise UsageError(message)
    if value.dim() and not len(value) == value.numel() == len(y):
        message = (
            f"the loss returned a tensor {tuple(value.shape)} for {forms}; "
            f"it must be a scalar or have one loss for each of the {len(y)} rows"
            f"{_broadcast(outputs, y, sep='; ') or mean_of_rows(value, len(y))}"
        )
        raise UsageError(message)
    return value
