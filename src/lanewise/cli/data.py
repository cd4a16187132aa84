"""Commands about data."""

import sys

import click


@click.command()
@click.argument("name", required=False)
def example(name: str | None) -> None:
    """Write an example table as CSV, or list them.

    NAME is breast-cancer, diabetes, digits, iris or wine; without it the examples are listed.
    """
    from lanewise.data.examples import EXAMPLES, write_csv

    if name is not None:
        write_csv(name, sys.stdout)
        return
    widest = max(map(len, EXAMPLES))
    for key, info in EXAMPLES.items():
        click.echo(f"{key:{widest}}  {info.words} (target {info.target})")
