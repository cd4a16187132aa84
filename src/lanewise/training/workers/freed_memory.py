"""Memory that a step gives back and the next one wants again: glibc is told to keep it."""

import ctypes
from collections.abc import Mapping
from typing import Final

MMAP_THRESHOLD = 32 * 2**20
"""Bytes from which a block is asked of the kernel by itself, and given back to it."""

TRIM_THRESHOLD = 2**30
"""Bytes at the end of the heap that may lie idle."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD),
    "MALLOC_TRIM_THRESHOLD_": str(TRIM_THRESHOLD),
}
"""What a process that is launched is told; systems without glibc do not read it."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> None:
    """The same for this process, which runs already, as a forked one does; nothing where there is no glibc.

    To bring memory in anew, page by page, took 3% to 10% of the time of a step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)
