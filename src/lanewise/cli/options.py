"""Commands that explain themselves: options in sections, commands in the order of work, near names suggested."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, final

import click

from lanewise.errors import closest, suggestion
from lanewise.plain_text import clean
from lanewise.text_form import names_of

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
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no option {clean(given)}{meant}"


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


@final
class DeviceName(click.ParamType):
    """The name of a device, as the settings have it; whether it is there is asked when it is used."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from lanewise.settings import DEVICE

        if not DEVICE.fullmatch(value):
            self.fail(f"{value!r} is none of auto, cpu, cuda and cuda:N.", param, ctx)
        return value
