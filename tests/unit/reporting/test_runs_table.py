"""The list of runs: aligned, within the terminal, and printed at once."""

import subprocess
import sys

from lanewise.formatting.plain_text import columns_of
from lanewise.reporting.runs_table import runs_table


def test_the_runs_table_is_aligned_and_fits(samples):
    rows = [samples.binary(), samples.regression(), samples.minimal(), samples.hostile()]
    lines = runs_table(rows, width=140).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["run", "made", "kind", "data", "target", "score", "winner"]
    place = lines[0].index("score")
    assert lines[1][place:].startswith("log loss 0.287")
    assert lines[2][place:].startswith("R² 0.831")
    assert all(columns_of(line) <= 140 for line in lines[:4])
    assert all(columns_of(line) <= 100 for line in runs_table(rows[:3], width=100).splitlines())


def test_the_class_that_a_score_is_of_is_named_where_there_is_room(samples):
    row = {**samples.binary(), "metric": {"name": "f1", "direction": "max"}}
    assert " F1 of '>50K' 0.712 " in runs_table([row], width=140)
    assert " F1 0.712 " in runs_table([row], width=70)
    assert " F1 0.712 " in runs_table([{**row, "positive": "a label of many words"}], width=140)


def test_the_times_of_runs_make_room_for_their_winners(samples):
    row = {**samples.binary(), "kind": "fit", "winner": {"label": "linear, lbfgs, 25% of the columns"}}
    assert "made" in runs_table([row], width=130)
    narrow = runs_table([row], width=100)
    assert "made" not in narrow
    assert "linear, lbfgs, 25% of the columns" in narrow


def test_a_narrow_table_of_runs_cuts_names_before_winners(samples):
    tuned = {
        **{
            "run": "20261128-0149-xsz5",
            "kind": "tune",
            "data": "a_long_name_of_a_file.py:data",
            "target": "make_model",
        },
        **{
            "metric": {"name": "loss"},
            "validation": {"loss": {"value": 0.5}},
            "winner": {"label": "make_model, sgd, lr 1"},
        },
    }
    fitted = {
        **samples.binary(),
        "kind": "fit",
        "data": "a_file.csv",
        "winner": {"label": "linear, lbfgs, l2 0.001, dropped"},
    }
    lines = runs_table([fitted, tuned], width=80).splitlines()
    assert all(columns_of(line) <= 80 for line in lines)
    assert [line[lines[0].index("kind") :].split()[0] for line in lines] == ["kind", "fit", "tune"]
    assert lines[2].endswith("  sgd, lr 1"), "what is tuned is the target, and not said again"
    assert len(lines[1]) - lines[0].index("winner") >= 16


def test_no_runs_are_said_in_words():
    assert runs_table([]) == "No runs yet.\n"


def test_light_commands_stay_light():
    code = (
        "import sys, lanewise.reporting.runs_table as t; t.runs_table([{'run': 'a'}]);"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'rich', 'jinja2', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
