"""Commands about this machine."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(*, as_json: bool) -> None:
    """Measure this machine and say what Lanewise would choose on it."""
    from lanewise.training.measuring import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps({"schema_version": 1, **findings.to_json()}, indent=2))
    else:
        click.echo(findings.words())
