"""Lanes run compiled code where that was measured to be faster, and the budget has time for a compiler."""

import errno
import itertools
import os
import re
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import lanewise
from lanewise.errors import Interrupted
from lanewise.models import compiled as compiler
from lanewise.runs.store import RunStore
from lanewise.training.modules import seats
from lanewise.training.modules.teams import ModuleTeams, Way
from lanewise.training.watching.pulse import Pulse
from lanewise.training.workers.forked_child import ForkedChild
from lanewise.tuning import compiling, planning, tune
from lanewise.tuning.compiling import compiled_where_faster
from lanewise.tuning.lane_alone import train_alone
from lanewise.tuning.posing import with_ways
from lanewise.tuning.tune import asked

X = torch.randn(96, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
RATES = [{"optimizer": "sgd", "lr": 0.01 * (1 + place)} for place in range(4)]
GIVEN: dict[str, Any] = {
    "train": (X, Y),
    "valid": 0.25,
    "loss": nn.CrossEntropyLoss(),
    "candidates": RATES,
    "policy": "never",
    "batch_size": 16,
    "workers": 2,
}
SECONDS = 2000.0


class Deciding(nn.Module):
    """Lanes that cannot be stacked; compiled its outputs are larger by the share ``told``, by which it can be told."""

    def __init__(self, told: float = 1e-5) -> None:
        super().__init__()
        self.inner, self.told = nn.Linear(12, 2), told

    def forward(self, rows: Tensor) -> Tensor:
        out = self.inner(rows)
        if torch.compiler.is_compiling():
            return out * (1 + self.told)
        return out if out.sum().item() > -1e9 else 2 * out


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Rows that are drawn anew, and so read batch by batch."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return X[at] + 0.05 * torch.randn(12), Y[at]


def stackable() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 2))


def convolving() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 12)), nn.Conv1d(1, 4, 6), nn.Conv1d(4, 2, 7), nn.Flatten())


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(12, 2, batch_first=True)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows.unsqueeze(1))[0][:, -1]


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """A compiler that takes no time, torch's without the last step to machine code, in a process that may fork."""
    monkeypatch.setattr(compiler, "BACKEND", "aot_eager")
    monkeypatch.setattr(compiler, "OPTIONS", {})
    for module in (compiling, seats):  # also where a test has loaded JAX, which waits idle
        monkeypatch.setattr(module, "can_fork", lambda: True)


@pytest.fixture
def clock(monkeypatch):
    """A machine on which a step of a lane takes so long as it is run, alone, and compiled."""

    def says(*, usual: float, alone: float, compiled: float) -> None:
        def per_lane(teams: ModuleTeams, *, ways: Sequence[Way], candidates: object, seconds: float) -> list[float]:
            took = [compiled if way.compiled else usual if way in teams.ways.values() else alone for way in ways]
            return took if 10 * sum(took) < seconds else []

        monkeypatch.setattr(compiling, "per_lane", per_lane)

    return says


def tried(make=Deciding, *, seconds: float = SECONDS, batches=(0,), **given: Any) -> tuple[ModuleTeams, list[str]]:
    """The teams as the plan has them, and what it says of what is not compiled."""
    rates = [rate | ({"batch_size": batch} if batch else {}) for rate in RATES for batch in batches]
    posed = asked(make, budget="10s", **(GIVEN | {"candidates": rates} | given))
    candidates = posed.wanted.candidates
    teams, said = compiled_where_faster(with_ways(posed.teams, posed.question, candidates), candidates, seconds=seconds)
    return teams, [re.sub(r"\b\d+ s\b", "some s", words) for words in said]


def test_what_was_measured_to_be_faster_is_compiled(clock) -> None:
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    teams, said = tried()
    assert said == []
    (way,) = teams.ways.values()
    assert (way.looped, way.width, way.compiled) == (True, 1, True)
    assert re.search(
        r"one by one: stacking .*; compiled code was measured to be 2\.00 times as fast, compiling took \d+ s$",
        way.words,
    )


def test_lanes_that_were_stacked_train_one_by_one_where_compiled_code_is_faster(clock) -> None:
    clock(usual=2e-3, alone=4e-3, compiled=1e-3)
    teams, said = tried(stackable)
    assert said == []
    (way,) = teams.ways.values()
    assert (way.looped, way.width, way.compiled) == (True, 1, True)
    assert way.words.startswith("lanes are trained one by one; compiled code was measured to be 2.00 times as fast, ")


def test_what_is_not_faster_stays_as_it_is_and_the_plan_says_so(clock) -> None:
    clock(usual=1.09e-3, alone=1.09e-3, compiled=1e-3)
    teams, said = tried()
    assert said == [
        "lanes are not compiled: compiled code was measured to be 1.09 times as fast, compiling took some s"
    ]
    assert not any(way.compiled for way in teams.ways.values())


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("a short budget", {"seconds": compiling.LEAST / compiling.SHARE - 1}),
        ("several batch sizes", {"seconds": 3 * compiling.LEAST / compiling.SHARE - 1, "batches": (8, 12, 16)}),
        ("convolutions", {"make": convolving}),
        ("recurrent layers", {"make": Recurrent}),
        ("batches that lanes share", {"train": Augmented()}),
        ("workers that train apart", {"candidates": [RATES[0] | {"average_every": 5, "average_over": 2}]}),
        ("a lane alone that is slow", {"make": stackable}),
        ("steps too long to be timed", {"usual": 30.0}),
        ("a process that may have none of its own", {"daemon": True}),
    ],
)  # fmt: skip
def test_where_nothing_can_be_gained_nothing_is_tried(clock, monkeypatch, what: str, given: dict[str, Any]) -> None:
    usual = given.pop("usual", 1e-3)
    daemon = given.pop("daemon", False)
    monkeypatch.setattr(compiling, "current_process", lambda: SimpleNamespace(daemon=daemon))
    clock(usual=usual, alone=compiling.MOST * usual * 1.1, compiled=usual / 10)
    monkeypatch.setattr(compiling, "_compiled_apart", lambda *args, **kwargs: pytest.fail(f"tried in spite of {what}"))
    assert tried(**given)[1] == []


def test_a_budget_in_steps_compiles_nothing(monkeypatch) -> None:
    monkeypatch.setattr("lanewise.tuning.racing.compiled_where_faster", lambda *args, **kwargs: pytest.fail("compiled"))
    tune(Deciding, budget="20steps", **GIVEN)


def test_compiled_code_that_gives_something_else_is_refused(clock) -> None:
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    teams, (said,) = tried(lambda: Deciding(told=0.5))
    assert said.startswith("torch.compile was tried for some s: ")
    assert said.endswith("of the largest from those of the module as it is")
    assert not any(way.compiled for way in teams.ways.values())


class Uncompilable(Deciding):
    def forward(self, rows: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return self.inner(rows)


def test_what_cannot_be_compiled_whole_is_told(clock) -> None:
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    _, (said,) = tried(Uncompilable)
    assert said.startswith("torch.compile was tried for some s: Unsupported: ")


def left(backend_of) -> bool:
    """Whether a process that named itself in that file is at work."""
    try:
        os.kill(int(backend_of.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", ["too long", "stopped"])
def test_a_compiler_that_takes_too_long_is_ended(clock, monkeypatch, tmp_path: Path, how: str) -> None:
    clock(usual=1e-9, alone=1e-9, compiled=1e-10)
    pid = tmp_path / "pid"

    def endless(graph: object, inputs: object) -> object:
        begun = tmp_path / "begun"
        begun.write_text(str(os.getpid()))
        begun.rename(pid)
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(compiler, "BACKEND", endless)
    if how == "too long":
        clock_of_ours = SimpleNamespace(monotonic=lambda: SECONDS if pid.exists() else 0.0)
        monkeypatch.setattr(compiling, "time", clock_of_ours)
        assert tried()[1] == ["torch.compile was tried for some s: it took longer than its share of the budget, 5%"]
    else:
        posed = asked(Deciding, budget="10s", **GIVEN)
        teams = with_ways(posed.teams, posed.question, posed.wanted.candidates)
        with pytest.raises(Interrupted):
            compiled_where_faster(replace(teams, stop=pid.exists), posed.wanted.candidates, seconds=1e6)
    assert not left(pid)


def test_a_compiler_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def endless() -> str:
        pid.write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)

    child = ForkedChild(partial(compiling._compile, endless))
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    assert child.wait(60.0) == -signal.SIGTERM
    child.stdout.close()


def test_many_open_files_are_no_hindrance(clock) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = 1100 if hard == resource.RLIM_INFINITY else min(1100, hard - 200)
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 200), hard))
    with open(os.devnull) as null:
        held = [os.dup(null.fileno()) for _ in range(many)]
        try:
            assert tried()[1] == []
        finally:
            for own in held:
                os.close(own)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_no_process_can_be_started_it_is_told(clock, monkeypatch) -> None:
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)

    def full(work: object) -> ForkedChild:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(compiling, "ForkedChild", full)
    (said,) = tried()[1]
    assert said.startswith("torch.compile was tried for some s: no process could be started for it (")


def test_one_that_dies_is_told(clock, monkeypatch) -> None:
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    monkeypatch.setattr(compiler, "BACKEND", lambda graph, inputs: os._exit(1))
    assert tried()[1] == ["torch.compile was tried for some s: its process ended without a word"]


@pytest.fixture
def fast(clock, monkeypatch) -> None:
    """A race of 40 steps in which compiled code is taken."""
    clock(usual=2e-3, alone=2e-3, compiled=1e-3)
    monkeypatch.setattr(compiling, "SHARE", 100.0)
    monkeypatch.setattr(planning, "LEAST_LEFT", 1.0)  # however long it took to get there
    monkeypatch.setattr(planning, "_measured", lambda *given: (40.0 / (40 * 16), 0.0))


def raced(**given: Any) -> lanewise.TuneResult:
    return lanewise.tune(Deciding, budget="80s", **(GIVEN | given))


def stopping_at(look: int):
    looks = itertools.count(1)

    def watch(pulse: Pulse) -> None:
        if next(looks) >= look:
            raise Interrupted

    return watch


@pytest.mark.usefixtures("fast")
def test_a_race_runs_compiled_code_in_its_processes_and_goes_on_and_repeats_to_the_same_bits(
    monkeypatch, tmp_path: Path
) -> None:
    found = raced(name="race", home=tmp_path / "whole")
    assert any("compiled code was measured to be 2.00 times as fast" in words for words in found.plan.words)
    with pytest.raises(Interrupted):
        raced(name="race", home=tmp_path / "killed", watch=stopping_at(2))
    again = raced(name="race", home=tmp_path / "killed")
    weights = [own.model.state_dict()["inner.bias"] for own in (found, again)]
    assert torch.equal(*weights)
    with RunStore(tmp_path / "whole") as store:
        run = store.get("last")
    alone = train_alone(run, asked(Deciding, budget="80s", **GIVEN), 2)
    assert (alone.difference, alone.bits) == (0.0, True), alone.words

    # Without a compiler it goes on as it is, which is told, and is another race by its bits: so code was compiled.
    with pytest.raises(Interrupted):
        raced(name="race", home=tmp_path / "moved", watch=stopping_at(1))
    monkeypatch.setattr(compiler, "BACKEND", no_compiler)
    moved = raced(name="race", home=tmp_path / "moved")
    (said,) = [words for words in moved.warnings if "compiled" in words]
    assert said.startswith(
        "the race was planned with compiled code, which is not to be had here (RuntimeError: no working C++ compiler "
    )
    with RunStore(tmp_path / "whole") as store:
        own = train_alone(store.get("last"), asked(Deciding, budget="80s", **GIVEN), 2)
    assert own.words.endswith(f"; {own.notes[0]}")
    assert own.notes == (said,)
    other = moved.model.state_dict()["inner.bias"]
    assert not torch.equal(other, weights[0])
    assert torch.allclose(other, weights[0], atol=1e-3)


def no_compiler(graph: object, inputs: object) -> object:
    message = "no working C++ compiler found"
    raise RuntimeError(message)
