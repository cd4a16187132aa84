"""What a run cost: processor time, memory, an estimate of energy, and of the same trainings one at a time.

A race is set beside the same trainings one at a time in processor time: by the clock it would gain from every core
that it uses, which several plain loops side by side would too.
"""

import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lanewise.training.workers.nurseries import NURSERIES

WATTS_PER_BUSY_CORE = 10.0
"""Assumed draw of a fully busy core with its share of the package: desktop and server processors under load draw
some 5 to 15 W for each. Memory, disks, graphics cards and cooling are not in it."""

POWERCAP = Path("/sys/class/powercap")
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What this process and those below it have used so far.

    ``seconds`` of the monotonic clock, ``cpu_seconds`` of processor time; ``peak_bytes`` of memory, None
    where the system does not say. ``joules [packages]`` are the counters of the processor packages with the
    ``wraps`` at which each begins again; empty where they cannot be read.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    joules: tuple[float, ...] = ()
    wraps: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What passed between two looks. ``energy_words`` says how ``energy_wh`` was come by."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int | None
    energy_wh: float
    energy_words: str


@dataclass(frozen=True, kw_only=True)
class Solo:
    """Trainings of one kind as an ordinary loop would run them: how many steps in all, seconds for each."""

    steps: float
    seconds_per_step: float


def usage(*, prepared: bool = True) -> Usage:
    """What has been used up to now; take one before the work and one after it.

    The one before is not ``prepared``: what processes have used that no worker was forked from yet was for that work.

    Processor time is that of this process, of its children and of theirs, ended or alive. The memory is the peak of
    this process plus that of the largest that has ended or, if more, the peaks of those alive: an upper bound, for
    not all peak at once.
    """
    own, ended, peak, peak_ended = _rusage()
    alive, peaks = _living_descendants(without=() if prepared else NURSERIES.unused())
    joules, wraps = _package_joules()
    return Usage(
        seconds=time.monotonic(),
        cpu_seconds=own + ended + alive,
        peak_bytes=None if peak is None else peak + max(peak_ended or 0, NURSERIES.peak_bytes, peaks),
        joules=joules,
        wraps=wraps,
    )


def spent(before: Usage, after: Usage) -> Cost:
    """What was used from ``before`` to ``after``.

    Energy: the counters of the processor packages (RAPL) where they can be read; they count everything that
    the machine does meanwhile. Else processor time at 10 W per busy core.

    >>> one = Usage(seconds=0.0, cpu_seconds=0.0, peak_bytes=None)
    >>> spent(one, Usage(seconds=60.0, cpu_seconds=720.0, peak_bytes=None)).energy_wh
    2.0
    """
    cpu = max(0.0, after.cpu_seconds - before.cpu_seconds)
    if before.joules and len(before.joules) == len(after.joules):
        pairs = zip(before.joules, after.joules, after.wraps, strict=True)
        joules = sum(last - first + (wrap if last < first else 0.0) for first, last, wrap in pairs)
        words = "measured by the processor's own counters, whatever else the machine did included"
    else:
        joules = cpu * WATTS_PER_BUSY_CORE
        words = f"estimated at {WATTS_PER_BUSY_CORE:g} W per busy core, processor only"
    return Cost(
        seconds=after.seconds - before.seconds,
        cpu_seconds=cpu,
        peak_memory_bytes=after.peak_bytes,
        energy_wh=joules / 3600,
        energy_words=words,
    )


def one_at_a_time_seconds(parts: Iterable[Solo], *, side_by_side: int = 1) -> float:
    """Seconds that an ordinary loop over the same trainings would take: ``Σ steps · seconds_per_step / side_by_side``.

    ``seconds_per_step`` must be measured on one model trained alone, with one thread; ``side_by_side`` is how many
    such loops run at once. With one it is processor time as well as time.

    >>> one_at_a_time_seconds([Solo(steps=1000, seconds_per_step=0.001), Solo(steps=50, seconds_per_step=0.02)])
    2.0
    """
    return sum(part.steps * part.seconds_per_step for part in parts) / max(side_by_side, 1)


def counts_living_children() -> bool:
    """Whether :func:`usage` holds the processor time of children that are still alive, which only Linux tells."""
    return (PROC / str(os.getpid()) / "stat").exists()


def _rusage() -> tuple[float, float, int | None, int | None]:
    """Processor seconds of this process and of ended children, and the peak memory of both."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return time.process_time(), 0.0, None, None
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return (
        own.ru_utime + own.ru_stime,
        ended.ru_utime + ended.ru_stime,
        own.ru_maxrss * unit,
        ended.ru_maxrss * unit,
    )


def _living_descendants(without: Collection[int] = ()) -> tuple[float, int]:
    """Processor seconds of living processes below this one (Linux only), and the sum of their peaks in bytes.

    The seconds of processes that these have waited for are among theirs.
    """
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold spaces and brackets itself.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            used[int(stat.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):  # it ended meanwhile
            continue
    own = os.getpid()
    below = [process for process in used if process not in without and _is_below(process, own, parents)]
    return sum(used[one] for one in below), sum(_peak_of(one, forked=parents[one] != own) for one in below)


def _is_below(process: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while process in parents and parents[process] != ancestor:
        process = parents[process]
    return process in parents


def _peak_of(process: int, *, forked: bool) -> int:
    """Peak memory in bytes; of one that was ``forked`` from a child of ours without what it still shares with that."""
    peak = _kilobytes(process, "status", "VmHWM:")
    return 1024 * (peak - min(peak, _kilobytes(process, "smaps_rollup", "Shared_Dirty:") if forked else 0))


def _kilobytes(process: int, file: str, name: str) -> int:
    try:
        lines = (PROC / str(process) / file).read_text(encoding="utf-8", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
    except (OSError, IndexError, ValueError, StopIteration):  # it ended meanwhile, or the system does not say
        return 0


def _package_joules() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Energy counters of the processor packages and where each wraps; both empty unless all can be read."""
    joules, wraps = [], []
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue  # a part of a package, counted with it
        try:
            joules.append(int((zone / "energy_uj").read_text(encoding="ascii")) / 1e6)
            wraps.append(int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6)
        except (OSError, ValueError):  # since 2020 only root may read them on most systems
            return (), ()
    return tuple(joules), tuple(wraps)
