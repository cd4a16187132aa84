"""The table that workers map."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lanewise.errors import DataError
from lanewise.models.tree_matrix import TokenCounts
from lanewise.training.trees.data import TreeData

NUMBERS = np.array([[1.0], [np.nan], [3.0]])
CODES = np.array([[1], [0], [-1]])
TARGET = np.array([0.0, 1.0, 1.0])
TOKENS = TokenCounts(data=np.array([2.0]), indices=np.array([4]), indptr=np.array([0, 0, 1, 1]), width=9)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    TreeData(numbers=NUMBERS, codes=CODES, target=TARGET, tokens=TOKENS, weight=np.ones(3)).write(tmp_path)
    data = TreeData.read(tmp_path)
    np.testing.assert_array_equal(data.numbers, NUMBERS)
    np.testing.assert_array_equal(data.codes, CODES)
    np.testing.assert_array_equal(data.target, TARGET)
    assert data.weight is not None
    assert data.tokens is not None
    np.testing.assert_array_equal(data.tokens.matrix().toarray(), TOKENS.matrix().toarray())
    assert (data.rows, data.columns) == (3, 11)


def test_large_parts_are_mapped_and_empty_ones_read(tmp_path: Path) -> None:
    numbers = np.ones((1000, 2), dtype=np.float32)
    TreeData(numbers=numbers, codes=np.zeros((1000, 0), dtype=np.int32), target=np.zeros(1000)).write(tmp_path)
    data = TreeData.read(tmp_path)
    assert isinstance(data.numbers, np.memmap)
    assert not data.numbers.flags.writeable
    assert data.numbers.dtype == np.float32
    assert data.codes.shape == (1000, 0)
    assert data.tokens is None
    assert data.weight is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"numbers": NUMBERS[:2]}, "all parts need the target's 3 rows"),
        ({"weight": np.ones(2)}, "all parts need"),
        ({"weight": np.array([1.0, -1.0, 1.0])}, "weights must be"),
        ({"target": np.array([0.0, np.nan, 1.0])}, "missing or infinite"),
        ({"numbers": CODES}, "numbers must be float"),
        ({"codes": CODES.astype(float)}, "codes whole"),
        ({"codes": CODES + (1 << 24)}, "merge the rare categories"),
        ({"numbers": NUMBERS[:, :0], "codes": CODES[:, :0]}, "at least one column"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    parts: dict[str, Any] = {"numbers": NUMBERS, "codes": CODES, "target": TARGET}
    with pytest.raises(DataError, match=words):
        TreeData(**(parts | change))
