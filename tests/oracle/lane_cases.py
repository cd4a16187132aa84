"""Small races for the oracle: their data, their lanes, and the truth that each lane is held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import torch
from plain_loop import PlainData, Randomness, Rewind, train_alone
from plain_nets import LinearNet, MLPNet, PlainNet
from torch import Tensor

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream, generator
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.task import DEFAULT_METRIC, Task, TaskKind
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.stack import Stack

ROWS, DENSE, LENGTH, BATCH = 60, 5, 50, 16
LEVELS = (4, 3)
Weights = dict[str, Tensor]
Value = float | int | str | bool

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}

LOSS_OF: Mapping[TaskKind, str] = {
    "regression": "squared",
    "count": "poisson",
    "binary": "logistic",
    "multiclass": "softmax",
}

STRUCTURE: Mapping[str, Mapping[str, Value]] = {
    "linear": {},
    "mlp": {"width": 6, "depth": 2, "activation": "relu", "layer_norm": False, "dropout": 0.0},
}
SHARED: Mapping[str, Value] = {
    "weight_decay": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "clip_norm": 0.0,
    "label_smoothing": 0.0,
    "schedule": "linear",
    "warmup": 0.1,
}
RULES: Mapping[str, Mapping[str, Value]] = {
    "sgd": {"lr": 0.1},
    "momentum": {"lr": 0.05, "momentum": 0.8},
    "nesterov": {"lr": 0.03, "momentum": 0.9},
    "rmsprop": {"lr": 0.01, "alpha": 0.95, "eps": 1e-4},
    "adam": {"lr": 0.02, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6},
    "adamw": {"lr": 0.03, "beta1": 0.8, "beta2": 0.999, "eps": 1e-8},
}
REGULARIZERS: Mapping[str, Mapping[str, Value]] = {
    "none": {},
    "l1": {"l1": 0.02},
    "l2": {"l2": 0.1},
    "weight_decay": {"weight_decay": 0.1},
    "clip": {"clip_norm": 0.2},
    "clip_value": {"clip_value": 0.02},
    "smoothing": {"label_smoothing": 0.2},
    "dropout": {"dropout": 0.3},
    "all": {
        "l1": 0.005,
        "l2": 0.02,
        "weight_decay": 0.03,
        "clip_norm": 0.5,
        "clip_value": 0.1,
        "label_smoothing": 0.1,
        "dropout": 0.2,
    },
}
BEYOND_TORCH: Mapping[str, Mapping[str, Value]] = {
    "lion": {"lr": 0.005, "beta1": 0.8, "beta2": 0.95},
    "muon": {"lr": 0.03, "momentum": 0.9, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6},
    "schedule_free_sgd": {"lr": 0.3, "momentum": 0.8},
    "schedule_free_adamw": {"lr": 0.03, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6},
    "dog": {"lr": 0.9, "first": 0.01},
    "ademamix": {
        "lr": 0.02,
        "beta1": 0.8,
        "beta2": 0.99,
        "beta3": 0.999,
        "alpha": 3.0,
        "alpha_warmup": 8,
        "beta3_warmup": 16,
        "eps": 1e-6,
    },
    "prodigy": {"lr": 0.9, "beta1": 0.8, "beta2": 0.99, "first": 0.01, "eps": 1e-6},
    "adafactor": {"lr": 0.2, "decay_rate": 0.7, "clip_threshold": 1.2, "floor": 0.02, "eps": 1e-4},
    "sgld": {"lr": 0.1, "temperature": 1e-3},
    "shampoo": {"lr": 0.1, "momentum": 0.8, "every": 4, "eps": 1e-2},
    "soap": {"lr": 0.03, "beta1": 0.8, "beta2": 0.9, "every": 4, "eps": 1e-2},  # a smaller eps magnifies rounding
}
"""Rules for which torch has no optimizer, or not in this form; their truth is in ``plain_optimizers``."""
OF_MATRICES = ("muon", "adafactor", "shampoo", "soap")
"""Rules that look at whole matrices: a first layer has one for the dense columns and one for the embedded ones."""


def race_data(
    kind: TaskKind = "multiclass",
    *,
    levels: Sequence[int] = LEVELS,
    weighted: bool = True,
    folds: int = 3,
    rows: int = ROWS,
    dense: int = DENSE,
    dtype: torch.dtype = torch.float64,
) -> TrainingData:
    """A learnable table; every fold has inputs, codes and target unit of its own, and a size of its own."""
    draw = torch.Generator().manual_seed(11)
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c")}.get(kind, ())
    raw = torch.randn(rows, dense, generator=draw, dtype=torch.float64)
    signal = raw @ torch.randn(dense, 3, generator=draw, dtype=torch.float64)
    noise = torch.randn(rows, 3, generator=draw, dtype=torch.float64)
    target = _target(kind, signal + noise)
    weight = torch.rand(rows, generator=draw, dtype=torch.float64) + 0.3 if weighted else None
    # Bounds of 60 rows in 3 folds: 0, 18, 39, 60; so the folds train on 42, 39 and 39 rows.
    bounds = [0, *(rows * (fold + 1) // folds - (2 if fold == 0 else 1) * (fold + 1 < folds) for fold in range(folds))]
    parts = {}
    for fold, (start, end) in enumerate(pairwise(bounds)):
        held = torch.arange(start, end)
        train = torch.cat([torch.arange(start), torch.arange(end, rows)])
        center, scale = (
            (float(target[train].mean()), float(target[train].std())) if kind == "regression" else (0.0, 1.0)
        )
        codes = [torch.randint(count, (rows,), generator=draw) for count in levels]
        parts[fold] = FoldData(
            dense=((raw - raw[train].mean(0)) / raw[train].std(0)).to(dtype),
            codes=torch.stack(codes, dim=1) if codes else torch.zeros(rows, 0, dtype=torch.int64),
            target=((target - center) / scale).to(dtype) if kind == "regression" else _typed(target, kind, dtype),
            train=train,
            valid=held,
            center=center,
            scale=scale,
        )
    task = Task(target="y", kind=kind, metric=DEFAULT_METRIC[kind], classes=classes)
    return TrainingData(
        task=task,
        width=Width(dense=dense, levels=tuple(levels), outputs=task.outputs),
        folds=parts,
        rows=rows,
        weight=None if weight is None else (weight / weight.mean()).to(dtype),
    )


def _target(kind: TaskKind, scores: Tensor) -> Tensor:
    if kind == "regression":
        return 3 + 2 * scores[:, 0]
    if kind == "count":
        return (scores[:, 0] / 2).exp().round()
    return (scores[:, 0] > 0).double() if kind == "binary" else scores.argmax(1).double()


def _typed(target: Tensor, kind: TaskKind, dtype: torch.dtype) -> Tensor:
    return target.long() if kind == "multiclass" else target.to(dtype)


def lane(
    name: str,
    model: str = "mlp",
    rule: str = "adamw",
    settings: Mapping[str, Value] | None = None,
    *,
    fold: int = 0,
    seed: int = 0,
    **other: Value,
) -> Lane:
    """A lane of the small race; ``settings`` and ``other`` override the usual ones."""
    usual = {**SHARED, "loss": "softmax", **STRUCTURE[model], **{**RULES, **BEYOND_TORCH}.get(rule, RULES["sgd"])}
    return Lane(
        candidate=Candidate(id=name, model=model, optimizer=rule, settings={**usual, **(settings or {}), **other}),
        fold=fold,
        seed=seed,
    )


def rows_of(stack: Stack) -> dict[str, Weights]:
    """A copy of the weights of every lane, by the lane's id and the weight's name."""
    views = stack.model.layout.views(stack.buffer.values)
    return {
        one.id: {name: view[place].detach().clone() for name, view in views.items()}
        for place, one in enumerate(stack.lanes)
    }


def plain_net(one: Lane, data: TrainingData, start: Weights) -> PlainNet:
    """The plain network of a lane; the widths of its embeddings are those of its initial weights."""
    settings = one.candidate.settings
    width = data.width
    if one.candidate.model == "linear":
        net: PlainNet = LinearNet(width.dense, width.levels, width.outputs)
    else:
        tables = [start[f"embedding{k}"].shape for k in range(len(width.levels))]
        net = MLPNet(
            width.dense,
            [(shape[0], shape[1]) for shape in tables],
            width.outputs,
            width=int(settings["width"]),
            depth=int(settings["depth"]),
            activation=str(settings["activation"]),
            layer_norm=bool(settings["layer_norm"]),
            apart=one.candidate.optimizer in OF_MATRICES,
        )
    net.to(next(iter(start.values())).dtype)
    net.fill(start)
    return net


_KNOWN: dict[tuple[object, ...], Weights] = {}
"""What plain loops came to, by everything that they were given: other orders and other neighbours ask for the same."""


def truth(
    one: Lane,
    start: Weights,
    data: TrainingData,
    *,
    batch: int = BATCH,
    length: int = LENGTH,
    until: int | None = None,
    rewinds: Sequence[Rewind] = (),
) -> Weights:
    """The weights of a lane after it was trained alone from ``start``; not to be changed, for others may ask again."""
    part = data.folds[one.fold]
    table = PlainData(dense=part.dense, codes=part.codes, target=part.target, weight=data.weight)
    candidate = one.candidate
    asked = (candidate.model, candidate.optimizer, sorted(candidate.settings.items()), one.seed, data.rows, data.width)
    shared = repr((*asked, list(start), batch, length, list(rewinds)))
    tensors = (*start.values(), *vars(table).values(), part.train)
    given = tuple(None if tensor is None else (tensor.shape, tensor.numpy().tobytes()) for tensor in tensors)
    steps = length if until is None else until
    if (shared, steps, given) in _KNOWN:
        return _KNOWN[shared, steps, given]
    stream = RowStream(one.seed, part.train, data.rows)
    full = one.candidate.optimizer == "gd"
    net, twin = plain_net(one, data, start), plain_net(one, data, start)

    def draws(step: int, layer: str, shape: tuple[int, int]) -> Tensor:
        return torch.rand(shape, generator=generator(one.seed, "dropout", layer, step))

    def noise(step: int) -> list[Tensor]:
        """Normal numbers for the weights of the net, in the order of the layout those of ``start``."""
        sizes = [weight.numel() for weight in start.values()]
        dtype = next(iter(start.values())).dtype
        drawn = torch.randn(sum(sizes), generator=generator(one.seed, "draws", step, 1), dtype=dtype).split(sizes)
        twin.fill({name: own.view(weight.shape) for (name, weight), own in zip(start.items(), drawn, strict=True)})
        return [weight.detach() for weight in (*twin.penalised(), *twin.free())]

    train_alone(
        net,
        one.candidate.optimizer,
        one.candidate.settings,
        table,
        Randomness(
            rows=lambda step: part.train if full else stream.take(step * batch, batch), draws=draws, noise=noise
        ),
        length=length,
        until=steps,
        rewinds=rewinds,
        halfway=lambda: _KNOWN.setdefault((shared, length // 2, given), net.weights()),
    )
    return _KNOWN.setdefault((shared, steps, given), net.weights())


@dataclass(frozen=True, kw_only=True)
class Race:
    """Lanes, their data, and how long and in which batches they train."""

    lanes: Sequence[Lane]
    data: TrainingData
    length: int = LENGTH
    batch: int = BATCH
    dtype: torch.dtype = torch.float64

    def stack(self) -> Stack:
        return Stack(list(self.lanes), self.data, length=self.length, batch_size=self.batch, dtype=self.dtype)

    def trained(self) -> tuple[dict[str, Weights], dict[str, Weights]]:
        """The weights of each lane before and after the whole stack was trained."""
        stack = self.stack()
        start = rows_of(stack)
        stack.advance(1.0)
        return start, rows_of(stack)

    def hold(self, start: Mapping[str, Weights], rows: Mapping[str, Weights], *, until: int | None = None) -> None:
        """Fail unless every lane of ``rows`` is what it becomes alone from ``start``."""
        by_id = {one.id: one for one in self.lanes}
        for name, row in rows.items():
            alone = truth(by_id[name], start[name], self.data, batch=self.batch, length=self.length, until=until)
            assert_same(by_id[name], row, alone, start[name], tolerance=TOLERANCE[self.dtype])

    def check(self) -> None:
        """Train the stack, and every lane alone, and compare."""
        self.hold(*self.trained())


def assert_same(one: Lane, row: Weights, alone: Weights, start: Weights, *, tolerance: float) -> None:
    """Fail if a weight differs by more than ``tolerance`` x the largest weight of the row, or nothing was learned."""
    assert set(row) == set(alone), one.id
    largest = max(float(weight.abs().max()) for weight in alone.values())
    moved = max(float((alone[name] - start[name]).abs().max()) for name in alone)
    assert 1e-3 < moved < 1e3, f"{one.id}: a truth that moved by {moved:.1e} proves nothing"
    gaps = {name: float((row[name] - alone[name]).abs().max()) for name in alone}
    worst = max(gaps, key=lambda name: gaps[name] if gaps[name] == gaps[name] else float("inf"))
    allowed = tolerance * max(1.0, largest)
    assert gaps[worst] <= allowed, (
        f"{one.id} ({one.candidate.optimizer}, fold {one.fold}, seed {one.seed}, {dict(one.candidate.settings)}): "
        f"{worst} differs by {gaps[worst]:.2e}, allowed {allowed:.1e}"
    )


def check_every_regularizer(
    model: str,
    rule: str,
    refused: Sequence[str] = (),
    length: int = LENGTH,
    usual: Mapping[str, Value] = MappingProxyType({}),
) -> None:
    """Lanes of a rule with every regularizer, in a stack that two others leave halfway, equal plain loops.

    Before the two leave as well, they themselves included.
    ``refused`` names settings that the rule does not take, ``usual`` those of its own where ``RULES`` has none.
    A regularizer that is nothing here is left out.
    """
    nothing = {*refused, *(() if "dropout" in STRUCTURE[model] else ("dropout",))}
    lanes = [
        lane(
            name,
            model,
            rule,
            {**usual, **{key: value for key, value in settings.items() if key not in refused}},
            fold=1 + at % 2,
            seed=at // 4,
        )
        for at, (name, settings) in enumerate(REGULARIZERS.items())
        if name not in nothing
    ]
    leaving = [lane(f"leaves{seed}", model, rule, usual, fold=1, seed=seed) for seed in (0, 1)]
    race = Race(lanes=[leaving[0], *lanes, leaving[1]], data=race_data(), length=length)
    stack = race.stack()
    start = rows_of(stack)
    stack.advance(0.5)
    halfway = rows_of(stack)
    stack.keep({one.id for one in lanes})
    stack.advance(1.0)
    race.hold(start, rows_of(stack))
    race.hold(start, halfway, until=race.length // 2)
