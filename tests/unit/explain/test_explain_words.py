"""The summary: plain, exact, and never more than the evidence."""

import math

import pytest

from lanewise.explain import Decision, Outcome, Score, summary
from lanewise.explain.decisions import TOGETHER
from lanewise.formatting.figures import between, gap, score
from lanewise.metrics import METRICS
from lanewise.statistics import Difference

RMSE, ACCURACY = METRICS["rmse"], METRICS["accuracy"]


def outcome(**changes):
    given = {
        "target": "price",
        "winner": "mlp 128x2, adamw, lr 0.003",
        "is_default": False,
        "test": Score(value=4.231, low=3.95, high=4.52),
        "rows": 1200,
        "guess": Score(value=9.87),
        "default": "lightgbm, lr 0.1",
        "default_test": Score(value=4.61),
        "over_default": Difference(mean=0.372, standard_error=0.12, low=0.14, high=0.6),
    }
    return Outcome(**{**given, **changes})


def decision(question="Which model?", errors: float | None = 3.2, verdict="clear", difference=0.3712):
    return Decision(
        question=question,
        chosen="mlp",
        over="lightgbm",
        difference=difference,
        standard_errors=errors,
        verdict=verdict,
    )


def test_an_ensemble_that_was_asked_for_is_not_called_best():
    found = summary(outcome(winner="ensemble of 3 candidates", as_asked=True), RMSE)
    assert found[0] == (
        "An ensemble of 3 candidates predicts price, as asked for; by the evidence one model would have been kept."
    )


def test_who_won_a_tie_without_the_best_score_is_not_called_best():
    found = summary(outcome(scored_best="linear, lbfgs"), RMSE)
    assert found[0] == (
        "MLP 128x2, adamw, lr 0.003 predicts price as well as any, as far as the evidence tells: linear, lbfgs scored "
        "better by no more than one paired standard error, and of those that tie the simplest is taken."
    )


def test_the_whole_story():
    found = summary(
        outcome(
            ties=("linear, lbfgs",),
            decisions=(
                decision(),
                decision("Which optimizer?", 1.4, "likely"),
                decision("Which schedule?", 0.2, "a tie"),
            ),
            threshold="A threshold of 0.31 gives f1 0.62.",
            warnings=("column id looks like a row number",),
        ),
        RMSE,
    )
    assert found == [
        "MLP 128x2, adamw, lr 0.003 predicts price best.",
        "On 1,200 untouched test rows its RMSE is 4.23 (95% interval 3.95 to 4.52); a guess has 9.87, the default 4.61 "
        "(lower is better).",
        "In cross-validation the winner is 0.37 better than the default, lightgbm, lr 0.1: 3.1 paired standard errors.",
        "Within one paired standard error of the best score, so not told apart from it: linear, lbfgs.",
        "Model: mlp over lightgbm, RMSE better by 0.37, 3.2 standard errors.",
        "Optimizer: mlp over lightgbm, RMSE better by 0.37, 1.4 standard errors, likely but not certain.",
        "A threshold of 0.31 gives f1 0.62.",
        "Heed: Column id looks like a row number.",
    ]


def test_a_metric_of_one_class_names_it():
    assert "its F1 of 'bad' is 4.23" in summary(outcome(positive="bad"), METRICS["f1"])[1]
    lost = outcome(positive="bad", guess=Score(value=9.0), over_guess=None)
    assert "better than a guess by F1 of 'bad';" in summary(lost, METRICS["f1"])[0]
    assert "its RMSE is" in summary(outcome(positive=None), RMSE)[1]


def test_test_rows_that_trained_too_are_not_called_untouched():
    assert "On 1,200 test rows, 7 of which trained it too, its RMSE is" in summary(outcome(trained=7), RMSE)[1]
    assert "On 1,200 test rows, all of which trained it too, its RMSE is" in summary(outcome(trained=1200), RMSE)[1]


@pytest.mark.parametrize(("groups", "kind"), [(1, "1 group"), (3, "3 groups"), (7, "7 unequal groups")])
def test_groups_that_are_too_few_for_an_interval_are_said(groups, kind):
    found = summary(outcome(test=Score(value=4.231), few_groups=groups), RMSE)
    assert found[1].startswith("On 1,200 untouched test rows its RMSE is 4.23; a guess has")
    assert found[2] == (
        f"How sure the score on the test rows is cannot be told: they are of {kind}, and an interval takes 4 of like "
        "size; a larger share of test rows has more."
    )
    found = summary(outcome(test=Score(value=4.231), few_groups=groups, more_groups=False), RMSE)
    assert found[2].endswith("an interval takes 4 of like size; all rows together have too few.")
    assert "How sure" not in " ".join(summary(outcome(), RMSE))


def test_what_weighs_the_test_rows_is_said():
    assert "On 1,200 untouched test rows, weighed by class, its RMSE is" in summary(outcome(weighed="class"), RMSE)[1]


def test_labels_with_commas_are_set_apart_by_semicolons():
    ties = ("linear, lbfgs", "mlp, adamw", "tree, sgd", "tree, lion")
    found = summary(outcome(ties=ties), RMSE)
    assert found[3].endswith("so not told apart from it: linear, lbfgs; mlp, adamw; tree, sgd; and 1 more.")


def test_a_default_that_alone_was_confirmed_is_said_to_be_alone():
    words = "a budget of 2s left room to confirm it alone; try 60s"
    found = summary(outcome(is_default=True, winner="lightgbm, lr 0.1", cut_short=words), RMSE)
    assert found[0] == f"The default, lightgbm, lr 0.1, stays: {words}."
    unrivalled = summary(outcome(is_default=True, winner="linear, lbfgs", alone=True, cut_short=words), RMSE)
    assert unrivalled[0].startswith("Linear, lbfgs ")
    assert unrivalled[0].endswith(f"no other candidate ran to compare it with: {words}.")


def test_a_guess_far_below_the_interval_is_not_rounded_away():
    found = summary(outcome(test=Score(value=79000, low=61000, high=104000), guess=Score(value=8.9)), RMSE)
    assert "a guess has 8.90" in " ".join(found)


def test_a_percentage_error_has_its_unit():
    assert score("mape", 63.81, 10.2) == "6,381%"


@pytest.mark.parametrize(
    ("test", "metric", "guess"),
    [
        (Score(value=9.5, low=9.0, high=10.0), RMSE, 9.2),
        (Score(value=0.52, low=0.47, high=0.56), ACCURACY, 0.5),
        (Score(value=10.5), RMSE, 9.2),
    ],
)
def test_a_guess_that_was_not_beaten_is_the_headline(test, metric, guess):
    first = summary(outcome(test=test, guess=Score(value=guess)), metric)[0]
    assert first.startswith("No model was shown to predict price better than a guess")


def test_a_paired_lead_says_more_than_two_intervals():
    unsure, guess = Score(value=0.17, low=0.05, high=0.73), Score(value=0.66)
    lead = Difference(mean=0.49, standard_error=0.14, low=0.21, high=0.77)
    shown = summary(outcome(test=unsure, guess=guess, over_guess=lead), RMSE)[0]
    assert not shown.startswith("No model was shown")
    even = Difference(mean=0.49, standard_error=0.3, low=-0.1, high=1.08)
    kept = summary(outcome(test=unsure, guess=guess, over_guess=even), RMSE)[0]
    assert kept.startswith("No model was shown to predict price better than a guess")


def test_a_lead_that_is_not_known_for_sure_shows_nothing():
    test, guess = Score(value=0.17), Score(value=0.66)
    lead = Difference(mean=0.49, standard_error=math.nan, low=math.nan, high=math.nan)
    found = summary(outcome(test=test, guess=guess, over_guess=lead, few_groups=1), RMSE)
    assert found[0].startswith("No model was shown to predict price better than a guess")
    assert any("on the test rows is cannot be told: they are of 1 group, and an" in line for line in found)
    found = summary(outcome(test=test, guess=guess, over_guess=lead, few_groups=1, some_beat=True), RMSE)
    assert found[0].endswith("lr 0.003, which was kept, does so on the test rows cannot be told.")
    assert summary(outcome(test=test, guess=guess, over_guess=lead, some_beat=True), RMSE)[0] == found[0]


def test_a_guess_beaten_out_of_fold_only_is_not_said_to_be_beaten_by_no_model():
    first = summary(outcome(test=Score(value=9.5, low=9.0, high=10.0), guess=Score(value=9.2), some_beat=True), RMSE)[0]
    assert first == (
        "In cross-validation at least one model predicts price better than a guess; on the test rows mlp 128x2, adamw, "
        "lr 0.003, which was kept, was not shown to."
    )


def test_a_good_order_is_told_where_the_deciding_score_shows_nothing():
    unsure = {
        "test": Score(value=0.7, low=0.5, high=1.1),
        "guess": Score(value=0.66),
        "ranks": Score(value=0.881, low=0.801, high=0.923),
    }
    lines = summary(outcome(**unsure), METRICS["log_loss"])
    assert lines[0].startswith("No model was shown to predict price better than a guess by log loss; ")
    assert lines[2] == (
        "Yet it puts the rows into a better order than chance does: its ROC AUC is 0.88 (95% interval 0.80 to 0.92). "
        "What is not shown is that its probabilities can be trusted."
    )
    for name in ("brier", "recall", "f1", "accuracy", "balanced_accuracy", "pr_auc"):
        best = {"guess": Score(value=0.66 if name == "brier" else 0.9)}
        told = [line for line in summary(outcome(**unsure | best), METRICS[name]) if "order than chance" in line]
        assert len(told) == 1
        assert ("probabilities" in told[0]) == (name == "brier")
    for other in ({"ranks": Score(value=0.55, low=0.47, high=0.63)}, {"test": Score(value=0.4, low=0.3, high=0.5)}):
        assert not any("order than chance" in line for line in summary(outcome(**unsure | other), METRICS["log_loss"]))


def test_one_candidate_alone_is_not_called_the_best():
    assert summary(outcome(alone=True), RMSE)[0] == (
        "MLP 128x2, adamw, lr 0.003 predicts price better than a guess; no other candidate ran to compare it with."
    )
    only = summary(outcome(alone=True, is_default=True, winner="linear, lbfgs", test=None), RMSE)[0]
    assert only == "Linear, lbfgs was trained; no other candidate ran to compare it with."


def test_the_default_that_stays():
    found = summary(outcome(is_default=True, winner="lightgbm, lr 0.1", decisions=(decision(errors=0.4),)), RMSE)
    assert found[0] == "The default, lightgbm, lr 0.1, stays: nothing that ran predicts price reliably better."
    assert "the default 4.61" not in found[1]
    assert found[2] == "No single choice made a difference that the evidence can tell from chance."
    assert len(found) == 3


def test_a_lead_over_the_default_that_no_single_choice_explains_is_not_denied():
    choices = (decision("Better than the default?", errors=1.01), decision(errors=0.4))
    told = summary(outcome(decisions=choices), RMSE)[-1]
    assert told.startswith("No single choice explains its lead over the default: each time a candidate that chose")
    stays = summary(outcome(is_default=True, decisions=choices), RMSE)[-1]
    assert stays == "No single choice made a difference that the evidence can tell from chance."


def test_a_default_that_did_better_on_the_test_rows_is_admitted():
    found = summary(outcome(test=Score(value=5.0, low=4.0, high=6.0), default_test=Score(value=4.0)), RMSE)
    assert "the default 4.0 (lower is better). Here the default did better: the choice was made before" in found[1]
    assert found[0].endswith(" predicts price best in cross-validation.")
    for default in (5.0001, 6.0):
        found = summary(outcome(test=Score(value=5.0, low=4.0, high=6.0), default_test=Score(value=default)), RMSE)
        assert "did better" not in found[1]
        assert found[0].endswith(" predicts price best.")


@pytest.mark.parametrize(
    ("winner", "words"),
    [
        ("lightgbm, lr 0.1", "LightGBM, lr 0.1 predicts"),
        ("tree", "Tree predicts"),
        ("ensemble of 3 candidates", "An ensemble of 3 candidates predicts"),
    ],
)
def test_a_sentence_begins_with_the_name_of_the_family(winner, words):
    assert summary(outcome(winner=winner), RMSE)[0].startswith(words)


def test_choices_without_an_error_are_not_told():
    assert len(summary(outcome(decisions=(decision(errors=None, verdict="screen only"),)), RMSE)) == 3


def test_what_else_differs_goes_with_the_choice():
    choice = decision("Which learning rate?", verdict="clear (the two also differ in dropout)")
    assert summary(outcome(decisions=(choice,)), RMSE)[-1].endswith(
        "3.2 standard errors (the two also differ in dropout)."
    )


def test_a_choice_of_several_settings_is_no_effect_of_one_and_does_not_deny_that_none_was_found():
    question = "Which combination of learning rate and regularization?"
    effect = "On average over 24 candidates of mlp, no single setting made a difference."
    choice = decision(question, verdict=f"clear{TOGETHER}")
    told, none = summary(outcome(decisions=(choice,), effects=(effect,)), RMSE)[-2:]
    assert told.startswith("Combination of learning rate and regularization: ")
    assert told.endswith("(of two whole candidates: none of these settings alone explains the difference).")
    assert none == effect


def test_many_of_anything_are_counted():
    found = summary(outcome(ties=tuple("abcdef"), warnings=tuple("uvwxy"), decisions=(decision(),) * 5), RMSE)
    assert any(line.endswith("a, b, c and 3 more.") for line in found)
    assert sum(line.startswith("Heed") for line in found) == 4
    assert sum(line.startswith("Model") for line in found) == 3


@pytest.mark.parametrize("missing", [{"test": None}, {"test": Score(value=math.nan)}])
def test_without_a_test_score_there_is_no_sentence_on_it(missing):
    found = summary(outcome(**missing), RMSE)
    told = "MLP 128x2, adamw, lr 0.003 predicts price best."
    if missing["test"] is not None:
        kept = "Whether mlp 128x2, adamw, lr 0.003, which was kept, predicts price"
        told = f"{kept} better than a guess by RMSE cannot be told."
    assert found[0] == told
    assert not any("test rows" in line for line in found)


def test_a_score_of_a_class_that_no_test_row_has_shows_nothing_either_way():
    nothing = Difference(mean=math.nan, standard_error=math.nan, low=math.nan, high=math.nan)
    unknown = {"test": Score(value=math.nan), "guess": Score(value=math.nan), "over_guess": nothing, "positive": "yes"}
    first = summary(outcome(**unknown), METRICS["f1"])[0]
    assert first.endswith("which was kept, predicts price better than a guess by F1 of 'yes' cannot be told.")
    first = summary(outcome(**unknown, some_beat=True), METRICS["f1"])[0]
    assert first.startswith("In cross-validation at least one model predicts price better than a guess; whether mlp")
    assert first.endswith("which was kept, does so on the test rows cannot be told.")
    alone = summary(outcome(**unknown, alone=True), METRICS["f1"])[0]
    assert "no other candidate" not in alone


def test_that_nothing_can_beat_a_guess_is_said():
    test, guess = Score(value=0.96, low=0.89, high=0.99), Score(value=1.0)
    found = summary(outcome(test=test, guess=guess, positive="no"), METRICS["recall"])
    assert found[0].startswith("No model was shown to predict price better than a guess by recall of 'no'")
    assert found[2] == (
        "Nothing can beat a guess by recall of 'no' on these rows: it has the best there is. Another metric tells more."
    )
    for metric, value in (("recall", 0.99), ("rmse", 1.0)):
        lines = summary(outcome(test=test, guess=Score(value=value)), METRICS[metric])
        assert not any("Nothing can beat" in line for line in lines)


def test_the_bounds_of_a_score_near_zero_have_its_digits():
    test, guess = Score(value=0.02, low=0.004, high=0.8), Score(value=0.03)
    found = summary(outcome(test=test, guess=guess, default_test=None), METRICS["pr_auc"])
    assert "its PR AUC is 0.02 (95% interval <0.01 to 0.80)" in found[1]


def test_no_sentence_holds_what_is_unknown():
    nothing = Difference(mean=math.nan, standard_error=math.nan, low=math.nan, high=math.nan)
    found = summary(outcome(over_default=nothing, guess=Score(value=math.nan), default_test=None), RMSE)
    assert not any("nan" in line for line in found)
    assert len(found) == 2


def test_shares_are_read_in_percent():
    found = summary(
        outcome(
            test=Score(value=0.8731, low=0.861, high=0.885),
            guess=Score(value=0.5),
            default_test=Score(value=0.86),
            over_default=Difference(mean=0.0123, standard_error=0.004, low=0.0, high=0.0),
        ),
        ACCURACY,
    )
    assert "accuracy is 87.3% (95% interval 86.1% to 88.5%); a guess has 50.0%" in found[1]
    assert "the winner is 1.2 points better" in found[2]


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [
        (0.31237, 0.0145, "0.312"),
        (1234567.0, 5210.0, "1,235,000"),
        (2.0, 0.4, "2.0"),
        (0.0, None, "0"),
        (-0.001, 0.2, "-0.001"),
        (-0.00001, 0.2, "0.00"),
        (-6.69, 12.0, "-7"),
        (0.0149, 0.05, "0.015"),
        (2.2e-11, 2e-12, "2.20e-11"),
        (0.69314718056, 2e-12, "0.6931"),
    ],
)
def test_digits_follow_the_interval(value, half, words):
    assert score("rmse", value, half) == words


def test_gaps_and_bounds():
    assert gap("rmse", 0.000123) == "0.00012"
    assert gap("accuracy", -0.2) == "20.0 points"
    assert between("rmse", 47100.0, 49400.0) == "47,100 to 49,400"
    assert score("rmse", math.nan) == "unknown"


def test_scores_that_would_look_the_same_get_a_digit_more():
    outcome = Outcome(
        target="area",
        winner="ensemble",
        is_default=False,
        test=Score(value=73.27, low=0.0, high=170.0),
        rows=104,
        guess=Score(value=73.99),
        default="lightgbm",
        default_test=Score(value=72.91),
    )
    told = summary(outcome, METRICS["rmse"])[1]
    assert "its RMSE is 73.3 (95% interval 0 to 170); a guess has 74.0, the default 72.9" in told
