"""From what the user hands over to lanes that can be trained: the module, its batches and what it is judged by."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lanewise.errors import LanewiseError, UsageError, as_given, first_sentence
from lanewise.lanes.candidate import Candidate
from lanewise.models.batch import Tree
from lanewise.models.between_passes import Between, structure
from lanewise.models.blueprint import PROBES, Blueprint, StructuredOutputsError
from lanewise.models.groups import Factors, Groups, factors_of, words_of
from lanewise.models.module import StackedModule
from lanewise.training.device import CPU
from lanewise.training.modules.choosing import Faster, choose_way
from lanewise.training.modules.teams import Form, ModuleTeams, Way, batch_of, form_of
from lanewise.training.objective import LossObjective, Objective, Step, StepObjective, WholePass, floats_as, rows_of
from lanewise.training.planning.plan import Lengths
from lanewise.tuning.checking import Judge, check_first_batch, check_whole_batch, is_pure
from lanewise.tuning.faster_ways import fastest
from lanewise.tuning.inputs.rows import Rows

Ways = Mapping[Form, Mapping[int, Way]]
"""How lanes are run, by the settings of their module and by batch size."""

NAMED = 4
"""Weights that a sentence names."""

Grow = Callable[[ModuleTeams, Sequence[Candidate]], ModuleTeams]
"""Makes teams that can form lanes of more candidates."""


def check_objective(loss: object, step: object) -> None:
    """``UsageError`` unless one of the two is given, and as a function."""
    if (loss is None) == (step is None):
        given = "neither" if loss is None else "both"
        message = (
            "give either loss, a function of outputs and targets, or step, a function of the model and a batch "
            f"that returns the loss; got {given}"
        )
        raise UsageError(message)
    name, own = ("loss", loss) if step is None else ("step", step)
    if not callable(own):
        message = f"{name} must be a function, such as torch.nn.functional.cross_entropy, got {as_given(own)}"
        raise UsageError(message)
    if isinstance(own, type):
        message = f"{name} must be a function or an instance: give {own.__name__}() rather than the class"
        raise UsageError(message)


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is asked of every candidate: rows, the loss or step to train by, what decides, groups of parameters."""

    rows: Rows
    loss: Callable[[Any, Any], Tensor] | None
    step: Step | None
    judge: Judge
    groups: Groups | None = None

    @cached_property
    def y(self) -> np.ndarray:
        """The targets ``[N]`` of the rows that judge, where a metric of all of them reads these; otherwise zeros."""
        reading, judged = self.judge.reading, self.rows.judged
        if reading is None:
            return np.zeros(self.rows.count)
        known = reading.targets(self.rows.targets(judged), len(judged))
        y = np.zeros(self.rows.count, dtype=known.dtype)
        y[judged.numpy()] = known
        return y

    @property
    def objective(self) -> Objective:
        if self.step is not None:
            return StepObjective(self.step, self.judge.score)
        assert self.loss is not None
        return LossObjective(self.loss, self.judge.score)

    def factors(self, module: nn.Module) -> dict[str, Factors]:
        """Those of each parameter, by its name in ``module``."""
        if isinstance(module, WholePass):
            return {f"model.{name}": own for name, own in factors_of(self.groups, module.model).items()}
        return factors_of(self.groups, module)


def pose(
    make_model: Callable[..., nn.Module],
    question: Question,
    candidates: Sequence[Candidate],
    *,
    arguments: tuple[str, ...],
    workers: int,
    device: torch.device = CPU,
) -> tuple[ModuleTeams, tuple[str, ...]]:
    """The teams of all candidates, checked on a first batch, and what the plan has to say of that.

    Raises ``UsageError``: the module, the loss, the step or the metric cannot be used.
    """
    firsts: dict[Form, int] = {}
    for candidate in candidates:
        firsts.setdefault(form_of(candidate, arguments), batch_of(candidate))
    parts, words = dict[Form, ModuleTeams](), dict[str, None]()
    known = dict[tuple[object, ...], Between]()
    for form, count in firsts.items():
        blueprint, said = _read(make_model, dict(form), question, count, known)
        parts[form] = _teams(blueprint, question, workers=workers, device=device)
        grouping = words_of({own.name: Factors(rate=own.rate, decay=own.decay) for own in blueprint.layout.parameters})
        words |= dict.fromkeys((*said, *filter(None, [grouping])))
    words |= dict.fromkeys(_untrained(question.loss))
    (_, first), *others = parts.items()
    return replace(first, arguments=arguments, others=dict(others)), tuple(words)


def _read(
    make_model: Callable[..., nn.Module],
    settings: Mapping[str, Any],
    question: Question,
    count: int,
    known: dict[tuple[object, ...], Between],
) -> tuple[Blueprint, tuple[str, ...]]:
    """The module as it is found on the first ``count`` rows, and what is worth saying of it; ``known``: of others."""
    make = partial(make_model, **settings) if settings else make_model
    rows, judge, batch = question.rows, question.judge, question.rows.first(count)
    later = partial(_later, rows, len(rows.parting.parts[0][0][:count]))
    if rows.pair is not None and question.loss is not None:
        try:
            inputs = partial(_inputs_of, later)
            blueprint = Blueprint.of(make, batch[0], factors=question.factors, others=inputs, known=known)
            if not is_pure(blueprint, floats_as(blueprint.dtype, batch), question.loss):
                message = "the loss draws random numbers or keeps something: whole passes see to both"
                raise StructuredOutputsError(message)
        except StructuredOutputsError:
            pass  # the loss may know what to make of them
        else:
            said = check_first_batch(blueprint, floats_as(blueprint.dtype, batch), question.loss, judge, question.y)
            return blueprint, (*said, *blueprint.notes, *_left_out(blueprint))
    objective = question.objective
    whole = partial(_whole, make_model, objective, **settings)
    blueprint = Blueprint.of(whole, batch, whole=rows_of(batch), factors=question.factors, others=later, known=known)
    fitted = floats_as(blueprint.dtype, batch)
    said = check_whole_batch(blueprint, objective, fitted, question.y, judged_by_loss=judge.score is None)
    return blueprint, (*said, *blueprint.notes, *_left_out(blueprint))


def _later(rows: Rows, count: int, number: int) -> Tree:
    """A batch of as many rows as the first, so many batches later; at the end of the rows it goes on at their start."""
    train = rows.parting.parts[0][0]
    return rows.batch(train[(number * count + torch.arange(count)) % len(train)], number)


def _inputs_of(later: Callable[[int], Tree], number: int) -> Tree:
    return later(number)[0]


def _untrained(loss: object) -> tuple[str, ...]:
    """That the loss has weights of its own, which nobody trains."""
    own = loss.named_parameters() if isinstance(loss, nn.Module) else ()
    names = [name for name, weight in own if weight.requires_grad]
    if not names:
        return ()
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return (f"weights of the loss stay as they are: {shown}; to have them trained, make them part of the module",)


def _left_out(blueprint: Blueprint) -> tuple[str, ...]:
    """That there are weights which no pass has used, so that they are not trained."""
    names = [name.removeprefix("model.") if blueprint.whole else name for name in blueprint.unreached]
    if not names:
        return ()
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return (f"not trained, because no gradient reached them in {PROBES} batches: {shown}",)


def over_full(candidates: Sequence[Candidate], rows: int) -> tuple[str, ...]:
    """That batches are larger than what there is to train on: the stream of rows begins anew within them.

    >>> over_full([Candidate(id="c0", model="module", optimizer="sgd", settings={"batch_size": 300})], 80)
    ('batches of 300 rows are more than the 80 that train, so each step sees rows several times; 80 is a full batch',)
    """
    largest = max(map(batch_of, candidates), default=0)
    if largest <= rows:
        return ()
    told = f"batches of {largest:,} rows are more than the {rows:,} that train"
    return (f"{told}, so each step sees rows several times; {rows:,} is a full batch",)


def _whole(make_model: Callable[..., nn.Module], objective: Objective, **settings: Any) -> nn.Module:
    model = make_model(**settings)
    return WholePass(model, objective) if isinstance(model, nn.Module) else model


def _teams(blueprint: Blueprint, question: Question, *, workers: int, device: torch.device) -> ModuleTeams:
    return ModuleTeams(
        blueprint=blueprint,
        data=question.rows.data(blueprint.dtype, whole=blueprint.whole, device=device, kind=question.judge.kind),
        loss=_loss_on(device, question.loss) if question.loss else _by_step,
        score=question.judge.score,
        lengths=Lengths(rows_seen=1),
        ways={},
        workers=workers,
        read=question.rows.reader(blueprint.dtype, device) if blueprint.whole else None,
        device=device,
    )


def with_ways(
    teams: ModuleTeams, question: Question, candidates: Sequence[Candidate], *, seconds: float | None = None
) -> ModuleTeams:
    """The teams with how the lanes of each form and batch size are run, tried on the first batches.

    Forms that differ in numbers only, such as a rate of dropout, are tried once. With a budget of ``seconds`` it is
    measured where lanes are faster; None: no clock is read.
    """
    alike: dict[tuple[Any, ...], list[Candidate]] = {}
    for candidate in candidates:
        alike.setdefault(_kind(teams.of(candidate), batch_of(candidate)), []).append(candidate)
    found: dict[Form, dict[int, Way]] = {}
    tried: dict[tuple[Any, ...], Way] = {}
    for candidate in candidates:
        own, batch, form = teams.of(candidate), batch_of(candidate), form_of(candidate, teams.arguments)
        if batch in found.setdefault(form, {}):
            continue
        faster = None
        if seconds is not None:
            others = [other for other in alike[_kind(own, batch)] if form_of(other, teams.arguments) == form]
            faster = partial(fastest, candidates=others, seconds=seconds / len(alike))
        found[form][batch] = _way(own, batch, question.rows, tried, faster)
    first, *_ = found.values()
    others = {form: replace(own, ways=found[form]) for form, own in teams.others.items()}
    return replace(teams, ways=first, others=others)


def _way(
    teams: ModuleTeams, batch: int, rows: Rows, tried: dict[tuple[Any, ...], Way], faster: Faster | None = None
) -> Way:
    """How lanes of that batch size are run: as those ``tried`` that differ in numbers only, or tried now."""
    kind = _kind(teams, batch)
    if kind not in tried:
        try:
            way = choose_way(replace(teams, axis=None), batch, faster=faster)  # each rank tries alone
        except LanewiseError:
            raise
        except Exception as error:  # whatever the user's module raises
            message = (
                f"the module could be called, but not trained for two steps of {batch} rows and judged: "
                f"{type(error).__name__}: {first_sentence(error)}{_remedy(error, teams)}"
            )
            raise UsageError(message) from error
        tried[kind] = _shared(way, teams, rows, batch)
    return tried[kind]


def _remedy(error: Exception, teams: ModuleTeams) -> str:
    """What to do about it, parted from what was said before; empty where that is not known."""
    if teams.autocast is not None and "dtype" in str(error):
        return "; under torch.autocast tensors have several dtypes: cast where they meet, or leave precision out"
    if "sparse" in str(error):
        return "; gradients must be dense: build embeddings without sparse=True"
    if "inplace" in str(error) or "in-place" in str(error):
        return "; it must change neither weights nor inputs in place, but work on copies of them"
    if "does not require grad" in str(error):
        return "; rows are judged without gradients: put torch.enable_grad() around what needs some in evaluation too"
    if any(word in str(error) for word in ("shape", "size", "dimension")):
        return "; equal shapes of inputs must give equal shapes of outputs, in every call"
    return ""


def _kind(teams: ModuleTeams, batch: int) -> tuple[Any, ...]:
    own = teams.blueprint  # a number may say whether it computes anything once more
    return batch, teams.usual_width(batch), own.recomputes, structure(own.template)


def grown(
    teams: ModuleTeams,
    candidates: Sequence[Candidate],
    *,
    make_model: Callable[..., nn.Module],
    question: Question,
    home: Form,
) -> ModuleTeams:
    """The teams, able to form lanes of more ``candidates``; ``home`` is the form that is not among their others.

    Raises as :func:`pose` where the module cannot be built or used so.
    """
    parts, known = {home: teams, **teams.others}, dict[tuple[object, ...], Between]()
    for candidate in candidates:
        form = form_of(candidate, teams.arguments)
        if form not in parts:
            blueprint, _ = _read(make_model, dict(form), question, batch_of(candidate), known)
            made = _teams(blueprint, question, workers=teams.workers, device=teams.device)
            parts[form] = replace(made, stop=teams.stop, axis=teams.axis, autocast=teams.autocast)
    tried = {_kind(part, batch): way for part in parts.values() for batch, way in part.ways.items()}
    ways = {form: dict(part.ways) for form, part in parts.items()}
    for candidate in candidates:
        form, batch = form_of(candidate, teams.arguments), batch_of(candidate)
        if batch not in ways[form]:
            ways[form][batch] = _way(parts[form], batch, question.rows, tried)
    others = {form: replace(part, ways=ways[form]) for form, part in parts.items() if form != home}
    return replace(teams, ways=ways[home], others=others)


def ways_of(teams: ModuleTeams, candidates: Sequence[Candidate]) -> Ways:
    """How the lanes of each form and batch size of the candidates are run."""
    return {form_of(own, teams.arguments): dict(teams.of(own).ways) for own in candidates}


def by_ways(teams: ModuleTeams, ways: Ways) -> ModuleTeams:
    """The teams with what :func:`ways_of` gave."""
    first = next(form for form in ways if form not in teams.others)
    others = {form: replace(own, ways=ways[form]) for form, own in teams.others.items()}
    return replace(teams, ways=ways[first], others=others)


def _shared(way: Way, teams: ModuleTeams, rows: Rows, batch: int) -> Way:
    """The way with lanes in one stack where reading a batch costs something, so that one reading is for all of them."""
    width = teams.usual_width(batch)
    if rows.table is not None or way.width >= width or teams.blueprint.recomputes:
        return way
    return replace(way, width=width, words=f"{way.words}; up to {width} share the batches that are read")


def on_all_rows(teams: ModuleTeams, rows: Rows) -> ModuleTeams:
    """The teams over data that hold nothing out."""

    def over(own: ModuleTeams) -> ModuleTeams:
        kind, form = own.data.task.kind, own.blueprint
        return replace(own, data=rows.data(form.dtype, whole=form.whole, refit=True, device=own.device, kind=kind))

    others = {form: over(own) for form, own in teams.others.items()}
    return replace(over(teams), others=others, seats=None)  # the processes know the other data


def _loss_on(device: torch.device, loss: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """The loss with the tensors that it holds, such as weights of classes, on the device."""
    if device.type == "cpu" or not isinstance(loss, nn.Module) or not loss.state_dict():
        return loss
    return copy.deepcopy(loss).to(device)


def _by_step(outputs: Tensor, targets: Tensor) -> Tensor:
    message = "a step of the user's own has the loss in it"
    raise AssertionError(message)


def handed_over(blueprint: Blueprint, tensors: Any) -> nn.Module:
    """The user's own module with the weights and buffers of a trained lane."""
    module = StackedModule(blueprint).solo(tensors)
    return module.model if isinstance(module, WholePass) else module
