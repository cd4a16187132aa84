"""Commands that explain themselves: options in sections, commands in the order of work, near names suggested."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from importlib import import_module
from typing import Any, TypeVar, final

import click

from lanewise.errors import FEW, Mistakes, UserError, closest, suggestion
from lanewise.formatting.plain_text import clean
from lanewise.settings.text_form import names_of

Command = TypeVar("Command", bound=Callable[..., Any])


@final
class SectionedOption(click.Option):
    """An option that stands under a heading of the help; ``usual`` says what holds where it is not given."""

    def __init__(self, *declarations: Any, section: str, usual: str = "", **settings: Any) -> None:
        if usual:
            settings["help"] = f"{settings['help']}  [default: {usual}]"
        super().__init__(*declarations, **settings)
        self.section = section


@final
class SectionedCommand(click.Command):
    """A command whose help lists its options by section, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:  # --help itself goes with the last section
                heading = parameter.section if isinstance(parameter, SectionedOption) else heading
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


@final
class Commands(click.Group):
    """A group whose help lists commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            message = f"there is no command {name!r}; {suggestion(name, self.commands)}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)


@final
class Homes(MutableMapping[str, click.Command]):
    """Commands by their names, from the module of each: loaded when asked for, so that one does not load the others."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        """``modules`` by the names of commands, which are called so there, with ``_`` for ``-``."""
        self._modules = dict(modules)
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = getattr(import_module(self._modules[name]), name.replace("-", "_"))
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._modules.setdefault(name, "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def section(heading: str) -> Callable[..., Callable[[Command], Command]]:
    """``click.option`` for the options under one heading."""
    return partial(click.option, cls=SectionedOption, section=heading)


def stated_once(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The one value of an option, which may not be given twice: the second would silently win."""
    if len(values) > 1:
        message = f"was given {len(values)} times: {' and '.join(map(repr, values))}"
        raise click.BadParameter(message, ctx=ctx, param=parameter)
    return values[0] if values else None


def all_names(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names that an option lists, however often it was given; None where it was not."""
    del ctx, parameter
    return tuple(name for value in values for name in names_of(value)) if values else None


def no_option(given: str, command: click.Command) -> str:
    """That a command has no option of that name, and which may have been meant."""
    # Without their dashes, which all names have in common.
    known = {name.lstrip("-"): name for one in command.params if isinstance(one, click.Option) for name in one.opts}
    near = [known[name] for name in closest(given.lstrip("-"), known)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    if not near and 0 < len(known) <= FEW:
        longest = [max(one.opts, key=len) for one in command.params if isinstance(one, click.Option)]
        hint = f"; {command.name} has {', '.join(longest)}"
    return f"there is no option {clean(given)}{hint}"


@final
class Listed(click.Choice[str]):
    """One of a few names, for the help and for completion; the settings refuse others, with all other mistakes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        del param, ctx
        return value


@final
class Whole(click.ParamType):
    """A whole number from ``least`` on; in the help that is no formula."""

    name = "whole number"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = self.least - 1
        if number < self.least:
            self.fail(f"must be a whole number from {self.least} on, got {str(value)!r}", param, ctx)
        return number


MISREAD = "lanewise.misread"
"""Where the context of a command keeps what :class:`Number` could not read."""


@final
class Number(click.ParamType):
    """A number; what is none is told by :func:`misread` with all other mistakes, and its option counts as not given."""

    name = "number"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.kind(value)
        except (TypeError, ValueError):
            assert param is not None
            assert ctx is not None
            wanted = "a whole number" if self.kind is int else "a number"
            line = f"{max(param.opts, key=len)} must be {wanted}, got {value!r}"
            ctx.meta.setdefault(MISREAD, []).append(line)
            usual = param.get_default(ctx)
            return usual if isinstance(usual, int | float) else None


WHOLE = Number(int)
REAL = Number(float)


def misread() -> Mistakes:
    """The mistakes of the command that is being run that were met while its options were read."""
    mistakes = Mistakes(UserError)
    for line in click.get_current_context().meta.get(MISREAD, ()):
        mistakes.add(line)
    return mistakes
