"""The memory that is free: what the control groups of a process leave, others in them counted."""

from pathlib import Path

import pytest

from lanewise.data import memory

MB = 10**6


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose control groups lie in a folder; this process holds 100 MB of 8 GB, and has no limits."""
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_GROUP_ROOTS", {"": tmp_path, "memory": tmp_path / "memory"})
    monkeypatch.setattr(memory, "_available", lambda: 8_000.0 * MB)
    monkeypatch.setattr(memory, "_status", lambda name: 100.0 * MB)
    monkeypatch.setattr(memory, "_own_limits", list)
    return tmp_path


def group(folder: Path, limit: str, **stat: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if "memory" in folder.parts else "memory.max")).write_text(f"{limit}\n")
    (folder / "memory.stat").write_text("".join(f"{name} {size}\n" for name, size in stat.items()))


def test_a_limit_of_an_outer_group_holds(groups: Path) -> None:
    (groups / "groups").write_text("0::/slice/service\n")
    group(groups / "slice", f"{700 * MB}")
    group(groups / "slice" / "service", "max")
    assert memory.memory_bytes() == 700 * MB
    assert memory.free_bytes() == 600 * MB


def test_the_root_of_a_container_counts_where_its_group_is_not_seen(groups: Path) -> None:
    (groups / "groups").write_text("4:memory:/docker/0123\n0::/\n")
    group(groups / "memory", f"{700 * MB}")
    assert memory.memory_bytes() == 700 * MB


@pytest.mark.parametrize(
    ("line", "place", "stat"),
    [
        ("0::/job", "job", {"anon": 350 * MB, "file": 4_000 * MB, "shmem": 50 * MB}),
        ("4:memory:/job", "memory/job", {"rss": 1, "total_rss": 350 * MB, "cache": 4_000 * MB, "total_shmem": 50 * MB}),
    ],
)
def test_workers_count_together_and_pages_of_files_do_not(
    groups: Path, line: str, place: str, stat: dict[str, int]
) -> None:
    (groups / "groups").write_text(f"{line}\n")
    group(groups / place, f"{700 * MB}", **stat)
    assert memory.free_bytes() == 300 * MB


def test_without_groups_the_machine_counts(groups: Path) -> None:
    assert memory.free_bytes() == min(8_000 * MB, memory.memory_bytes() - 100 * MB)
