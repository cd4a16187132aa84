"""How many cores there are to work on."""

import os
import statistics
import time
from pathlib import Path

LOAD = Path("/proc/loadavg")

MOMENTS, MOMENT_SECONDS = 5, 0.004
"""How often, and how far apart, it is looked at what wants to run."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def idle_cores() -> int:
    """Those of them that others leave to it: by what wants to run now, or in the last minute where that was less.

    What has just ended is no longer there, and one moment tells anything: several are looked at. All, where the system
    does not tell.
    """
    try:
        running = statistics.median(_running() for _ in range(MOMENTS))
        others = min(running - 1, os.getloadavg()[0])
    except (OSError, ValueError, IndexError, AttributeError):
        return cores()
    return max(0, round(cores() * (1.0 - others / (os.cpu_count() or 1))))


def _running() -> int:
    """Threads of the whole machine that run or want to, this one among them."""
    time.sleep(MOMENT_SECONDS)
    return int(LOAD.read_text(encoding="ascii").split()[3].partition("/")[0])
