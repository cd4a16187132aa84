"""A stack on a GPU: every lane is what a plain loop makes of it on the processor, recorded or not.

The truth is that of the oracle, ``plain_loop.train_alone`` in float64 on the CPU with the keyed draws injected, held to
the same 1e-10.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from lane_cases import BATCH, BEYOND_TORCH, LENGTH, RULES, Race, lane, race_data, rows_of

from lanewise.training.data import Moving
from lanewise.training.divisible import Divisible
from lanewise.training.stack import Stack

ALL: dict[str, Any] = {
    "l1": 0.005,
    "l2": 0.02,
    "weight_decay": 0.03,
    "clip_norm": 0.5,
    "clip_value": 0.1,
    "label_smoothing": 0.1,
    "dropout": 0.2,
}
RACES: dict[str, list[Any]] = {
    "rules of torch": [
        lane(f"{rule}{fold}", "mlp", rule, fold=fold, seed=fold) for rule in RULES for fold in (0, 1, 2)
    ],
    "rules beyond torch": [lane(rule, "mlp", rule) for rule in BEYOND_TORCH if rule != "sgld"],
    "every regularizer": [lane(f"{rule}{seed}", "mlp", rule, ALL, seed=seed) for rule in RULES for seed in (0, 7)],
    "layer norm": [lane(f"c{fold}", "mlp", "adamw", ALL, layer_norm=True, fold=fold) for fold in (0, 1, 2)],
    "adaptive clipping": [lane(f"c{seed}", "mlp", "adamw", clip_adaptive=0.05, seed=seed) for seed in (0, 1)],
    "full batches of unlike size": [lane(f"c{fold}", "mlp", "gd", fold=fold) for fold in (0, 1, 2)],
    "linear": [
        lane(f"{rule}{fold}", "linear", rule, ALL | {"dropout": 0.0}, fold=fold) for rule in RULES for fold in (0, 1)
    ],
    "langevin": [lane(f"c{seed}", "mlp", "sgld", seed=seed) for seed in (0, 1)],
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The plain loops on the processor gain nothing from a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def on(device: torch.device, race: Race) -> Stack:
    return replace(race, data=Moving(device)(race.data)).stack()


def weights(stack: Stack) -> dict[str, Any]:
    return {name: {own: one.cpu() for own, one in row.items()} for name, row in rows_of(stack).items()}


@pytest.mark.parametrize("name", RACES)
def test_lanes_are_what_a_plain_loop_makes_of_them(name: str, device: torch.device) -> None:
    race = Race(lanes=RACES[name], data=race_data())
    stack = on(device, race)
    start = weights(stack)
    stack.advance(1.0)
    race.hold(start, weights(stack))


@pytest.mark.parametrize(
    ("kind", "loss"),
    [("regression", "huber"), ("count", "poisson"), ("binary", "hinge"), ("multiclass", "squared_hinge")],
)
def test_losses(kind: Any, loss: str, device: torch.device) -> None:
    race = Race(lanes=[lane(f"c{fold}", "mlp", "adamw", loss=loss, fold=fold) for fold in (0, 1)], data=race_data(kind))
    stack = on(device, race)
    start = weights(stack)
    stack.advance(1.0)
    race.hold(start, weights(stack))


def test_steps_are_recorded_and_recording_changes_nothing(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = Race(lanes=RACES["every regularizer"], data=race_data())
    stack = on(device, race)
    stack.advance(0.5)
    assert stack._recorded is not None
    assert stack._recorded.recorded, stack._recorded.refused
    stack.advance(1.0)
    monkeypatch.setattr("lanewise.training.recorded_step.WORTH_RECORDING", 10**9)
    plain = on(device, race)
    plain.advance(1.0)
    assert plain._recorded is not None
    assert not plain._recorded.recorded
    torch.testing.assert_close(stack.buffer.rows, plain.buffer.rows, rtol=1e-12, atol=1e-12)


def test_what_looks_at_the_host_is_not_recorded(device: torch.device) -> None:
    race = Race(lanes=[lane("c", schedule="plateau"), lane("d", skip_nonfinite=1.0)], data=race_data())
    stack = on(device, race)
    stack.advance(1.0)
    assert stack._recorded is None


def test_lanes_that_stay_do_not_notice_those_that_leave(device: torch.device) -> None:
    race = Race(lanes=RACES["every regularizer"], data=race_data())
    stack = on(device, race)
    start = weights(stack)
    stack.advance(0.4)
    left = [own.id for own in stack.lanes][::3]
    stack.keep(left)
    stack.advance(1.0)
    found = weights(stack)
    assert sorted(found) == sorted(left)
    race.hold(start, found)


def test_evidence_is_that_of_the_processor(device: torch.device) -> None:
    race = Race(lanes=RACES["every regularizer"], data=replace(race_data(), shows=True))
    there, here = on(device, race), race.stack()
    for fraction in (0.5, 1.0):
        there.advance(fraction)
        here.advance(fraction)
        for one, other in zip(there.evidence(), here.evidence(), strict=True):
            assert one.lane == other.lane
            assert one.valid == pytest.approx(other.valid, abs=1e-9)
            assert one.train_loss == pytest.approx(other.train_loss, abs=1e-9)
            assert one.train is not None
            assert one.train == pytest.approx(other.train, abs=1e-9)
    one, other = there.export(here.lanes[0].id), here.export(here.lanes[0].id)
    assert one.tensors is not None
    assert other.tensors is not None
    for name, tensor in one.tensors.items():
        assert tensor.device.type == "cpu"
        torch.testing.assert_close(tensor, other.tensors[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("levels", [(), (4, 3)], ids=["dense", "embedded"])
def test_resumed_from_its_state(levels: tuple[int, ...], device: torch.device) -> None:
    race = Race(lanes=RACES["every regularizer"][:6], data=race_data(levels=levels))
    whole, first, second = on(device, race), on(device, race), on(device, race)
    for stack in (whole, first):
        stack.advance(0.5)
    tensors, rest = first.state()
    second.restore({name: tensor.cpu() for name, tensor in tensors.items()}, rest)
    whole.advance(1.0)
    second.advance(1.0)
    # Rows of an embedding are added up in no fixed order on a GPU.
    tolerance = 1e-12 if levels else 0.0
    torch.testing.assert_close(second.buffer.rows, whole.buffer.rows, rtol=tolerance, atol=tolerance)


def test_a_lane_that_diverges_is_set_back_and_no_other_notices(device: torch.device) -> None:
    wild = lane("wild", "mlp", "sgd", lr=1e100, weight_decay=0.01)
    calm = [lane(f"c{seed}", "mlp", "adamw", seed=seed) for seed in (0, 1)]
    race = Race(lanes=[wild, *calm], data=race_data())
    stack = on(device, race)
    start = weights(stack)
    stack.advance(1.0)
    assert [event.rate_factor for event in stack.repairs()[wild.id]]
    found = weights(stack)
    race.hold(start, {own.id: found[own.id] for own in calm})


def test_float32_and_bfloat16_are_near_the_processor(device: torch.device) -> None:
    lanes = RACES["rules of torch"]
    data = race_data(dtype=torch.float32)
    ends = {}
    for compute in (None, torch.bfloat16):
        for where in ("cpu", "cuda"):
            own = Moving(torch.device(where, 0) if where == "cuda" else torch.device(where))(data)
            stack = Stack(lanes, own, length=LENGTH, batch_size=BATCH, compute=compute)
            stack.advance(1.0)
            ends[compute, where] = stack.buffer.rows.cpu()
    scale = float(ends[None, "cpu"].abs().max())
    assert float((ends[None, "cpu"] - ends[None, "cuda"]).abs().max()) < 1e-3 * scale
    assert float((ends[torch.bfloat16, "cpu"] - ends[torch.bfloat16, "cuda"]).abs().mean()) < 0.01 * scale


def test_where_memory_runs_out_lanes_go_on_in_halves(device: torch.device) -> None:
    race = Race(lanes=RACES["every regularizer"], data=race_data())
    there, said = Moving(device)(race.data), list[str]()

    def form(lanes: Any) -> Stack:
        stack = replace(race, lanes=lanes, data=there).stack()
        if len(lanes) > 4:
            torch.empty(2**46, dtype=torch.uint8, device=device)  # 64 TiB
        return stack

    team = Divisible(race.lanes, form, length=race.length, tell=said.append)
    team.advance(1.0)
    assert len(team.evidence()) == len(race.lanes)
    assert any("memory ran out" in text for text in said)
