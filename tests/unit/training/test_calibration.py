import numpy as np
import pytest
from scipy.special import expit, softmax

from lanewise.training.calibration import MOST_ROWS, Calibration, cross_calibrated, fit_calibration


def binary(rows: int, scale: float, offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Uncalibrated probabilities ``[n, 2]`` of margins f, and labels with P(1) = sigmoid(scale f + offset)."""
    draw = np.random.default_rng(seed)
    margin = draw.normal(size=rows)
    y = (draw.random(rows) < expit(scale * margin + offset)).astype(np.int64)
    return np.stack([expit(-margin), expit(margin)], axis=1), y


def log_loss(predicted: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(predicted[np.arange(len(y)), y]).mean())


@pytest.mark.parametrize(("scale", "offset"), [(3.0, -0.5), (0.3, 1.0), (1.0, 0.0)])
def test_finds_the_sigmoid_that_the_labels_follow(scale: float, offset: float) -> None:
    found = fit_calibration(*binary(5000, scale, offset))
    assert found.scale == pytest.approx(scale, abs=0.2)
    assert found.offsets[0] == pytest.approx(offset, abs=0.15)


def test_equals_an_unpenalised_logistic_regression_on_the_margin() -> None:
    from sklearn.linear_model import LogisticRegression

    predicted, y = binary(4000, 2.0, 0.7)
    margin = np.log(predicted[:, 1] / predicted[:, 0])[:, None]
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    peer = LogisticRegression(C=np.inf, tol=1e-9).fit(margin, y, sample_weight=weight)
    found = fit_calibration(predicted, y, weight)
    assert found.scale == pytest.approx(float(peer.coef_[0, 0]), rel=5e-3)
    assert found.offsets[0] == pytest.approx(float(peer.intercept_[0]), abs=5e-3)


def test_several_classes_get_a_scale_and_an_offset_each() -> None:
    draw = np.random.default_rng(0)
    margins = draw.normal(size=(5000, 4))
    truth = softmax(2.5 * margins + np.array([0.0, 0.5, -0.5, 1.0]), axis=1)
    y = (truth.cumsum(axis=1) < draw.random(5000)[:, None]).sum(axis=1).clip(max=3)
    raw = softmax(margins, axis=1)
    found = fit_calibration(raw, y)
    assert found.scale == pytest.approx(2.5, abs=0.15)
    assert np.diff(found.offsets) == pytest.approx([0.5, -1.0, 1.5], abs=0.25)
    np.testing.assert_allclose(found.apply(raw).sum(axis=1), 1.0)
    assert log_loss(found.apply(raw), y) < log_loss(raw, y)


def test_rows_that_are_told_apart_perfectly_give_no_certainty() -> None:
    margin = np.linspace(-2, 2, 40)
    raw, y = np.stack([expit(-margin), expit(margin)], axis=1), (margin > 0).astype(np.int64)
    predicted = fit_calibration(raw, y).apply(raw)
    assert predicted.max() < 0.999
    assert predicted[-1, 1] > 0.9


def test_margins_that_mislead_are_flattened_never_turned_round() -> None:
    raw, y = binary(2000, -2.0, 0.0)
    assert fit_calibration(raw, y).scale == pytest.approx(0.0, abs=1e-6)


def test_no_row_is_calibrated_by_its_own_label() -> None:
    raw, y = binary(400, 3.0, 0.0)
    before = cross_calibrated(raw, y)
    turned = y.copy()
    turned[10::20] = 1 - turned[10::20]  # of even rows alone
    after = cross_calibrated(raw, turned)
    np.testing.assert_array_equal(after[::2], before[::2])
    assert (after[1::2] != before[1::2]).any()
    assert log_loss(before, y) < log_loss(raw, y)


@pytest.mark.parametrize("predicted", [np.full((5, 2), 0.5), np.full((50, 2), np.nan)])
def test_what_cannot_be_fitted_stays_as_it_is(predicted: np.ndarray) -> None:
    y = np.arange(len(predicted)) % 2
    assert fit_calibration(predicted, y) == Calibration(scale=1.0, offsets=(0.0,))
    np.testing.assert_array_equal(cross_calibrated(predicted, y), predicted)


def test_many_rows_are_thinned() -> None:
    raw, y = binary(4 * MOST_ROWS, 3.0, 0.0)
    assert fit_calibration(raw, y) == fit_calibration(raw[::4], y[::4])
