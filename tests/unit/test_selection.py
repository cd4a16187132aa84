"""The rule of the race, its words, and ensembles."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lanewise.errors import DataError, UsageError
from lanewise.metrics import METRICS
from lanewise.selection import (
    Contender,
    combine,
    compare_ensemble,
    corrected_score,
    greedy_ensemble,
    pick,
    select,
    selection_rule,
)
from lanewise.statistics import paired_difference

MAE = METRICS["mae"]


def contender(name, errors, *, cost=1.0, is_default=False):
    """Predicts a target of 0 with the given errors."""
    return Contender(id=name, prediction=np.asarray(errors, dtype=float), cost=cost, is_default=is_default)


def chosen(*contenders, rows=200, seed=1):
    return select(contenders, y=np.zeros(rows), metric=MAE, seed=seed, cost_unit="steps")


@pytest.fixture
def noise():
    rng = np.random.default_rng(1)
    return np.abs(rng.normal(1.0, 0.3, 200)), np.abs(rng.normal(0.0, 0.2, (3, 200)))


def rule_by_hand(losses, errors, costs, default):
    finite = [loss if math.isfinite(loss) else math.inf for loss in losses]
    best = min(range(len(finite)), key=finite.__getitem__)
    tied = [m for m in range(len(finite)) if finite[m] == finite[best] or finite[m] - finite[best] <= errors[best][m]]
    if default in tied:
        return default
    able = [m for m in tied if default is None or finite[default] - finite[m] > errors[default][m]]
    return min(able, key=lambda m: (costs[m], finite[m]))


@pytest.mark.parametrize("default", [None, 0, 3])
def test_pick_equals_the_rule_by_hand(default):
    rng = np.random.default_rng(2)
    winners = set()
    for _ in range(40):
        losses = rng.normal(1.0, 0.2, (25, 5))
        losses[rng.uniform(size=losses.shape) < 0.05] = np.nan
        half = rng.uniform(0.0, 0.3, (5, 5))
        errors = (half + half.T) / 2 * (1 - np.eye(5))
        costs = rng.integers(1, 4, 5).astype(float)
        got = pick(losses, errors, costs, default)
        expected = [rule_by_hand(row.tolist(), errors.tolist(), costs.tolist(), default) for row in losses]
        assert got.tolist() == expected
        winners.update(expected)
    assert winners == {0, 1, 2, 3, 4}


def test_a_clear_winner_beats_the_default(noise):
    shared, own = noise
    outcome = chosen(contender("base", shared, is_default=True), contender("good", shared - 0.3 + own[0] / 10, cost=9))
    assert outcome.winner == "good"
    assert outcome.ranking == ("good", "base")
    assert outcome.ties == ("good",)
    ahead = outcome.standing("good").ahead_of_default
    expected = paired_difference(shared, np.abs(shared - 0.3 + own[0] / 10))
    assert ahead is not None
    assert ahead.mean == pytest.approx(expected.mean, rel=1e-10)
    assert ahead.standard_error == pytest.approx(expected.standard_error, rel=0.1)
    assert outcome.standing("base").behind_winner.mean == pytest.approx(ahead.mean, rel=1e-12)
    assert outcome.standing("good").behind_winner.mean == 0
    assert outcome.reasons[0].startswith("good wins with a score of ")
    assert outcome.why.startswith("It is better than the default, base (")
    assert "better than the default, base" in outcome.reasons[0]


def test_a_tie_goes_to_the_default(noise):
    shared, own = noise
    base = contender("base", shared + own[0], is_default=True)
    outcome = chosen(base, contender("luck", np.roll(shared + own[0], 1) - 1e-3, cost=0.1))
    assert outcome.winner == "base"
    assert outcome.ranking == outcome.ties == ("luck", "base")
    assert outcome.reasons[0].startswith("base, the default, wins with a score of ")
    assert outcome.why.startswith("The best, ")
    assert outcome.why.endswith("and more than one is needed.")
    assert outcome.reasons[0].endswith("paired standard errors, and more than one is needed.")
    worse = chosen(base, contender("worse", shared + own[0] + 1))
    assert "it has the best score" in worse.reasons[0]
    assert worse.ties == ("base",)


def test_a_tie_without_the_default_goes_to_the_cheaper(noise):
    shared, own = noise
    dear = contender("dear", shared + own[0], cost=9)
    cheap = contender("cheap", np.roll(shared + own[0], 1) + 1e-4, cost=2)
    outcome = chosen(contender("base", shared + 2, is_default=True), dear, cheap)
    assert outcome.winner == "cheap"
    assert outcome.ranking[0] == "dear"
    reason = next(reason for reason in outcome.reasons if "dear scores best" in reason)
    assert reason.endswith("which costs less (2 against 9 steps).")


def test_a_cheaper_tie_that_does_not_beat_the_default_is_passed_over():
    losses = np.array([[1.0, 0.8, 0.9]])
    errors = np.array([[0.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, 0.0]])
    assert pick(losses, errors, np.array([1.0, 9.0, 1.0]), 0).tolist() == [1]


def test_identical_contenders_tie_and_the_default_wins(noise):
    shared, _ = noise
    outcome = chosen(contender("copy", shared, cost=0.1), contender("base", shared, is_default=True))
    assert outcome.winner == "base"
    assert set(outcome.ties) == {"copy", "base"}


def test_a_contender_without_a_score_never_wins(noise):
    shared, _ = noise
    broken = np.full(200, np.nan)
    outcome = chosen(contender("base", broken, is_default=True), contender("ok", shared), contender("bad", broken))
    assert outcome.winner == "ok"
    assert outcome.ranking[0] == "ok"
    assert outcome.reasons[0].endswith("the default, base, has none.")
    assert outcome.reasons[-1] == "Without a score, so they could not win: base, bad."
    nobody = chosen(contender("base", broken, is_default=True), contender("bad", broken))
    assert nobody.winner == "base"
    assert "no contender has a score" in nobody.reasons[0]


def test_larger_is_better_for_a_metric_to_maximise():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300)
    score = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=300))))
    good = np.column_stack([1 - score, score])
    poor = good[rng.permutation(300)]
    contenders = [
        Contender(id="poor", prediction=poor, cost=1, is_default=True),
        Contender(id="good", prediction=good, cost=2),
    ]
    outcome = select(contenders, y=y, metric=METRICS["roc_auc"], seed=1, draws=200)
    assert outcome.winner == "good"
    ahead = outcome.standing("good").ahead_of_default
    assert ahead is not None
    assert ahead.mean > ahead.standard_error > 0


def test_a_race_without_a_default(noise):
    shared, own = noise
    outcome = chosen(contender("a", shared), contender("b", shared + own[0] + 0.5, cost=0.1))
    assert outcome.winner == "a"
    assert outcome.standings[0].ahead_of_default is None
    assert "no default took part" in outcome.reasons[0]


def test_clusters_widen_the_errors_and_turn_a_win_into_a_tie():
    rng = np.random.default_rng(4)
    gain = np.repeat(rng.normal(0.04, 0.3, 20), 30)
    base = contender("base", np.full(600, 1.0), is_default=True)
    better = contender("better", 1.0 - gain - 0.0)
    y, clusters = np.zeros(600), np.repeat(np.arange(20), 30)
    alone = select([base, better], y=y, metric=MAE, seed=1).standing("better").ahead_of_default
    together = select([base, better], y=y, metric=MAE, seed=1, clusters=clusters).standing("better").ahead_of_default
    assert alone is not None
    assert together is not None
    assert together.standard_error > 4 * alone.standard_error


def test_wrong_contenders_are_named(noise):
    shared, _ = noise
    with pytest.raises(UsageError, match="no contender was given"):
        chosen()
    with pytest.raises(UsageError, match="contender a was given 2 times"):
        chosen(contender("a", shared), contender("a", shared))
    with pytest.raises(UsageError, match=r"2 contenders are marked as the default \(a, b\)"):
        chosen(contender("a", shared, is_default=True), contender("b", shared, is_default=True))
    with pytest.raises(UsageError, match="contenders predict different shapes"):
        chosen(contender("a", shared), contender("b", shared[:-1]))
    with pytest.raises(DataError, match="predictions have shape"):
        chosen(contender("a", shared[:-1]))


def test_the_corrected_score_repeats_the_same_rule(noise):
    shared, own = noise
    contenders = [contender("base", shared + own[0], is_default=True), contender("luck", shared + own[1], cost=0.1)]
    corrected = corrected_score(contenders, y=np.zeros(200), metric=MAE, seed=1)
    assert contenders[corrected.chosen].id == chosen(*contenders).winner
    rule = selection_rule(contenders)
    assert rule(np.array([[1.0, 0.99]]), np.array([[0, 0.1], [0.1, 0]])).tolist() == [0]


def ensemble_case(rng, rows=400, count=6):
    y = rng.normal(size=rows)
    return y, y + rng.normal(size=(count, rows)) * np.linspace(0.6, 1.2, count)[:, None]


def greedy_by_hand(y, predictions, rounds):
    chosen_ones, best = [], (math.inf, [])
    for _ in range(rounds):
        tried = [MAE.score(y, np.mean(predictions[[*chosen_ones, m]], axis=0)) for m in range(len(predictions))]
        chosen_ones.append(int(np.argmin(tried)))
        if min(tried) < best[0] - 1e-12:
            best = (min(tried), list(chosen_ones))
    return np.bincount(best[1], minlength=len(predictions)) / len(best[1])


def test_greedy_ensemble_equals_the_rule_by_hand():
    y, predictions = ensemble_case(np.random.default_rng(5), rows=90)
    weights = greedy_ensemble(y, predictions, MAE, seed=0, rounds=15)
    np.testing.assert_allclose(weights, greedy_by_hand(y, predictions, 15), atol=1e-12)


def test_greedy_ensemble_beats_every_member_on_new_rows():
    rng = np.random.default_rng(6)
    y, predictions = ensemble_case(rng, rows=2000)
    weights = greedy_ensemble(y[:1000], predictions[:, :1000], MAE, seed=0)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    ensemble = MAE.score(y[1000:], combine(weights, predictions[:, 1000:]))
    assert ensemble < 0.8 * min(MAE.score(y[1000:], p[1000:]) for p in predictions)


def test_bags_spread_the_weights_and_are_keyed():
    rng = np.random.default_rng(7)
    y = rng.normal(size=60)
    predictions = y + rng.normal(size=(20, 60))
    plain = greedy_ensemble(y, predictions, MAE, seed=0)
    bagged = greedy_ensemble(y, predictions, MAE, seed=0, bags=12)
    assert np.count_nonzero(bagged) > np.count_nonzero(plain)
    assert bagged.sum() == pytest.approx(1.0)
    assert np.array_equal(bagged, greedy_ensemble(y, predictions, MAE, seed=0, bags=12))
    assert not np.array_equal(bagged, greedy_ensemble(y, predictions, MAE, seed=1, bags=12))


def test_ensembles_leave_out_what_has_no_prediction_and_weightless_rows():
    y, predictions = ensemble_case(np.random.default_rng(8), count=3)
    predictions[1] = np.nan
    weights = greedy_ensemble(y, predictions, MAE, seed=0)
    assert weights[1] == 0
    assert np.isfinite(combine(weights, predictions)).all()
    half = np.r_[np.ones(200), np.zeros(200)]
    on_half = greedy_ensemble(y[:200], predictions[:, :200], MAE, seed=0)
    np.testing.assert_allclose(greedy_ensemble(y, predictions, MAE, seed=0, weight=half), on_half)
    with pytest.raises(UsageError, match="no candidate has a score"):
        greedy_ensemble(y, predictions[[1]], MAE, seed=0)
    with pytest.raises(UsageError, match="rounds and bags must be at least 1"):
        greedy_ensemble(y, predictions, MAE, seed=0, rounds=0)


def test_many_rows_are_thinned_for_the_greedy_search(monkeypatch):
    monkeypatch.setattr("lanewise.selection.ensemble.MOST_ROWS", 500)
    y, predictions = ensemble_case(np.random.default_rng(9), rows=3000)
    weights = greedy_ensemble(y, predictions, MAE, seed=0)
    ensemble = MAE.score(y, combine(weights, predictions))
    assert ensemble < 0.8 * MAE.score(y, predictions[0])


def test_a_useful_ensemble_is_worth_its_cost_and_copies_are_not():
    rng = np.random.default_rng(10)
    y, predictions = ensemble_case(rng, rows=600)
    different = [Contender(id=str(m), prediction=p, cost=1, is_default=m == 0) for m, p in enumerate(predictions)]
    verdict = compare_ensemble(different, y=y, metric=MAE, seed=0)
    assert verdict.ensemble == pytest.approx(np.abs(y - verdict.crossed).mean(), rel=1e-12)
    assert verdict.worthwhile
    assert verdict.ahead.low > 0
    assert verdict.ensemble < verdict.single
    assert "is worth its cost: mae" in verdict.reason
    assert verdict.over_default is not None
    assert verdict.over_default.low > 0
    # The same rows, the same ensemble: what it gains over the default is the distance of the two scores.
    assert verdict.over_default.mean == pytest.approx(MAE.score(y, predictions[0]) - verdict.ensemble)
    undefended = [replace(one, is_default=False) for one in different]
    assert compare_ensemble(undefended, y=y, metric=MAE, seed=0).over_default is None
    copies = [Contender(id=str(m), prediction=predictions[0], cost=1, is_default=m == 0) for m in range(4)]
    same = compare_ensemble(copies, y=y, metric=MAE, seed=0)
    assert not same.worthwhile
    assert "not worth its cost" in same.reason


def test_an_ensemble_that_does_not_beat_the_default_is_not_taken(monkeypatch):
    """Whoever the race would name is worse than the default on every part, so that to beat that one proves nothing."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=600)
    default = y + 0.5 * rng.normal(size=600)
    rivals = [y + rng.normal(size=600) for _ in range(2)]
    contenders = [
        Contender(id=str(m), prediction=p, cost=1, is_default=m == 0) for m, p in enumerate([default, *rivals])
    ]
    monkeypatch.setattr("lanewise.selection.ensemble._winner", lambda *_: 1)
    monkeypatch.setattr("lanewise.selection.ensemble.greedy_ensemble", lambda *_, **__: np.array([0.0, 0.5, 0.5]))
    verdict = compare_ensemble(contenders, y=y, metric=MAE, seed=0)
    assert verdict.ahead.low > 0
    assert verdict.over_default.high < 0
    assert not verdict.worthwhile
    assert "of the default" in verdict.reason
    undefended = [replace(one, is_default=False) for one in contenders]
    assert compare_ensemble(undefended, y=y, metric=MAE, seed=0).worthwhile


def test_the_comparison_with_an_ensemble_is_not_optimistic():
    """On pure noise the ensemble looks better on the rows that chose it; the comparison sees no such gain."""
    claimed, honest = [], []
    for race in range(40):
        rng = np.random.default_rng([race, 3])
        y = rng.integers(0, 2, 80)
        p = rng.uniform(0.3, 0.7, (12, 80))
        predictions = np.stack([1 - p, p], axis=-1)
        contenders = [Contender(id=str(m), prediction=q, cost=1) for m, q in enumerate(predictions)]
        metric = METRICS["accuracy"]
        verdict = compare_ensemble(contenders, y=y, metric=metric, seed=race, rounds=15, draws=100)
        claimed.append(metric.score(y, combine(verdict.weights, predictions)))
        honest.append(verdict.ensemble)
    assert np.mean(claimed) > 0.6
    assert np.mean(honest) == pytest.approx(0.5, abs=float(3 * np.std(honest) / math.sqrt(40)))


def test_parts_must_fit_the_rows():
    contenders = [contender("a", [1.0, 2.0]), contender("b", [2.0, 1.0])]
    with pytest.raises(UsageError, match=r"parts must lie between 2 and the number of rows or clusters \(2\), got 5"):
        compare_ensemble(contenders, y=np.zeros(2), metric=MAE, seed=0)


def test_a_cluster_is_never_split_between_choosing_and_judging():
    # One cluster holds 60% of the rows; one contender is right on it alone, the other on all the rest alone.
    labels = np.r_[np.zeros(600), 1 + np.arange(400) // 10]
    contenders = [contender("large", labels > 0), contender("rest", labels == 0)]
    apart = compare_ensemble(contenders, y=np.zeros(1000), metric=MAE, seed=0, clusters=labels)
    mixed = compare_ensemble(contenders, y=np.zeros(1000), metric=MAE, seed=0)
    assert mixed.single == mixed.ensemble == pytest.approx(0.4)
    # The large cluster is judged by who was right on the rest, and the other way round.
    assert apart.single == apart.ensemble > 0.9
