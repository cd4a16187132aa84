"""How much of a model is about each column, told from its weights and splits alone, without a prediction."""

from collections.abc import Sequence

import numpy as np
import torch

from lanewise.deploy.predictor import Member, Predictor
from lanewise.features.layout import Layout
from lanewise.models.trees import load_trees

FIRST_LAYERS = ("weight", "layer0.weight")
"""The weights ``[*, D]`` that dense features meet first, in a linear model and in a network."""


def attention(predictor: Predictor) -> dict[str, float]:
    """A figure for every column, the larger the more of the model is about it; 0: the model does not read it.

    Of trees the share of splits, of networks and linear models the share of the length of the weights that the features
    of a column meet first, averaged over the members. It says where to look first, and is no importance: a column of
    large weights may move no prediction.
    """
    layout = predictor.layout
    total = sum(member.weight for member in predictor.members)
    found = {column.name: 0.0 for column in layout.columns}
    for member in predictor.members:
        owners, figures = _of_trees(layout, member) if member.fitted.trees is not None else _of_weights(layout, member)
        whole = float(figures.sum())
        for name, figure in zip(owners, figures.tolist(), strict=True):
            if figure > 0:
                found[name] += member.weight / total * figure / whole
    return found


def _of_trees(layout: Layout, member: Member) -> tuple[Sequence[str], np.ndarray]:
    """The column of every feature of the trees, and how often they split on it."""
    assert member.fitted.trees is not None
    texts = [column.name for column in layout.texts for _ in range(column.buckets)]
    owners = [*(number.column for number in layout.numbers), *layout.category_names, *texts]
    return owners, load_trees(member.fitted.trees).splits()


def _of_weights(layout: Layout, member: Member) -> tuple[Sequence[str], np.ndarray]:
    """The column of every feature, and the length of the weights that it meets first.

    Embedded ones count as the longest, features of columns that the member leaves out as 0.
    """
    assert member.fitted.tensors is not None
    (first,) = (member.fitted.tensors[name] for name in FIRST_LAYERS if name in member.fitted.tensors)
    lengths = torch.linalg.vector_norm(first.double(), dim=0).numpy()
    longest = max(float(lengths.max(initial=0.0)), 1.0)
    owners = [*layout.feature_columns, *layout.embedded_names]
    lengths = np.concatenate([lengths, np.full(len(layout.embedded_names), longest)])
    if member.fitted.columns is not None:
        read = set(member.fitted.columns)
        lengths *= np.array([name in read for name in owners], dtype=np.float64)
    return owners, lengths
