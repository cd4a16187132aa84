"""``lanewise completion``: what a shell needs to complete commands, options and their values."""

import click
from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash, in ~/.bashrc:     eval "$(lanewise completion bash)"
    zsh, in ~/.zshrc:       eval "$(lanewise completion zsh)"
    fish, in config.fish:   lanewise completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    script = kind(context.find_root().command, {}, "lanewise", "_LANEWISE_COMPLETE")
    # Not source(): it runs a bash of this machine to look at its version, and there may be none.
    text = script.source_template % script.source_vars()
    if shell == "fish":  # click's own cuts a completion, or what is said of it, at every comma that it has
        text = text.replace('string split "," ', 'string split --max 1 "," ')
    click.echo(text)


def complete_runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of runs that begin so; none where there is no store."""
    del context, parameter
    from lanewise.errors import LanewiseError
    from lanewise.runs.store import RunStore

    try:
        with RunStore.open(to_read=True) as store:
            names = ["last", *(run.id for run in store.list(limit=50, documents=False))]
    except LanewiseError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What the shell itself knows of files."""
    del context, parameter
    return [CompletionItem(incomplete, type="file")]


def complete_tables(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Examples that begin so, and files."""
    names = []
    if incomplete and "example:".startswith(incomplete[:8]):
        from lanewise.data.examples import EXAMPLES

        names = [f"example:{name}" for name in EXAMPLES]
    known = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*known, *complete_files(context, parameter, incomplete)]


def complete_functions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Test functions that begin so, and files."""
    from lanewise.cli.functions import NAMES

    known = [CompletionItem(name) for name in NAMES if name.startswith(incomplete)]
    return [*known, *complete_files(context, parameter, incomplete)]


def complete_methods(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Methods whose names begin like the last of those given, which commas separate."""
    del context, parameter
    from lanewise.cli.functions import METHODS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in METHODS if name.startswith(last)]
