"""Commands about this machine."""

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(*, as_json: bool) -> None:
    """Measure this machine."""
    from lanewise.cli.screen import print_document
    from lanewise.training.planning.measuring import examine

    findings = examine()
    if as_json:
        print_document({"schema_version": 1, **findings.to_json()})
    else:
        click.echo(findings.words())
