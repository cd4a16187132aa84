"""``lanewise compare``: a page and a table."""

import pytest


def test_a_comparison_writes_one_page_and_says_the_results(cli, folder):
    arguments = ("compare", "booth", "--methods", "gd,bfgs", "--evaluations", "100", "-o", "paths.html")
    ended = cli(*arguments, folder=folder)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("First at the optimum: bfgs")
    assert ended.out.endswith("page  paths.html\n")
    written = (folder / "paths.html").read_text(encoding="utf-8")
    assert written.count('class="way ') == 2
    assert "Content-Security-Policy" in written


def test_a_function_of_a_file(cli, folder):
    (folder / "costs.py").write_text("import math\ndef cost(x):\n    return math.cosh(x[0]) + x[1] ** 2\n")
    ended = cli("compare", "costs.py:cost", "--x0", "2,1", "--methods", "cg", "--bounds", "-3,3", folder=folder)
    assert (ended.code, ended.err) == (0, "")
    written = (folder / "compare.html").read_text(encoding="utf-8")
    assert "<b>cost</b>, a function of 2 variables" in written
    assert "by differences" in written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hill"], "there is no test function 'hill'"),
        (["booth", "-o", "nowhere/page.html"], "there is no folder nowhere"),
        (["booth", "--methods", "gd,gd"], "name each method to compare once"),
        (["booth", "--methods", "gd,lightning"], "there is no method 'lightning'"),
        (["booth", "--methods", "gd,adam,bfgs,cg,lbfgs,newton,grid,random,sgd"], "tell 8 methods apart, got 9"),
        (["costs.py:cost"], "no file costs.py"),
    ],
)
def test_what_is_not_usable_is_told_in_one_line(cli, folder, arguments, words):
    ended = cli("compare", *arguments, folder=folder)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1
