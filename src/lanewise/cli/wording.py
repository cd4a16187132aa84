"""What a library says in the words of Python, said in those of the command line: ``--starts`` for ``starts=``."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from lanewise.cli.program import program
from lanewise.errors import ConfigError, LanewiseError

PLACES = (
    (r"lanewise\.optim\.registry\.RULES|lanewise\.settings\.fit\.FitSettings", "lanewise fit --help"),
    (r"lanewise\.metrics\.(?:METRICS|metric_names\('\w+'\))", "lanewise fit --help"),
    (r"lanewise\.solvers\.methods\.METHODS", "lanewise minimize --help"),
    (r"lanewise\.(resume|repeat)\('([\w-]+)'\)", r"lanewise \1 \2"),
    (r", or an instance of a Policy of yours", ""),
    (
        r", or a pair \(function, 'max'\) or \(function, 'min'\) whose function maps outputs and targets to a number "
        r"per row",
        "",
    ),
    (
        r"give either loss, a function of outputs and targets, or step, .*? that returns the loss;",
        "give either --loss or --step;",
    ),
)
"""Where Python finds a list or goes on with a run, and what only Python can be given: what a command has instead."""

RENAMED = {"evaluations": "max_evaluations"}
"""Options that are called otherwise in Python."""

ELSEWHERE = "lanewise.elsewhere"
"""Where the context of a command keeps the names of the settings that a file or a variable stated."""

SAID_ELSEWHERE = r"(?m)(^.* \(from [^()\n]+\)$)"
"""A mistake in what a file or a variable said: no option has to be mended."""

QUOTED = r"'[^']*'(?:(?:, | or )'[^']*')*"


@contextmanager
def in_words_of_the_shell(context: click.Context) -> Iterator[None]:
    """Errors that leave the block name the options of the command that was invoked."""
    try:
        yield
    except LanewiseError as error:
        group, name = context.command, context.invoked_subcommand
        command = group.get_command(context, name or "") if isinstance(group, click.Group) else None
        # The settings of a fit know themselves whether an option or a file stated them.
        options = {} if command is None or isinstance(error, ConfigError) else options_of(command)
        options = {key: option for key, option in options.items() if key not in context.meta.get(ELSEWHERE, ())}
        error.args = (as_options(str(error), options),)
        raise


def options_of(command: click.Command) -> dict[str, str]:
    """The options of a command by the names that they have in Python."""
    options = [one for one in command.params if isinstance(one, click.Option) and one.name]
    return {RENAMED.get(one.name or "", one.name or ""): max(one.opts, key=len) for one in options}


def as_options(text: str, options: Mapping[str, str]) -> str:
    """A message of the library in the words of the command line; what stands in quotes is left alone.

    >>> as_options("let fun return residuals and say residuals=True", {"residuals": "--residuals"})
    'let the function return residuals and say --residuals'
    >>> as_options("use method='auto' or 'bfgs'; column 'method' stays", {"method": "--method"})
    "use --method auto or bfgs; column 'method' stays"
    >>> print(as_options("leave it out: drop='" + '"a, b"' + "'", {"drop": "--drop"}))
    leave it out: --drop '"a, b"'
    >>> as_options("adam takes lr, batch_size, eps; give batch_size", {"batch_size": "--batch-size"})
    'adam takes lr, batch_size, eps; give --batch-size'
    >>> as_options("max_evaluations must be at least 1, got 0", {"max_evaluations": "--evaluations"})
    '--evaluations must be at least 1, got 0'
    >>> as_options("seed must be a whole number, got 'x' (from lanewise.toml)", {"seed": "--seed"})
    "seed must be a whole number, got 'x' (from lanewise.toml)"
    """
    for pattern, place in PLACES:
        text = re.sub(pattern, place, text)
    text = re.sub(r"(?<=with: )lanewise (?=(?:resume|repeat)\b)", lambda _: f"{program()} ", text)
    parts = re.split(SAID_ELSEWHERE, text) if options else [text]
    return "".join(
        _renamed(part, options) if options and number % 2 == 0 else part for number, part in enumerate(parts)
    )


def _renamed(text: str, options: Mapping[str, str]) -> str:
    """Settings as the ``options`` that they are called there."""
    names = "|".join(sorted(map(re.escape, options), key=len, reverse=True))
    text = re.sub(rf"\b({names})=(True\b|\([^)]*\)|{QUOTED})", lambda m: options[m[1]] + _value(m[2]), text)
    text = re.sub(rf"\(({names})\)", lambda m: f"({options[m[1]]})", text)
    subject = rf"(?:^|(?<=; )|(?<=: )|(?<=\n  ))({names})(?= (?:must|may|names|is for|are for|is a setting of)\b)"
    both = rf"(^|\n  )({names}) and ({names})(?= must\b)"
    text = re.sub(both, lambda m: f"{m[1]}{options[m[2]]} and {options[m[3]]}", text)
    text = re.sub(subject, lambda m: options[m[1]], text)
    spelt = "|".join(re.escape(name) for name in options if "_" in name)
    if spelt:
        # What stands among the names of a list is a setting of candidates, which an option may be called like.
        alone = rf"(?<![\w'\"./-])(?:(?<!, )({spelt})|({spelt})(?!, ))(?![\w'\"./=])"
        text = re.sub(alone, lambda m: options[m[1] or m[2]], text)
    return re.sub(r"(?<![\w'\"./-])fun(?![\w'\"./=(])", "the function", text)


def _value(shown: str) -> str:
    """A value of Python as an argument; True needs none."""
    if shown == "True":
        return ""
    if '"' in shown:  # the shell would take double quotes away
        return f" {shown}"
    return " " + (shown[1:-1].replace(", ", ",").upper() if shown.startswith("(") else shown.replace("'", ""))
