"""Hashed counts of words and n-grams: equal everywhere, for every process."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from lanewise.features.hashing import count_buckets

TEXTS = ["Free entry, free PRIZE!", None, "", "naïve café 日本語", "a", "free", "x" * 300]
PROGRAM = """
import hashlib, polars as pl
from lanewise.features.hashing import count_buckets
counts = count_buckets(pl.Series(["naïve café 日本語", "Free entry"]), buckets=1024, character_ngrams=(2, 3))
print(hashlib.sha256(counts.toarray().tobytes()).hexdigest())
"""


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_processes_agree(seed: str) -> None:
    counts = count_buckets(pl.Series(["naïve café 日本語", "Free entry"]), buckets=1024, character_ngrams=(2, 3))
    environment = os.environ | {"PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == hashlib.sha256(counts.toarray().tobytes()).hexdigest()


def test_buckets_of_known_words_stay_where_saved_models_expect_them() -> None:
    counts = count_buckets(pl.Series(["spam", "ham"]), buckets=1024)
    assert [sorted(counts[[row]].indices.tolist()) for row in range(2)] == [
        [97, 227, 496, 870, 944],
        [105, 496, 588, 949],
    ]


def test_totals_count_words_and_trigrams() -> None:
    counts = count_buckets(pl.Series(TEXTS), buckets=1024)
    words = [4, 0, 0, 3, 1, 1, 1]
    letters = [4 + 5 + 4 + 5, 0, 0, 5 + 4 + 3, 1, 4, 300]
    assert counts.sum(axis=1).tolist() == [w + n for w, n in zip(words, letters, strict=True)]


def test_n_grams_of_every_size_are_counted_within_words() -> None:
    counts = count_buckets(pl.Series(["ab c"]), buckets=4096, character_ngrams=(2, 4, 9))
    assert counts.sum() == 2 + (3 + 2) + 1


def test_rows_do_not_depend_on_each_other() -> None:
    together = count_buckets(pl.Series(TEXTS), buckets=256).toarray()
    alone = [count_buckets(pl.Series([text], dtype=pl.String), buckets=256).toarray()[0] for text in TEXTS]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_case_and_composition_of_characters_do_not_matter() -> None:
    counts = count_buckets(pl.Series(["Café", "CAFÉ", "cafe\u0301", "ｃａｆé"]), buckets=1024).toarray()
    assert (counts == counts[0]).all()


def test_words_spread_evenly_over_buckets() -> None:
    words = pl.Series([f"word{i}" for i in range(8192)])
    counts = count_buckets(words, buckets=64, character_ngrams=()).sum(axis=0)
    # Chi-squared with 63 degrees of freedom exceeds 120 once in 80,000 hashes.
    assert ((counts - 128) ** 2 / 128).sum() < 120
