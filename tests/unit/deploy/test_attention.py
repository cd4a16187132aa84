"""What a model reads is told from its weights and splits: no shuffling of another column moves a prediction."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from lanewise.deploy.attention import attention
from lanewise.deploy.reordering import ReorderedRows


def test_columns_without_attention_move_nothing(trained: ModuleType) -> None:
    whole = trained.predictor("multiclass", "linear", "few relu", "lightgbm", "tree")
    table = trained.unusual("multiclass")
    order = np.random.default_rng(0).permutation(table.rows)
    unread = 0
    for member in whole.members:
        predictor = replace(whole, members=(member,))
        found = attention(predictor)
        assert list(found) == [column.name for column in predictor.layout.columns]
        assert sum(found.values()) == pytest.approx(1.0)
        rows = ReorderedRows(predictor=predictor, dataset=table)
        unchanged = np.concatenate(list(predictor.responses(table)))
        moved = {name for name in found if not np.array_equal(rows.responses(name, [order]), unchanged)}
        assert moved
        assert moved <= {name for name, figure in found.items() if figure > 0}
        unread += sum(figure == 0 for figure in found.values())
    assert unread  # a tree leaves columns out
    parts = [attention(replace(whole, members=(member,))) for member in whole.members]
    shares = np.array([member.weight for member in whole.members])
    means = [np.average([part[name] for part in parts], weights=shares) for name in parts[0]]
    np.testing.assert_allclose(list(attention(whole).values()), means)
