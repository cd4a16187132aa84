"""Predictors from real, short trainings on a small table of every kind of column."""

import zlib
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import torch

from lanewise.data.dataset import Dataset
from lanewise.data.kinds import ColumnKind
from lanewise.deploy.predictor import Interval, Member, Predictor
from lanewise.fitting.wanted_workers import SINGLE_TREES
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.trees import TREE_KINDS
from lanewise.task import Task, TaskKind
from lanewise.training.calibration import Calibration
from lanewise.training.data import ALL_ROWS
from lanewise.training.fitted import Fitted
from lanewise.training.planning.plan import Lengths
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem, prepare, tree_data
from lanewise.training.selecting import Selections
from lanewise.training.stack import never
from lanewise.training.teams import TeamBuilder
from lanewise.training.trees.pool import TreePool

ROWS = 300
KINDS: dict[str, ColumnKind] = {
    "light": "number", "heavy": "number", "gaps": "number", "whole": "number", "Few levels!": "category",
    "many": "category", "when": "date", "text": "text", "y": "number",
}  # fmt: skip
KIND_OF_TARGET: dict[TaskKind, ColumnKind] = {
    "regression": "number", "count": "number", "binary": "category", "multiclass": "category",
}  # fmt: skip
SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "linear": ("linear", "lbfgs", {"l2": 1e-3}),
    "sgd": ("linear", "adam", {"lr": 0.01, "batch_size": 64}),
    "relu": ("mlp", "adamw", {"lr": 0.01, "batch_size": 64, "width": 16, "depth": 2}),
    "silu": ("mlp", "adamw", {"lr": 0.01, "batch_size": 64, "width": 16, "depth": 1, "activation": "silu"}),
    "gelu": ("mlp", "adamw", {"lr": 0.01, "batch_size": 64, "width": 8, "depth": 2, "activation": "gelu"}),
    "tanh": ("mlp", "adamw", {"lr": 0.01, "batch_size": 64, "width": 8, "depth": 3, "activation": "tanh"}),
    "norm": (
        "mlp",
        "adamw",
        {"lr": 0.01, "batch_size": 64, "width": 16, "depth": 2, "layer_norm": True, "dropout": 0.1},
    ),
    "margins": ("linear", "adam", {"lr": 0.01, "batch_size": 64}),
    "few linear": ("linear", "lbfgs", {"l2": 1e-3, "features": "l1-path", "feature_share": 0.5}),
    "few relu": (
        "mlp",
        "adamw",
        {"lr": 0.01, "batch_size": 64, "width": 16, "depth": 2, "features": "permutation", "feature_share": 0.4},
    ),
    "few lightgbm": (
        "lightgbm",
        "boosting",
        {"rounds": 25, "num_leaves": 12, "min_child_samples": 3, "features": "permutation", "feature_share": 0.5},
    ),
    "few tree": ("tree", "splitting", {"max_depth": 7, "features": "l1-path", "feature_share": 0.4}),
    "lightgbm": ("lightgbm", "boosting", {"rounds": 25, "num_leaves": 12, "min_child_samples": 3, "cat_smooth": 1.0}),
    "forest": ("forest", "splitting", {"trees": 12, "forest": "extra", "min_samples_leaf": 2}),
    "few forest": (
        "forest",
        "splitting",
        {"trees": 7, "forest": "random", "features": "permutation", "feature_share": 0.5},
    ),
    "tree": ("tree", "splitting", {"max_depth": 7, "min_samples_leaf": 3, "ccp_alpha": 1e-5}),
}


def table(kind: TaskKind, *, rows: int = ROWS, seed: int = 0) -> Dataset:
    """Rows of every kind of column, missing cells in all of them, and a target of the asked kind."""
    draw = np.random.default_rng(seed)
    light, heavy = draw.normal(size=rows), np.exp(2 * draw.normal(size=rows))
    few, many = draw.integers(0, 4, rows), np.minimum(draw.geometric(0.04, rows), 60)
    signal = light + np.log(heavy) / 2 + 0.5 * few + np.sin(many)
    days = draw.integers(-8000, 20000, rows)
    columns: dict[str, Any] = {
        "light": light,
        "heavy": heavy,
        "gaps": [None if gone else float(value) for gone, value in zip(draw.random(rows) < 0.2, signal, strict=True)],
        "whole": (draw.integers(0, 9, rows) + 2**40).astype(np.int64),
        "Few levels!": [None if draw.random() < 0.1 else "äbcd"[place] for place in few],
        "many": [None if draw.random() < 0.05 else f"level {place}" for place in many],
        "when": pl.Series([int(day) * 86_400_000_000 + int(draw.integers(0, 86_400_000_000)) for day in days]).cast(
            pl.Datetime("us")
        ),
        "text": [
            None if draw.random() < 0.05 else f"{'good' if s > 1 else 'bad'} thing {m % 7}"
            for s, m in zip(signal, many, strict=True)
        ],
    }
    noisy = signal + 0.3 * draw.normal(size=rows)
    columns["y"] = {
        "regression": 1000 + 50 * noisy,
        "count": draw.poisson(np.exp(noisy / 3)),
        "binary": np.where(noisy > 1, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(noisy, [0, 2])],
    }[kind]
    frame = pl.DataFrame(columns)
    frame = frame.with_columns(pl.when(pl.int_range(rows) % 23 == 5).then(None).otherwise(pl.col("when")).alias("when"))
    return Dataset(frame=frame, kinds={**KINDS, "y": KIND_OF_TARGET[kind]}, source="table.csv")


def candidate(name: str, **more: Any) -> Candidate:
    model, optimizer, settings = SETTINGS[name]
    return Candidate(
        id=f"{name}{zlib.crc32(str(more).encode()):x}", model=model, optimizer=optimizer, settings={**settings, **more}
    )


@cache
def posed(kind: TaskKind, columns: tuple[str, ...] = ()) -> Problem:
    """The question that the table sets; ``columns`` names the features, all where it is empty."""
    dropped = tuple(name for name in KINDS if columns and name not in (*columns, "y"))
    return pose(table(kind), Request(target="y", kind=kind, drop=dropped))


FOLLOWING = Interval(level=0.9, half_width=1.0, edges=(0.5, 2.0), half_widths=(0.25, 1.5, 0.75))
"""An interval whose width follows the prediction."""
FLOORED = Interval(level=0.9, half_width=12.5, floor=0.0)


def train(problem: Problem, candidates: list[Candidate], *, dtype: torch.dtype = torch.float32) -> list[Fitted]:
    """One member per candidate, trained on all training rows through the teams of a race."""
    return [fitted for fitted, _ in trained_and_judged(problem, candidates, dtype=dtype)]


def trained_and_judged(
    problem: Problem, candidates: list[Candidate], *, dtype: torch.dtype = torch.float32
) -> list[tuple[Fitted, np.ndarray]]:
    """The members with the predictions ``[n, K]`` that their own teams made for the held-out rows."""
    data, _ = prepare(problem, refit=True, dtype=dtype)
    lengths = Lengths(rows_seen=2500, iterations=30)  # far from done, and as far from where they began
    lanes = [Lane(candidate=candidate, fold=ALL_ROWS, seed=3) for candidate in candidates]
    pool = None
    models = {candidate.model for candidate in candidates}
    if models & TREE_KINDS.keys():
        single = not SINGLE_TREES.isdisjoint(models)
        pool = TreePool(tree_data(problem), problem.task, workers=1, threads_per_worker=1, single_trees=single)
    try:
        selections = Selections(data=data, layout=problem.layout, seed=0)
        builder = TeamBuilder(
            data=data, lengths=lengths, workers=1, stop=never, pool=pool, dtype=dtype, selections=selections
        )
        found: dict[str, tuple[Fitted, np.ndarray]] = {}
        for team in builder.form(lanes, "refit"):
            team.advance(1.0)
            for item in team.evidence():
                found[item.lane.candidate.id] = team.export(item.lane.id), item.valid
        return [found[candidate.id] for candidate in candidates]
    finally:
        if pool is not None:
            pool.close()


@cache
def judged(kind: TaskKind, columns: tuple[str, ...], names: tuple[str, ...]) -> dict[str, tuple[Fitted, np.ndarray]]:
    """Members of `SETTINGS`, by name, with what their own teams predicted for the held-out rows."""
    hinge = "hinge" if kind in ("binary", "multiclass") else None
    losses = {"sgd": {"regression": "huber", "binary": "squared_hinge"}.get(kind), "margins": hinge}
    wanted = [candidate(name, **({"loss": losses[name]} if losses.get(name) else {})) for name in names]
    return dict(zip(names, trained_and_judged(posed(kind, columns), wanted), strict=True))


def company(name: str) -> tuple[str, ...]:
    """Who is trained together with ``name``: those of its sort, so that nobody waits for trees who needs none."""

    def sort(name: str) -> tuple[bool, bool]:
        return SETTINGS[name][0] in TREE_KINDS, name.startswith("few ")

    return tuple(other for other in SETTINGS if sort(other) == sort(name))


def member(kind: TaskKind, name: str, columns: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> Fitted:
    """One of `judged`; "margins" is a calibrated support vector machine where there are classes."""
    found, _ = judged(kind, columns, names or company(name))[name]
    if kind in ("binary", "multiclass") and name == "margins":
        offsets = (0.3,) if kind == "binary" else (0.3, -0.2, 0.1)
        return replace(found, calibration=Calibration(scale=1.7, offsets=offsets))
    return found


def predictor(kind: TaskKind, *names: str, columns: tuple[str, ...] = (), **more: Any) -> Predictor:
    """A predictor of the members ``names`` of `SETTINGS`, each twice the weight of the one before."""
    chosen = [member(kind, name, columns, names if columns else ()) for name in names]
    return assembled(posed(kind, columns), chosen, **more)


def assembled(problem: Problem, fitted: list[Fitted], *, dtype: torch.dtype = torch.float32, **more: Any) -> Predictor:
    _, preparation = prepare(problem, refit=True, dtype=dtype)
    numbers = not problem.task.is_classification
    return Predictor(
        task=problem.task,
        contract=problem.contract,
        preparation=preparation,
        members=tuple(Member(fitted=one, weight=2.0**place) for place, one in enumerate(fitted)),
        **{"interval": Interval(level=0.9, half_width=12.5) if numbers else None, "name": "small", **more},
    )


def unusual(kind: TaskKind) -> Dataset:
    """New rows: missing cells everywhere, levels that training never saw, and numbers far out."""
    rows = table(kind, rows=120, seed=1)
    places = pl.int_range(rows.rows)
    changes = [pl.when(places % 9 == 0).then(None).otherwise(pl.col(name)).alias(name) for name in rows.frame.columns]
    frame = rows.frame.with_columns(changes).with_columns(
        pl.when(places % 9 == 1).then(pl.lit(1e300)).otherwise(pl.col("heavy")).alias("heavy"),
        pl.when(places % 9 == 2).then(pl.lit(-1e300)).otherwise(pl.col("light")).alias("light"),
        pl.when(places % 9 == 3).then(pl.lit("never seen")).otherwise(pl.col("many")).alias("many"),
        pl.when(places % 9 == 4).then(pl.lit("never ' seen\"")).otherwise(pl.col("Few levels!")).alias("Few levels!"),
        pl.when(places % 9 == 5).then(pl.lit(2**53)).otherwise(pl.col("whole")).alias("whole"),
        pl.when(places % 9 == 6)
        .then(pl.lit(-62_135_596_800_000_000).cast(pl.Datetime("us")))
        .otherwise(pl.col("when"))
        .alias("when"),
    )
    return replace(rows, frame=frame)


def task_of(kind: TaskKind) -> Task:
    return posed(kind).task
