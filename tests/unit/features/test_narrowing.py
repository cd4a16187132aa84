"""A layout gives up levels and buckets where it must, and nothing else."""

import numpy as np
import polars as pl
import pytest

from lanewise.data.dataset import Dataset
from lanewise.features.columns import CategoryColumn, Column, NumberColumn, TextColumn
from lanewise.features.layout import Layout, LayoutSettings
from lanewise.features.narrowing import FEWEST_BUCKETS, MOST_EMBEDDED, narrowed
from lanewise.features.preparation import Preparation
from lanewise.features.preparation_settings import PreparationSettings
from lanewise.features.prepared import prepare_rows


def category(name: str, levels: int, *, one_hot: bool = True, missing: bool = False) -> CategoryColumn:
    words = tuple(f"w{place}" for place in range(levels))
    return CategoryColumn(name=name, levels=words, missing=missing, other_rows=3, one_hot=one_hot)


def text(name: str, buckets: int = 64) -> TextColumn:
    return TextColumn(name=name, buckets=buckets, character_ngrams=(3,))


NUMBER = NumberColumn(name="n", missing=True, heavy_tailed=True)


@pytest.mark.parametrize("most", [13, 20, 33, 60, 100, 150])
def test_no_more_features_than_asked_for_and_numbers_stay(most: int) -> None:
    layout = Layout(columns=(NUMBER, category("a", 20, missing=True), category("b", 5), text("t")))
    found = narrowed(layout, most)
    assert (found is layout) == (layout.dense_width <= most)
    assert found.dense_width <= most
    assert found.columns[0] == NUMBER
    assert [column.name for column in found.columns] == ["n", "a", "b", "t"]
    assert found.dense_width == len(found.feature_names) == len(set(found.feature_names))


def test_the_wider_of_levels_and_words_gives_way() -> None:
    columns: list[Column] = [category("a", 30), text("t", 32)]
    assert narrowed(Layout(columns=tuple(columns)), 50).tokens_width == 16
    columns = [*columns, category("b", 30), category("c", 30)]
    found = narrowed(Layout(columns=tuple(columns)), 110)
    assert (found.tokens_width, [one.told for one in found.categories]) == (32, [25, 25, 25])


def test_what_cannot_be_narrower_stays_at_its_least() -> None:
    found = narrowed(Layout(columns=(NUMBER, category("a", 9), text("t"))), 1)
    assert (found.tokens_width, found.categories[0].told) == (FEWEST_BUCKETS, 1)


def test_a_crowd_of_embedded_categories_becomes_features() -> None:
    few = Layout(columns=tuple(category(f"c{place}", 100, one_hot=False) for place in range(MOST_EMBEDDED)))
    assert narrowed(few, 0) is few
    many = Layout(columns=(*few.columns, category("c", 100, one_hot=False, missing=True)))
    found = narrowed(many, 4 * len(many.columns))
    assert not found.embedded
    assert found.dense_width <= 4 * len(many.columns)
    assert {one.told for one in found.categories} == {2}


def test_a_level_without_a_feature_is_all_zeros_and_keeps_its_code() -> None:
    frame = pl.DataFrame({"a": ["x"] * 4 + ["y"] * 3 + ["z"] * 2})
    data = Dataset(frame=frame, kinds={"a": "category"}, source="table.csv")
    whole = Layout.fit(data, ["a"], np.arange(9), settings=LayoutSettings())
    layout = narrowed(whole, 2)
    encoded = layout.encode(data)
    preparation = Preparation.fit(layout, encoded, [np.arange(9)], settings=PreparationSettings())
    dense, _ = prepare_rows(preparation, encoded, np.arange(9))
    assert dense[0].tolist() == [[1, 0]] * 4 + [[0, 1]] * 3 + [[0, 0]] * 2
    assert (encoded.codes == whole.encode(data).codes).all()
    assert Layout.from_json(layout.to_json()) == layout
    assert "told" not in whole.to_json()


def test_beside_too_many_numbers_levels_are_not_spoilt_for_nothing() -> None:
    numbers = [NumberColumn(name=f"n{place}", missing=False, heavy_tailed=False) for place in range(100)]
    layout = Layout(columns=(*numbers, category("a", 5), category("b", 5)))
    assert narrowed(layout, 90) == layout
