"""A column shuffled among encoded rows is predicted to the bit as the shuffled table is."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from lanewise.deploy import predictor as module
from lanewise.deploy.reordering import ReorderedRows
from lanewise.explain import permutation_importance


@pytest.mark.parametrize("block", [50, 65_536])
def test_every_kind_of_column_is_predicted_as_in_the_shuffled_table(
    trained: ModuleType, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "MOST_BLOCK_ROWS", block)
    predictor = trained.predictor("multiclass", "linear", "few relu", "lightgbm", "tree")
    table = trained.unusual("multiclass")
    orders = [np.random.default_rng(seed).permutation(table.rows) for seed in range(2)]
    rows = ReorderedRows(predictor=predictor, dataset=table)
    unchanged = np.concatenate(list(predictor.responses(table)))
    moved = 0
    for column in predictor.contract.columns:
        cells = table.frame[column.name]
        frames = [table.frame.with_columns(cells.gather(pl.Series(order)).alias(column.name)) for order in orders]
        plain = np.concatenate(list(predictor.responses(replace(table, frame=pl.concat(frames)))))
        found = rows.responses(column.name, orders)
        np.testing.assert_array_equal(found, plain, err_msg=column.name)
        moved += not np.array_equal(found[: table.rows], unchanged)
    assert moved >= 6


def test_importance_is_the_same_either_way_and_encodes_once(
    trained: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = trained.predictor("regression", "linear", "lightgbm")
    problem = trained.posed("regression")
    encodings = 0
    plain = type(predictor.layout).encode

    def counted(layout, dataset):
        nonlocal encodings
        encodings += 1
        return plain(layout, dataset)

    monkeypatch.setattr(type(predictor.layout), "encode", counted)

    def importance(**more):
        return permutation_importance(
            lambda dataset: np.concatenate(list(predictor.responses(dataset))),
            problem.dataset,
            problem.test,
            problem.y,
            problem.metric,
            columns=problem.features,
            seed=0,
            repeats=2,
            **more,
        )

    expected = importance()
    assert encodings == 1 + len(problem.features)
    encodings = 0
    found = importance(
        reordering=lambda table: ReorderedRows(predictor=predictor, dataset=table).responses,
    )
    assert found == expected
    assert found[0].value > 0
    # The rows as they are, and those to be shuffled.
    assert encodings == 2
