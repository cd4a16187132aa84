"""When this process was started: the seconds that a command takes to be loaded belong to its budget too."""

import os
import time
from pathlib import Path

LOADED = time.monotonic()
"""When this module was loaded, for systems that do not tell when a process was started."""

_START_TIME = 19
"""Place of the start among the fields of ``/proc/self/stat`` behind the name of the command, in ticks since boot."""


def process_started() -> float:
    """The time of ``time.monotonic`` at which this process was started, to a hundredth of a second.

    >>> 0 <= time.monotonic() - process_started() < 86400 * 365
    True
    """
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return LOADED
    return min(LOADED, time.monotonic() - max(age, 0.0))
