"""Underfit, good, overfit: the verdict from scores, and advice that fits."""

import math

import numpy as np
import pytest

from lanewise.explain import Fit, diagnose
from lanewise.metrics import METRICS

RMSE, AUC = METRICS["rmse"], METRICS["roc_auc"]
RISING = tuple(np.linspace(0.1, 1.0, 10))


@pytest.fixture
def read(make):
    def run(
        train, valid, guess=1.0, *, metric=RMSE, curve=(), error=0.0, stop=1.0, columns=None, on_test=None, **settings
    ):
        fit = Fit(
            train=train,
            valid=valid,
            guess=guess,
            curve=curve,
            fractions=RISING[: len(curve)],
            error=error,
            **(on_test or {}),
        )
        return diagnose(fit, metric, make.candidate("a", **settings), stop=stop, columns=columns)

    return run


@pytest.mark.parametrize(
    ("train", "valid", "verdict", "words"),
    [
        (0.28, 0.32, "good", "holds for new rows"),
        (0.10, 0.18, "good", "What it learned holds for new rows"),  # boosted trees: a gap, but little is lost
        (0.10, 0.30, "good", "Most of what it learned holds for new rows; 22% of it for its training rows only"),
        (0.05, 0.60, "overfit", "58% of what it learned holds for its training rows only"),
        (0.10, 1.02, "overfit", "nothing that holds for new ones"),
        (0.99, 1.00, "underfit", "no better than a guess"),
        (0.30, 0.28, "good", "holds for new rows"),
    ],
)
def test_the_verdict(read, train, valid, verdict, words):
    found = read(train, valid, error=0.01)
    assert found.verdict == verdict
    assert words in found.words
    assert (found.train, found.valid) == (train, valid)


def test_scores_to_be_maximised_are_read_the_same_way(read):
    assert read(0.99, 0.70, 0.5, metric=AUC).verdict == "overfit"
    assert read(0.93, 0.90, 0.5, metric=AUC).verdict == "good"
    assert read(0.51, 0.50, 0.5, metric=AUC, error=0.01).verdict == "underfit"


def test_a_curve_that_still_falls_is_underfit_only_while_little_is_lost(read):
    falling = tuple(1.0 - 0.06 * n for n in range(10))
    assert read(0.45, 0.46, curve=falling).verdict == "underfit"
    assert read(0.10, 0.35, curve=falling).verdict == "good"
    assert "longer training" in read(0.45, 0.46, curve=falling).advice[-2]


def test_a_curve_that_turned_is_overfit_unless_it_was_stopped_in_time(read):
    turned = (0.9, 0.5, 0.4, 0.42, 0.45, 0.5, 0.55)
    assert read(0.35, 0.4, curve=turned).verdict == "overfit"
    stopped = read(0.35, 0.4, curve=turned, stop=0.3)
    assert stopped.verdict == "good"
    assert "it was stopped at 30%" in stopped.words
    assert stopped.advice[0] == "Done: stopped at 30% of the full length, where the validation score was best."


def test_what_was_done_is_told_from_the_settings(read):
    found = read(0.3, 0.32, dropout=0.2, weight_decay=0.0, l1=0.001, columns=(12, 30), bagging_fraction=0.8)
    assert found.advice == (
        "Done: dropout 0.2; L1 penalty 0.001; the L1 penalty removed 12 of 30 columns; each tree saw 80% of the rows.",
    )
    assert read(0.3, 0.32, feature_fraction=1.0).advice == ()


@pytest.mark.parametrize(("train", "valid"), [(0.05, 0.6), (0.1, 1.02)])
def test_against_overfitting_never_more_model(read, train, valid):
    advice = " ".join(read(train, valid).advice).lower()
    assert "more rows" in advice
    assert "simpler model" in advice
    for wrong in ("complex", "larger", "longer", "weaker", "wider", "deeper"):
        assert wrong not in advice


def test_what_is_unknown_does_not_decide(read):
    assert read(math.nan, math.nan) is None
    assert read(0.3, math.nan) is None
    without_train = read(math.nan, 0.4)
    assert without_train.verdict == "good"
    assert "training rows" not in without_train.words
    assert read(0.30, 0.31, math.nan).verdict == "good"
    assert read(0.3, 0.4, curve=(math.nan, 0.5, 0.4)).verdict == "good"


def test_noise_alone_is_no_overfitting(read):
    assert read(0.90, 0.94, error=0.04).verdict == "underfit"  # within two errors of the guess
    assert read(0.80, 0.88, error=0.05).verdict == "good"


def test_perfect_on_training_rows_and_much_worse_on_new_ones_is_never_good(read):
    assert read(1.0, 0.687, 0.03, metric=METRICS["pr_auc"], error=0.05).verdict == "overfit"


@pytest.mark.parametrize(
    "on_test",
    [{"behind": True}, {"r2": -0.01}],
    ids=["no better than a guess", "negative R2"],
)
def test_what_fails_on_the_test_rows_is_not_good(read, on_test):
    found = read(0.9, 0.3, on_test=on_test)
    assert found.verdict == "underfit"
    assert "no better than a guess" in found.words
    assert read(0.3, 0.32, on_test={"r2": 0.8}).verdict == "good"


def test_what_the_test_rows_show_to_beat_a_guess_is_not_said_to_do_no_better(read):
    """Few rows judge in cross-validation: the error there is as large as the lead."""
    shown = read(0.50, 0.53, 0.67, error=0.085, on_test={"ahead": True})
    assert shown.verdict == "good"
    assert "than a guess" not in shown.words
    unknown = read(0.50, 0.53, 0.67, error=0.085)
    assert unknown.verdict == "underfit"
    assert "It was not shown to do better than a guess" in unknown.words
    worse = read(0.99, 1.0, error=0.01, on_test={"ahead": True})
    assert "It does no better than a guess" in worse.words


def test_errors_that_are_orders_of_magnitude_apart_are_not_good(read):
    found = read(2e6, 0.9, 3e6)
    assert found.verdict == "underfit"
    assert "over 100 times more on training rows" in found.words
    assert "extreme values of the target" in found.advice[0]


def test_the_share_that_is_lost_is_told_where_chance_cannot_make_it(read):
    assert read(0.1, 0.3, error=0.01).lost == pytest.approx(2 / 9)
    assert read(0.3, 0.28, error=0.01).lost is None
    assert read(0.3, 0.4, error=0.1).lost is None


def test_a_large_factor_between_small_errors_is_set_beside_a_guess(read):
    assert (
        "Of what training rows gained on a guess, new rows lose 7% (a guess has 1.000)."
        in read(0.02, 0.09, error=0.01).words
    )
    by_chance = read(0.02, 0.09, error=0.05).words
    assert "new rows lose 7%, which may be chance (a guess has 1.00)." in by_chance
    assert "a guess" not in read(0.3, 0.28, error=0.01).words
    assert "a guess has" not in read(0.05, 0.6).words, "no excuse for what is overfit"
    assert read(0.1, 0.3, error=0.01).words.count("22%") == 1, "said once"


def test_a_best_score_at_the_first_look_asks_for_less_training(read):
    turned = (0.4, 0.5, 0.6, 0.7)
    advice = read(0.35, 0.4, curve=turned, stop=0.1, lr=0.01).advice
    assert advice[-1] == (
        "To try: less training or a lower learning rate; the validation score was best at its first look, "
        "and may have been before."
    )
    assert "learning rate" not in read(0.35, 0.4, curve=turned, stop=0.1).advice[-1]
    assert "first look" not in " ".join(read(0.35, 0.4, curve=turned, stop=0.2, lr=0.01).advice)


@pytest.mark.parametrize(("at_half", "at"), [(True, " at a threshold of 0.5"), (False, "")])
def test_scores_at_another_threshold_than_the_model_answers_at_are_said_to_be(make, at_half, at):
    fit = Fit(train=0.62, valid=0.512, guess=0.2, error=0.01, at_half=at_half)
    words = diagnose(fit, METRICS["f1"], make.candidate("a")).words
    assert f"Its F1{at} is 0.512 in cross-validation and 0.620 on training rows." in words


def test_the_score_of_an_ensemble_is_not_called_that_of_the_cross_validation():
    fit = Fit(train=0.28, valid=0.32, guess=1.0, curve=(), fractions=(), error=0.01)
    assert (
        "RMSE is 0.320 on rows that chose none of its members and 0.280 on training rows"
        in diagnose(fit, RMSE, None).words
    )
