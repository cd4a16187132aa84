"""The command line speaks of options, Python of arguments."""

import click
import pytest

from lanewise.cli import wording
from lanewise.cli.main import _named, cli
from lanewise.cli.wording import as_options, options_of
from lanewise.errors import ConfigError
from lanewise.settings.fit import checked
from lanewise.settings.names import OPTIMIZERS

MINIMIZE = options_of(cli.commands["minimize"])
FIT = options_of(cli.commands["fit"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("let fun return residuals and say residuals=True", "let the function return residuals and say --residuals"),
        ("needs finite bounds; give bounds=(low, high)", "needs finite bounds; give --bounds LOW,HIGH"),
        ("use method='auto', 'bfgs' or 'lbfgs'", "use --method auto, bfgs or lbfgs"),
        ("max_evaluations must be a whole number", "--evaluations must be a whole number"),
        ("take a higher max_evaluations", "take a higher --evaluations"),
        ("starts must be at least 1, got 0", "--starts must be at least 1, got 0"),
        ("starts and seed must be whole, got 1.5", "--starts and --seed must be whole, got 1.5"),
        ("x0 must be finite, got nan in variable 1", "--x0 must be finite, got nan in variable 1"),
        ("fun is nan at x0; give a start", "the function is nan at x0; give a start"),
        ("there is no method 'x'; all 9: lanewise.solvers.methods.METHODS", None),
        ("no file fun.py: check the path", "no file fun.py: check the path"),
        (
            "costs.py line 3 raised ValueError: 'max_evaluations'",
            "costs.py line 3 raised ValueError: 'max_evaluations'",
        ),
    ],
)
def test_of_minimize(given, said):
    expected = "there is no method 'x'; all 9: lanewise minimize --help" if said is None else said
    assert as_options(given, MINIMIZE) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("'y' is category; say task='multiclass' or 'binary'", "'y' is category; say --task multiclass or binary"),
        ("leave out columns (drop) or rows", "leave out columns (--drop) or rows"),
        ("group names 'q', no column of t.csv", "--group names 'q', no column of t.csv"),
        ("class_weights must be above zero", "--class-weights must be above zero"),
        ("no column 'test_fraction' in t.csv", "no column 'test_fraction' in t.csv"),
        ("the weights in 'w' add up to zero; at least one", "the weights in 'w' add up to zero; at least one"),
        ("stopped; go on with: lanewise.resume('20261126-1200-ab12')", None),
        ("a target must be a number or a class", "a target must be a number or a class"),
        (
            "3 are off:\n  seed must be whole (from LANEWISE_SEED)\n  test_fraction must be below 1 (from b.toml)"
            "\n  folds must be at least 2, got 1",
            "3 are off:\n  seed must be whole (from LANEWISE_SEED)\n  test_fraction must be below 1 (from b.toml)"
            "\n  --folds must be at least 2, got 1",
        ),
    ],
)
def test_of_fit(given, said):
    expected = "stopped; go on with: lanewise resume 20261126-1200-ab12" if said is None else said
    assert as_options(given, FIT) == expected


def test_where_all_settings_are_listed_is_said_in_words_of_the_shell():
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "fold": 3, "optimizers": "adm"}, known={"optimizers": OPTIMIZERS})
    assert as_options(str(error.value), {}).count(": lanewise fit --help") == 2


def test_every_setting_of_fit_is_known_by_its_name_in_python():
    assert FIT["test_fraction"] == "--test-fraction"
    assert MINIMIZE["max_evaluations"] == "--evaluations"
    assert as_options("seed must be at least 0", {}) == "seed must be at least 0"


def test_a_command_to_go_on_with_begins_as_the_program_was_started(monkeypatch):
    monkeypatch.setattr(wording, "program", lambda: r"'C:\new env\lanewise'")
    told = as_options("train the same one again with: lanewise.repeat('20261126-1200-ab12')", {})
    assert told == r"train the same one again with: 'C:\new env\lanewise' repeat 20261126-1200-ab12"


@pytest.mark.parametrize(("stated", "hint"), [("--folds", ""), ("--max-bytes", ""), ("--drop", "--drop ONE,TWO")])
def test_how_a_list_is_written_is_said_where_one_was_stated(monkeypatch, stated, hint):
    monkeypatch.setattr("sys.argv", ["lanewise", "fit", "t.csv", "--target=y", stated, "3", "more"])
    told = _named("more", click.Context(cli.commands["fit"]))
    assert told == (f": the values of {stated} are separated by commas alone, as in {hint}" if hint else "")
