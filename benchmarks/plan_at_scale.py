"""What the cost model proposes for three large jobs on 1 to 4,096 GPUs, as the tables of docs/scaling.md.

Nothing is trained. The figures of the hardware are published ones, those of small stacks were measured on one GPU
(benchmarks/results.md); each is named below. ``--write`` puts the tables into docs/scaling.md, between their marks.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from lanewise.distributed.cost import Hardware, Workload, predict
from lanewise.distributed.link import Link
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.proposing import propose
from lanewise.distributed.stated_work import RACE, propose_for_one_model
from lanewise.errors import UsageError

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
MARKS = "<!-- plan_at_scale.py -->", "<!-- end of plan_at_scale.py -->"
GPUS = (1, 8, 64, 512, 4_096)

# NVIDIA's data sheet of the H100 SXM, dense: bfloat16, memory of 80 GB, NVLink one way; a 400 Gb/s adapter each.
PEAK, MEMORY, HBM, NVLINK, ADAPTER = 989e12, 80e9, 3.35e12, 450e9, 50e9
# Assumed: of the peak in large products, of memory that is not lost to fragments, of bandwidths.
REACHED, USABLE, MOVED = 0.5, 0.9, 0.8
H100 = Hardware(
    flops=REACHED * PEAK,
    memory=USABLE * MEMORY,
    memory_speed=MOVED * HBM,
    near=Link(alpha=5e-6, beta=MOVED * NVLINK),
    far=Link(alpha=10e-6, beta=MOVED * ADAPTER),
    per_host=8,
    overlap=True,
    read=1e9,
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Steps of a lane a second on one H100, by the lanes in one stack (benchmarks/results.md)."""

    name: str
    work: Workload
    lane_steps: dict[int, float]

    def hardware(self) -> Hardware:
        """Start and rate by the smallest and the largest stack; the others check them."""
        few, many = min(self.lane_steps), max(self.lane_steps)
        short, long = few / self.lane_steps[few], many / self.lane_steps[many]
        a_lane = (long - short) / (many - few)
        return replace(H100, start=short - few * a_lane, flops=self.work.flops / a_lane)


SMALL = Measured(
    name="mlp 30-64-64-2",
    work=Workload(parameters=6_274, batch=128, layers=3, width=64, activation_bytes=512),
    lane_steps={1: 4_200, 8: 35_000, 64: 243_000, 320: 717_000},
)
LARGER = Measured(
    name="mlp 100-256-256-10",
    work=Workload(parameters=94_218, batch=256, layers=3, width=256, activation_bytes=2_048),
    lane_steps={1: 3_900, 8: 26_000, 64: 81_000, 320: 95_000},
)
SEVEN = Workload(  # bfloat16 weights; gradients, master weights and both moments of AdamW in float32
    parameters=6_740_000_000,
    batch=2**22,
    layers=32,
    width=4_096,
    heads=32,
    weight_bytes=2.0,
    gradient_bytes=4.0,
    state_bytes=12.0,
    activation_bytes=34 * 4_096,
    unit=4_096,
)


@dataclass(frozen=True, kw_only=True)
class Job:
    title: str
    work: Workload
    hardware: Hardware
    steps: float


JOBS = (
    Job(
        title="A million lanes of 6,274 parameters (mlp 30-64-64-2), 10,000 steps of 128 rows each",
        work=replace(SMALL.work, lanes=1_000_000),
        hardware=SMALL.hardware(),
        steps=10_000,
    ),
    Job(
        title="One model of 7 B parameters, 2 trillion tokens in steps of 4 Mi tokens",
        work=SEVEN,
        hardware=H100,
        steps=2e12 / SEVEN.batch,
    ),
    Job(
        title="64 lanes of 94,218 parameters (mlp 100-256-256-10), a table of 10 TB read once, steps of 65,536 rows",
        work=replace(LARGER.work, batch=65_536, lanes=64, row_bytes=400.0),
        hardware=LARGER.hardware(),
        steps=10e12 / 400 / 65_536,
    ),
)  # fmt: skip


def table(job: Job) -> list[str]:
    """A row for each number of GPUs."""
    lines = [
        f"**{job.title}**",
        "",
        "| GPUs | mesh | parts | memory a GPU | step of all lanes | exchange, idle | reading | whole job | GPU hours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for size in GPUS:
        try:
            # Of the meshes that a race, and lanewise.train, can be run on.
            if job.work.lanes > 1:
                found = propose(job.work, job.hardware, size, axes=RACE)
            else:
                found = propose_for_one_model(job.work, job.hardware, size)
        except UsageError as error:
            lines.append(f"| {size:,} | {str(error).partition(', even')[0]} | | | | | | | |")
            continue
        cost = found.cost
        told = cost.tensor + cost.shard + cost.pipeline + cost.data
        late = max(0.0, cost.seconds - (told + cost.compute + cost.start))
        whole = job.steps * cost.seconds
        shares = " | ".join(f"{100 * part / cost.seconds:.0f}%" for part in (told, late))
        lines.append(
            f"| {size:,} | {found.mesh if size > 1 else 'one GPU'} | {found.microbatches} | {cost.memory / 1e9:.1f} GB "
            f"| {duration(cost.seconds)} | {shares} | {duration(whole)} | {whole * size / 3600:,.0f} |"
        )
    return lines


def checks() -> list[str]:
    """The model of small stacks, at the sizes that it was not fitted to."""
    lines = ["| network | lanes | measured lane steps a second | predicted |", "|---|---|---|---|"]
    for known in (SMALL, LARGER):
        for lanes in sorted(known.lane_steps)[1:-1]:
            cost = predict(replace(known.work, lanes=lanes), Mesh(), known.hardware())
            measured, predicted = known.lane_steps[lanes], lanes / cost.seconds
            lines.append(
                f"| {known.name} | {lanes} | {measured:,.0f} | {predicted:,.0f} ({predicted / measured - 1:+.0%}) |"
            )
    return lines


def duration(seconds: float) -> str:
    for unit, size in (("years", 365.25 * 86_400), ("days", 86_400), ("h", 3_600), ("s", 1)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def text() -> str:
    parts = [checks(), *map(table, JOBS)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    if not parser.parse_args().write:
        print(text())
        return 0
    page = PAGE.read_text(encoding="utf-8")
    before, mark, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (mark and end):
        print(f"{PAGE} has no marks {MARKS[0]} and {MARKS[1]}", file=sys.stderr)
        return 2
    PAGE.write_text(f"{before}{mark}\n\n{text()}\n\n{end}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
