"""The job file: bash reads it, and a signal makes a checkpoint and puts the job back into the queue."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lanewise.distributed.slurm import Job, job_file
from lanewise.errors import UsageError

TUNE = ("tune", "my model.py:make_model", "--data", "my model.py:data")
FIT = ("fit", "a table.csv", "--target", "y", "--drop", "it's,$HOME")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="job files are for bash")


def stub(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def run(folder: Path, job: Job, *, late: str = "") -> "subprocess.Popen[str]":
    """Start the job file among stand-ins for Slurm, which write down how they are called.

    ``late`` is what the shell does before it looks at the ranks for the first time.
    """
    stub(folder, "srun", f'echo "$SRUN_CPUS_PER_TASK" > {folder}/cores; exec "$@"')
    stub(folder, "scontrol", f'if [ "$1" = show ]; then printf "alpha\\nbeta\\n"; else echo "$@" >> {folder}/queue; fi')
    stub(
        folder,
        "torchrun",
        f'printf "%s\\n" "$@" > {folder}/arguments; echo "$LANEWISE_JOB" > {folder}/job\n'
        f"trap 'echo saved > {folder}/saved; exit 130' TERM\n"
        f"touch {folder}/started\n"
        f'if [ -e {folder}/quick ]; then exit "$(cat {folder}/quick)"; fi\n'
        "while :; do sleep 0.05; done",
    )
    (folder / "job.sh").write_text(job_file(job).replace("ranks=$!\n", f"ranks=$!\n{late}\n"))
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "x"}
    variables["SLURM_CPUS_PER_TASK"] = str(job.ranks * job.cores)
    return subprocess.Popen(["bash", str(folder / "job.sh")], env={**os.environ, **variables}, text=True)


def wait_for(path: Path) -> None:
    for _ in range(400):
        if path.exists():
            return
        time.sleep(0.02)
    raise TimeoutError(path)


@pytest.mark.parametrize(("nodes", "command"), [(1, FIT), (3, FIT), (1, TUNE)])
def test_bash_reads_the_file_and_the_command_arrives_as_it_was_given(
    tmp_path: Path, nodes: int, command: tuple[str, ...]
) -> None:
    (tmp_path / "quick").write_text("0")
    assert run(tmp_path, Job(command=command, nodes=nodes, ranks=2)).wait(20) == 0
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[-len(command) :] == list(command)
    assert arguments[-len(command) - 2 : -len(command)] == ["-m", "lanewise"]
    assert ("--standalone" in arguments) == (nodes == 1)
    assert ("alpha:29542" in arguments) == (nodes == 3)
    assert (tmp_path / "job").read_text() == "slurm-42\n"
    assert not (tmp_path / "queue").exists()


def test_ranks_have_all_the_cores_that_the_job_asked_for(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("0")
    job = Job(command=FIT, ranks=4, cores=2)
    assert run(tmp_path, job).wait(20) == 0
    assert (tmp_path / "cores").read_text() == "8\n"


def test_a_preempted_job_saves_and_goes_back_into_the_queue(tmp_path: Path) -> None:
    job = run(tmp_path, Job(command=FIT))
    wait_for(tmp_path / "started")
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 130
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "queue").read_text() == "requeue 42\n"


def test_a_job_that_fails_does_not_go_back_into_the_queue(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("3")
    assert run(tmp_path, Job(command=FIT)).wait(20) == 3
    assert not (tmp_path / "queue").exists()


def test_ranks_that_ended_before_anybody_looked_are_told_by_their_code(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("3")
    job = run(tmp_path, Job(command=FIT), late='while kill -0 "$ranks"; do sleep 0.02; done')
    assert job.wait(20) == 3


def test_ranks_that_end_while_a_signal_is_handled_are_told_by_their_code(tmp_path: Path) -> None:
    ends = 'kill -TERM "$ranks"; while kill -0 "$ranks" 2>/dev/null; do sleep 0.02; done'
    job = run(tmp_path, Job(command=FIT), late=f"hand_on() {{ preempted=1; {ends}; }}")
    wait_for(tmp_path / "started")
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 130


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"command": ()}, "a job runs fit, tune or resume, got nothing"),
        ({"command": ("predict", "last")}, "a job runs fit, tune or resume, got predict"),
        ({"command": FIT, "nodes": 0}, "nodes must be at least 1, got 0"),
        ({"command": FIT, "time": "soon"}, "time must be as Slurm reads it, such as 90, 4:00:00 or 1-12, got 'soon'"),
        ({"command": FIT, "name": "a\n#SBATCH --x"}, "name must be letters"),
    ],
)
def test_what_is_no_job(wrong: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        job_file(Job(**wrong))
