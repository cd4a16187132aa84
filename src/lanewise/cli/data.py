"""Commands about data."""

import sys

import click


@click.command()
@click.argument("name")
def example(name: str) -> None:
    """Write an example data set as CSV: breast-cancer, digits, diabetes, wine or iris."""
    from lanewise.data.examples import write_csv

    write_csv(name, sys.stdout)
