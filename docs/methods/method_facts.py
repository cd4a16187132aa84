"""What the code knows about a method, as Markdown: costs, settings with their defaults, the index of all pages."""

import html
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from lanewise import optim
from lanewise.lanes.hyper import Hyper
from lanewise.optim.drop_in import DropIn
from lanewise.optim.proximal import L1, Penalty
from lanewise.optim.registry import RULES
from lanewise.optim.rule import Rule
from lanewise.reporting.words import number
from lanewise.solvers.genetic import Genetic
from lanewise.solvers.method import Method
from lanewise.solvers.methods import METHODS
from lanewise.solvers.sampling import Sampling

HERE = Path(__file__).resolve().parent
SHORT = ("adamw", "schedule_free_adamw", "muon", "nesterov", "lbfgs")
"""For people in a hurry."""

DROP_INS: dict[str, tuple[type[DropIn], dict[str, Any]]] = {
    "gd": (optim.GradientDescent, {}),
    "sgd": (optim.SGD, {}),
    "momentum": (optim.Momentum, {}),
    "dampened_momentum": (optim.Momentum, {"dampening": 0.9}),
    "nesterov": (optim.Nesterov, {}),
    "polyak": (optim.PolyakSGD, {}),
    "asgd": (optim.ASGD, {}),
    "rmsprop": (optim.RMSprop, {}),
    "rmsprop_momentum": (optim.RMSprop, {"momentum": 0.9}),
    "centred_rmsprop": (optim.RMSprop, {"centered": True}),
    "centred_rmsprop_momentum": (optim.RMSprop, {"centered": True, "momentum": 0.9}),
    "adagrad": (optim.Adagrad, {}),
    "adadelta": (optim.Adadelta, {}),
    "rprop": (optim.Rprop, {}),
    "adam": (optim.Adam, {}),
    "adamw": (optim.AdamW, {}),
    "amsgrad": (optim.AMSGrad, {}),
    "amsgradw": (optim.AdamW, {"amsgrad": True}),
    "adamax": (optim.Adamax, {}),
    "nadam": (optim.NAdam, {}),
    "nadamw": (optim.NAdamW, {}),
    "radam": (optim.RAdam, {}),
    "radamw": (optim.RAdam, {"decoupled_weight_decay": True, "weight_decay": 0.01}),
    "ademamix": (optim.AdEMAMix, {}),
    "adafactor": (optim.Adafactor, {}),
    "lion": (optim.Lion, {}),
    "prodigy": (optim.Prodigy, {}),
    "dog": (optim.DoG, {}),
    "schedule_free_adamw": (optim.ScheduleFreeAdamW, {}),
    "schedule_free_sgd": (optim.ScheduleFreeSGD, {}),
    "muon": (optim.Muon, {}),
    "shampoo": (optim.Shampoo, {}),
    "soap": (optim.SOAP, {}),
    "sgld": (optim.SGLD, {}),
}
"""How each rule is had in a training loop: the class, and the arguments that make it this rule."""

SOLVER_COSTS: dict[str, tuple[str, str]] = {
    "bfgs": ("a P x P matrix", "value and gradient for each trial of the line search, mostly one; P² operations"),
    "lbfgs": ("20 vectors of P", "value and gradient for each trial of the line search, mostly one; 40 P operations"),
    "cg": ("2 vectors of P", "value and gradient for each trial of the line search, mostly two; a few P operations"),
    "newton": ("a P x P matrix while it is factored", "value, gradient and Hessian; P³ operations"),
    "newton-cg": (
        "4 vectors of P",
        "value and gradient, and up to 2 P products with the Hessian",
    ),
    "gauss-newton": ("an M x P Jacobian", "residuals and Jacobian; M P² operations"),
    "levenberg-marquardt": (
        "an M x P Jacobian, factored",
        "residuals twice, and with the Jacobian where the step is taken; M P² operations",
    ),
    "augmented-lagrangian": (
        "that of `bfgs` up to 100 variables, of `lbfgs` above; a number a constraint",
        "value and gradient of function and constraints, once for each trial of its inner descents",
    ),
    "proximal-gradient": (
        "3 vectors of P",
        "value and gradient for each trial of the step length, and once more ahead of it",
    ),
    "genetic": ("a population of N x P", "N values"),
    "grid": ("the best point", "256 values; levels to the power P in all"),
    "random": ("the best point", "256 values"),
    "quasi-random": ("the best point", "256 values"),
    "slsqp": ("some P x P matrices, in SciPy", "value and gradient, of constraints too; P³ operations"),
    "trust-constr": ("a P x P matrix, in SciPy", "value and gradient, of constraints too; P³ operations"),
    "differential-evolution": ("a population of 15 P x P", "15 P values"),
    "dual-annealing": ("some vectors of P", "2 P values, and a local search now and then"),
    "cmaes": ("a P x P matrix", "4 + 3 ln P values; P² operations, P³ now and then"),
}
"""Of a method that is no rule: memory of a start, and what one round costs. P variables, M residuals."""

OPTIONS = {
    "population": "members, an even number; fewer below 10,000 `max_evaluations`: 0.6 times their root, 20 at least",
    "crossover": "probability that a pair is mixed",
    "crossover_spread": "how near children stay to their parents: the larger, the nearer",
    "mutation": "probability that a variable of a child is changed; by default 1 / P",
    "mutation_spread": "how small changes are: the larger, the smaller",
    "elite": "how many of the best survive as they are",
    "patience": "generations without a better best after which it ends",
    "levels": "equally spaced values of a real variable",
    "points": "how many points; by default `max_evaluations`",
}

WRITTEN = re.compile(r"<!-- written by write.py: (?P<part>\w+) -->\n.*?<!-- end -->", re.DOTALL)


def page_of(name: str) -> Path:
    return HERE / f"{name}.md"


def filled(text: str, parts: dict[str, str]) -> str:
    """The text with what stands between its marks written anew.

    >>> filled("<!-- written by write.py: a -->\\nold\\n<!-- end -->", {"a": "new"})
    '<!-- written by write.py: a -->\\nnew\\n<!-- end -->'
    """

    def anew(own: re.Match[str]) -> str:
        return f"<!-- written by write.py: {own['part']} -->\n{parts[own['part']]}\n<!-- end -->"

    return WRITTEN.sub(anew, text)


def parts_of(name: str) -> dict[str, str]:
    """The written parts of the page of a method."""
    facts = _rule_facts(RULES[name]) if name in RULES else _sam_facts() if name == "sam" else _solver_facts(name)
    return {"picture": _picture(name), "facts": facts}


def _picture(name: str) -> str:
    drawing = (HERE / f"{name}.svg").read_text(encoding="utf-8")
    found = re.search(r"<desc>(.*?)</desc>", drawing)
    assert found is not None, f"{name}.svg says nothing of what it shows"
    return f"![{html.unescape(found[1])}]({name}.svg)"


def _rule_facts(rule: Rule) -> str:
    made, arguments = DROP_INS[rule.name]
    written = "".join(f", {key}={value}" for key, value in arguments.items())
    decay = {"coupled": "added to the gradient", "decoupled": "decoupled, multiplied by lr", "own": "decoupled"}
    rows = [
        ("in a training loop", f"`lanewise.optim.{made.__name__}(params{written})`"),
        ("in a race", f"`--optimizers {rule.name}`"),
        ("in `minimize` and `compare`", f'`method="{rule.name}"`'),
        ("memory, beside weights and gradients", memory(rule)),
        ("evaluations a step", "one gradient" + (", of all rows" if rule.full_batch else ", of a batch")),
        ("weight decay", "decoupled" if rule.decay == "own" else decay[rule.decay]),
        ("schedule in a race", "any" if rule.scheduled else "constant, for it averages or finds its rate"),
    ]
    return "\n".join([*_table(("", ""), rows), "", *_settings(rule, made, arguments)])


def memory(rule: Rule) -> str:
    """What a rule keeps, counted on a matrix m x n and on a vector.

    >>> memory(RULES["adam"])
    '2 numbers a weight: `mean`, `mean_square`'
    """
    if not rule.slots:
        return "none"
    sizes: dict[tuple[int, ...], str] = {
        (7, 11): "m n",
        (7, 7): "m²",
        (11, 11): "n²",
        (7, 1): "m",
        (1, 11): "n",
    }
    hyper = {one.name: float(one.default) for one in rule.hypers}
    counted: dict[str, int] = {}
    for slot in rule.slots:
        shape = tuple(slot.first(torch.zeros(1, 7, 11), hyper).shape[1:])
        if 0 not in shape:
            counted[sizes[shape]] = counted.get(sizes[shape], 0) + 1
    on_vector = sum(0 not in slot.first(torch.zeros(1, 7), hyper).shape for slot in rule.slots)
    names = ", ".join(f"`{slot.name}`" for slot in rule.slots)
    once = f"; {_count(len(rule.numbers), 'number')} a parameter group" if rule.numbers else ""
    if counted == {"m n": on_vector}:
        return f"{_count(on_vector, 'number')} a weight: {names}{once}"
    of_matrix = " + ".join(what if count == 1 else f"{count} {what}" for what, count in counted.items())
    return f"{of_matrix} for a matrix m x n, {_count(on_vector, 'number')} for each entry of a vector{once}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")


def _settings(rule: Rule, made: type[DropIn], arguments: dict[str, Any]) -> list[str]:
    heads = ("hyper-parameter", "what it does", "default of a lane", "a race tries", "argument of the drop-in")
    rows = []
    for hyper in rule.hypers:
        coupled = hyper.name == "weight_decay" and rule.decay == "coupled"
        words = "L2 penalty: times the weights, it is added to the gradient" if coupled else hyper.words
        argument = _argument(hyper, made, arguments)
        rows.append((f"`{hyper.name}`", words, _written(hyper.default), _range(hyper), argument))
    return _table(heads, rows)


def _argument(hyper: Hyper, made: type[DropIn], arguments: dict[str, Any]) -> str:
    name, value = argument_of(hyper.name, made)
    return f"`{name}={_plain(arguments.get(name, value))}`"


def argument_of(hyper: str, made: type[DropIn]) -> tuple[str, Any]:
    """The argument of a drop-in that a hyper-parameter is, or is one number of, with its default.

    >>> argument_of("beta2", optim.Adam)
    ('betas', (0.9, 0.999))
    """
    parameters = inspect.signature(made).parameters
    name = hyper if hyper in parameters else re.sub(r"\d$", "s", hyper)
    return name, parameters[name].default


def _range(hyper: Hyper) -> str:
    if hyper.low is None or hyper.high is None:
        return "the default"
    return f"{_written(hyper.low)} to {_written(hyper.high)}"


def _written(value: float | str) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return number(value, 5).replace(",", "")


def _plain(value: Any) -> str:
    """A default as Python writes it, without needless digits."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_plain, value))})"
    if isinstance(value, bool) or not isinstance(value, float):
        return repr(value)
    return repr(int(value)) if value == int(value) and abs(value) >= 1e3 else repr(value)


def _sam_facts() -> str:
    parameters = inspect.signature(optim.SAM).parameters
    rows = [
        ("in a training loop", "`lanewise.optim.SAM(params, lr=..., base=lanewise.optim.AdamW)`"),
        ("in lanes", "candidates with a `sam_rho` above 0, around any rule; `fit` tries none by itself"),
        ("memory, beside weights and gradients", "that of its base; a copy of the weights during a step"),
        ("evaluations a step", "two gradients, of the same batch"),
    ]
    settings = [
        ("`rho`", "length of the step uphill", _plain(parameters["rho"].default)),
        ("`adaptive`", "whether that step is relative to the weights (ASAM)", _plain(parameters["adaptive"].default)),
        ("`base`", "the class whose step is taken; `lr` and all further settings are its own", "to be given"),
    ]
    return "\n".join([*_table(("", ""), rows), "", *_table(("argument", "what it does", "default"), settings)])


def _solver_facts(name: str) -> str:
    method = METHODS[name]
    kept, spent = SOLVER_COSTS[name]
    rows = [
        ("in `minimize`", f'`method="{name}"`'),
        ("derivatives", ("none", "first", "first and second")[method.derivatives]),
        ("takes", _takes(method)),
        ("memory of a start", kept),
        ("evaluations a round", spent),
    ]
    if name == "lbfgs":
        rows.insert(0, ("in a race", "`--optimizers lbfgs`, of linear models, on full batches"))
    if not method.options:
        none = "It has no options of its own; `tolerance`, `max_evaluations` and `starts` are those of `minimize`."
        return "\n".join([*_table(("", ""), rows), "", none])
    defaults = {item.name: item.default for item in (*fields(Genetic), *fields(Sampling))} | {"points": None}
    settings = [(f"`{option}`", OPTIONS[option], _plain(defaults[option])) for option in method.options]
    return "\n".join([*_table(("", ""), rows), "", *_table(("option", "what it does", "default"), settings)])


def _takes(method: Method) -> str:
    penalties = {(L1,): "an L1 penalty", (Penalty,): "any penalty with a proximal map, and sets (`Within`)"}
    found = [
        words
        for words, can in (
            ("residuals only", method.residuals),
            ("bounds, which every variable needs" if method.boxed else "bounds", method.bounds),
            ("constraints", method.constraints),
            ("integer and categorical variables", method.whole),
            (penalties.get(method.penalties, ""), bool(method.penalties)),
        )
        if can
    ]
    return ", ".join(found)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def index_parts() -> dict[str, str]:
    """The written parts of the index: three tables of links, each with the first sentence of its page."""
    solvers = [name for name in METHODS if name not in RULES]
    return {
        "short": _listed(SHORT),
        "rules": _listed((*DROP_INS, "sam")),
        "solvers": _listed(solvers),
    }


def _listed(names: Iterable[str]) -> str:
    pages = ((name, summary(page_of(name).read_text(encoding="utf-8"))) for name in names)
    rows = [(f"[`{name}`]({name}.md)", words, _kept(name)) for name, words in pages]
    return "\n".join(_table(("method", "what it is for", "memory"), rows))


def _kept(name: str) -> str:
    if name == "sam":
        return "that of its base"
    return memory(RULES[name]).split(":")[0] if name in RULES else SOLVER_COSTS[name][0]


def summary(page: str) -> str:
    """The first paragraph of a page.

    >>> summary("# A\\n\\nIt is\\nfor all.\\n\\nMore.")
    'It is for all.'
    """
    return " ".join(page.split("\n\n")[1].split())
