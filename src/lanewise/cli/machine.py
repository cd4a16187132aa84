"""Commands about this machine."""

import sys

import click

from lanewise.distributed.place import place_of
from lanewise.errors import UsageError

RANKS = 2
"""Processes that are started where no launcher has started some."""


@click.command()
@click.option(
    "--mesh",
    "asked",
    is_flag=False,
    flag_value="",
    metavar="[AXIS=N]",
    help="Measure what ranks tell each other, and steps on the meshes they can form, beside what is predicted.",
)
@click.option(
    "--work",
    metavar="NAME=N,...",
    help="With --mesh: propose a mesh for this work, such as parameters=1e6,batch=256,lanes=64,rows=1e7.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(*, asked: str | None, work: str | None, as_json: bool) -> None:
    """Measure this machine.

    With --mesh two processes are started, or those are used that torchrun has started; --mesh data=2 measures this
    mesh only.
    """
    if asked is not None:
        _mesh(asked, work, as_json=as_json)
        return
    if work is not None:
        message = "--work proposes a mesh by what ranks reach, which lanewise doctor --mesh measures; add --mesh"
        raise UsageError(message)
    if place_of().size > 1:
        message = (
            "doctor measures a machine in one process; what ranks reach under torchrun says: lanewise doctor --mesh"
        )
        raise UsageError(message)
    from lanewise.cli.screen import print_document
    from lanewise.training.planning.measuring import examine

    findings = examine()
    if as_json:
        print_document({"schema_version": 1, **findings.to_json()})
    else:
        click.echo(findings.words())


def _mesh(text: str, work: str | None, *, as_json: bool) -> None:
    """Measure ranks: those of the launcher, or some of this host's own."""
    from lanewise.distributed.mesh import Mesh
    from lanewise.distributed.stated_work import StatedWork

    place = place_of()
    mesh = Mesh.parse(text, instead=()).resolve(place.size if place.size > 1 else RANKS) if text else None
    stated = None if work is None else StatedWork.parse(work)
    if place.size == 1:
        from lanewise.distributed.local import run_ranks

        given = [*(["--json"] if as_json else []), *([] if work is None else [f"--work={work}"])]
        sys.exit(run_ranks(["doctor", f"--mesh={text}", *given], RANKS))
    from lanewise.cli.screen import print_document
    from lanewise.distributed.joining import joined
    from lanewise.training.planning.mesh_measuring import examine_mesh

    with joined() as ranks:
        findings = examine_mesh(ranks, mesh, stated)
    if not place.leads:
        return
    if as_json:
        print_document({"schema_version": 1, **findings.to_json()})
    else:
        click.echo(findings.words())
