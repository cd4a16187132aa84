"""Every method has a page, and what the pages say of formulas, settings, costs and pictures is what the code does."""

import doctest
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lanewise.optim.registry import RULES
from lanewise.solvers.augmented_lagrangian import AugmentedLagrangian
from lanewise.solvers.bfgs import BFGS
from lanewise.solvers.conjugate_gradient import ConjugateGradient
from lanewise.solvers.gauss_newton import GaussNewton
from lanewise.solvers.lbfgs import LBFGS
from lanewise.solvers.levenberg_marquardt import LevenbergMarquardt
from lanewise.solvers.methods import METHODS
from lanewise.solvers.newton import Newton
from lanewise.solvers.proximal_gradient import ProximalGradient

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"
NAMES = sorted({*RULES, *METHODS, "sam"})
HEADINGS = ["When to use it", "What to watch", "Costs and settings", "Elsewhere", "Example", "Source"]
NUMBER = re.compile(r"\d+(?:\.\d+)?")
CODE = re.compile(r"``(.+?)``", re.DOTALL)
SOLVERS: dict[str, type] = {
    "bfgs": BFGS,
    "lbfgs": LBFGS,
    "cg": ConjugateGradient,
    "newton": Newton,
    "gauss-newton": GaussNewton,
    "levenberg-marquardt": LevenbergMarquardt,
    "augmented-lagrangian": AugmentedLagrangian,
    "proximal-gradient": ProximalGradient,
}
"""Those whose docstrings state their formula."""


@pytest.fixture(scope="module")
def facts() -> ModuleType:
    return _module("method_facts")


def _module(name: str) -> ModuleType:
    """A module of the folder of the pages, which is no package."""
    sys.path.insert(0, str(PAGES))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(PAGES))


def _page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def _without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_every_method_has_a_page_and_every_page_a_method() -> None:
    assert sorted(file.stem for file in PAGES.glob("*.md")) == sorted([*NAMES, "index"])
    assert sorted(file.stem for file in PAGES.glob("*.svg")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_pages_say_what_the_code_knows(name: str, facts: ModuleType) -> None:
    page = _page(name)
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert facts.filled(page, facts.parts_of(name)) == page, "run docs/methods/write.py --pages"
    assert len(facts.WRITTEN.findall(page)) == 2
    for heading in HEADINGS[:2]:
        words = page.split(f"## {heading}\n")[1].split("\n## ")[0]
        assert len(re.findall(r"[.?](?:\s|$)", words)) >= 2, f"{heading} of {name} says too little"


def test_examples_of_the_writing_code_hold(facts: ModuleType) -> None:
    found = doctest.testmod(facts)
    assert found.attempted >= 4
    assert found.failed == 0


def test_the_index_lists_them(facts: ModuleType) -> None:
    index = _page("index")
    assert facts.filled(index, facts.index_parts()) == index, "run docs/methods/write.py --pages"
    for name in NAMES:
        assert f"]({name}.md)" in index


def test_what_is_said_of_all_rules_holds_for_all() -> None:
    """The words above the table of the index, and the table of methods in the page on functions."""
    assert set(RULES) <= set(METHODS)
    assert "sam" not in {*RULES, *METHODS}
    assert "All but `sam` are rules of a race and methods of `minimize`" in _page("index")
    functions = (PAGES.parent / "minimize.md").read_text(encoding="utf-8")
    table = functions.split("| `method` | for | takes |")[1].split("\n\n")[0]
    assert f"[{len(RULES)} rules](methods/index.md#optimizers)" in table
    named = set(re.findall(r"`([a-z-]+)`", table))
    assert set(METHODS) - set(RULES) <= named <= {*METHODS, "auto", "sam", "penalty", "options"}


@pytest.mark.parametrize("name", sorted({*RULES, *SOLVERS}))
def test_pages_state_the_formulas_of_the_docstrings(name: str) -> None:
    stated = _without_blanks(_page(name).split("```text\n")[1].split("```")[0])
    source = type(RULES[name]) if name in RULES else SOLVERS[name]
    parts = [part for code in CODE.findall(source.__doc__ or "") for part in code.split(";")]
    formulas = [part for part in parts if "<-" in part or part.startswith(("d = ", "beta = "))]
    assert formulas or name in ("centred_rmsprop", "amsgradw"), f"the docstring of {name} has no formula"
    for formula in formulas:
        assert _without_blanks(formula) in stated, f"{name}: {formula}"


@pytest.mark.parametrize("name", sorted(RULES))
def test_drop_ins_of_the_pages_run_that_rule(name: str, facts: ModuleType) -> None:
    made, arguments = facts.DROP_INS[name]
    optimizer = made([torch.nn.Parameter(torch.zeros(2))], **arguments)
    assert optimizer.rule_of(optimizer.param_groups[0]).name == name
    page = _page(name)
    for hyper in RULES[name].hypers:
        argument, default = facts.argument_of(hyper.name, made)
        assert f"| `{hyper.name}` |" in page
        assert optimizer.defaults[argument] == arguments.get(argument, default)


@pytest.mark.parametrize("name", ["gd", "bfgs", "sam", "gauss-newton", "quasi-random"])
def test_pictures_are_those_of_today(name: str) -> None:
    """Redrawn, a picture is the same up to the rounding of its places."""
    drawn, kept = _module("method_pictures").picture(name), (PAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert NUMBER.sub("", drawn) == NUMBER.sub("", kept), f"run docs/methods/write.py {name}"
    pairs = zip(map(float, NUMBER.findall(drawn)), map(float, NUMBER.findall(kept)), strict=True)
    assert max(abs(one - other) for one, other in pairs) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small_and_say_what_they_show(name: str) -> None:
    drawing = (PAGES / f"{name}.svg").read_bytes()
    assert len(drawing) < 25_000
    text = drawing.decode()
    assert text.count("<desc>") == text.count("<title>") == 1
    assert text.count('class="s"') == text.count('class="e"') == 2  # start and end on both maps
    assert "prefers-color-scheme:dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
