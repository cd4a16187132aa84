"""Which candidates enter a race: the default of every family first, then points that cover its ranges."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanewise.errors import UsageError, suggestion
from lanewise.lanes.candidate import Candidate, Value
from lanewise.lanes.hyper import Hyper
from lanewise.losses import LOSSES_OF, SMOOTH
from lanewise.models.trees import forest_trees, tree_space
from lanewise.optim.registry import RULES
from lanewise.search.sampling import Sampling, unit_points
from lanewise.settings.names import SOLVER
from lanewise.task import Task
from lanewise.training.planning.anchors import BOOSTED_ANCHORS, FORESTS, NETWORK_ANCHORS
from lanewise.training.planning.choices import ANY, Choices, Structure
from lanewise.training.selecting import ALL, FEATURES, SHARE

MODELS = ("lightgbm", "mlp", "linear", "forest", "tree")
"""Model families, in the order in which one of them is taken as the default of a race."""

OPTIMIZER_SHARES: dict[str, dict[str, float]] = {
    "mlp": {"adamw": 8, "nesterov": 3, "adam": 2, "momentum": 1, "rmsprop": 1, "sgd": 1},
    "linear": {"lbfgs": 8, "adam": 2, "nesterov": 2, "sgd": 1},
}
"""How many of a family's candidates each optimizer gets, relative to each other, when the user names none.

SOAP is left out: it gained 9% on one of five tables and less than 0.001 on the others, at 2.5 to 4.7 times the cost of
a step (benchmarks/results.md, Shares of a race).
"""

RACED_RATES: dict[str, tuple[float, float]] = {"soap": (1e-3, 0.05), "muon": (1e-3, 0.1), "lion": (1e-4, 1e-2)}
"""Learning rates that a race tries where the range of the rule, made for long trainings too, begins too low."""

DEFAULT_ROUNDS = 100
"""Boosting rounds of the default."""

ABSOLUTE_METRICS = ("mae", "median_ae")
"""Metrics for which every other one of the anchors of boosted trees, the first among them, fits the absolute error."""

BOOSTED_SEARCH = (
    Hyper(name="learning_rate", default=0.1, low=0.02, high=0.2, scale="log"),
    Hyper(name="num_leaves", default=31, low=6, high=160, scale="log_integer"),
    Hyper(name="min_child_samples", default=20, low=3, high=120, scale="log_integer"),
    Hyper(name="feature_fraction", default=1.0, low=0.4, high=1.0),
    Hyper(name="bagging_fraction", default=1.0, low=0.6, high=1.0),
    Hyper(name="lambda_l2", default=0.0, low=1e-3, high=30.0, scale="log"),
    Hyper(name="extra_trees", default=False, scale="choice", choices=(False, False, True)),
)
"""What a race varies of boosted trees, closer to good values than what a user may state: a race has few points."""

SELECTIONS: dict[str, tuple[tuple[int, str, float], ...]] = {
    "lightgbm": ((3, "permutation", 0.5), (6, "permutation", 0.25)),
    "mlp": ((4, "permutation", 0.5), (6, "permutation", 0.25)),
    "linear": ((4, "l1-path", 0.5), (6, "l1-path", 0.25), (8, "permutation", 0.25)),
    "forest": ((4, "permutation", 0.5),),
    "tree": ((3, "permutation", 0.25),),
}
"""Candidates that read a share of the columns: place in the field, how columns are ranked, share.

Each is a good candidate of the family in all else, so that the race tells what the selection is worth.
"""

FEWEST_COLUMNS = 8
FEWEST_ROWS = 100

STEPPED_L1 = (0.0, 0.0, 3e-3, 3e-3, 0.0, 0.0, 1e-2, 1e-2)
"""L1 penalties of linear models that gradient rules train, one after the other; in pairs, for losses may take turns.

Every other rule begins amid them, so that a short field has some of them too. With Adam at 0.03 (log loss in three
folds): none, 3e-3 and 1e-2 gave .210, .201, .201 on caravan, .181, .172, .196 on spambase, .532, .501, .507 on German
credit.
"""

SCHEDULE = Hyper(name="schedule", default="linear", scale="choice", choices=("linear", "linear", "cosine", "constant"))
CONSTANT = Hyper(name="schedule", default="constant", scale="choice", choices=("constant",))
WARMUP = Hyper(name="warmup", default=0.0, scale="choice", choices=(0.0, 0.05))
CLIP = Hyper(name="clip_norm", default=0.0, scale="choice", choices=(0.0, 0.0, 1.0))
SMOOTHED = frozenset({"logistic", "softmax"})
LABEL_SMOOTHING = Hyper(name="label_smoothing", default=0.0, scale="choice", choices=(0.0, 0.0, 0.05))
NETWORK_DECAY = Hyper(name="weight_decay", default=0.01, low=1e-4, high=0.3, scale="log")
DROPOUT = Hyper(name="dropout", default=0.1, scale="choice", choices=(0.0, 0.1, 0.2, 0.35, 0.5))


@dataclass(frozen=True, kw_only=True)
class Field:
    """What is known before the race: the task, how many rows a fold trains on, and what the user asked for.

    ``choices`` are the values that it lets candidates have.
    ``columns`` of the table, of which a few candidates may read some only; 0: all candidates read them all.
    ``extreme`` where single targets dominate all squared errors: the default apart, boosted trees then fit the
    absolute error, linear models and networks Huber's loss.
    """

    task: Task
    rows: int
    seed: int
    sampling: Sampling = "sobol"
    optimizers: tuple[str, ...] = ()
    choices: Choices = ANY
    columns: int = 0
    extreme: bool = False

    @property
    def selects(self) -> bool:
        """Whether there are columns enough to leave some out, and rows enough to tell which."""
        return self.columns >= FEWEST_COLUMNS and self.rows >= FEWEST_ROWS

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses of linear models and networks, that of the default first."""
        if self.choices.losses:
            return self.choices.losses
        known = LOSSES_OF[self.task.kind]
        return ("huber",) if self.extreme and "huber" in known else known


def usual_batch(rows: int) -> int:
    """A batch size that leaves some 40 batches in an epoch: a power of two from 32 to 256.

    >>> usual_batch(500), usual_batch(30_000)
    (32, 256)
    """
    return int(min(256, max(32, 2 ** round(np.log2(max(rows, 1) / 40)))))


def propose(model: str, count: int, field: Field) -> list[Candidate]:
    """``count`` candidates of one family, its default first; fewer where the family has not so many.

    None where no optimizer that was asked for can train the family.

    Asking for more keeps those that a smaller count would have given, for a family without structures.
    """
    if model not in MODELS:
        message = f"there is no model {model!r}; {suggestion(model, MODELS)}"
        raise UsageError(message)
    makers = {"lightgbm": _boosted, "forest": _forests, "tree": _single_trees, "mlp": _networks, "linear": _linear}
    found: dict[tuple[object, ...], Candidate] = {}
    proposals = makers[model](count, field)
    for place, (optimizer, settings) in enumerate(_selecting(model, proposals) if field.selects else proposals):
        key = (optimizer, *sorted(settings.items()))
        if key not in found:
            id = f"{model}-{place:03d}"
            found[key] = Candidate(id=id, model=model, optimizer=optimizer, settings=settings)
    return list(found.values())[:count]


Proposal = tuple[str, dict[str, Value]]


def _selecting(model: str, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """The same field, and among it the first anchor again with some of the columns only."""
    wanted = {place: (way, share) for place, way, share in SELECTIONS[model]}
    place, anchor = 0, None
    for optimizer, settings in proposals:
        # Boosted trees have an anchor that is better than the default on many tables; elsewhere the default is one.
        if place == (1 if model == "lightgbm" else 0):
            anchor = optimizer, settings
        while place in wanted and anchor is not None:
            way, share = wanted[place]
            yield anchor[0], anchor[1] | {FEATURES: way, SHARE: share}
            place += 1
        yield optimizer, settings | {FEATURES: ALL, SHARE: 1.0}
        place += 1


def _boosted(count: int, field: Field) -> Iterator[Proposal]:
    space = [hyper for hyper in tree_space("lightgbm", task_kind=field.task.kind) if hyper.name != "rounds"]
    default: dict[str, Value] = {hyper.name: hyper.default for hyper in space}
    yield "boosting", default | {"rounds": DEFAULT_ROUNDS}
    losses = [hyper for hyper in space if hyper.name == "tree_loss"]
    points = _points([*BOOSTED_SEARCH, *losses], count - 1 - len(BOOSTED_ANCHORS), field, "boosting")
    absolute = bool(losses) and field.task.metric in ABSOLUTE_METRICS
    anchors = [
        anchor | {"tree_loss": "absolute"} if absolute and place % 2 == 0 else anchor
        for place, anchor in enumerate(BOOSTED_ANCHORS)
    ]
    fixed: dict[str, Value] = {"tree_loss": "absolute"} if losses and field.extreme else {}
    for settings in (*anchors, *points):
        # With half the shrinkage a sum of trees needs twice as many of them (Friedman 2001).
        rounds = int(np.clip(round(25 / float(settings["learning_rate"])), 150, 1250))
        yield "boosting", default | settings | fixed | {"rounds": rounds}


def _forests(count: int, field: Field) -> Iterator[Proposal]:
    task = field.task
    outputs = len(task.classes) if task.is_classification else 1
    space = [hyper for hyper in tree_space("forest") if hyper.name != "trees"]
    default: dict[str, Value] = {hyper.name: hyper.default for hyper in space}
    default["trees"] = forest_trees(task.kind, rows=field.rows, outputs=outputs)
    anchors = FORESTS[task.is_classification]
    for settings in (*anchors, *_points(space, count - len(anchors), field, "forest")):
        yield "splitting", default | settings


def _single_trees(count: int, field: Field) -> Iterator[Proposal]:
    space = tree_space("tree", task_kind=field.task.kind)
    yield "splitting", {hyper.name: hyper.default for hyper in space}
    for settings in _points(space, count - 1, field, "splitting"):
        yield "splitting", settings


def _linear(count: int, field: Field) -> Iterator[Proposal]:
    losses = field.losses
    batch = usual_batch(field.rows)
    shares = _shares("linear", field, (SOLVER,))
    if SMOOTH.isdisjoint(losses):
        shares.pop(SOLVER, None)
    if not shares:
        return
    # A solver cannot make just any loss small: the default has the first loss, if there is a rule for it.
    first = next((name for name in shares if name != SOLVER or losses[0] in SMOOTH), SOLVER)
    usual = losses[0] if first != SOLVER else next(loss for loss in losses if loss in SMOOTH)
    default: dict[str, Value] = {"loss": usual, "l2": 1e-4, "l1": 0.0}
    stated: dict[str, Value] = {"schedule": field.choices.schedules[0]} if field.choices.schedules else {}
    yield first, default if first == SOLVER else default | {"batch_size": batch} | stated | _defaults(first)
    streams: dict[str, Iterable[dict[str, Value]]] = {}
    l2 = Hyper(name="l2", default=0, low=1e-7, high=1e-2, scale="log")
    for place, (optimizer, amount) in enumerate(_allot(count - 1, shares).items()):
        if optimizer == SOLVER:
            streams[optimizer] = _penalties(amount, losses)
            continue
        sparse = itertools.cycle((*STEPPED_L1, *STEPPED_L1)[2 * (place % 2) :][: len(STEPPED_L1)])
        fixed: dict[str, Value] = {**_defaults(optimizer), "batch_size": batch}
        space = [*_rule_space(optimizer), _schedule(optimizer, field), WARMUP, l2]
        points = _points(space, amount, field, "linear", optimizer)
        stepped = itertools.cycle(field.choices.losses or _stepped(losses))
        streams[optimizer] = [
            fixed | settings | {"loss": loss, "l1": l1 if RULES[optimizer].proximal else 0.0}
            for settings, loss, l1 in zip(points, stepped, sparse, strict=False)
        ]
    yield from _interleaved(streams)


def _stepped(losses: Sequence[str]) -> tuple[str, ...]:
    """The losses that mini-batches are for: the first, and every other one that no solver can minimize."""
    return losses[0], *(loss for loss in losses[1:] if loss not in SMOOTH)


def _penalties(count: int, losses: Sequence[str]) -> Iterator[dict[str, Value]]:
    """A path of penalties for each smooth loss: L2 alone, then L1, strongest last."""
    smooth = [loss for loss in losses if loss in SMOOTH]
    path = [1e-6, 1e-3, 1e-5, 1e-2, 1e-1, 3e-4, 3e-3, 3e-2]
    plain = [{"loss": loss, "l2": l2, "l1": 0.0} for l2 in path for loss in smooth]
    sparse = [{"loss": smooth[0], "l2": 1e-6, "l1": l1} for l1 in (1e-3, 1e-2, 3e-4, 3e-3, 1e-4, 3e-2)]
    mixed = [settings for pair in zip(plain, sparse, strict=False) for settings in pair] + plain[len(sparse) :]
    yield from mixed[:count]


def _networks(count: int, field: Field) -> Iterator[Proposal]:
    shares = _shares("mlp", field, ())
    if not shares:
        return
    first = next(iter(shares))
    batch = usual_batch(field.rows)
    anchors = NETWORK_ANCHORS if first == "adamw" else ()
    structures = field.choices.structures(count - len(anchors))
    usual: dict[str, Value] = {"schedule": field.choices.schedules[0] if field.choices.schedules else "linear"}
    losses = itertools.cycle(field.choices.losses or field.losses[:1])
    for place, settings in enumerate(({"dropout": 0.1}, *anchors)):
        # One shape is trained well first, unless the user wants to see several.
        structure = structures[place % len(structures) if field.choices.shaped else 0]
        fixed = _structure(structure, batch) | {"loss": next(losses)}
        yield first, fixed | usual | _defaults(first) | settings
    amounts = _allot(count - len(anchors) - 1, dict.fromkeys(map(str, range(len(structures))), 1.0))
    shapes = [
        _shape(place, structure, amount, field, shares)
        for (place, structure), amount in zip(enumerate(structures), amounts.values(), strict=True)
    ]
    if field.choices.shaped:
        taken = itertools.zip_longest(*shapes)
        yield from (one for several in taken for one in several if one is not None)
    else:
        yield from itertools.chain(*shapes)


def _shape(
    place: int, structure: Structure, amount: int, field: Field, shares: Mapping[str, float]
) -> Iterator[Proposal]:
    """``amount`` networks of one shape."""
    streams: dict[str, Iterable[dict[str, Value]]] = {}
    for optimizer, share in _allot(amount, shares).items():
        space = [*_rule_space(optimizer), _schedule(optimizer, field), WARMUP, CLIP, DROPOUT, NETWORK_DECAY]
        if not SMOOTHED.isdisjoint(field.losses):
            space.append(LABEL_SMOOTHING)
        fixed = _structure(structure, usual_batch(field.rows))
        points = _points(space, share, field, "mlp", optimizer, place)
        losses = itertools.cycle(field.choices.losses or field.losses[:1])
        streams[optimizer] = [
            _plain({**_defaults(optimizer), **settings, **fixed, "loss": loss})
            for settings, loss in zip(points, losses, strict=False)
        ]
    yield from _interleaved(streams)


def _plain(settings: dict[str, Value]) -> dict[str, Value]:
    """The settings without a smoothing of labels that their loss would not heed."""
    return settings if settings["loss"] in SMOOTHED else {k: v for k, v in settings.items() if k != "label_smoothing"}


def _interleaved(streams: Mapping[str, Iterable[dict[str, Value]]]) -> Iterator[Proposal]:
    """The proposals of several optimizers mixed in proportion, so that a shorter field is as mixed as a long one."""
    placed = []
    for order, (optimizer, settings) in enumerate(streams.items()):
        own = list(settings)
        placed += [((k + 0.5) / len(own), order, optimizer, one) for k, one in enumerate(own)]
    for _, _, optimizer, one in sorted(placed, key=lambda item: item[:2]):
        yield optimizer, one


def _structure(structure: Structure, batch: int) -> dict[str, Value]:
    width, depth, activation, layer_norm, share = structure
    return {
        "width": width,
        "depth": depth,
        "activation": activation,
        "layer_norm": layer_norm,
        "batch_size": max(16, int(batch * share)),
    }


def _shares(model: str, field: Field, solvers: tuple[str, ...]) -> dict[str, float]:
    """The optimizers of a family with their shares, best known first."""
    if not field.optimizers:
        return dict(OPTIMIZER_SHARES[model])
    known = (*RULES, *solvers)
    chosen = [name for name in field.optimizers if name in known]
    return dict.fromkeys(chosen, 1.0)


def _allot(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """``count`` split in proportion, largest remainders first."""
    total = sum(shares.values())
    exact = {name: count * share / total for name, share in shares.items()}
    result = {name: int(amount) for name, amount in exact.items()}
    rest = sorted(exact, key=lambda name: result[name] - exact[name])
    for name in rest[: count - sum(result.values())]:
        result[name] += 1
    return result


def _defaults(optimizer: str) -> dict[str, Value]:
    if optimizer not in RULES:
        return {}
    defaults = {hyper.name: hyper.default for hyper in RULES[optimizer].hypers if hyper.name != "eps"}
    return defaults if RULES[optimizer].scheduled else defaults | {"schedule": "constant"}


def _schedule(optimizer: str, field: Field) -> Hyper:
    """The schedules that a race tries of a rule: only the constant one where it averages or finds its rate."""
    if not RULES[optimizer].scheduled:
        return CONSTANT
    stated = field.choices.schedules
    return replace(SCHEDULE, default=stated[0], choices=stated) if stated else SCHEDULE


def _rule_space(optimizer: str) -> list[Hyper]:
    """The hyper-parameters of a rule that a race varies: those with a range, decay apart."""
    found = [hyper for hyper in RULES[optimizer].hypers if hyper.low is not None and hyper.name != "weight_decay"]
    if optimizer not in RACED_RATES:
        return found
    low, high = RACED_RATES[optimizer]
    return [replace(hyper, low=low, high=high) if hyper.name == "lr" else hyper for hyper in found]


def searched(model: str, optimizer: str, setting: str) -> tuple[float, float] | None:
    """Between which values a race searches a setting of boosted trees or of an optimizer; None where it does not.

    >>> searched("mlp", "adamw", "lr"), searched("lightgbm", "boosting", "learning_rate")
    ((0.0001, 0.1), (0.02, 0.2))
    """
    space = BOOSTED_SEARCH if model == "lightgbm" else _rule_space(optimizer) if optimizer in RULES else ()
    found = next((hyper for hyper in space if hyper.name == setting), None)
    return None if found is None or found.low is None or found.high is None else (found.low, found.high)


def _points(space: Sequence[Hyper], count: int, field: Field, *key: str | int) -> Iterator[dict[str, Value]]:
    """``count`` settings that cover the space; each ``key`` has a sequence of its own."""
    name = "/".join(map(str, (field.seed, *key)))
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little")
    for point in unit_points(max(count, 0), len(space), sampling=field.sampling, seed=seed):
        yield {hyper.name: hyper.at(float(u)) for hyper, u in zip(space, point, strict=True)}
