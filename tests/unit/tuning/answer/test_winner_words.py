"""What is said of the winner: what its corrected score means where that is the better one."""

import numpy as np
import pytest

from lanewise.metrics import METRICS
from lanewise.statistics import CorrectedScore
from lanewise.tuning.answer.winner_words import corrected_words


def corrected(value: float, naive: float, *, chosen: float = 1.0) -> CorrectedScore:
    return CorrectedScore(
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        level=0.95,
        naive=naive,
        chosen=0,
        shares=np.array([chosen, 1 - chosen]),
        draws=1000,
    )


@pytest.mark.parametrize(("metric", "value"), [("rmse", 0.30), ("accuracy", 0.40)])
def test_a_corrected_score_that_is_better_is_explained(metric, value):
    (words,) = corrected_words(corrected(value, 0.35, chosen=0.8), METRICS[metric], 5, 5)
    assert "no worse than the 0.3500 above, because 20% of the redrawn sets of rows pick another candidate" in words
    (words,) = corrected_words(corrected(value, 0.35), METRICS[metric], 5, 5)
    assert "every redrawn set of rows picks the same candidate, so the difference is chance" in words


@pytest.mark.parametrize(("metric", "value"), [("rmse", 0.40), ("accuracy", 0.30), ("rmse", 0.350001)])
def test_a_corrected_score_that_is_worse_needs_no_word(metric, value):
    (words,) = corrected_words(corrected(value, 0.35, chosen=0.8), METRICS[metric], 5, 5)
    assert words.endswith(")")
