"""A job file for Slurm that starts ranks, and goes on where a preempted job left off."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.errors import UsageError

WARNING_SECONDS = 120
"""How long before its end a job is told, to write a last checkpoint."""

FIRST_PORT, PORTS = 29500, 1000
"""Jobs that share a host meet at ports of their own: that of a job follows from its number."""

RUNS = ("fit", "tune", "resume")
"""The commands whose runs ranks share, and that a job put back into the queue goes on with."""

_TIME = re.compile(r"(?:\d+-\d{1,2}(?::\d{2}){0,2})|\d+(?::\d{2}){0,2}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job asks of Slurm; ``time`` as Slurm reads it: minutes, ``hours:minutes:seconds``, ``days-hours``."""

    command: Sequence[str]
    nodes: int = 1
    ranks: int = 1
    cores: int = 1
    time: str = "4:00:00"
    name: str = "lanewise"
    partition: str = ""


def job_file(job: Job) -> str:
    """The text of a job file; raises ``UsageError`` where the job cannot be run.

    Slurm sends a signal before it takes the job away. The file hands it on to the ranks, which write a checkpoint,
    and puts the job back into the queue; started again, it goes on with the run that it began.

    >>> text = job_file(Job(command=["fit", "big table.parquet", "--target", "y"], ranks=4, cores=8))
    >>> [line for line in text.splitlines() if line.startswith("#SBATCH --cpus")]
    ['#SBATCH --cpus-per-task=32']
    """
    _check(job)
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={job.name}",
        *([f"#SBATCH --partition={job.partition}"] if job.partition else []),
        f"#SBATCH --nodes={job.nodes}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --cpus-per-task={job.ranks * job.cores}",
        f"#SBATCH --time={job.time}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --signal=B:USR1@{WARNING_SECONDS}",
        "",
        "# A run is found again by the name of its job: put back into the queue, it goes on.",
        'export LANEWISE_JOB="slurm-$SLURM_JOB_ID"',
        "# Without this, torchrun may hang when it restarts a rank that was killed.",
        "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",
        f"export OMP_NUM_THREADS={job.cores}",
        "# srun gives a step one core unless it is told: it does not read what was asked of sbatch.",
        'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
        "",
        "preempted=",
        'hand_on() { preempted=1; kill -TERM "$ranks" 2>/dev/null; }',
        "trap hand_on USR1 TERM",
        "",
        *_rendezvous(job),
        "ranks=$!",
        "",
        "# A signal ends a wait early: wait until the ranks are gone, and then once more, for their code.",
        'while kill -0 "$ranks" 2>/dev/null; do wait "$ranks"; done',
        'wait "$ranks"; code=$?',
        'if [ -n "$preempted" ] && [ "$code" -ne 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def _rendezvous(job: Job) -> list[str]:
    command = shlex.join(job.command)
    workers = f"--nproc-per-node {job.ranks} --max-restarts 3 -m lanewise {command} &"
    if job.nodes == 1:
        return [f"srun torchrun --standalone {workers}"]
    return [
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        f"port=$(({FIRST_PORT} + SLURM_JOB_ID % {PORTS}))",
        f'srun torchrun --nnodes {job.nodes} --rdzv-backend c10d --rdzv-endpoint "$head:$port" '
        f'--rdzv-id "$SLURM_JOB_ID" {workers}',
    ]


def _check(job: Job) -> None:
    for name in ("nodes", "ranks", "cores"):
        if getattr(job, name) < 1:
            message = f"{name} must be at least 1, got {getattr(job, name)}"
            raise UsageError(message)
    if not _TIME.fullmatch(job.time):
        message = f"time must be as Slurm reads it, such as 90, 4:00:00 or 1-12, got {job.time!r}"
        raise UsageError(message)
    for name in ("name", "partition"):
        text = getattr(job, name)
        if text and not _NAME.fullmatch(text):
            message = f"{name} must be letters, digits, '.', '_' and '-', got {text!r}"
            raise UsageError(message)
    if not job.command or job.command[0] not in RUNS:
        given = job.command[0] if job.command else "nothing"
        message = (
            f"a job runs {', '.join(RUNS[:-1])} or {RUNS[-1]}, got {given}; say: lanewise launch --slurm -- fit TABLE "
            "--target COLUMN"
        )
        raise UsageError(message)
