"""What a run cost: counted, not guessed, wherever the system says."""

import subprocess
import sys
from pathlib import Path

import pytest

from lanewise.explain import Solo, Usage, cost, one_at_a_time_seconds, spent, trainings, usage
from lanewise.training.watching.trace import looks

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


def test_a_child_that_has_ended_is_counted():
    before = usage()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    found = spent(before, usage())
    assert found.cpu_seconds >= 0.3
    assert found.seconds > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="living children are read from /proc")
def test_a_child_that_is_alive_is_counted_once():
    before = usage()
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY + "print('done', flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    alive = spent(before, usage()).cpu_seconds
    child.communicate(b"\n")
    ended = spent(before, usage()).cpu_seconds
    assert alive >= 0.28  # the kernel counts in ticks of 10 ms
    assert 0 <= ended - alive < 0.3


GRANDCHILD = f"""
import os
block = bytearray(60_000_000)
block[::4096] = b"x" * len(block[::4096])
for kind in ("ended", "alive"):
    read, write = os.pipe()
    if os.fork() == 0:
        {BUSY.replace(chr(10), chr(10) + " " * 8)}
        os.write(write, b"x")
        if kind == "alive":
            input()
        os._exit(0)
    os.read(read, 1)
    if kind == "ended":
        os.wait()
print("done", flush=True)
os.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="living processes are read from /proc")
def test_what_a_child_has_forked_is_counted_once_with_the_memory_that_they_share():
    before = usage()
    child = subprocess.Popen([sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    (forked,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    own, shared = cost._peak_of(child.pid, forked=False), cost._peak_of(int(forked), forked=True)
    alive = spent(before, usage()).cpu_seconds
    child.communicate(b"\n")
    ended = spent(before, usage()).cpu_seconds
    assert alive >= 0.56  # the kernel counts in ticks of 10 ms
    assert 0 <= ended - alive < 0.3
    assert own > 60_000_000 > 2 * shared


def test_memory_is_at_least_what_was_touched():
    block = bytearray(50_000_000)
    block[::4096] = b"x" * len(block[::4096])
    found = usage().peak_bytes
    assert found is None or found > len(block)


def test_energy_is_estimated_from_busy_cores_without_counters():
    before, after = (Usage(seconds=t, cpu_seconds=2 * t, peak_bytes=None) for t in (0.0, 1800.0))
    found = spent(before, after)
    assert found.energy_wh == pytest.approx(3600 * cost.WATTS_PER_BUSY_CORE / 3600)
    assert found.energy_words == "estimated at 10 W per busy core, processor only"


def test_counters_that_wrapped_are_put_right():
    before = Usage(seconds=0.0, cpu_seconds=0.0, peak_bytes=None, joules=(100.0, 900.0), wraps=(1000.0, 1000.0))
    after = Usage(seconds=9.0, cpu_seconds=9.0, peak_bytes=None, joules=(200.0, 50.0), wraps=(1000.0, 1000.0))
    found = spent(before, after)
    assert found.energy_wh * 3600 == pytest.approx(100 + 150)
    assert "measured" in found.energy_words


def test_packages_are_read_and_their_parts_are_not(tmp_path, monkeypatch):
    for name, joules in (("intel-rapl:0", 5), ("intel-rapl:0:0", 3), ("intel-rapl:1", 7)):
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{joules}000000\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
    monkeypatch.setattr(cost, "POWERCAP", tmp_path)
    assert usage().joules == (5.0, 7.0)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert usage().joules == ()


def test_one_at_a_time_adds_up():
    parts = [Solo(steps=1000, seconds_per_step=0.001), Solo(steps=10, seconds_per_step=0.3)]
    assert one_at_a_time_seconds(parts) == pytest.approx(4.0)
    assert one_at_a_time_seconds(parts, side_by_side=2) == pytest.approx(2.0)
    assert one_at_a_time_seconds([]) == 0.0


def test_trainings_are_the_shares_that_lanes_reached(make):
    a, b = make.candidate("a"), make.candidate("b")
    traces = [
        make.trace(a, [1.0, 0.9], fractions=[1 / 9, 1 / 3]),
        make.trace(a, [1.0], fractions=[1.0], phase="confirm", fold=0),
        make.trace(a, [1.0], fractions=[1.0], phase="confirm", fold=1),
        make.trace(b, [], fate="diverged"),
    ]
    assert trainings(traces) == pytest.approx({"a": 2 + 1 / 3, "b": 0.0})
    assert looks(traces) == {"a": 4, "b": 0}
