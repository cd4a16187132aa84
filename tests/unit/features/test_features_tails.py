"""Heavy tails: which columns ask for quantiles."""

import numpy as np
import pytest

from lanewise.features.tails import are_heavy_tailed, is_heavy_tailed

DRAWS = np.random.default_rng(5)
NORMAL = DRAWS.normal(size=4000)
LOG_NORMAL = np.exp(1.5 * DRAWS.normal(size=4000))


@pytest.mark.parametrize(
    ("values", "heavy"),
    [
        pytest.param(NORMAL, False, id="normal"),
        pytest.param(DRAWS.uniform(size=4000), False, id="uniform"),
        pytest.param(DRAWS.exponential(size=4000), False, id="exponential"),
        pytest.param(LOG_NORMAL, True, id="log-normal"),
        pytest.param(-LOG_NORMAL, True, id="mirrored"),
        pytest.param(DRAWS.standard_cauchy(size=4000), True, id="cauchy"),
        pytest.param(np.append(NORMAL, 9999.0), True, id="one typing error"),
        pytest.param(np.append(NORMAL, [np.inf, np.nan]), False, id="infinite and missing"),
        pytest.param(np.concatenate([np.zeros(16_000), LOG_NORMAL]), True, id="mostly zero amounts"),
        pytest.param(np.concatenate([np.zeros(16_000), NORMAL]), False, id="mostly zero, light otherwise"),
        pytest.param(np.repeat([0.0, 1.0], [9999, 1]), False, id="rare flag"),
        pytest.param(np.array([1.0, 2.0, 3.0, 1e9]), False, id="few values"),
        pytest.param(np.full(50, 7.0), False, id="constant"),
        pytest.param(np.array([]), False, id="empty"),
        pytest.param(np.array([np.nan]), False, id="all missing"),
    ],
)
def test_tails(values: np.ndarray, heavy: bool) -> None:
    assert is_heavy_tailed(values) is heavy


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1e6, 1e290])
def test_units_do_not_matter(scale: float) -> None:
    assert is_heavy_tailed(LOG_NORMAL * scale)
    assert not is_heavy_tailed(NORMAL * scale)


def test_columns_together_are_told_as_each_alone() -> None:
    columns = np.stack(
        [
            NORMAL,
            LOG_NORMAL,
            -LOG_NORMAL * 1e290,
            NORMAL * 1e-300,
            np.append(NORMAL[1:], 9999.0),
            np.where(NORMAL < 1, 0.0, LOG_NORMAL),
            np.where(NORMAL < 1, 0.0, NORMAL),
            np.repeat([0.0, 1.0], [3999, 1]),
            np.full(4000, 7.0),
            np.zeros(4000),
            np.arange(4000) % 9,
            np.arange(4000) % 10,
        ]
    )
    for count in (1, 12, 4000):
        found = are_heavy_tailed(columns[:, :count])
        assert found.tolist() == [is_heavy_tailed(column[:count]) for column in columns]
