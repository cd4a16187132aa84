"""The summary at the end of a run and the list of runs, as text."""

import re
import unicodedata

import pytest
from rich.cells import cell_len

from lanewise.explain.words import Outcome, Score
from lanewise.explain.words import summary as told
from lanewise.metrics import METRICS
from lanewise.reporting.reading import overrun_warning
from lanewise.reporting.report import render
from lanewise.reporting.runs_table import runs_table
from lanewise.reporting.sections import decisions
from lanewise.reporting.terminal import summary, tuned_summary
from lanewise.reporting.words import typeset

SAMPLES = ("binary", "multiclass", "regression", "minimal", "crowded", "hostile", "odd_scales")


def test_the_summary_says_what_won_by_how_much_and_what_next(samples):
    text = summary(samples.binary(), width=90, color=False, report="out/report.html")
    for words in (
        "beats the default by 9%",
        "0.287  0.278 to 0.296",
        "default   0.315",
        "guessing  0.551",
        "3.1 SE, clear",
        "0.4 SE, tie",
        "warning: The test rows are few",
        "out/report.html",
        "lanewise predict 20261121-140309-7f3a",
        "lanewise export 20261121-140309-7f3a model.onnx",
    ):
        assert words in text


def test_a_default_that_stays_is_not_said_to_be_better_than_the_default(samples):
    document = samples.binary()
    decision = {"question": "Better than the default?", "over": "adam", "standard_errors": 3.0, "verdict": "clear"}
    for chosen, words in (("sgd", "better than the default"), ("the default, sgd", "the default or another")):
        document["race"]["decisions"] = [{**decision, "chosen": chosen, "difference": 0.1}]
        text = summary(document, width=110, color=False)
        assert f"{words}" in text
        assert f"{chosen} over adam" in text
        assert ("better than the default " in text) == (chosen == "sgd")


def test_commands_and_report_are_never_wrapped(samples):
    path = "a/very/long/path/" * 12 + "report.html"
    text = summary(samples.binary(), width=40, color=False, report=path, commands=[("serve", "x " * 60 + "y")])
    assert path in text
    assert "x " * 60 + "y" in text
    assert "lanewise export" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", SAMPLES)
def test_prose_fits_the_terminal(samples, name, width):
    document = {**samples.SAMPLES[name](), "run": ""}
    for line in summary(document, width=width, color=False).splitlines():
        assert cell_len(line) <= width


def test_color_is_used_only_when_asked_for(samples):
    assert "\x1b[" in summary(samples.binary(), width=80, color=True)
    assert "\x1b[" not in summary(samples.binary(), width=80, color=False)


def test_nothing_in_a_document_steers_the_terminal(samples):
    for text in (summary(samples.hostile(), width=80, color=False), runs_table([samples.hostile()] * 3)):
        assert not {char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char != "\n"}
        assert "\u202e" not in text


def test_a_hostile_run_name_cannot_add_a_command(samples):
    document = {**samples.binary(), "run": "x; rm -rf ~"}
    assert "lanewise predict 'x; rm -rf ~' new.csv" in summary(document, width=80, color=False)


def of_ensemble(samples):
    document = samples.binary()
    members = [
        {"id": "mlp-012", "label": "mlp 128x2, adamw", "weight": 0.86},
        {"id": "tree-002", "label": "tree", "weight": 0.14},
    ]
    document["winner"] = {
        "id": "ensemble",
        "label": "ensemble of 2 candidates",
        "model": "ensemble",
        "optimizer": "greedy selection",
        "hyperparameters": {"mlp-012": 0.86, "tree-002": 0.14},
    }
    document["ensemble"] |= {"members": members, "taken": True}
    for row in document["race"]["leaderboard"]:
        row["status"] = "member" if row["status"] == "winner" else row["status"]
    document["race"]["leaderboard"][2]["tie"] = True
    return document


def test_the_members_of_an_ensemble_are_named_as_candidates_are(samples):
    text = summary(of_ensemble(samples), width=110, color=False)
    assert "ensemble of 2 candidates: 86% mlp 128x2, adamw; 14% tree" in text
    assert "mlp-012" not in text


def test_the_weights_of_an_ensemble_add_up_to_the_whole(samples):
    document = of_ensemble(samples)
    names = ("a", "b", "c", "d")
    document["ensemble"]["members"] = [
        {"id": one, "label": one, "weight": 0.125 + 0.25 * (one == "a") * 2} for one in names
    ]
    for shown in (summary(document, width=110, color=False), render(document)):
        weights = [int(one) for one in re.findall(r"(\d+)%(?:</span>)? (?:<bdi>)?[abcd]\b", shown)]
        assert (len(weights), sum(weights)) == (4, 100)


def test_the_default_is_marked_where_it_is_a_member(samples):
    document = of_ensemble(samples)
    document["default"]["id"] = "tree-002"
    text = summary(document, width=110, color=False)
    assert "86% mlp 128x2, adamw; 14% tree (the default)" in text


def test_candidates_that_tie_with_a_member_are_not_said_to_tie_with_the_ensemble(samples):
    document = of_ensemble(samples)
    assert "Not told apart from the winner" not in summary(document, width=110, color=False)
    document["winner"] = samples.binary()["winner"]
    assert "Not told apart from the winner" in summary(document, width=110, color=False)


def test_the_scores_that_people_look_for_are_in_the_summary(samples):
    text = summary(samples.binary(), width=200, color=False)
    line = next(line for line in text.splitlines() if "the winner's" in line)
    assert "accuracy" in line
    assert "ROC AUC" in line
    assert "(F1 of '>50K')" in " ".join(text.split())
    assert "log loss" not in line  # it decided the race, and stands above


@pytest.mark.parametrize(("stated", "named"), [({}, ">50K"), ({"positive": "<=50K"}, "<=50K")])
def test_a_metric_of_one_class_names_it(samples, stated, named):
    document = samples.binary() | stated  # documents of earlier versions do not state it: the second of the classes
    document["metric"] = {"name": "f1", "direction": "max", "words": ""}
    document["test"] |= {name: {"value": 0.5} for name in ("precision", "recall", "pr_auc")}
    document["race"]["leaderboard"] = []
    document["cross_validation"] = {"f1": {"value": 0.75}}
    text = " ".join(summary(document, width=200, color=False).split())
    assert f"F1 of '{named}' on " in text
    assert f"(precision, recall and PR AUC of '{named}')" in text
    assert f"its F1 of '{named}' is 0.75" in text


def test_the_name_of_a_metric_keeps_its_capitals(samples):
    text = summary(samples.regression(), width=100, color=False)
    assert "R² on" in text
    document = samples.regression()
    document["metric"] = {"name": "rmse", "direction": "min", "words": ""}
    document["test"] = {"rmse": {"value": 3.0, "low": 2.0, "high": 4.0}}
    assert "RMSE on" in summary(document, width=100, color=False)


def test_what_a_run_cost_stands_beside_one_training_at_a_time(samples):
    document = samples.binary()
    document["hardware"] = {
        "seconds": 34.0,
        "cpu_seconds": 31.0,
        "peak_memory_bytes": 1.05e9,
        "energy_wh": 0.085,
        "race_cpu_seconds": 25.0,
        "one_at_a_time_seconds": 90.0,
    }
    text = " ".join(summary(document, width=100, color=False).split())
    assert "It took 34 s (31 s of processor time, 1.05 GB of memory at the peak and about 0.085 Wh)" in text
    both = "the race 25 s, the same trainings one at a time about 1 min 30 s (an estimate)"
    assert f"In processor time: {both}." in text
    document["hardware"]["one_at_a_time_seconds"] = 20.0
    text = " ".join(summary(document, width=100, color=False).split())
    assert (
        "about 20 s (an estimate); the race also saves its progress, scores training rows and starts processes" in text
    )


@pytest.mark.parametrize("unknown", ["race_cpu_seconds", "one_at_a_time_seconds"])
def test_a_race_is_not_set_beside_what_is_unknown(samples, unknown):
    document = samples.binary()
    document["hardware"] = {"seconds": 34.0, "cpu_seconds": 31.0, "race_cpu_seconds": 9.0, "one_at_a_time_seconds": 9.0}
    document["hardware"][unknown] = None
    text = summary(document, width=200, color=False)
    assert "It took 34 s (31 s of processor time)." in text
    assert "one at a time" not in text


def test_ties_of_one_label_are_told_apart(samples):
    document = samples.binary()
    board = document["race"]["leaderboard"]
    winner = next(row for row in board if row["status"] == "winner")
    others = [row for row in board if row["status"] != "winner"]
    for row, dropout in ((winner, 0.1), (others[0], 0.2), (others[1], 0.3)):
        row |= {"label": "mlp 64x2, adamw", "tie": True, "hyperparameters": {"width": 64, "dropout": dropout}}
    text = summary(document, width=140, color=False)
    assert "mlp 64x2, adamw, dropout 0.2, " in text
    assert "mlp 64x2, adamw, dropout 0.3, " in text


def test_columns_that_were_set_aside_are_named_with_the_reason(samples):
    document = samples.binary()
    document["columns"] = [
        {"name": f"id{n}", "kind": "number", "missing": 0, "role": "set aside", "reason": "it numbers the rows"}
        for n in range(5)
    ]
    document["columns"].insert(0, {"name": "w", "role": "set aside", "reason": "weight of the rows"})
    text = " ".join(summary(document, width=100, color=False).split())
    assert "Columns set aside: id0 (it numbers the rows); id1" in text
    assert "and 2 more" in text


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (1.996, "1.996 SE, likely"),
        (2.004, "2 SE, clear"),
        (1.02, "1.02 SE, likely"),
        (1.0, "1 SE, tie"),
        (-0.34, "0.34 SE worse, tie"),
    ],
)
def test_a_figure_and_its_word_never_disagree_by_rounding(samples, steps, words):
    document = samples.binary()
    document["race"]["decisions"][0]["standard_errors"] = steps
    assert words in summary(document, width=140, color=False)


def test_why_one_of_two_that_tie_was_taken_is_said(samples):
    document = samples.binary()
    verdict = (
        "a tie: the simpler was taken (of two whole candidates: none of these settings alone explains the difference)"
    )
    document["race"]["decisions"][0] |= {"standard_errors": -0.26, "verdict": verdict}
    assert "0.26 SE worse, tie: the simpler was taken\n" in summary(document, width=200, color=False)


def test_what_the_time_left_has_changed_is_in_the_summary_and_in_the_report(samples):
    document = samples.binary()
    assert "How it was raced" not in summary(document, width=110, color=False)
    words = "with the time left 5 candidates are confirmed, where the plan was for 3"
    document["race"]["rungs"] = ["after 11% of the full length 8 of 24 went on", words]
    assert f"How it was raced\n  after 11% of the full length 8 of 24 went on\n  {words}\n" in summary(
        document, width=110, color=False
    )
    assert f"8 of 24 went on; {words}." in re.sub("\N{NO-BREAK SPACE}", " ", render(document))


def test_what_was_chosen_though_it_is_clearly_worse_is_no_tie(samples):
    document = samples.binary()
    document["race"]["decisions"][0] |= {"standard_errors": -3.1, "verdict": "the other scored better"}
    assert "3.1 SE worse: the other scored better" in summary(document, width=160, color=False)
    assert decisions.build(document)["trace"]["rows"][0]["tie"] is False


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("screen only: worse on one fold after 11% of the training", "worse on one fold"),
        ("no difference", "no difference"),
        ("not enough rows to tell (the two also differ in width)", "not enough rows to tell"),
    ],
)
def test_a_choice_without_a_standard_error_has_the_verdict_of_the_document(samples, verdict, words):
    document = samples.binary()
    document["race"]["decisions"][0] |= {"standard_errors": None, "verdict": verdict}
    shown = summary(document, width=160, color=False)
    assert words in shown
    assert "one fold only" not in shown
    assert "also differ" not in shown
    assert ("none of these alone explains the difference" in shown) is ("also differ" in verdict)


def test_the_table_has_the_digits_of_the_sentence(samples):
    document = samples.regression()
    name = document["metric"]["name"]
    document["test"][name] = {"value": 5712.0, "low": 2790.0, "high": 12100.0}
    document["baselines"]["default"][name] = {"value": 5713.0, "low": 2791.0, "high": 5900.0}
    shown = summary(document, width=160, color=False)
    assert re.search(r"winner +6,000 +3,000 to 12,000\n", shown)


def test_the_table_and_the_sentence_tell_rivals_apart_by_the_same_digits(samples):
    document = samples.regression()
    name = document["metric"]["name"]
    winner = Score(value=0.3856, low=0.29, high=0.48)
    rivals = {"default": Score(value=0.3891), "dummy": Score(value=1.0)}
    document["test"][name] = {"value": 0.3856, "low": 0.29, "high": 0.48}
    for who in ("default", "dummy"):
        document["baselines"][who][name] = {"value": rivals[who].value, "low": None, "high": None}
    outcome = Outcome(
        target="y",
        winner="mlp",
        is_default=False,
        test=winner,
        rows=99,
        guess=rivals["dummy"],
        default="tree",
        default_test=rivals["default"],
    )
    sentence = told(outcome, METRICS["rmse"])[1]
    assert "is 0.386 (95% interval 0.29 to 0.48); a guess has 1.000, the default 0.389" in sentence
    shown = summary(document, width=160, color=False)
    assert "winner    0.386  0.29 to 0.48" in shown
    assert "default   0.389" in shown
    assert "guessing  1.000" in shown
    page = render(document)
    assert "0.386</span>" in page
    assert "0.389</span>" in page


def test_the_stages_of_a_run_are_told_where_its_budget_is_a_time(samples):
    document = samples.binary()
    document["hardware"] = {
        "seconds": 20.0,
        "budget_seconds": 10.0,
        "seconds_by_stage": {"screen": 15.0, "read": 0.5, "refit": 4.5},
    }
    assert "By stage: reading 0.5 s, screen 15 s and training on all rows 4.5 s." in summary(
        document, width=100, color=False
    )
    document["hardware"]["budget_seconds"] = 20.0
    text = summary(document, width=100, color=False)
    assert "It took 20 s, with a budget of 20 s.\nBy stage" in text
    document["hardware"]["budget_seconds"] = None
    assert "By stage" not in summary(document, width=100, color=False)
    del document["hardware"]["seconds_by_stage"]
    document["hardware"]["budget_seconds"] = 10.0
    assert "By stage" not in summary(document, width=100, color=False)


def test_where_a_budget_was_left_it_is_said_where_the_time_went_and_why(samples):
    document = samples.binary()
    why = "13 s of the budget were left: some is kept back"
    document["hardware"] = {"seconds": 47.0, "budget_seconds": 60.0, "seconds_by_stage": {"read": 7.0, "screen": 40.0}}
    document["hardware"]["unspent"] = why
    text = " ".join(summary(document, width=100, color=False).split())
    assert f"It took 47 s, with a budget of 1 min. By stage: reading 7 s and screen 40 s. {why}." in text
    assert typeset(f"The budget was 1 min; {why}.") in render(document)


PICKED = "corrected for having been picked of the 2 confirmed"


@pytest.mark.parametrize(
    ("status", "corrected", "half", "words"),
    [
        ("winner", 0.29, 0.01, f"in cross-validation its log loss is 0.284, or 0.290 {PICKED}"),
        ("winner", 0.284, 0.01, "in cross-validation its log loss is 0.284"),
        ("winner", 0.284, 0.5, "in cross-validation its log loss is 0.284"),  # not also as 0.28, as its interval has it
        ("member", 0.29, 0.01, f"in cross-validation its log loss is 0.290 {PICKED}"),
    ],
)
def test_the_winner_s_score_in_cross_validation_is_told_beside_its_ties(samples, status, corrected, half, words):
    document = samples.binary()
    document["cross_validation"] = {"log_loss": {"value": corrected, "low": corrected - half, "high": corrected + half}}
    ends = {"low": 0.275, "high": 0.293, "standard_error": 0.01}
    winner = {"id": "c000", "label": "a", "score": 0.284, "status": status, **ends}
    other = {"id": "c009", "label": "b", "score": 0.286, "difference": 0.002, "tie": True, **ends}
    document["race"] = {"leaderboard": [winner, other]}
    lines = [line.strip() for line in summary(document, width=110, color=False).splitlines()]
    assert words in lines
    told = "Not told apart from the winner, which has 0.284 in cross-validation: 1"
    assert (told in lines) == (status == "winner")
    assert any(line.startswith("b, 0.286") for line in lines)


@pytest.mark.parametrize(
    ("metric", "threshold", "at"),
    [("f1", 0.37, " at a threshold of 0.5"), ("f1", 0.5, ""), ("f1", None, ""), ("log_loss", 0.37, "")],
)
def test_cross_validation_at_another_threshold_than_the_test_is_said_to_be(samples, metric, threshold, at):
    document = samples.binary() | {"cross_validation": {}, "positive": None, "classes": []}
    document["metric"] |= {"name": metric}
    document["threshold"] = None if threshold is None else document["threshold"] | {"value": threshold}
    winner = {"id": "c000", "label": "a", "score": 0.512, "status": "winner", "low": 0.5, "high": 0.524}
    document["race"] = {"leaderboard": [winner, {**winner, "id": "c009", "status": "confirmed", "tie": True}]}
    lines = [line.strip() for line in summary(document, width=110, color=False).splitlines()]
    assert f"in cross-validation{at} its {'F1' if metric == 'f1' else 'log loss'} is 0.512" in lines
    assert f"Not told apart from the winner, which has 0.512 in cross-validation{at}: 1" in lines


def test_an_overrun_is_told_once(samples):
    document = samples.binary()
    document["hardware"] = {"seconds": 20.0, "budget_seconds": 10.0}
    document["warnings"] = [overrun_warning(document)]
    assert summary(document, width=200, color=False).count("It took 20 s, with a budget of 10 s") == 1


def test_a_leak_is_warned_of_right_below_the_verdict(samples):
    document = samples.binary()
    document["findings"] = [{"code": "leaks_target", "severity": "warning", "message": "a column leaks"}]
    document["warnings"] = ["few rows", "a column leaks"]
    lines = summary(document, width=200, color=False).splitlines()
    assert lines[1] == "warning: a column leaks"
    assert lines.index("warning: few rows") > 5
    assert sum("a column leaks" in line for line in lines) == 1


def test_a_tune_without_words_has_no_lone_full_stop():
    assert "." not in {line.strip() for line in tuned_summary({}, width=80, color=False).splitlines()}


@pytest.mark.parametrize("width", [40, 80])
def test_a_tuning_race_is_told_within_the_terminal(width):
    document = {
        "words": ["adam wins with a validation loss of 0.4", "lr 0.04, schedule linear", " ".join(["why it won"] * 12)],
        "warnings": ["the race is short"],
        "hardware": {"seconds": 3.0},
    }
    text = tuned_summary(document, width=width, color=False, files=[("report", "a/report.html")])
    lines = text.splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert lines[:2] == ["adam wins with a validation loss of 0.4.", "  lr 0.04, schedule linear"]
    assert "why it won." in " ".join(text.split()), "a sentence ends with a full stop"
    assert "warning: the race is short" in lines
    assert lines[-3:] == ["It took 3 s.", "", "  report  a/report.html"]


def test_no_line_ends_between_a_number_and_its_unit(samples):
    document = samples.binary()
    document["hardware"] = {"seconds": 104.0, "budget_seconds": 15.0, "cpu_seconds": 4.8, "peak_memory_bytes": 589e6}
    document["hardware"]["seconds_by_stage"] = {"read": 2.3, "start": 60.0, "plan": 9.9, "confirm": 3.9, "refit": 24.0}
    for width in range(40, 100):
        text = summary(document, width=width, color=False)
        assert "loading the program 1 min" in " ".join(text.split())
        assert not re.search(r"\d\n *(s|min|MB)\b", text), width


@pytest.mark.parametrize(("changes", "kept"), [({}, False), ({"trained": 7}, True), ({"weighed": "class"}, True)])
def test_what_a_table_says_more_fully_is_no_sentence_above_it(samples, changes, kept: bool):
    score = {"value": 0.287, "low": 0.278, "high": 0.296}
    outcome = Outcome(
        target="income",
        winner="mlp",
        is_default=False,
        test=Score(**score),
        rows=1200,
        guess=Score(value=0.551),
        default="sgd",
        default_test=Score(value=0.315),
        ties=("tree",),
        **changes,
    )
    sentences = told(outcome, METRICS["log_loss"])
    document = {**samples.binary(), "summary": sentences}
    document["race"] = {**document["race"], "leaderboard": [{"id": "a", "status": "winner"}, {"id": "b", "tie": True}]}
    text = " ".join(summary(document, width=200, color=False).split())
    assert (sentences[1] in text) == kept
    assert sentences[2].startswith("Within one paired standard error")
    assert sentences[2] not in text
    assert "Not told apart from the winner: 1" in text
    bare = {**document, "race": {}, "test": {}}
    text = " ".join(summary(bare, width=200, color=False).split())
    assert all(sentence in text for sentence in sentences)
