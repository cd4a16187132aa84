"""What a model reads is told from its weights and splits: no shuffling of another column moves a prediction."""

from types import ModuleType

import numpy as np
import pytest

from lanewise.deploy.attention import attention
from lanewise.deploy.reordering import ReorderedRows


@pytest.mark.parametrize("member", ["linear", "few relu", "lightgbm", "tree"])
def test_columns_without_attention_move_nothing_and_some_others_do(trained: ModuleType, member: str) -> None:
    predictor = trained.predictor("multiclass", member)
    table = trained.posed("multiclass").dataset
    found = attention(predictor)
    assert list(found) == [column.name for column in predictor.layout.columns]
    assert sum(found.values()) == pytest.approx(1.0)
    order = np.random.default_rng(0).permutation(table.rows)
    rows = ReorderedRows(predictor=predictor, dataset=table)
    unchanged = np.concatenate(list(predictor.responses(table)))
    moved = {name: not np.array_equal(rows.responses(name, [order]), unchanged) for name in found}
    assert any(moved.values())
    assert all(found[name] > 0 for name, changed in moved.items() if changed)


def test_members_count_by_their_weight(trained: ModuleType) -> None:
    both = attention(trained.predictor("regression", "linear", "lightgbm"))
    assert sum(both.values()) == pytest.approx(1.0)
