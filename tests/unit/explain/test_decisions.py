"""Decisions say what the evidence shows: planted leads, ties, screens, divergence."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lanewise.explain import EnsembleTrial, decisions
from lanewise.explain.aspects import chosen_words, differing
from lanewise.explain.decisions import verdict
from lanewise.explain.pairs import Lead, judge_of
from lanewise.metrics import METRICS
from lanewise.selection import Contender, select
from lanewise.statistics import Difference

MAE = METRICS["mae"]


@pytest.fixture
def decided(make):
    def run(result, winner, **more):
        found = decisions(result, winner, y=make.y, metric=MAE, seed=3, **more)
        return {one.question: one for one in found}

    return run


def test_a_planted_lead_is_clear_and_of_the_right_size(make, decided):
    winner = make.confirmed(make.candidate("a", "mlp"))
    loser = make.confirmed(make.candidate("b", "linear"), worse=0.2)
    found = decided(make.result([winner, loser]), "a")["Which model?"]
    assert (found.chosen, found.over, found.verdict) == ("mlp", "linear", "clear")
    assert found.difference == pytest.approx(0.2, abs=0.02)
    assert found.standard_errors > 20


def test_nothing_planted_is_a_tie_and_the_cheaper_is_named(make, decided):
    pair = [make.confirmed(make.candidate(id, model)) for id, model in (("a", "mlp"), ("c", "linear"))]
    leads = {}
    for winner in ("a", "c"):
        other = "c" if winner == "a" else "a"
        found = decided(make.result(pair), winner, costs={winner: 1.0, other: 2.0})["Which model?"]
        assert found.verdict == "a tie: the cheaper was taken"
        named = decided(make.result(pair), winner, costs={winner: 1.0, other: 2.0}, cheaper="simpler")["Which model?"]
        assert named.verdict == "a tie: the simpler was taken"
        assert abs(found.standard_errors) <= 1
        leads[winner] = found.difference
    assert leads["a"] == pytest.approx(-leads["c"])


def test_where_an_ensemble_is_taken_it_is_said_who_would_be_without_it(make, decided):
    pair = [make.confirmed(make.candidate(id, model)) for id, model in (("a", "mlp"), ("c", "linear"))]
    trial = EnsembleTrial(members=2, ahead=Difference(mean=1.0, standard_error=0.1, low=0.8, high=1.2), taken=True)
    found = decided(make.result(pair), "a", costs={"a": 1.0, "c": 2.0}, cheaper="simpler", ensemble=trial)
    assert found["Which model?"].verdict == "a tie: the simpler would be taken"


def test_a_better_score_that_ties_and_is_no_dearer_was_not_as_clearly_better_than_the_default(make, decided):
    pair = [make.confirmed(make.candidate(id, model)) for id, model in (("a", "mlp"), ("c", "linear"))]
    tried = [decided(make.result(pair), id, costs={"a": 1.0, "c": 1.0})["Which model?"] for id in ("a", "c")]
    behind, ahead = sorted(tried, key=lambda one: one.difference)
    assert behind.verdict == "a tie: the other is not as clearly better than the default"
    assert ahead.verdict == "a tie: the better score was taken"


def test_the_default_that_is_kept_is_called_so(make, decided):
    default = make.confirmed(make.candidate("a", is_default=True, lr=0.1))
    other = make.confirmed(make.candidate("c", lr=0.01))
    found = decided(make.result([default, other]), "a")["Better than the default?"]
    assert found.chosen == "the default, mlp, adamw, lr 0.1"
    assert found.verdict == "a tie: the default was kept"


def test_the_figures_are_those_of_the_selection(make, decided):
    confirmed = [
        make.confirmed(make.candidate("a")),
        make.confirmed(make.candidate("b", "linear", is_default=True), worse=0.004),
    ]
    contenders = [
        Contender(
            id=item.candidate.id,
            prediction=item.predictions[:, 0],
            cost=1.0,
            is_default=item.candidate.is_default,
        )
        for item in confirmed
    ]
    standing = select(contenders, y=make.y, metric=MAE, seed=3).standing("a").ahead_of_default
    assert standing is not None
    found = decided(make.result(confirmed), "a")["Better than the default?"]
    assert found.difference == pytest.approx(standing.mean)
    assert found.standard_errors == pytest.approx(standing.mean / standing.standard_error)


def test_the_optimizer_is_judged_within_the_family(make, decided):
    winner = make.confirmed(make.candidate("a", "mlp", "adamw"))
    same = make.confirmed(make.candidate("b", "mlp", "sgd"), worse=0.3)
    nearer = make.confirmed(make.candidate("c", "linear", "lbfgs"), worse=0.1)
    found = decided(make.result([winner, same, nearer]), "a")["Which optimizer?"]
    assert (found.chosen, found.over) == ("adamw", "sgd")
    assert found.difference == pytest.approx(0.3, abs=0.02)


def test_settings_that_only_change_together_are_one_question(make, decided):
    winner = make.confirmed(make.candidate("a", lr=0.01, dropout=0.1, batch_size=64))
    rival = make.confirmed(make.candidate("b", lr=0.1, dropout=0.5, batch_size=64), worse=0.1)
    found = decided(make.result([winner, rival]), "a")
    assert list(found) == ["Which combination of learning rate and regularization?"]
    one = found["Which combination of learning rate and regularization?"]
    assert one.chosen == "learning rate 0.01, dropout 0.1"
    assert one.over == "learning rate 0.1, dropout 0.5"
    assert one.verdict == "clear (of two whole candidates: none of these settings alone explains the difference)"


def test_what_else_the_two_differ_in_is_said(make, decided):
    winner = make.confirmed(make.candidate("a", lr=0.01, dropout=0.1))
    both = make.confirmed(make.candidate("b", lr=0.1, dropout=0.5), worse=0.2)
    one = make.confirmed(make.candidate("c", lr=0.01, dropout=0.5), worse=0.1)
    found = decided(make.result([winner, both, one]), "a")
    assert found["Which regularization?"].verdict == "clear"
    assert found["Which learning rate?"].verdict == "clear (the two also differ in regularization)"


def test_numbers_within_a_factor_are_no_choice(make, decided):
    winner = make.confirmed(make.candidate("a", lr=0.010))
    near = make.confirmed(make.candidate("b", lr=0.014), worse=0.3)
    assert decided(make.result([winner, near]), "a") == {}


def test_what_else_the_two_differ_in_by_little_is_said(make, decided):
    winner = make.confirmed(make.candidate("a", lr=0.1, max_depth=12, beta1=0.9, batch_size=64))
    rival = make.confirmed(make.candidate("b", lr=0.3, max_depth=15, beta1=0.95, batch_size=64), worse=0.2)
    one = decided(make.result([winner, rival]), "a")["Which learning rate?"]
    assert one.verdict == "clear (the two also differ in structure and beta1)"


def test_a_rival_that_only_the_screen_saw_has_no_error(make, decided):
    mine, other = make.candidate("a", "mlp"), make.candidate("b", "linear")
    traces = [make.trace(mine, [0.9, 0.5, 0.2]), make.trace(other, [0.7, 0.8])]
    found = decided(make.result([make.confirmed(mine)], traces), "a")["Which model?"]
    assert found.standard_errors is None
    assert found.difference == pytest.approx(0.3)  # at the second look, the last that both reached
    assert found.verdict == "screen only: better on one fold after 20% of the training"


def test_a_confirmed_rival_is_preferred_to_a_better_screened_one(make, decided):
    mine, slow, quick = (make.candidate(id, model) for id, model in (("a", "mlp"), ("b", "linear"), ("c", "tree")))
    traces = [make.trace(one, [0.5]) for one in (mine, slow)] + [make.trace(quick, [0.1])]
    result = make.result([make.confirmed(mine), make.confirmed(slow, worse=0.1)], traces)
    found = decided(result, "a")["Which model?"]
    assert found.over == "linear"
    assert found.verdict == "clear"


def test_rivals_that_diverged_are_no_evidence(make, decided):
    mine, lost = make.candidate("a", "mlp"), make.candidate("b", "linear")
    traces = [make.trace(mine, [0.5]), make.trace(lost, [], fate="diverged")]
    found = decided(make.result([make.confirmed(mine)], traces), "a")["Which model?"]
    assert (found.difference, found.standard_errors, found.verdict) == (None, None, "the other diverged")


def test_a_confirmed_rival_without_a_score_is_passed_over(make, decided):
    broken = make.confirmed(make.candidate("b", "linear"))
    broken.predictions[7] = np.nan
    result = make.result([make.confirmed(make.candidate("a")), broken])
    assert decided(result, "a") == {}


def test_one_candidate_alone_decides_nothing(make, decided):
    mine = make.candidate("a", is_default=True, lr=0.1)
    assert decided(make.result([make.confirmed(mine)], [make.trace(mine, [0.5])]), "a") == {}


def test_rows_that_no_fold_held_out_change_nothing(make, decided):
    ids = (("a", "mlp", 0.0), ("b", "linear", 0.1))
    found = []
    for gap in (100, 0):
        pair = [make.confirmed(make.candidate(id, model), worse=worse, missing=gap) for id, model, worse in ids]
        found.append(decided(make.result(pair), "a")["Which model?"])
    assert found[0].verdict == "clear"
    assert found[0].difference == pytest.approx(found[1].difference, abs=0.02)
    assert found[0].standard_errors < found[1].standard_errors


@pytest.mark.parametrize(
    ("ahead", "taken", "words"),
    [
        (0.3, True, "clear"),
        (0.15, True, "likely"),
        (0.05, False, "a tie: the ensemble scored 0.050 better, within one standard error, so one model was kept"),
        (-0.05, False, "a tie: the ensemble scored 0.050 worse, within one standard error, so one model was kept"),
        (-0.3, False, "clear"),
        (0.3, False, "the other scored better"),
        (math.nan, False, "no score to compare with"),
    ],
)
def test_the_ensemble(make, decided, ahead, taken, words):
    lead = Difference(mean=ahead, standard_error=0.1, low=0.0, high=0.0)
    trial = EnsembleTrial(members=4, ahead=lead, taken=taken)
    found = decided(make.result([make.confirmed(make.candidate("a"))]), "a", ensemble=trial)
    one = found["An ensemble or one model?"]
    assert one.verdict == words
    assert (one.chosen == "an ensemble of 4") == taken


@pytest.mark.parametrize(
    ("over_default", "words"),
    [
        (
            0.05,
            "one model was kept, as the ensemble is only 0.5 standard errors better than the default, and it takes "
            "more than one",
        ),
        (-0.05, "one model was kept, as the ensemble is not better than the default"),
        (0.3, "the other scored better"),
    ],
)
def test_it_is_said_why_an_ensemble_that_beats_the_winner_was_not_taken(make, decided, over_default, words):
    ahead, lead = (Difference(mean=mean, standard_error=0.1, low=0.0, high=0.0) for mean in (0.3, over_default))
    trial = EnsembleTrial(members=4, ahead=ahead, taken=False, over_default=lead)
    found = decided(make.result([make.confirmed(make.candidate("a"))]), "a", ensemble=trial)
    assert words in found["An ensemble or one model?"].verdict


def test_where_an_ensemble_is_taken_it_is_what_the_default_is_compared_with(make, decided):
    small, large = (Difference(mean=mean, standard_error=0.1, low=0.0, high=0.0) for mean in (0.15, 0.5))
    result = make.result([make.confirmed(make.candidate("a")), make.confirmed(make.candidate("d", is_default=True))])
    trial = EnsembleTrial(members=3, ahead=small, taken=True, over_default=large)
    one = decided(result, "a", ensemble=trial)["Better than the default?"]
    assert (one.chosen, one.over) == ("an ensemble of 3", "the default, mlp, adamw")
    assert (one.difference, one.standard_errors, one.verdict) == (0.5, pytest.approx(5.0), "clear")
    by_itself = decided(result, "a", ensemble=replace(trial, taken=False))["Better than the default?"]
    assert by_itself.chosen == "mlp, adamw"
    of_the_default = decided(result, "d", ensemble=trial)["Better than the default?"]
    assert of_the_default.chosen == "an ensemble of 3"


def test_a_winner_of_the_label_of_the_default_is_told_apart_from_it(make, decided):
    pair = (make.candidate("a", dropout=0.3), make.candidate("d", dropout=0.1, is_default=True))
    one = decided(make.result([make.confirmed(item) for item in pair]), "a")["Better than the default?"]
    assert (one.chosen, one.over) == ("mlp, adamw, dropout 0.3", "the default, mlp, adamw, dropout 0.1")


def test_a_comparison_with_the_default_is_told_once_and_says_in_what_the_two_differ(make, decided):
    winner = make.candidate("a", lr=0.01, dropout=0.1)
    default = make.candidate("d", lr=0.1, dropout=0.5, is_default=True)
    other = make.candidate("b", "linear")
    ran = [make.confirmed(winner), make.confirmed(default, worse=0.2), make.confirmed(other, worse=0.3)]
    found = decided(make.result(ran), "a")
    assert list(found) == ["Better than the default?", "Which model?"]
    assert found["Better than the default?"].verdict == "clear (the two differ in learning rate and regularization)"
    ran[2] = make.confirmed(make.candidate("b", "linear", is_default=True), worse=0.3)
    alone = decided(make.result([ran[0], ran[2]]), "a")
    assert [(one.question, one.verdict) for one in alone.values()] == [("Better than the default?", "clear")]


def test_an_ensemble_that_is_set_against_the_default_alone_is_told_once(make, decided):
    lead = Difference(mean=0.5, standard_error=0.1, low=0.0, high=0.0)
    result = make.result([make.confirmed(make.candidate("a")), make.confirmed(make.candidate("d", is_default=True))])
    trial = EnsembleTrial(members=3, ahead=lead, taken=True, over_default=lead)
    assert "An ensemble or one model?" not in decided(result, "a", ensemble=trial)
    better = replace(trial, over_default=replace(lead, mean=0.6))
    assert "An ensemble or one model?" in decided(result, "a", ensemble=better)


def test_identical_predictions_are_no_difference():
    assert verdict(Lead(ahead=0.0, error=0.0)) == "no difference"
    assert verdict(Lead(ahead=0.1, error=0.0)) == "clear"
    assert verdict(Lead(ahead=0.1, error=None)) == "not enough rows to tell"


def test_clear_is_rare_where_nothing_is_planted(make):
    """Two candidates alike: more than two standard errors apart about one time in twenty."""
    clear = 0
    for draw in range(120):
        pair = [make.confirmed(make.candidate(f"{draw}{side}")) for side in "ab"]
        lead = judge_of(pair, y=make.y, metric=MAE, seed=draw).leads(pair[0], pair[1:])[f"{draw}b"]
        clear += abs(lead.in_errors or 0.0) > 2
    assert clear <= 13  # a binomial of 120 and 0.046 is above 13 one time in a thousand


def test_classes_and_metrics_to_be_maximised(make):
    y = np.arange(400) % 2
    good = np.where(y == 1, 0.7, 0.3)
    bad = np.where(np.arange(400) % 5 == 0, 1 - good, good)
    both = [
        replace(make.confirmed(make.candidate(id, model)), predictions=np.column_stack([1 - p, p]))
        for id, model, p in (("a", "mlp", good), ("b", "tree", bad))
    ]
    found = decisions(make.result(both), "a", y=y, metric=METRICS["accuracy"], seed=0)
    assert found[0].difference == pytest.approx(0.2)
    assert found[0].verdict == "clear"


def test_a_value_stands_alone_only_where_the_question_names_its_setting(make):
    one, other = (
        make.candidate("a", lr=0.1, num_leaves=31, loss="squared"),
        make.candidate("b", lr=0.3, num_leaves=142, loss="huber"),
    )
    found = {aspect.name: chosen_words([aspect], one, other) for aspect in differing(one, other)}
    assert found == {"learning rate": "0.1", "structure": "leaves 31", "loss": "squared"}


def test_columns_that_are_read_are_one_phrase(make):
    every = make.candidate("a", features="all", feature_share=1.0, l2=0.1)
    half = make.candidate("b", features="permutation", feature_share=0.5, l2=0.1)
    assert [chosen_words(differing(one, other), one, other) for one, other in ((every, half), (half, every))] == [
        "all columns",
        "50% of the columns by permutation",
    ]
    quarter = make.candidate("c", features="permutation", feature_share=0.25, l2=1.0)
    assert chosen_words(differing(quarter, every), quarter, every) == "25% of the columns by permutation, L2 1"


def test_where_an_ensemble_is_taken_the_finer_choices_are_between_single_candidates(make, decided):
    lead = Difference(mean=0.15, standard_error=0.1, low=0.0, high=0.0)
    pair = (make.candidate("a", model="mlp"), make.candidate("b", model="linear"))
    result = make.result([make.confirmed(one) for one in pair])
    trial = EnsembleTrial(members=2, ahead=lead, taken=True)
    mixed = decided(result, "a", ensemble=trial, costs={"a": 1.0, "b": 2.0})
    assert list(mixed) == ["An ensemble or one model?", "Which model?"]
    assert (mixed["An ensemble or one model?"].among, mixed["Which model?"].among) == ("", "single candidates")
    assert "cheaper" not in mixed["Which model?"].verdict
    alone = decided(result, "a", ensemble=replace(trial, taken=False), costs={"a": 1.0, "b": 2.0})
    assert list(alone) == ["Which model?", "An ensemble or one model?"]
    assert alone["Which model?"].among == ""
