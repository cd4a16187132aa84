"""Boosted trees, forests and single trees as one TreeEnsemble node each, in float64 as they are.

Thresholds and leaves stay doubles, so that no row takes another branch than before.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lanewise.deploy.onnx_graph import ML, Graph
from lanewise.deploy.onnx_inputs import RawRows
from lanewise.deploy.onnx_networks import logistic
from lanewise.errors import UsageError
from lanewise.features.columns import FIRST_LEVEL_CODE
from lanewise.features.layout import Layout
from lanewise.models.saved_trees import Forest, SavedTrees, SingleTree, SplitTrees, load_trees
from lanewise.models.split_arrays import Splits
from lanewise.task import Task

AT_MOST, MEMBER = 0, 6
"""Modes of a split (``nodes_modes``): value <= threshold, or value in a set."""

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
# LightGBM's kZeroThreshold: it reads numbers no larger than this as zero.
_ZERO = float(np.float32(1e-35))
_MISSING_SHIFT, _MISSING_NONE, _MISSING_ZERO = 2, 0, 1


@dataclass(frozen=True, kw_only=True)
class Node:
    """A split: ``yes`` and ``no`` are nodes (0 and up) or leaves (``~leaf``); ``missing_yes`` says where a NaN goes."""

    column: int
    threshold: float
    yes: int
    no: int
    missing_yes: bool
    members: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Splits, the first of which is the root, and leaves ``[leaves]`` for the output ``target``."""

    nodes: tuple[Node, ...]
    leaves: tuple[float, ...]
    target: int


@dataclass(eq=False)
class Ensemble:
    """Trees laid end to end, as the attributes of the node want them."""

    outputs: int
    constant: np.ndarray
    columns: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    yes_leaf: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    no_leaf: list[int] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, trees: Sequence[Tree], outputs: int) -> "Ensemble":
        """A tree of one leaf adds the same to every row, and becomes part of ``constant [C]``."""
        made = cls(outputs=outputs, constant=np.zeros(outputs))
        for tree in trees:
            if tree.nodes:
                made._append(tree)
            else:
                made.constant[tree.target] += tree.leaves[0]
        return made

    @classmethod
    def of_splits(cls, splits: Splits, values: np.ndarray) -> "Ensemble":
        """Every tree an output of its own, with one of ``values [leaves]`` where a row ends."""
        count = len(splits.roots)
        grown = splits.roots >= 0
        made = cls(outputs=count, constant=np.zeros(count))
        made.constant[~grown] = values[~splits.roots[~grown]]
        tree = np.repeat(np.flatnonzero(grown), np.diff([*splits.roots[grown], len(splits.feature)]))
        target = np.full(len(splits.value), -1)
        for side in (splits.left, splits.right):
            target[~side[side < 0]] = tree[side < 0]
        number = np.cumsum(target >= 0) - 1  # of the leaves of trees that have splits
        made.columns = splits.feature.tolist()
        made.splits = np.nan_to_num(splits.threshold.astype(np.float64)).tolist()
        made.modes = [AT_MOST] * len(splits.feature)
        made.missing = splits.missing_left.astype(int).tolist()
        for side, ends, leaf in ((splits.left, made.yes, made.yes_leaf), (splits.right, made.no, made.no_leaf)):
            ends.extend(np.where(side >= 0, side, number[np.where(side < 0, ~side, 0)]).tolist())
            leaf.extend((side < 0).astype(int).tolist())
        made.leaves = values[target >= 0].tolist()
        made.targets = target[target >= 0].tolist()
        made.roots = splits.roots[grown].tolist()
        return made

    def _append(self, tree: Tree) -> None:
        first_node, first_leaf = len(self.columns), len(self.leaves)
        self.roots.append(first_node)
        for node in tree.nodes:
            self.columns.append(node.column)
            self.splits.append(node.threshold)
            self.modes.append(AT_MOST if node.members is None else MEMBER)
            self.missing.append(int(node.missing_yes))
            if node.members is not None:
                self.members += [*map(float, node.members), np.nan]  # a NaN ends each set
            for side, ends, leaf in ((node.yes, self.yes, self.yes_leaf), (node.no, self.no, self.no_leaf)):
                ends.append(first_node + side if side >= 0 else first_leaf + ~side)
                leaf.append(int(side < 0))
        self.leaves += tree.leaves
        self.targets += [tree.target] * len(tree.leaves)

    def add_to(self, graph: Graph, matrix: str) -> str:
        """Sums ``[N, C]`` of the leaves that the rows of ``matrix`` (float64) reach."""
        if not self.roots:
            return graph.repeated(self.constant, "float64")
        attributes = {"membership_values": graph.tensor(np.array(self.members))} if self.members else {}
        sums = graph.op(
            "TreeEnsemble",
            matrix,
            domain=ML,
            n_targets=self.outputs,
            aggregate_function=1,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=self.columns,
            nodes_splits=graph.tensor(np.array(self.splits)),
            nodes_modes=graph.tensor(np.array(self.modes, dtype=np.uint8)),
            nodes_missing_value_tracks_true=self.missing,
            nodes_truenodeids=self.yes,
            nodes_trueleafs=self.yes_leaf,
            nodes_falsenodeids=self.no,
            nodes_falseleafs=self.no_leaf,
            leaf_targetids=self.targets,
            leaf_weights=graph.tensor(np.array(self.leaves)),
            **attributes,
        )
        return graph.op("Add", sums, graph.constant(self.constant, "float64")) if self.constant.any() else sums


def tree_response(graph: Graph, saved: SavedTrees, task: Task, layout: Layout, rows: RawRows) -> str:
    """Means ``[N, 1]`` or class probabilities ``[N, K]`` of trees, in float64."""
    if saved.kind == "lightgbm":
        return _boosted(graph, saved, task, rows)
    trees = load_trees(saved)
    assert isinstance(trees, SplitTrees)
    total = _leaf_values(graph, trees.arrays, _columns(graph, trees, layout, rows))
    if isinstance(trees, SingleTree):
        return total
    assert isinstance(trees, Forest)
    if task.is_classification:
        return graph.op("Div", total, graph.op("ReduceSum", total, graph.constant([1], "int64"), keepdims=1))
    mean = graph.op("Div", total, graph.constant(float(len(trees.arrays.roots)), "float64"))
    scaled = graph.op("Mul", mean, graph.constant(trees.scale, "float64"))
    return graph.op("Add", scaled, graph.constant(trees.center, "float64"))


def _boosted(graph: Graph, saved: SavedTrees, task: Task, rows: RawRows) -> str:
    parts: list[str] = []
    if rows.numbers is not None:
        tiny = graph.op("LessOrEqual", graph.op("Abs", rows.numbers), graph.constant(_ZERO, "float64"))
        parts.append(graph.op("Where", tiny, graph.constant(0.0, "float64"), rows.numbers))
    if rows.codes is not None:
        # Other levels become -1, which is in no set of levels: they go right, as LightGBM sends what it never saw.
        shifted = graph.op("Sub", rows.codes, graph.constant(FIRST_LEVEL_CODE - 1, "int64"))
        parts.append(graph.cast(shifted, "float64"))
    if rows.tokens is not None:
        parts.append(graph.cast(rows.tokens, "float64"))
    header, blocks = _sections(saved.text)
    outputs = int(header["num_tree_per_iteration"])
    if "average_output" in header:
        message = "trees that are averaged (random forests of LightGBM) cannot be exported; train boosted trees"
        raise UsageError(message)
    trees = [_boosted_tree(block, place % outputs) for place, block in enumerate(blocks)]
    raw = Ensemble.of(trees, outputs).add_to(graph, graph.beside(parts))
    objective, *settings = header["objective"].split()
    if task.kind == "binary":
        steepness = dict(setting.split(":") for setting in settings if ":" in setting).get("sigmoid", "1")
        return logistic(graph, graph.op("Mul", raw, graph.constant(float(steepness), "float64")))
    if task.kind == "multiclass":
        return graph.op("Softmax", raw, axis=1)
    if objective == "poisson":
        raw = graph.op("Exp", raw)
    return graph.op("Add", raw, graph.constant(float(saved.meta["offset"]), "float64"))


def _sections(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The header of LightGBM's text, and its trees, as fields."""
    header, *blocks = text.split("\nend of trees", maxsplit=1)[0].split("\nTree=")
    return _fields(header), [_fields(block) for block in blocks]


def _fields(block: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in block.splitlines())}


def _boosted_tree(block: dict[str, str], target: int) -> Tree:
    """A tree of LightGBM's text; see ``Tree::NumericalDecision`` and ``Tree::CategoricalDecision`` of its source."""
    if block.get("is_linear", "0") != "0":
        message = "trees with linear models in their leaves cannot be exported; train them without linear_tree"
        raise UsageError(message)
    leaves = tuple(map(float, block["leaf_value"].split()))
    if int(block["num_leaves"]) == 1:
        return Tree(nodes=(), leaves=leaves, target=target)
    sets = _level_sets(block) if int(block["num_cat"]) else []
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    nodes: list[Node] = []
    for column, threshold, decision, left, right in zip(*(block[name].split() for name in names), strict=True):
        kind, value = int(decision), float(threshold)
        members = sets[int(value)] if kind & _CATEGORICAL else None
        nodes.append(
            Node(
                column=int(column),
                threshold=0.0 if members is not None else value,
                yes=int(left),
                no=int(right),
                missing_yes=members is None and _missing_left(kind, value),
                members=members,
            )
        )
    return Tree(nodes=tuple(nodes), leaves=leaves, target=target)


def _missing_left(kind: int, threshold: float) -> bool:
    """Where a NaN goes: to the default side, or as zero does where the training rows had none."""
    missing = kind >> _MISSING_SHIFT & 3
    if missing == _MISSING_ZERO:
        message = "trees that take zeros for missing cannot be exported; train them without zero_as_missing"
        raise UsageError(message)
    return threshold >= 0.0 if missing == _MISSING_NONE else bool(kind & _DEFAULT_LEFT)


def _level_sets(block: dict[str, str]) -> list[tuple[int, ...]]:
    """The codes of each categorical split, kept as bits of 32-bit words."""
    bounds = list(map(int, block["cat_boundaries"].split()))
    words = list(map(int, block["cat_threshold"].split()))
    return [
        tuple(32 * place + bit for place, word in enumerate(words[start:end]) for bit in range(32) if word >> bit & 1)
        for start, end in itertools.pairwise(bounds)
    ]


def _columns(graph: Graph, trees: SplitTrees, layout: Layout, rows: RawRows) -> list[str]:
    """What scikit-learn's trees read, as `splitting_matrix` has it: numbers as float32, ranks of levels."""
    parts: list[str] = []
    if rows.numbers is not None:
        largest = float(np.finfo(np.float32).max)
        bounds = (graph.constant(bound, "float64") for bound in (-largest, largest))
        parts.append(graph.cast(graph.cast(graph.op("Clip", rows.numbers, *bounds), "float32"), "float64"))
    for place, (order, column) in enumerate(zip(trees.levels, layout.categories, strict=True)):
        assert rows.codes is not None
        ranks = np.full(column.codes, np.nan)
        ranks[np.array(order, dtype=int) + FIRST_LEVEL_CODE - 1] = np.arange(len(order))
        code = graph.columns(rows.codes, [place])
        parts.append(graph.op("Gather", graph.constant(ranks, "float64"), code, axis=0))
    if trees.token_columns:
        assert rows.tokens is not None
        parts.append(graph.cast(graph.columns(rows.tokens, trees.token_columns), "float64"))
    return parts


def _leaf_values(graph: Graph, splits: Splits, parts: list[str]) -> str:
    """Sums ``[N, C]`` over the trees: the node gives the number of the leaf of each, a table its values."""
    numbers = np.arange(len(splits.value), dtype=np.float64)
    ensemble = Ensemble.of_splits(splits, numbers)
    if not ensemble.roots:
        return graph.repeated(splits.value.astype(np.float64).sum(axis=0), "float64")
    leaf = graph.cast(ensemble.add_to(graph, graph.beside(parts)), "int64")
    value = graph.constant(splits.value, str(splits.value.dtype))
    if len(splits.roots) == 1:
        return graph.cast(graph.op("Gather", value, graph.column(leaf, 0), axis=0), "float64")
    found = graph.cast(graph.op("Gather", value, leaf, axis=0), "float64")
    return graph.op("ReduceSum", found, graph.constant([1], "int64"), keepdims=0)
