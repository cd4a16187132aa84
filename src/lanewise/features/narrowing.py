"""A layout with fewer features, where all of them would take more time and memory than there is."""

from dataclasses import replace

import numpy as np

from lanewise.features.columns import CategoryColumn, Column, TextColumn
from lanewise.features.layout import Layout

MOST_EMBEDDED = 500
"""Embedded categories beyond which the levels are features instead: a step looks each of them up by itself."""

FEWEST_BUCKETS = 4
"""Buckets of a text below which its words are no longer told apart."""


def narrowed(layout: Layout, most: int) -> Layout:
    """``layout`` of at most ``most`` dense features, where levels and words leave a choice; itself where it is.

    Beside features that leave none levels and words keep room for a quarter as many: less would save little.

    Of the levels of every category the same number, the most frequent ones, stay features of their own; trees read
    all of them as ever. Texts are hashed into fewer buckets, by halves. Whichever of the two is wider gives way.

    >>> column = CategoryColumn(name="a", levels=("x", "y", "z"), missing=False, other_rows=0, one_hot=True)
    >>> narrowed(Layout(columns=(column,)), 2).feature_names, narrowed(Layout(columns=(column,)), 3).feature_names
    (('a=x', 'a=y'), ('a=x', 'a=y', 'a=z'))
    """
    crowded = len(layout.embedded) > MOST_EMBEDDED
    if layout.dense_width <= most and not crowded:
        return layout
    shown = [column for column in layout.categories if column.one_hot or crowded]
    heights = np.array([len(column.levels) for column in shown], dtype=np.int64)
    sizes = np.array([column.buckets for column in layout.texts], dtype=np.int64)
    others = layout.dense_width - sum(len(one.levels) for one in shown if one.one_hot) - int(sizes.sum())
    others += sum(bool(one.other_rows) + one.missing for one in shown if not one.one_hot)
    levels, buckets = int(heights.max(initial=1)), int(sizes.max(initial=1))
    room = max(most - others, others // 4)
    while True:
        by_level, by_word = np.minimum(heights, levels).sum(), np.minimum(sizes, buckets).sum()
        if by_level + by_word <= room:
            break
        if buckets > FEWEST_BUCKETS and (by_word >= by_level or levels == 1):
            buckets //= 2
        elif levels > 1:
            levels -= 1
        else:
            break
    return Layout(columns=tuple(_narrow(one, levels, buckets, crowded=crowded) for one in layout.columns))


def _narrow(column: Column, levels: int, buckets: int, *, crowded: bool) -> Column:
    if isinstance(column, TextColumn):
        return replace(column, buckets=min(column.buckets, buckets))
    if isinstance(column, CategoryColumn) and (column.one_hot or crowded):
        return replace(column, one_hot=True, told=levels if levels < len(column.levels) else None)
    return column
