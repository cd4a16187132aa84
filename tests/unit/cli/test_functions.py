"""Functions named on a command line: read from files, refused in one line."""

import math

import pytest
from click.testing import CliRunner

from lanewise.cli.functions import METHODS, NAMES, read_bounds, read_numbers, read_target
from lanewise.cli.main import cli
from lanewise.errors import UsageError
from lanewise.solvers import landscapes, methods


def test_the_names_of_the_help_are_those_there_are():
    assert landscapes.NAMES == NAMES
    assert tuple(methods.METHODS) == METHODS


def test_a_function_of_a_file_sees_the_modules_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", ["/"])
    (tmp_path / "beside_it.py").write_text("OFFSET = 3.0\n")
    (tmp_path / "costs.py").write_text("from beside_it import OFFSET\ndef cost(x):\n    return (x[0] - OFFSET) ** 2\n")
    function, known = read_target(f"{tmp_path}/costs.py:cost", condition=None)
    assert known is None
    assert function([5.0]) == 4.0


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("def cost(x): return 0\n", "price", "has no function 'price'; it has cost"),
        ("price = 3\n", "price", "has no function 'price'; it has none"),
        ("def cost(x:\n", "cost", "line 1 is not valid Python"),
        ("\nimport nothing_of_the_kind\n", "cost", "line 2 raised ModuleNotFoundError"),
        ("", "a b", "name a function after the colon"),
    ],
)
def test_a_file_that_is_off_is_told_in_one_line(tmp_path, text, name, words):
    file = tmp_path / "costs.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_target(f"{file}:{name}", condition=None)


def test_numbers_and_bounds():
    assert read_numbers("1,-2.5", name="x0") == [1.0, -2.5]
    assert read_bounds(["0,1", "-inf,5"], 2) == ([0.0, -math.inf], [1.0, 5.0])
    for given, words in [(["1"], "low,high"), (["0,nan"], "must be numbers"), (["0,1", "0,1"], "each of the 3")]:
        with pytest.raises(UsageError, match=words):
            read_bounds(given, 3)
    with pytest.raises(UsageError, match="x0 must be numbers separated by commas"):
        read_numbers("1;2", name="x0")


def told(*arguments: str) -> list[str]:
    """What a command refuses, a line each, without what follows a semicolon."""
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    return [line.strip().partition(";")[0] for line in str(caught.value).splitlines()]


def test_all_mistakes_of_a_command_line_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem = ("--x0", "1,b", "--bounds", "3", "--condition", "2", "--evaluations", "many", "--seed", "-1")
    common = [
        "--evaluations must be a whole number, got 'many'",
        "there is no test function 'rosenbruck'",
        "condition is a setting of quadratic, not of rosenbruck",
        "x0 must be numbers separated by commas, such as 1,2.5,-3",
        "bounds must be low,high, such as -5,5 or 0,inf",
    ]
    seed = "seed must be a whole number of at least 0, got -1"
    assert told("minimize", "rosenbruck", *problem, "--method", "adan", "--starts", "0") == [
        "8 settings are off:", *common, seed, "starts must be a whole number of at least 1, got 0",
        "there is no method 'adan'",
    ]  # fmt: skip
    more = ("--methods", "adam,adam,x", "--lr", "0", "-o", "no/page.html")
    assert told("compare", "rosenbruck", *problem, *more) == [
        "10 settings are off:", *common, "cannot write no/page.html: there is no folder no", seed,
        "name each method to compare once, got adam, adam, x", "lr must be positive, got 0", "there is no method 'x'",
    ]  # fmt: skip
    (tmp_path / "costs.py").touch()
    assert told("minimize", "costs.py:cost", "--condition", "2") == [
        "2 settings are off:",
        "say where to start: lanewise minimize costs.py:cost --x0 1,2,3",
        "condition is a setting of quadratic",
    ]
