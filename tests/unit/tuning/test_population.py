"""``lanewise.tune`` as population-based training: copies are candidates that are confirmed, handed over and resumed."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.search.population import PopulationBased
from lanewise.tuning import Schedule, TuneResult, tune


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    return X, (X[:, :1] * X[:, 1:2] + 0.1 * torch.randn(count, 1, generator=draw, dtype=torch.float64))


TRAIN, VALID = rows(200, 0), rows(80, 1)
RATES = [{"optimizer": name, "lr": lr} for lr in (1e-3, 3e-3, 1e-2, 0.03, 0.1) for name in ("adamw", "sgd")]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1)).double()


def race(**settings: Any) -> TuneResult:
    policy = PopulationBased(share=0.4, looks=(0.3, 0.6), survivors=8)
    usual: dict[str, Any] = {"candidates": RATES, "budget": "60steps", "loss": nn.MSELoss(), "workers": 2}
    return tune(network, train=TRAIN, valid=VALID, policy=policy, **(usual | settings))


@pytest.fixture(scope="module")
def found() -> TuneResult:
    return race()


def test_copies_are_confirmed_as_what_they_were_in_the_screen(found) -> None:
    """The confirmation trains them from the start, alone of their history, to the scores that the race has seen."""
    screened = {t.lane.candidate.id: t for t in found.race.traces if t.phase == "screen"}
    again = {t.lane.candidate.id: t for t in found.race.traces if t.phase == "confirm"}
    copies = [name for name in again if "-copy" in name]
    assert len(copies) >= 2
    for name, trace in again.items():
        shared = dict(zip(screened[name].fractions, screened[name].scores, strict=True))
        seen = dict(zip(trace.fractions, trace.scores, strict=True))
        for fraction in set(shared) & set(seen):
            assert shared[fraction] == pytest.approx(seen[fraction], rel=1e-9), (name, fraction)
        assert 1.0 in shared
        assert (min(shared) > 0.3) == (name in copies)


def test_a_copy_names_its_source_and_keeps_its_settings(found) -> None:
    by_id = {own.id: own for own in found.plan.candidates}
    copies = {t.lane.candidate.id: t.lane.candidate for t in found.race.traces if "-copy" in t.lane.candidate.id}
    for copy in copies.values():
        source = copy.events[-1].cause.removeprefix("took over from ")
        before = copies.get(source) or by_id[source]
        assert copy.optimizer == before.optimizer
        assert copy.settings == before.settings
        assert copy.events[:-1] == before.events
        assert copy.events[-1].rate_factor in (0.8, 1.2)
        assert not copy.is_default
    gone = [t for t in found.race.traces if t.phase == "screen" and t.fate == "pruned" and 1.0 not in t.fractions]
    assert len(gone) == len(copies)


def test_the_same_race_gives_the_same_bits_whatever_the_threads(found) -> None:
    again = race(workers=1)
    assert again.selection == found.selection
    for one, other in zip(found.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_schedule_of_a_copy_has_its_changes_of_rate(found) -> None:
    copy = next(own.candidate for own in found.race.confirmed if "-copy" in own.candidate.id)
    changed = TuneResult(**{**{name: getattr(found, name) for name in found.__dataclass_fields__}, "winner": copy})
    factors = [event.rate_factor for event in copy.events]
    places = [round(event.fraction * found.steps) for event in copy.events]
    plain = Schedule(name="linear", steps=found.steps)
    schedule = changed.schedule
    assert changed.settings["lr"] == copy.settings["lr"]
    for step in range(found.steps):
        expected = np.prod([factor for factor, place in zip(factors, places, strict=True) if step >= place])
        assert schedule(step) == pytest.approx(plain(step) * expected)


def test_the_report_and_the_table_tell_of_copies(found, tmp_path) -> None:
    page = found.report(tmp_path / "race.html").read_text()
    assert "-copy1" in page
    assert any("-copy" in name for name in found.table["candidate"])
    assert any("gave way to copies of better ones" in line for line in found.words)
    assert found.race.rungs[-1].startswith("after the full length ")
    assert "entered the confirmation" in found.race.rungs[-1]
