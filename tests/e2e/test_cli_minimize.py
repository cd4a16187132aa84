"""``lanewise minimize``: answers, exit codes, one-line errors."""

import pytest

COSTS = """
def bowl(x):
    return (x[0] - 3) ** 2 + (x[1] + 1) ** 2

def line(x):
    return -x[0]

def broken(x):
    raise RuntimeError("no luck")

def narrow(x):
    if x[0] > 4:
        raise KeyError("far")
    return (x[0] - 9) ** 2

def nowhere(x):
    return float("nan")

def left(x):
    import sys
    sys.exit(4)

from beside import cost as helped

def residuals(x):
    return [x[0] - 1, 10 * (x[1] - x[0] ** 2)]

def loud(x):
    print("at", x)
    return (x[0] - 3) ** 2
"""


@pytest.fixture
def costs(folder):
    (folder / "costs.py").write_text(COSTS)
    (folder / "beside.py").write_text("def cost(x):\n    return {}[x[0]]\n")
    return folder


def test_a_function_of_a_file_is_minimized_and_said_in_words(cli, costs):
    ended = cli("minimize", "costs.py:bowl", "--x0", "-2,1", folder=costs)
    assert (ended.code, ended.err) == (0, "")
    assert "at x = (3, -1)\n" in ended.out
    assert "status    converged: the gradient is within the tolerance of 1e-08" in ended.out
    assert "bfgs: a smooth function of 2 variables" in ended.out


def test_the_document_has_the_numbers(cli, costs):
    ended = cli("minimize", "costs.py:residuals", "--x0", "0,0", "--residuals", "--json", folder=costs)
    assert ended.document["method"] == "levenberg-marquardt"
    assert ended.document["x"] == pytest.approx([1.0, 1.0])
    assert ended.document["success"] is True


def test_what_a_function_prints_stays_out_of_the_document(cli, costs):
    ended = cli("minimize", "costs.py:loud", "--x0", "0", "--json", folder=costs)
    assert ended.document["x"] == pytest.approx([3.0])
    assert "at " in ended.err


def test_many_starts_find_the_four_minima_of_himmelblau(cli, costs):
    ended = cli("minimize", "himmelblau", "--starts", "64", folder=costs)
    assert ended.code == 0
    assert "4 distinct optima:" in ended.out


def test_bounds_and_maximizing(cli, costs):
    arguments = ("minimize", "costs.py:line", "--x0", "0", "--bounds", "-2,5")
    assert cli(*arguments, "--json", folder=costs).document["x"] == [5.0]
    up = cli(*arguments, "--maximize", "--json", folder=costs).document
    assert (up["x"], up["value"], up["direction"]) == ([-2.0], 2.0, "maximized")


def test_no_optimum_is_a_negative_verdict(cli, costs):
    endless = cli("minimize", "costs.py:line", "--x0", "0", folder=costs)
    assert endless.code == 1
    assert endless.out.startswith("No optimum found.")
    assert "falls without end" in endless.out
    short = cli("minimize", "rosenbrock", "--method", "adam", "--evaluations", "20", folder=costs)
    assert short.code == 1
    assert "the limit on evaluations was reached" in short.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hill"], "there is no test function 'hill'"),
        (["costs.py:bowl"], "say where to start: lanewise minimize costs.py:bowl --x0 1,2,3"),
        (["costs.py:broken", "--x0", "1"], "costs.py line 9 raised RuntimeError: no luck"),
        (["costs.py:narrow", "--x0", "1"], "costs.py line 13 raised KeyError: 'far'"),
        (["costs.py:nowhere", "--x0", "1"], "the function is nan at x0; give a start where it is finite"),
        (["costs.py:left", "--x0", "1"], "costs.py ended the program (exit code 4)"),
        (["costs.py:helped", "--x0", "1"], "beside.py line 2 raised KeyError"),
        (["costs.py:residuals", "--x0", "1,2"], "are to be summed, say --residuals"),
        (["costs.py:bowl", "--x0", "1,2", "--method", "gauss-newton"], "let the function return residuals"),
        (["booth", "--evaluations", "0"], "--evaluations must be a whole number of at least 1, got 0"),
        (["booth", "--method", "bgfs"], "did you mean bfgs"),
        (["booth", "--x0", "1,2,3"], "booth is a function of two variables, got x0 with 3"),
        (["booth", "--method", "magic"], "there is no method 'magic'"),
        (["booth", "--bounds", "5,1"], "bounds"),
        (["booth", "--condition", "7"], "condition is a setting of quadratic"),
        (["costs.py:bowl", "--x0", "1,2", "--condition", "7"], "--condition is a setting of quadratic"),
    ],
)
def test_what_is_not_usable_is_told_in_one_line(cli, costs, arguments, words):
    ended = cli("minimize", *arguments, folder=costs)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1
