"""What a run cost: processor time, memory, an estimate of energy, and of the same trainings one at a time.

A race is set beside the same trainings one at a time in processor time: by the clock it would gain from every core
that it uses, which several plain loops side by side would too.
"""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WATTS_PER_BUSY_CORE = 10.0
"""Assumed draw of a fully busy core with its share of the package: desktop and server processors under load draw
some 5 to 15 W for each. Memory, disks, graphics cards and cooling are not in it."""

POWERCAP = Path("/sys/class/powercap")
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What this process and its children have used so far.

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


def usage() -> Usage:
    """What has been used up to now; take one before the work and one after it.

    Processor time is that of this process and of all children, ended or alive. The memory is the peak of this
    process plus the largest child's that has ended or, if more, the peaks of those alive: an upper bound, for
    not all peak at once.
    """
    own, ended, peak, peak_ended = _rusage()
    alive, peaks = _living_children()
    joules, wraps = _package_joules()
    return Usage(
        seconds=time.monotonic(),
        cpu_seconds=own + ended + alive,
        peak_bytes=None if peak is None else peak + max(peak_ended or 0, peaks),
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


def _living_children() -> tuple[float, int]:
    """Processor seconds of the children that are alive (Linux only), and the sum of their peaks in bytes."""
    seconds, peaks, mine = 0.0, 0, str(os.getpid()).encode()
    for process in os.listdir(PROC) if PROC.is_dir() else ():
        if not process.isdigit():
            continue
        try:
            # The name, in brackets, may hold spaces and brackets itself.
            fields = _content(f"{PROC}/{process}/stat").rpartition(b")")[2].split()
            if fields[1] != mine:
                continue
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            status = _content(f"{PROC}/{process}/status")
        except (OSError, IndexError, ValueError):  # it ended meanwhile
            continue
        kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith(b"VmHWM:")]
        peaks += 1024 * int(kilobytes[0]) if kilobytes else 0
    return seconds, peaks


def _content(path: str) -> bytes:
    """A file that the kernel makes up: hundreds of them are read, with nothing around the calls of the system."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)


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
