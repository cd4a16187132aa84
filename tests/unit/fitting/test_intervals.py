"""Which bootstrap an interval comes from: each against plain loops or exact laws, and against known truth."""

import math

import numpy as np
import pytest
from scipy import stats

from lanewise.errors import UsageError
from lanewise.metrics import METRICS
from lanewise.selection import Contender, corrected_score
from lanewise.statistics import bootstrap_counts, bootstrap_interval, expanded_normal
from lanewise.statistics.resampling import keyed_generator


def heavy_errors(rows, seed=3):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rows)
    return y, y + rng.standard_t(4, size=rows)


def test_the_interval_of_a_mean_loss_is_the_bootstrap_t_by_hand():
    rows = 60
    y, prediction = heavy_errors(rows)
    rng = np.random.default_rng(4)
    weight = rng.uniform(0.5, 2.0, rows)
    found = bootstrap_interval(METRICS["rmse"], y, prediction, seed=1, weight=weight, draws=200)
    losses = (y - prediction) ** 2

    def mean_and_error(drawn):
        """Of a sample of rows with repetition: its weighted mean and the error of a ratio of sums."""
        total = weight[drawn].sum()
        mean = (weight[drawn] * losses[drawn]).sum() / total
        return mean, math.sqrt(((weight[drawn] * (losses[drawn] - mean)) ** 2).sum()) / total

    mean, error = mean_and_error(np.arange(rows))
    studentized = []
    for counts in bootstrap_counts(rows, 200, seed=1):
        drawn, of_draw = mean_and_error(np.repeat(np.arange(rows), counts))
        studentized.append((drawn - mean) / max(of_draw, error / 5))
    below, above = np.quantile(studentized, [0.025, 0.975])
    assert found.low == pytest.approx(math.sqrt(mean - above * error), rel=1e-9)
    assert found.high == pytest.approx(math.sqrt(mean - below * error), rel=1e-9)


def test_the_interval_of_r2_is_bca_as_scipy_has_it():
    rng = np.random.default_rng(5)
    y = rng.normal(size=90)
    prediction = 0.8 * y + 0.5 * rng.normal(size=90)
    found = bootstrap_interval(METRICS["r2"], y, prediction, seed=1, draws=8000)

    def r2(target, predicted, axis):
        gaps = ((target - predicted) ** 2).sum(axis=axis)
        return 1 - gaps / ((target - target.mean(axis=axis, keepdims=True)) ** 2).sum(axis=axis)

    level = 2 * stats.norm.cdf(expanded_normal(0.95, 90)) - 1
    expected = stats.bootstrap(
        (y, prediction), r2, paired=True, n_resamples=8000, confidence_level=level, method="BCa", rng=2
    )
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.01)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.05)


def test_expanded_quantiles_reach_further_with_few_units_only():
    assert expanded_normal(0.95, 10) == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(10 / 9))
    assert expanded_normal(0.9, 10**6) == pytest.approx(stats.norm.ppf(0.95), rel=1e-5)


def certain(y, missed=()):
    """Probabilities of 0 and 1 that miss the rows ``missed``."""
    called = np.array(y)
    called[list(missed)] = 1 - called[list(missed)]
    return np.eye(2)[called]


@pytest.mark.parametrize(("missed", "copies"), [((), 1), ((1, 3), 1), ((), 5)])
def test_recall_has_the_interval_of_its_jeffreys_posterior(missed, copies):
    # Rows 1, 3, ... are positive; several equal rows of one group count as one where none is missed.
    y = np.array([0, 1] * 15)
    prediction = certain(y, missed)
    found = bootstrap_interval(
        METRICS["recall"],
        np.repeat(y, copies),
        np.repeat(prediction, copies, axis=0),
        seed=0,
        groups=np.repeat(np.arange(30), copies),
        draws=20_000,
    )
    posterior = stats.beta(15 - len(missed) + 0.5, len(missed) + 0.5)
    assert found.low == pytest.approx(posterior.ppf(0.025), abs=0.004)
    assert found.high == pytest.approx(posterior.ppf(0.975) if missed else 1.0, abs=0.004)
    assert found.standard_error == pytest.approx(posterior.std(), rel=0.05)


@pytest.mark.parametrize("name", ["f1", "roc_auc", "pr_auc", "balanced_accuracy", "precision", "f1_macro"])
def test_no_mistake_on_few_rows_is_no_proof(name):
    y = np.array([0, 1] * 10)
    few = bootstrap_interval(METRICS[name], y, certain(y), seed=0)
    many = bootstrap_interval(METRICS[name], np.tile(y, 50), certain(np.tile(y, 50)), seed=0)
    assert few.value == few.high == 1.0
    assert 0.5 < few.low < 0.9
    assert many.low > 0.99


def test_classes_that_do_not_occur_add_nothing_and_weights_only_count_relatively():
    y = np.array([0, 1] * 10)
    prediction = np.concatenate([certain(y, (2, 5)), np.zeros((20, 3))], axis=1)
    macro = METRICS["balanced_accuracy"]
    two = bootstrap_interval(macro, y, certain(y, (2, 5)), seed=0)
    five = bootstrap_interval(macro, y, prediction, seed=0)
    assert (five.low, five.high) == pytest.approx((two.low, two.high), rel=1e-12)
    heavy = bootstrap_interval(macro, y, prediction, seed=0, weight=np.full(20, 7.0))
    assert (heavy.low, heavy.high) == pytest.approx((two.low, two.high), rel=1e-12)
    alone = bootstrap_interval(METRICS["f1_macro"], np.zeros(12, dtype=int), certain(np.zeros(12, dtype=int)), seed=0)
    assert 0 < alone.low < alone.high == 1.0


def separated(rng, rows, strength, sharpness):
    """Classes by a logit z ~ N(0, strength²), predicted as sharpness * z."""
    z = strength * rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(int)
    p = 1 / (1 + np.exp(-sharpness * z))
    return y, np.stack([1 - p, p], axis=1)


def noisy(rng, rows, _strength, _sharpness):
    y = rng.normal(size=rows)
    return y, y + rng.standard_t(8, size=rows)


CASES = {
    # metric: draw of a table, strength, sharpness, rows
    "accuracy": (separated, 15.0, 1.0, 20),
    "recall": (separated, 15.0, 1.0, 20),
    "f1": (separated, 15.0, 1.0, 20),
    "roc_auc": (separated, 4.0, 1.0, 20),
    "pr_auc": (separated, 4.0, 1.0, 20),
    "log_loss": (separated, 15.0, 1.0, 50),
    "brier": (separated, 4.0, 1.0, 30),
    "rmse": (noisy, 0.0, 0.0, 30),
    "r2": (noisy, 0.0, 0.0, 30),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_of_small_test_sets_cover_the_truth(name):
    draw, strength, sharpness, rows = CASES[name]
    metric = METRICS[name]
    truth = metric.score(*draw(np.random.default_rng(0), 200_000, strength, sharpness))
    covered = []
    for race in range(150):
        y, prediction = draw(np.random.default_rng([race, rows]), rows, strength, sharpness)
        if len(set(y)) > 1:  # an area under a curve needs both classes
            found = bootstrap_interval(metric, y, prediction, seed=race, draws=200)
            covered.append(found.low <= truth <= found.high)
    # BCa alone covers 32% for recall, 47% for F1, 83% for ROC AUC and 84% for log loss.
    assert np.mean(covered) >= 0.88


def in_groups(rng, groups, kind, spread):
    """Rows in groups of unequal sizes, 15 in the mean, which share an effect on what they are."""
    sizes = np.maximum(1, np.rint(15 * np.exp(spread * rng.normal(size=groups) - spread**2 / 2))).astype(int)
    group = np.repeat(np.arange(groups), sizes)
    if kind == "number":
        y = (0.7 * rng.normal(size=groups) + np.zeros(groups))[group] + rng.normal(size=len(group))
        return y, np.zeros(len(group)), group
    z = (1.5 if kind == "weak" else 15.0) * rng.normal(size=len(group))
    y = (rng.random(len(group)) < 1 / (1 + np.exp(-z - rng.normal(size=groups)[group]))).astype(int)
    p = 1 / (1 + np.exp(-z))
    return y, np.stack([1 - p, p], axis=1), group


@pytest.mark.parametrize("groups", [4, 6, 20])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("log_loss", "weak"), ("accuracy", "weak"), ("roc_auc", "weak"), ("accuracy", "strong"), ("rmse", "number")],
)
def test_intervals_over_a_few_groups_of_unequal_sizes_cover_the_truth(name, kind, groups):
    metric = METRICS[name]
    y, prediction, _ = in_groups(np.random.default_rng(0), 10_000, kind, 0.7)
    truth = metric.score(y, prediction)
    covered, widths = [], []
    for race in range(150):
        y, prediction, group = in_groups(np.random.default_rng([race, groups]), groups, kind, 0.7)
        if metric.sign < 0 and len(set(y)) < 2:
            continue
        found = bootstrap_interval(metric, y, prediction, seed=race, groups=group, draws=200)
        if math.isfinite(found.low):
            assert (0 < found.low <= found.high) if metric.sign > 0 else (0 <= found.low <= found.high <= 1)
            covered.append(found.low <= truth <= found.high)
            widths.append(found.high - found.low)
    # It is 92 to 98%, and 150 races are 4% off at times. Bootstraps that take groups for rows cover 76 to 90% for
    # losses, and for shares all or, where mistakes are rare, 70 to 80%. With 4 or 6 groups shares may cover all:
    # then by no wide intervals, those of the bootstraps are 0.5 and 0.6 wide in the median of 6 groups.
    assert np.mean(covered) >= 0.88
    assert np.mean(covered) <= 0.99 or groups < 20
    assert np.median(widths) < 0.4 or groups < 6 or name == "rmse"
    assert len(covered) > 75


def with_one_class_each(rng, groups):
    """15 rows in each group, all of one class, 30% of them of the positive one: such as the images of patients."""
    y = np.repeat(rng.random(groups) < 0.3, 15).astype(int)
    z = 1.6 * (y - 0.5) + np.repeat(0.5 * rng.normal(size=groups), 15) + rng.normal(size=len(y))
    p = 1 / (1 + np.exp(-1.5 * z))
    return y, np.stack([1 - p, p], axis=1), np.repeat(np.arange(groups), 15)


@pytest.mark.parametrize(("name", "groups"), [("recall", 12), ("roc_auc", 20)])
def test_intervals_over_groups_of_one_class_each_cover_the_truth(name, groups):
    metric = METRICS[name]
    y, prediction, _ = with_one_class_each(np.random.default_rng(0), 10_000)
    truth = metric.score(y, prediction)
    covered = []
    for race in range(200):
        y, prediction, group = with_one_class_each(np.random.default_rng([race, groups]), groups)
        if len(set(y)) > 1:
            found = bootstrap_interval(metric, y, prediction, seed=race, groups=group, draws=200)
            assert 0 <= found.low < found.high <= 1
            covered.append(found.low <= truth <= found.high)
    # With degrees of freedom for all groups, rather than those that hold a class, it is 85% for recall.
    assert 0.925 <= np.mean(covered) <= 0.995


def with_a_rare_class(rng):
    """40 positives of 1,500 rows, spread over 100 groups that have no effect of their own; most are hit."""
    y = (np.arange(1500) < 40).astype(int)
    z = rng.normal(size=1500) + 4 * y
    p = 1 / (1 + np.exp(2 - z))
    return y, np.stack([1 - p, p], axis=1), np.arange(1500) % 100


@pytest.mark.parametrize("name", ["balanced_accuracy", "roc_auc"])
def test_intervals_over_groups_cover_where_a_rare_class_is_nearly_all_hit(name):
    metric = METRICS[name]
    truth = np.mean([metric.score(*with_a_rare_class(np.random.default_rng([1, race]))[:2]) for race in range(200)])
    covered = []
    for race in range(60):
        y, prediction, group = with_a_rare_class(np.random.default_rng(race))
        found = bootstrap_interval(metric, y, prediction, seed=race, groups=group, draws=200)
        assert found.high - found.low < 0.2
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.85  # half, where groups that are left out show no miss and no draw of rows does


def numbers_in_groups(rng, groups):
    """Rows in groups of unequal sizes which share an effect on the target and on the prediction."""
    sizes = np.maximum(1, np.rint(15 * np.exp(rng.normal(size=groups) - 0.5))).astype(int)
    group = np.repeat(np.arange(groups), sizes)
    prediction = rng.normal(size=len(group)) + 0.7 * rng.normal(size=groups)[group]
    return prediction + 0.7 * rng.normal(size=groups)[group] + rng.normal(size=len(group)), prediction, group


@pytest.mark.parametrize(("name", "most"), [("r2", 1.6), ("median_ae", 1.1)])
def test_r2_and_median_error_over_a_few_groups_cover_the_truth(name, most):
    metric = METRICS[name]
    truth = metric.score(*numbers_in_groups(np.random.default_rng(0), 10_000)[:2])
    covered, widths = [], []
    for race in range(200):
        y, prediction, group = numbers_in_groups(np.random.default_rng([race, 6]), 6)
        found = bootstrap_interval(metric, y, prediction, seed=race, groups=group, draws=200)
        if math.isfinite(found.low):
            assert found.high < 1 if name == "r2" else found.low > 0
            covered.append(found.low <= truth <= found.high)
            widths.append(found.high - found.low)
    assert len(covered) > 150
    assert np.mean(covered) >= 0.94  # BCa: 88 and 90%
    assert np.median(widths) < most


@pytest.mark.parametrize("name", ["r2", "median_ae"])
def test_r2_and_median_error_of_groups_that_are_alike_are_as_unsure_as_their_rows(name):
    metric, rng = METRICS[name], np.random.default_rng(8)
    y, gap = rng.normal(size=20), rng.normal(size=20)
    y, prediction, group = np.tile(y, 6), np.tile(y + gap, 6), np.repeat(np.arange(6), 20)
    found = bootstrap_interval(metric, y, prediction, seed=1, groups=group)
    counts = bootstrap_counts(120, 1000, seed=1).astype(float)
    error = np.std(metric.scores(y, prediction, counts), ddof=1)
    loss = found.value if name == "median_ae" else 1 - found.value
    factor = math.exp(expanded_normal(0.95, 120) * error / loss)
    ends = (loss / factor, loss * factor)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(ends if name == "median_ae" else (1 - ends[1], 1 - ends[0]))


def chances(rng, groups, size, gain):
    """Probabilities whose logits are ``gain`` times the true ones, and so calibrated where that is 1."""
    group = np.repeat(np.arange(groups), size)
    z = 1.5 * rng.normal(size=len(group))
    usual = 1 / (1 + np.exp(-z))
    shift = 0.9 * np.minimum(usual, 1 - usual) * rng.uniform(-1, 1, groups)[group] if size > 1 else 0.0
    y = (rng.random(len(group)) < usual + shift).astype(int)
    p = 1 / (1 + np.exp(-gain * z))
    return y, np.stack([1 - p, p], axis=1), group if size > 1 else None


@pytest.mark.parametrize(("groups", "size"), [(6, 15), (30, 15), (100, 1), (1000, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_a_calibration_error_that_is_mostly_chance_is_told_as_such(groups, size, gain):
    metric = METRICS["ece"]
    truth = 0.0 if gain == 1 else metric.score(*chances(np.random.default_rng(0), 20_000, size, gain)[:2])
    covered, known = [], []
    for race in range(100):
        y, prediction, group = chances(np.random.default_rng([race, groups]), groups, size, gain)
        found = bootstrap_interval(metric, y, prediction, seed=race, groups=group, draws=200)
        assert 0 <= found.low <= found.value < found.high <= 1
        covered.append(found.low <= truth <= found.high)
        known.append(found.low > 0)
    assert np.mean(covered) >= 0.92  # BCa: hardly any of those that are calibrated
    assert gain == 1 or groups < 1000 or np.mean(known) > 0.95  # it is no excuse where there is enough to know


def test_the_interval_of_the_calibration_error_is_the_distance_of_draws_by_hand():
    y, prediction, _ = chances(np.random.default_rng(4), 80, 1, 2.0)
    weight = np.random.default_rng(5).uniform(0.5, 2.0, 80)
    found = bootstrap_interval(METRICS["ece"], y, prediction, seed=1, weight=weight, draws=200)
    place = np.minimum((prediction[:, 1] * 15).astype(int), 14)

    within = [place == one for one in range(15)]
    chance, usual = np.zeros(15), np.zeros(15)
    for one in np.unique(place):
        own = weight[within[one]]
        chance[one], usual[one] = np.average(prediction[within[one], 1], weights=own), (own**2).sum() / own.sum()

    def gaps(counts, hit, missed):
        drawn = weight * counts
        total = np.array([(drawn * (prediction[:, 1] - y))[one].sum() for one in within])
        total += hit * (chance - 1) + missed * chance
        return total / (drawn.sum() + hit.sum() + missed.sum())

    whole = gaps(np.ones(80), np.zeros(15), np.zeros(15))
    prior = usual * keyed_generator(1, "prior rows").standard_exponential((2, 200, 15))
    drawn = [gaps(*each) for each in zip(bootstrap_counts(80, 200, seed=1), *prior, strict=True)]
    share = weight / weight.sum()
    q = share**2 / (1 - share)
    few = expanded_normal(0.95, 1 / ((share**2).sum() + q.sum() ** 2 - (q**2).sum()) + 1)
    off = np.quantile([np.abs(one - whole).sum() for one in drawn], 0.975) * few / stats.norm.ppf(0.975)
    error = np.std([np.abs(one).sum() for one in drawn], ddof=1)
    value = np.abs(whole).sum()
    assert (found.value, found.standard_error) == pytest.approx((value, error))
    highest = np.quantile([np.abs(one).sum() for one in drawn], 0.975)
    assert (found.low, found.high) == pytest.approx((max(value - off, 0), max(value + few * error, highest)))
    assert found.draws == 200


@pytest.mark.parametrize(("says", "truth"), [(0.98, 0.98), (0.99, 0.95), (1.0, 0.97), (0.02, 0.05)])
@pytest.mark.parametrize("rows", [20, 50, 100])
def test_a_model_that_is_sure_of_itself_may_be_wrong_where_its_rows_are_not(rows, says, truth):
    rng, covered = np.random.default_rng(rows), []
    prediction = np.tile([1 - says, says], (rows, 1))
    for race in range(100):
        y = (rng.random(rows) < truth).astype(int)
        found = bootstrap_interval(METRICS["ece"], y, prediction, seed=race, draws=200)
        assert 0 <= found.low <= found.value < found.high <= 1
        covered.append(found.low <= abs(says - truth) <= found.high)
    assert np.mean(covered) >= 0.93  # without the rows of the prior: 29% with 20 rows, 63% with 50, both at 0.98
    if says == 0.98:
        all_hit = bootstrap_interval(METRICS["ece"], np.ones(rows, int), prediction, seed=0)
        assert all_hit.low == 0
        # The uniform prior's Beta(1, rows + 1), as far as the quantile of 1,000 draws tells.
        assert all_hit.high >= 0.9 * (stats.beta.ppf(0.975, 1, rows + 1) - 0.02)


@pytest.mark.parametrize("name", ["accuracy", "mae"])
def test_groups_that_score_alike_leave_what_their_rows_leave_unknown(name):
    rows, metric, group = 30, METRICS[name], np.repeat(np.arange(6), 5)
    hit = np.tile([1, 1, 1, 1, 0], 6)
    y = np.tile([0, 1, 0, 1, 0], 6)
    prediction = certain(y, np.flatnonzero(hit == 0)) if name == "accuracy" else y + hit
    found = bootstrap_interval(metric, y, prediction, seed=1, groups=group)
    assert found.value == pytest.approx(0.8)
    if name == "accuracy":
        alone = bootstrap_interval(metric, y, prediction, seed=1)
        assert (found.low, found.high) == (alone.low, alone.high)
        return
    left = (hit.sum() - hit) / (rows - 1)
    error = math.sqrt(np.var(left) * (rows - 1))
    reach = stats.t.ppf(0.975, rows - 1) * error
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    expected = [0.8 * math.exp(sign * reach / 0.8) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(expected, rel=1e-9)


def test_one_probability_for_all_rows_of_all_groups_is_no_proof_of_an_order():
    y, group = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    found = bootstrap_interval(METRICS["roc_auc"], y, np.tile([0.7, 0.3], (20, 1)), seed=1, groups=group)
    assert found.value == 0.5
    assert found.low < 0.45
    assert found.high > 0.55


@pytest.mark.parametrize("name", ["recall", "balanced_accuracy", "roc_auc"])
def test_a_class_in_one_group_is_not_known_for_sure(name):
    y = np.repeat([1, 0], [4, 56])
    prediction = np.where(np.arange(60) % 4 < 2, 0.3, np.where(y == 1, 0.8, 0.2))
    group = np.repeat(np.arange(6), 10)
    probabilities = np.stack([1 - prediction, prediction], axis=1)
    found = bootstrap_interval(METRICS[name], y, probabilities, seed=1, groups=group)
    assert found.low < found.value < found.high
    assert found.high - found.low > 0.2


@pytest.mark.parametrize("name", ["rmse", "accuracy"])
def test_the_interval_over_groups_is_the_jackknife_by_hand(name):
    rng = np.random.default_rng(4)
    rows, metric = 60, METRICS[name]
    group = rng.integers(0, 8, rows)
    weight = rng.uniform(0.5, 2.0, rows)
    weight[group == 7] = 0.0  # as if it were not there
    if name == "rmse":
        y, prediction = heavy_errors(rows)
        prediction += 2 * rng.normal(size=8)[group]  # so that groups vary more than their rows
    else:
        y = rng.integers(0, 2, rows)
        prediction = certain(y, np.flatnonzero(rng.random(rows) < np.where(group % 2, 0.05, 0.6)))
    found = bootstrap_interval(metric, y, prediction, seed=1, weight=weight, groups=group)
    value = metric.score(y, prediction, weight)
    left, used = [], np.unique(group)[:-1]
    for one in used:
        kept = weight * (group != one)
        score = metric.score(y, prediction, kept)
        if name == "accuracy":  # Jeffreys' prior: half a hit and half a miss for each of two classes
            prior = weight[weight > 0].mean()
            score = (score * kept.sum() + prior) / (kept.sum() + 2 * prior)
        left.append(score)
    error = math.sqrt(np.var(left, ddof=0) * (len(used) - 1))
    shares = np.array([weight[group == one].sum() for one in used]) / weight.sum()
    # Satterthwaite's degrees of freedom: of rows of one variance, the gaps of groups are these combinations.
    centred = (np.eye(len(used)) - np.outer(shares, np.ones(len(used)))) / np.sqrt(1 - shares)[:, None]
    spread = centred @ np.diag(shares) @ centred.T
    reach = stats.t.ppf(0.975, np.trace(spread) ** 2 / np.trace(spread @ spread)) * error
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    if name == "rmse":
        expected = [value * math.exp(sign * reach / value) for sign in (-1, 1)]
    else:
        total, prior = weight.sum(), weight[weight > 0].mean()
        center = (value * total + prior) / (total + 2 * prior)
        odds = math.log(center / (1 - center))
        expected = [1 / (1 + math.exp(-(odds + sign * reach / (center * (1 - center))))) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(expected, rel=1e-9)
    assert (found.draws, found.undefined) == (7, 0)


def test_many_groups_are_left_out_in_parts_to_much_the_same_interval():
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(1500), 2)
    y = rng.normal(size=1500)[group] + rng.normal(size=3000)
    found = bootstrap_interval(METRICS["mae"], y, np.zeros(3000), seed=1, groups=group)
    means = np.abs(y).reshape(1500, 2).mean(axis=1)
    assert found.draws == 200
    assert found.standard_error == pytest.approx(stats.sem(means), rel=0.15)


@pytest.mark.parametrize("name", ["mae", "accuracy", "r2"])
@pytest.mark.parametrize(("sizes", "known"), [((5, 5, 5), False), ((60, 5, 5, 5), False), ((5, 5, 5, 5), True)])
def test_too_few_groups_have_no_interval(name, sizes, known):
    group = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, len(group))
    prediction = certain(y, (0, 3, 7)) if name == "accuracy" else y + rng.normal(size=len(group))
    found = bootstrap_interval(METRICS[name], y, prediction, seed=0, groups=group, draws=200)
    assert math.isfinite(found.value)
    assert math.isfinite(found.low) == math.isfinite(found.high) == known


@pytest.mark.parametrize("groups", [4, 30])
def test_no_mistake_in_any_group_is_no_proof(groups):
    y = np.tile([0, 1] * 3, groups)
    group = np.repeat(np.arange(groups), 6)
    perfect = bootstrap_interval(METRICS["accuracy"], y, certain(y), seed=0, groups=group)
    assert (perfect.low, perfect.high) == (pytest.approx(stats.beta.ppf(0.025, groups, 1)), 1.0)
    ranked = bootstrap_interval(METRICS["roc_auc"], y, certain(y), seed=0, groups=group)
    assert 0 < ranked.low < ranked.high == 1.0
    one_class = np.where(group == 0, y, 0)  # without the first group there is no positive row
    alone = bootstrap_interval(METRICS["roc_auc"], one_class, certain(one_class, (1, 7)), seed=0, groups=group)
    assert 0 <= alone.low < alone.value < alone.high <= 1


def nearest(neighbours):
    def predict(x, y, asked):
        distance = ((asked[:, None] - x[None]) ** 2).sum(axis=2)
        return y[np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]].mean(axis=1)

    return predict


def least_squares(columns):
    def predict(x, y, asked):
        fitted = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x[:, :columns]]), y, rcond=None)[0]
        return np.column_stack([np.ones(len(asked)), asked[:, :columns]]) @ fitted

    return predict


LEARNERS = (nearest(5), nearest(15), least_squares(1), least_squares(4))


def cross_validated_race(race, *, binary, rows=60, folds=10):
    """A race of learners that really train: truth of the refitted winner, interval, interval of rows alone."""
    rng = np.random.default_rng([race, binary])

    def table(count):
        x = rng.normal(size=(count, 4))
        signal = x[:, 0] + x[:, 1] * x[:, 2]
        drawn = rng.random(count) < 1 / (1 + np.exp(-signal)) if binary else signal + rng.normal(size=count)
        return x, drawn.astype(float)

    def form(predicted):
        p = np.clip(predicted, 0.02, 0.98)
        return np.stack([1 - p, p], axis=1) if binary else predicted

    (x, y), (fresh, of_fresh) = table(rows), table(1500)
    fold = rng.permutation(rows) % folds
    contenders = []
    for place, learner in enumerate(LEARNERS):
        predicted = np.empty(rows)
        for k in range(folds):
            predicted[fold == k] = learner(x[fold != k], y[fold != k], x[fold == k])
        contenders.append(Contender(id=str(place), prediction=form(predicted), cost=1.0))
    metric, target = METRICS["log_loss" if binary else "rmse"], int if binary else float
    more = {"y": y.astype(target), "metric": metric, "seed": race, "draws": 300}
    found = corrected_score(contenders, trained_rows=rows * (1 - 1 / folds), **more)
    alone = corrected_score(contenders, **more)
    truth = metric.score(of_fresh.astype(target), form(LEARNERS[found.chosen](x, y, fresh)))
    return truth, found, alone


@pytest.mark.parametrize("binary", [False, True])
def test_the_corrected_interval_covers_the_refitted_winner(binary):
    races = [cross_validated_race(race, binary=binary) for race in range(150)]
    covered = np.mean([found.low <= truth <= found.high for truth, found, _ in races])
    by_rows = np.mean([alone.low <= truth <= alone.high for truth, _, alone in races])
    assert 0.92 <= covered <= 0.99
    # Without what training again varies it covers too little: this test would notice.
    assert by_rows < 0.92
    wider = np.mean([(found.high - found.low) / (alone.high - alone.low) for _, found, alone in races])
    assert 1.3 < wider < 1.6


def test_the_retraining_term_is_that_of_nadeau_and_bengio():
    # One candidate and a symmetric loss: the whole variance is 1 + N / trained_rows that of the rows.
    rng = np.random.default_rng(6)
    y = rng.normal(size=2000)
    contender = [Contender(id="only", prediction=y + rng.uniform(1.0, 2.0, 2000), cost=1.0)]
    more = {"y": y, "metric": METRICS["mae"], "seed": 1, "draws": 8000}
    widths = [
        (found.high - found.low) / stats.norm.ppf(0.975) / 2
        for found in (corrected_score(contender, **more, trained_rows=rows) for rows in (None, 1800, 1000))
    ]
    error = stats.sem(np.abs(contender[0].prediction - y))
    assert widths == pytest.approx([error, error * math.sqrt(1 + 10 / 9), error * math.sqrt(3)], rel=0.05)


def test_the_corrected_interval_stays_within_what_a_metric_can_be():
    y = np.array([0, 1] * 15)
    found = corrected_score(
        [Contender(id="only", prediction=certain(y, (3,)), cost=1.0)],
        y=y,
        metric=METRICS["accuracy"],
        seed=0,
        trained_rows=27,
    )
    assert 0 < found.low < found.value < found.high <= 1


def test_trained_rows_are_at_least_one():
    with pytest.raises(UsageError, match="trained_rows must be at least 1, got 0"):
        corrected_score(
            [Contender(id="only", prediction=np.zeros(9), cost=1.0)],
            y=np.ones(9),
            metric=METRICS["mae"],
            seed=0,
            trained_rows=0,
        )
