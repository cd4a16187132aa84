"""bfloat16 is chosen only where the processor has units for it and it is clearly faster."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lanewise.lanes.candidate import Candidate
from lanewise.training.planning import measuring, precision
from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.precision import best_precision, clearly_faster, told

POOL = [Candidate(id="mlp-0", model="mlp", optimizer="adamw", settings={})]


@pytest.mark.parametrize(
    ("told", "has"),
    [
        ("model name\t: x\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni\n", False),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\n", None),
    ],
)
def test_the_processor_tells_whether_it_has_units(
    told: str, has: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(measuring, "CPUINFO", tmp_path / "cpuinfo")
    assert measuring.has_bfloat16_units.__wrapped__() is has


def chosen(monkeypatch: pytest.MonkeyPatch, *, units: bool | None, seconds: dict[torch.dtype, list[float]]) -> str:
    """The precision where trials take these seconds, one turn after the other."""
    builder: Any = Formats(None)
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda: units)
    monkeypatch.setattr(precision, "first_team", lambda own, lanes: own.compute)
    monkeypatch.setattr(precision, "replace", lambda own, compute: Formats(compute))
    monkeypatch.setattr(precision, "trial", lambda compute, units: seconds[compute].pop(0))
    return best_precision(POOL, builder, Allowance(), until=1.0)


class Formats(SimpleNamespace):
    """Stands for a builder: on a processor, with products in the format ``compute``."""

    def __init__(self, compute: torch.dtype | None) -> None:
        super().__init__(compute=compute, dtype=torch.float32, on_gpu=lambda candidate: False)


def test_without_units_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, units=False, seconds={}) == "float32"


def test_one_lucky_turn_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    lucky = {torch.float32: [5.0, 1.0, 1.0, 1.0], torch.bfloat16: [0.7, 2.0, 2.0, 2.0]}
    assert chosen(monkeypatch, units=None, seconds=lucky) == "float32"
    steady = {torch.float32: [2.0, 2.0, 2.0, 2.0], torch.bfloat16: [1.0, 1.0, 5.0, 1.0]}
    assert chosen(monkeypatch, units=True, seconds=steady) == "bfloat16"
    assert not clearly_faster([], [])


def test_a_plan_without_networks_tells_no_precision_of_theirs() -> None:
    plan = Plan(
        candidates=(POOL[0],),
        rungs=(),
        confirm={},
        folds=3,
        seeds=(0,),
        lengths=Lengths(rows_seen=1),
        workers=1,
        costs={},
        precision="bfloat16",
    )
    assert told(plan) is plan
    assert told(replace(plan, candidates=(replace(POOL[0], model="linear"),))).precision == "float32"
