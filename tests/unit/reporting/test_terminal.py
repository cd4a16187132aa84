"""The summary at the end of a run and the list of runs, as text."""

import subprocess
import sys
import unicodedata

import pytest
from rich.cells import cell_len

from lanewise.reporting.terminal import columns_of, runs_table, summary

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
        "lanewise export 20261121-140309-7f3a",
    ):
        assert words in text


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
    assert "lanewise predict 'x; rm -rf ~' new_rows.csv" in summary(document, width=80, color=False)


def test_the_runs_table_is_aligned_and_fits(samples):
    rows = [samples.binary(), samples.regression(), samples.minimal(), samples.hostile()]
    lines = runs_table(rows, width=100).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["run", "made", "target", "metric", "score", "winner"]
    place = lines[0].index("score")
    assert lines[1][place:].startswith("0.287")
    assert lines[2][place:].startswith("0.831")
    assert all(columns_of(line) <= 100 for line in lines[:4])


def test_no_runs_are_said_in_words():
    assert runs_table([]) == "No runs yet.\n"


def test_light_commands_stay_light():
    code = (
        "import sys, lanewise.reporting.terminal as t; t.runs_table([{'run': 'a'}]);"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'rich', 'jinja2', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
