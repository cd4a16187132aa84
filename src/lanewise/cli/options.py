"""Commands that explain themselves: options in sections, commands in the order of work, near names suggested."""

from collections.abc import Callable
from typing import Any, TypeVar, final

import click

Command = TypeVar("Command", bound=Callable[..., Any])

REST = "Other"


@final
class SectionedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *declarations: Any, section: str, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.section = section


@final
class SectionedCommand(click.Command):
    """A command whose help lists its options by section, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = parameter.section if isinstance(parameter, SectionedOption) else REST
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
            from difflib import get_close_matches

            near = get_close_matches(name, self.commands, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.commands)}"
            message = f"there is no command {name!r}; {hint}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)


def section(heading: str, *options: tuple[str, dict[str, Any]]) -> Callable[[Command], Command]:
    """A decorator that adds options under one heading; each is its name and the settings of ``click.Option``."""

    def add(command: Command) -> Command:
        for name, settings in reversed(options):
            command = click.option(name, cls=SectionedOption, section=heading, **settings)(command)
        return command

    return add


def stated_once(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The one value of an option, which may not be given twice: the second would silently win."""
    if len(values) > 1:
        message = f"was given {len(values)} times: {' and '.join(map(repr, values))}"
        raise click.BadParameter(message, ctx=ctx, param=parameter)
    return values[0] if values else None
