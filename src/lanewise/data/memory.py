"""How much memory there is, and how much of it this process can still take."""

import math
import os
from pathlib import Path

_FALLBACK_MEMORY = 8 * 2**30
_GROUPS = Path("/proc/self/cgroup")
_GROUP_ROOTS = {"": Path("/sys/fs/cgroup"), "memory": Path("/sys/fs/cgroup/memory")}
_GROUP_LIMITS = {"": "memory.max", "memory": "memory.limit_in_bytes"}


def memory_bytes() -> int:
    """Memory of this machine, or of the container that it runs in if that is less, in bytes."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = _FALLBACK_MEMORY
    return int(min(total, *(_number(folder / name) for folder, name in _groups())))


def free_bytes() -> int:
    """Memory that this process can still take, in bytes: what the machine, its container and its limits leave."""
    held = _status("VmRSS")
    # Other processes of a group, such as workers, count together with this one.
    limits = [_number(folder / name) - max(held, _used(folder)) for folder, name in _groups()]
    return max(0, int(min(_available(), memory_bytes() - held, *limits, *_own_limits())))


def _number(path: Path) -> float:
    try:
        return float(path.read_text(encoding="ascii").replace("max", "inf"))
    except (OSError, ValueError):
        return math.inf


def _groups() -> list[tuple[Path, str]]:
    """The control groups, versions 1 and 2, that this process is in, outer ones too, and the names of their limits."""
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = [(_GROUP_ROOTS[""], _GROUP_LIMITS[""])]  # of a container that does not tell its group
    for line in lines:
        _, kinds, path = line.split(":", 2)
        for kind in kinds.split(","):
            if kind in _GROUP_ROOTS:
                inner = Path(path.lstrip("/"))
                found += [(_GROUP_ROOTS[kind] / part, _GROUP_LIMITS[kind]) for part in (inner, *inner.parents)]
    return list(dict.fromkeys(found))


def _used(folder: Path) -> float:
    """Memory that the processes of a control group hold, in bytes, without pages of files; 0 where it is not told."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        sizes = {name: float(size) for name, size in (line.split() for line in lines)}
    except (OSError, ValueError):
        return 0.0
    # Version 1 tells what its inner groups hold by names of their own.
    own = "anon" if "anon" in sizes else "total_rss"
    return sizes.get(own, 0.0) + sizes.get("shmem" if own == "anon" else "total_shmem", 0.0)


def _available() -> float:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return math.inf


def _status(name: str) -> float:
    """A size of this process in bytes; 0 where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return 0.0


def _own_limits() -> list[float]:
    """What is left of the limits that were set for this process (``ulimit -d``, ``ulimit -v``)."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return []
    found = []
    for kind, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            found.append(limit - _status(name))
    return found
