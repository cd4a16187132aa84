"""Which of how many processes this one is, as the launcher says. It loads nothing: every command asks."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lanewise.errors import CutOffError, LeaderLostError, UnreachableError, UsageError

JOB_VARIABLE = "LANEWISE_JOB"
TIMEOUT_VARIABLE = "LANEWISE_RANK_TIMEOUT"
USUAL_TIMEOUT = 600.0

HEARD_SECONDS = 3.0
"""How long a rank that has failed stays: a launcher ends the others as soon as one has left, and one of them, which may
have been started later, speaks."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process among the ``size`` of its job.

    ``local_rank`` of ``local_size`` counts on this host. ``job`` names the job over restarts of its processes, and
    ``again`` says that it may have been begun before. ``timeout`` is after how many seconds without a sign of life a
    rank counts as stuck.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    job: str = ""
    again: bool = False
    timeout: float = USUAL_TIMEOUT

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all: it alone prints, and writes to the run store."""
        return self.rank == 0

    @property
    def one_host(self) -> bool:
        return self.local_size == self.size


def place_of(environment: Mapping[str, str] = os.environ) -> Place:
    """The place that torchrun's variables name; alone where there are none.

    Raises ``UsageError`` where they contradict each other.

    >>> place_of({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).one_host
    False
    >>> place_of({}).size
    1
    """
    job, named = environment.get(JOB_VARIABLE, ""), JOB_VARIABLE in environment
    timeout = _timeout(environment)
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return Place(job=job, again=named, timeout=timeout)
    rank, size = _number("RANK", environment), _number("WORLD_SIZE", environment)
    local_rank = _number("LOCAL_RANK", environment) if "LOCAL_RANK" in environment else rank
    local_size = _number("LOCAL_WORLD_SIZE", environment) if "LOCAL_WORLD_SIZE" in environment else size
    if not (0 <= rank < size and 0 <= local_rank < local_size <= size):
        message = (
            f"RANK {rank} of WORLD_SIZE {size} (LOCAL_RANK {local_rank} of LOCAL_WORLD_SIZE {local_size}) is no place "
            "in a job; start all processes with torchrun, which sets these variables"
        )
        raise UsageError(message)
    return Place(
        rank=rank,
        size=size,
        local_rank=local_rank,
        local_size=local_size,
        job=job or _job(environment),
        again=named or environment.get("TORCHELASTIC_RESTART_COUNT", "0") != "0",
        timeout=timeout,
    )


def leads(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process prints for all; a place that is malformed is told by everyone.

    >>> leads({"RANK": "1", "WORLD_SIZE": "2"}), leads({"RANK": "x", "WORLD_SIZE": "2"})
    (False, True)
    """
    try:
        return place_of(environment).leads
    except UsageError:
        return True


def speaks(error: BaseException | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process says what all ranks fail with; of what each host finds for itself, one of each does.

    >>> speaks(LeaderLostError("rank 0 is silent"), {"RANK": "1", "WORLD_SIZE": "2"})
    True
    """
    if leads(environment):
        return True
    place = place_of(environment)
    if isinstance(error, LeaderLostError) and place.rank == 1:
        return True
    return place.local_rank == 0 and isinstance(error, UnreachableError | CutOffError)


def _number(name: str, environment: Mapping[str, str]) -> int:
    text = environment[name]
    if not text.isdecimal() or len(text) > 9:
        message = f"{name} must be a whole number, got {text!r}; start all processes with torchrun, which sets it"
        raise UsageError(message)
    return int(text)


def _timeout(environment: Mapping[str, str]) -> float:
    text = environment.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else USUAL_TIMEOUT
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 1e6:
        message = f"{TIMEOUT_VARIABLE} must be from 1 to 1000000 seconds, got {text!r}"
        raise UsageError(message)
    return seconds


def _job(environment: Mapping[str, str]) -> str:
    """A name that outlives restarts: the launcher's own, else that of the launcher's process."""
    import socket

    given = environment.get("TORCHELASTIC_RUN_ID", "")
    return given if given not in ("", "none") else f"{socket.gethostname()}-{launcher()}"


def launcher() -> str:
    """The process that started this one; with the time of its start where the system tells, for numbers come again."""
    parent = os.getppid()
    try:
        stat = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{parent}-{stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return str(parent)
