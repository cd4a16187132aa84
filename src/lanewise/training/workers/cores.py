"""How many cores there are to work on."""

import os
from pathlib import Path

LOAD = Path("/proc/loadavg")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def idle_cores() -> int:
    """Those of them that others leave to it, by the mean of what wants to run now and of the last minute.

    All, where the system does not tell.
    """
    try:
        others = int(LOAD.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1
        busy = (others + os.getloadavg()[0]) / 2 / (os.cpu_count() or 1)
    except (OSError, ValueError, IndexError, AttributeError):
        return cores()
    return max(0, round(cores() * (1.0 - busy)))
