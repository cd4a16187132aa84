"""Boosted trees, forests and single trees: what a candidate may set, and what that means to the libraries.

Boosting is LightGBM (Ke et al. 2017), the single tree is scikit-learn's CART (Breiman et al. 1984), and so are the
trees of a random forest (Breiman 2001) and of extremely randomized trees (Geurts et al. 2006).
All are trained in worker processes (``lanewise.training.trees.pool``); this file only declares them
and loads neither library. Three settings are measured in units of the training rows, so that one
search range fits every table: ``lambda_l1`` and the bend of Huber's loss in standard deviations of
the target, ``ccp_alpha`` in impurities of the whole table.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from lanewise.errors import UsageError
from lanewise.lanes.hyper import Hyper
from lanewise.models.saved_trees import SavedTrees, TreePredictor, load_trees
from lanewise.task import TaskKind

__all__ = [
    "SavedTrees",
    "TreeKind",
    "TreePredictor",
    "TreeSpec",
    "boosting_parameters",
    "forest_bytes",
    "forest_parameters",
    "forest_trees",
    "load_trees",
    "splitting_parameters",
    "tree_space",
    "tree_spec",
]

TreeKind = Literal["lightgbm", "forest", "tree"]
ForestKind = Literal["extra", "random"]
TreeLoss = Literal["squared", "absolute", "huber"]
Value = float | int | str | bool

_BOOSTING = (
    Hyper(name="learning_rate", default=0.1, low=0.01, high=0.3, scale="log", words="shrinkage of each tree"),
    Hyper(name="num_leaves", default=31, low=4, high=255, scale="log_integer", words="leaves of a tree"),
    Hyper(name="max_depth", default=0, scale="choice", choices=(0, 3, 5, 8, 12), words="deepest level; 0: no limit"),
    Hyper(name="min_child_samples", default=20, low=1, high=200, scale="log_integer", words="fewest rows in a leaf"),
    Hyper(name="feature_fraction", default=1.0, low=0.4, high=1.0, words="share of the columns each tree sees"),
    Hyper(name="bagging_fraction", default=1.0, low=0.5, high=1.0, words="share of the rows each tree sees"),
    Hyper(name="lambda_l1", default=0.0, low=1e-3, high=10.0, scale="log", words="L1 penalty of a leaf's value"),
    Hyper(name="lambda_l2", default=0.0, low=1e-3, high=100.0, scale="log", words="L2 penalty of a leaf's value"),
    Hyper(name="max_bin", default=255, scale="choice", choices=(255, 63, 127, 511), words="histogram bins of a column"),
    Hyper(name="cat_smooth", default=10.0, low=1.0, high=100.0, scale="log", words="smoothing of rare categories"),
    Hyper(name="extra_trees", default=False, scale="choice", choices=(False, True), words="thresholds drawn at random"),
    Hyper(name="rounds", default=100, low=100, high=2000, scale="log_integer", words="trees per output: full length"),
)
_SPLITTING = (
    Hyper(name="max_depth", default=12, low=2, high=20, scale="integer", words="deepest level; 0: no limit"),
    Hyper(name="min_samples_leaf", default=10, low=1, high=200, scale="log_integer", words="fewest rows in a leaf"),
    Hyper(name="ccp_alpha", default=1e-4, low=1e-5, high=0.03, scale="log", words="price of a leaf when pruning"),
    Hyper(name="leaf_smoothing", default=1.0, low=0.1, high=30.0, scale="log", words="rows' worth of the overall mean"),
)
_FOREST = (
    Hyper(
        name="forest",
        default="extra",
        scale="choice",
        choices=("extra", "random"),
        words="extra: thresholds drawn at random; random: the best ones, on rows drawn with replacement",
    ),
    Hyper(name="max_features", default=0.5, low=0.1, high=1.0, words="share of the columns tried at a split"),
    Hyper(name="min_samples_leaf", default=2, low=1, high=50, scale="log_integer", words="fewest rows in a leaf"),
    Hyper(
        name="leaf_smoothing", default=0.02, low=0.002, high=1.0, scale="log", words="rows' worth of the overall mean"
    ),
    Hyper(name="trees", default=300, low=50, high=1000, scale="log_integer", words="trees: full length"),
)
_LOSS = Hyper(
    name="tree_loss",
    default="squared",
    scale="choice",
    choices=("squared", "huber", "absolute"),
    words="what is fitted",
)
# Smallest and largest value that a person may state, whatever a search draws from.
_ALLOWED: dict[str, tuple[float, float]] = {
    "rounds": (1, 100_000),
    "learning_rate": (1e-6, 1.0),
    "num_leaves": (2, 131_072),
    "max_depth": (0, 1_000),
    "min_child_samples": (1, 1_000_000_000),
    "feature_fraction": (1e-6, 1.0),
    "bagging_fraction": (1e-6, 1.0),
    "lambda_l1": (0.0, 1e12),
    "lambda_l2": (0.0, 1e12),
    "max_bin": (2, 65_535),
    "cat_smooth": (0.0, 1e12),
    "min_samples_leaf": (1, 1_000_000_000),
    "ccp_alpha": (0.0, 1.0),
    "leaf_smoothing": (0.0, 1e12),
    "max_features": (1e-6, 1.0),
    "trees": (1, 100_000),
}

TREE_KINDS: dict[str, TreeKind] = {"lightgbm": "lightgbm", "forest": "forest", "tree": "tree"}
"""The families of trees, by their names."""

LENGTHS: dict[str, str] = {"lightgbm": "rounds", "forest": "trees"}
"""The setting that says how long a kind of trees is trained; a single tree is grown at once."""

FOREST_BYTES = 96 * 2**20
"""What the arrays of a forest may take: leaves hold as many rows as that needs, however few they might."""

SPLIT_BYTES, VALUE_BYTES = 17, 4
"""Of the arrays of a forest: what a split takes, and for every leaf a value."""

LEAVES_PER_ROW = {"regression": 1.0, "count": 1.0, "binary": 0.5, "multiclass": 0.5}
"""Leaves of a tree whose leaves may hold a single row: nodes of rows of one class are not split."""

FOREST_TREES = (100, 300)
"""Fewest and most trees of a forest that is proposed: what 300 take in room goes into smaller leaves from 100 on."""


@dataclass(frozen=True, kw_only=True)
class TreeSpec:
    """One setting of boosted trees (``kind="lightgbm"``), a forest (``"forest"``) or a single tree (``"tree"``).

    The defaults are LightGBM's own. ``rounds`` is the full length of the lane, of a forest ``trees``; a single tree has
    length 1. ``tree_loss`` matters for regression only. Settings of the other kind are ignored.

    Raises ``UsageError`` for a value outside of what the libraries accept.

    >>> TreeSpec(learning_rate=0.05).full_length, TreeSpec(kind="tree").full_length
    (100, 1)
    """

    kind: TreeKind = "lightgbm"
    tree_loss: TreeLoss = "squared"
    rounds: int = 100
    learning_rate: float = 0.1
    num_leaves: int = 31
    max_depth: int = 0
    min_child_samples: int = 20
    feature_fraction: float = 1.0
    bagging_fraction: float = 1.0
    lambda_l1: float = 0.0
    lambda_l2: float = 0.0
    max_bin: int = 255
    cat_smooth: float = 10.0
    extra_trees: bool = False
    min_samples_leaf: int = 10
    ccp_alpha: float = 1e-4
    leaf_smoothing: float = 1.0
    forest: ForestKind = "extra"
    max_features: float = 0.5
    trees: int = 300

    def __post_init__(self) -> None:
        for name, choices in (
            ("kind", ("lightgbm", "forest", "tree")),
            ("tree_loss", _LOSS.choices),
            ("forest", ("extra", "random")),
        ):
            if getattr(self, name) not in choices:
                message = f"{name} must be one of {', '.join(map(str, choices))}, got {getattr(self, name)!r}"
                raise UsageError(message)
        for name, (low, high) in _ALLOWED.items():
            _check_number(name, getattr(self, name), low, high, whole=isinstance(low, int))
        if not isinstance(self.extra_trees, bool):
            message = f"extra_trees must be true or false, got {self.extra_trees!r}"
            raise UsageError(message)

    @property
    def full_length(self) -> int:
        """Boosting rounds, or trees of a forest, of the whole training; 1 for a single tree, which has no rungs."""
        return getattr(self, LENGTHS[self.kind]) if self.kind in LENGTHS else 1

    def as_settings(self) -> dict[str, Value]:
        """All settings by name, fit for JSON."""
        return asdict(self)

    def expected_cost(self, *, rows: int, columns: int, outputs: int) -> float:
        """Nanoseconds, about, of the full training on one core; what counts is how settings compare.

        A boosted tree reads its rows once a level, ``0.8 ns`` a cell, and walks the histogram of every column for
        every leaf, ``8 ns`` a bin. Fitted to LightGBM 4 on tables of 1,000 to 100,000 rows, 8 to 50 columns and 7 to
        127 leaves, which it meets within a fifth. Every level of a tree of a forest takes a time per row, and per row
        and column that is tried; the best threshold twice what one drawn at random does.
        """
        columns = max(columns, 1)
        if self.kind == "tree":
            return float(2.0 * rows * columns * np.log2(rows + 2.0))
        if self.kind == "forest":
            levels = np.log2(rows / self.min_samples_leaf + 2.0)
            tried = 25.0 + 10.0 * max(1.0, self.max_features * columns)
            return float(self.trees * (5e5 + rows * levels * tried * (1.0 if self.forest == "extra" else 2.0)))
        leaves = min(self.num_leaves, max(2, rows // max(self.min_child_samples, 1)))
        if self.max_depth:
            leaves = min(leaves, 2**self.max_depth)
        reading = rows * self.bagging_fraction * columns * self.feature_fraction * np.log2(leaves + 1.0)
        walking = leaves * columns * self.feature_fraction * min(self.max_bin, rows)
        return float(self.rounds * max(outputs, 1) * (0.8 * reading + 8.0 * walking + 8.0 * rows))


def tree_space(kind: TreeKind = "lightgbm", *, task_kind: TaskKind | None = None) -> tuple[Hyper, ...]:
    """The hyper-parameters of a kind of trees, each with default and search range.

    >>> [hyper.name for hyper in tree_space("tree")]
    ['max_depth', 'min_samples_leaf', 'ccp_alpha', 'leaf_smoothing']
    """
    if kind != "lightgbm":
        return _SPLITTING if kind == "tree" else _FOREST
    return (*_BOOSTING, _LOSS) if task_kind == "regression" else _BOOSTING


def tree_spec(kind: TreeKind, settings: Mapping[str, Value]) -> TreeSpec:
    """The spec of a candidate's flat settings; names that belong to other parts are skipped.

    Without ``rounds`` the length follows the learning rate, ``rounds = 10 / learning_rate``, for a
    sum of trees shrunk twice as much needs twice as many of them (Friedman 2001).

    >>> tree_spec("lightgbm", {"learning_rate": 0.02, "width": 64}).rounds
    500
    """
    names = {field.name for field in fields(TreeSpec)} - {"kind"}
    defaults: dict[str, Any] = {hyper.name: hyper.default for hyper in tree_space(kind)}
    chosen: dict[str, Any] = defaults | {name: _whole(name, settings[name]) for name in names & settings.keys()}
    if kind == "lightgbm" and "rounds" not in settings:
        rate = chosen["learning_rate"]
        _check_number("learning_rate", rate, *_ALLOWED["learning_rate"], whole=False)
        chosen["rounds"] = max(1, min(round(10.0 / rate), 10_000))
    return TreeSpec(kind=kind, **chosen)


def boosting_parameters(
    spec: TreeSpec, *, task_kind: TaskKind, classes: int, rows: int, deviation: float, seed: int, threads: int
) -> dict[str, Any]:
    """LightGBM's parameters of a lane.

    ``rows`` is the number of training rows: limits on rows per leaf and per category are lowered
    to a tenth of it, without which a small table (30 rows) cannot be split at all. ``deviation``
    is the standard deviation of the training target, ``classes`` the number of classes.
    """
    tenth = max(1, rows // 10)
    objective = _objective(spec, task_kind)
    in_target_units = objective in ("regression", "huber")
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": spec.learning_rate,
        "num_leaves": spec.num_leaves,
        "max_depth": spec.max_depth or -1,
        "min_data_in_leaf": min(spec.min_child_samples, tenth),
        "feature_fraction": spec.feature_fraction,
        "bagging_fraction": spec.bagging_fraction,
        "bagging_freq": 1 if spec.bagging_fraction < 1.0 else 0,
        "lambda_l1": spec.lambda_l1 * (deviation if in_target_units else 1.0),
        "lambda_l2": spec.lambda_l2,
        "cat_smooth": spec.cat_smooth,
        "min_data_per_group": min(100, tenth),
        "extra_trees": spec.extra_trees,
        "metric": "None",
        "deterministic": True,
        "force_row_wise": True,
        **binning_parameters(spec, threads=threads),
        **_seeds(seed),
    }
    if objective == "multiclass":
        parameters["num_class"] = classes
    if objective == "huber":
        parameters["alpha"] = deviation if deviation > 0.0 else 1.0
    return parameters


def binning_parameters(spec: TreeSpec, *, threads: int) -> dict[str, Any]:
    """The part of LightGBM's parameters that shapes the binned table, the same for many lanes."""
    return {
        "max_bin": spec.max_bin,
        "feature_pre_filter": False,  # lanes of other leaf sizes share the table
        "data_random_seed": 1,
        "num_threads": threads,
        "verbosity": -1,
    }


def splitting_parameters(
    spec: TreeSpec, *, task_kind: TaskKind, rows: int, impurity: float, seed: int
) -> dict[str, Any]:
    """scikit-learn's parameters of a single tree; ``impurity`` is that of all training rows."""
    criterion = {"regression": "squared_error", "count": "poisson", "binary": "gini", "multiclass": "gini"}
    return {
        "criterion": criterion[task_kind],
        "max_depth": spec.max_depth or None,
        "min_samples_leaf": min(spec.min_samples_leaf, max(1, rows // 10)),
        "ccp_alpha": spec.ccp_alpha * impurity,
        "random_state": _seeds(seed)["seed"],
    }


def forest_parameters(spec: TreeSpec, *, task_kind: TaskKind, rows: int, outputs: int) -> dict[str, Any]:
    """scikit-learn's parameters of the trees of a forest, but for the seed of each.

    ``min_samples_leaf`` is raised to what keeps the arrays of all trees within ``FOREST_BYTES``.
    """
    criterion = {"regression": "squared_error", "count": "poisson", "binary": "gini", "multiclass": "gini"}
    whole = spec.trees * rows * _bytes_per_row(task_kind, outputs)
    least = max(spec.min_samples_leaf, math.ceil(whole / FOREST_BYTES))
    return {
        "criterion": criterion[task_kind],
        "max_features": spec.max_features,
        "min_samples_leaf": min(least, max(1, rows // 10)),
    }


def forest_trees(task_kind: TaskKind, *, rows: int, outputs: int) -> int:
    """Trees of a forest on so many rows: as many as there is room for with leaves of one row, within bounds.

    >>> forest_trees("regression", rows=500, outputs=1), forest_trees("regression", rows=100_000, outputs=1)
    (300, 100)
    """
    fewest, most = FOREST_TREES
    return int(min(most, max(fewest, FOREST_BYTES // max(1.0, rows * _bytes_per_row(task_kind, outputs)))))


def forest_bytes(trees: float, *, task_kind: TaskKind, rows: int, outputs: int) -> float:
    """What the arrays of a forest take at the most."""
    return min(FOREST_BYTES, trees * rows * _bytes_per_row(task_kind, outputs))


def _bytes_per_row(task_kind: TaskKind, outputs: int) -> float:
    return LEAVES_PER_ROW[task_kind] * (SPLIT_BYTES + VALUE_BYTES * outputs)


def _objective(spec: TreeSpec, task_kind: TaskKind) -> str:
    if task_kind == "regression":
        return {"squared": "regression", "absolute": "regression_l1", "huber": "huber"}[spec.tree_loss]
    return {"count": "poisson", "binary": "binary", "multiclass": "multiclass"}[task_kind]


def _seeds(seed: int) -> dict[str, int]:
    """Every seed LightGBM knows, drawn from the lane's; 31 bits, for the library keeps them signed."""
    names = ("seed", "bagging_seed", "feature_fraction_seed", "extra_seed", "drop_seed", "objective_seed")
    words = np.random.SeedSequence(seed).generate_state(len(names), np.uint32) >> 1
    return {name: int(word) for name, word in zip(names, words, strict=True)}


def _whole(name: str, value: Value) -> Value:
    """Settings that were computed or read from JSON may write 31 as 31.0."""
    whole = name in _ALLOWED and isinstance(_ALLOWED[name][0], int)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def _check_number(name: str, value: object, low: float, high: float, *, whole: bool) -> None:
    wanted = "a whole number" if whole else "a number"
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right_type or not low <= value <= high:  # pyright: ignore[reportOperatorIssue] the type was just checked
        message = f"{name} must be {wanted} from {low:g} to {high:g}, got {value!r}"
        raise UsageError(message)
