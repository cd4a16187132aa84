"""``lanewise launch``: a job file for a cluster."""

from pathlib import Path

import click

from lanewise.cli.paths import check_output
from lanewise.distributed.slurm import Job, job_file
from lanewise.errors import UsageError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--slurm", is_flag=True, help="A job file for Slurm; there is no other kind yet.")
@click.option("--nodes", type=int, default=1, show_default=True, metavar="N", help="Hosts.")
@click.option("--ranks", type=int, default=1, show_default=True, metavar="N", help="Processes on each host.")
@click.option("--cores", type=int, default=1, show_default=True, metavar="N", help="Cores of each process.")
@click.option(
    "--time",
    default="4:00:00",
    show_default=True,
    metavar="TIME",
    help="The longest that the job may take, as Slurm reads it.",
)
@click.option("--name", default="lanewise", show_default=True, metavar="NAME", help="Name of the job.")
@click.option("--partition", default="", metavar="NAME", help="Partition to run in.  [default: the cluster's]")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here, not to standard output.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def launch(
    *,
    slurm: bool,
    nodes: int,
    ranks: int,
    cores: int,
    time: str,
    name: str,
    partition: str,
    output: Path | None,
    command: tuple[str, ...],
) -> None:
    """Write a job file that runs COMMAND on a cluster.

    COMMAND is fit, tune or resume with its options, after '--'. A job that is preempted or reaches its time writes a
    checkpoint, goes back into the queue, and goes on where it was.
    """
    if not slurm:
        message = "say for which cluster: lanewise launch --slurm -- fit TABLE --target COLUMN"
        raise UsageError(message)
    job = Job(command=command, nodes=nodes, ranks=ranks, cores=cores, time=time, name=name, partition=partition)
    text = job_file(job)
    if output is None:
        click.echo(text, nl=False)
        return
    check_output(output)
    from lanewise.storage.durable import write_atomically

    write_atomically(output, text.encode(), private=False)
