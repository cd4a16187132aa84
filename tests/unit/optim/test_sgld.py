"""Langevin dynamics: keyed draws in lanes and in the drop-in, and that it samples what it should."""

import copy
import math

import torch
from torch import Tensor, nn

import lanewise.optim as ours
from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import generator
from lanewise.lanes.roster import Lane, Roster
from lanewise.optim.execution import LaneOptimizer

LAYOUT = BufferLayout.of(
    [
        Parameter(name="weight", shape=(3, 2), fan_in=2),
        Parameter(name="bias", shape=(3,), fan_in=2, penalised=False),
    ]
)
STEPS = 6
START = torch.linspace(-1.0, 1.0, 9, dtype=torch.float64)


def lane(seed: int, fold: int = 0, **settings: float) -> Lane:
    own = {"schedule": "constant", "lr": 0.1, "temperature": 0.02, "weight_decay": 0.3, **settings}
    candidate = Candidate(id=f"sgld{seed}{fold}{settings}", model="linear", optimizer="sgld", settings=own)
    return Lane(candidate=candidate, fold=fold, seed=seed)


def ordered(*lanes: Lane) -> list[Lane]:
    """In the order of their rows."""
    return list(Roster.of(lanes))


def stacked(lanes: list[Lane]) -> tuple[LaneBuffer, LaneOptimizer]:
    buffer = LaneBuffer(LAYOUT, START.repeat(len(lanes), 1))
    return buffer, LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)


def advance(buffer: LaneBuffer, optimizer: LaneOptimizer, steps: int) -> Tensor:
    for _ in range(steps):
        buffer.gradients.copy_(buffer.values.sin())
        optimizer.step()
    return buffer.values.clone()


def test_a_lane_equals_a_plain_loop_with_the_draws_of_its_seed() -> None:
    lanes = ordered(lane(0), lane(7), lane(7, lr=0.05))
    found = advance(*stacked(lanes), STEPS)[lanes.index(lane(7))]
    weights = START.clone()
    penalised = torch.tensor([1.0] * 6 + [0.0] * 3, dtype=torch.float64)
    for step in range(1, STEPS + 1):
        noise = torch.randn(9, generator=generator(7, "draws", step, 1), dtype=torch.float64)
        slope = weights.sin() + 0.3 * penalised * weights
        weights = weights - 0.1 * slope + math.sqrt(2 * 0.1 * 0.02) * noise
    assert float((found - weights).abs().max()) <= 1e-10


def test_lanes_of_one_seed_share_their_draws_whatever_their_place_fold_and_neighbours() -> None:
    lanes = ordered(lane(0), lane(7), lane(7, fold=1), lane(3))
    together = advance(*stacked(lanes), STEPS)
    row = {(one.seed, one.fold): own for one, own in zip(lanes, together, strict=True)}
    assert torch.equal(row[7, 0], row[7, 1])
    assert not torch.equal(row[0, 0], row[7, 0])
    for at, one in enumerate(lanes):
        assert torch.equal(advance(*stacked([one]), STEPS)[0], together[at])


def test_a_resumed_and_pruned_run_repeats_the_draws() -> None:
    lanes = ordered(lane(0), lane(7), lane(3), lane(7, lr=0.05))
    whole = advance(*stacked(lanes), STEPS)
    buffer, optimizer = stacked(lanes)
    advance(buffer, optimizer, 2)
    later = LaneOptimizer(Roster.of(lanes), buffer, length=STEPS)
    later.restore(optimizer.state())
    later.taken = optimizer.taken
    stay = [1, 3]
    buffer.keep(torch.tensor(stay))
    later.keep(stay, Roster.of(lanes).keep(stay), buffer)
    assert torch.equal(advance(buffer, later, STEPS - 2), whole[stay])


def test_the_draws_come_from_no_global_generator() -> None:
    before = torch.get_rng_state()
    advance(*stacked([lane(0)]), 2)
    weight = nn.Parameter(torch.zeros(3))
    own = torch.Generator().manual_seed(3)
    state = own.get_state()
    optimizer = ours.SGLD([weight], generator=own)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(own.get_state(), state)


def chain(seed: int, groups: bool = False) -> list[nn.Parameter]:
    params = [nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))]
    given = [{"params": [param]} for param in params] if groups else params
    optimizer = ours.SGLD(given, lr=0.1, temperature=1.0, generator=torch.Generator().manual_seed(seed))
    for _ in range(3):
        for param in params:
            param.grad = torch.zeros(4)
        optimizer.step()
    return params


def test_parameters_groups_and_seeds_have_draws_of_their_own() -> None:
    one, again, other, grouped = chain(1), chain(1), chain(2), chain(1, groups=True)
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(grouped[0], grouped[1])


def test_groups_have_draws_of_their_own_within_sam_too() -> None:
    params = [nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))]
    groups = [{"params": [param]} for param in params]
    optimizer = ours.SAM(groups, lr=0.1, base=ours.SGLD, generator=torch.Generator().manual_seed(1))

    def closure() -> float:
        for param in params:
            param.grad = torch.zeros(4)
        return 0.0

    optimizer.step(closure)
    assert not torch.equal(*params)


def test_a_copy_and_a_state_dict_keep_the_seed() -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = ours.SGLD([weight], generator=torch.Generator().manual_seed(9))
    twin, other = copy.deepcopy((weight, optimizer))
    third = nn.Parameter(torch.zeros(4))
    loaded = ours.SGLD([third], generator=torch.Generator().manual_seed(1))
    loaded.load_state_dict(optimizer.state_dict())
    for param, by in ((weight, optimizer), (twin, other), (third, loaded)):
        param.grad = torch.ones(4)
        by.step()
    assert torch.equal(weight, twin)
    assert torch.equal(weight, third)


def test_it_samples_the_normal_posterior_of_a_bowl() -> None:
    # exp(-loss / temperature) with loss a x^2 / 2 is normal with variance temperature / a; of the discrete chain
    # x <- (1 - lr a) x + sqrt(2 lr T) n it is 2 lr T / (1 - (1 - lr a)^2), 5% more here.
    rate, curvature, temperature = 0.05, 2.0, 0.3
    weight = nn.Parameter(torch.zeros(4000, dtype=torch.float64))
    optimizer = ours.SGLD([weight], lr=rate, temperature=temperature, generator=torch.Generator().manual_seed(0))
    for _ in range(100):
        weight.grad = curvature * weight.detach()
        optimizer.step()
    expected = 2 * rate * temperature / (1 - (1 - rate * curvature) ** 2)
    assert abs(float(weight.detach().var()) / expected - 1) < 4 * math.sqrt(2 / 4000)  # four standard errors
    assert abs(float(weight.detach().mean())) < 4 * math.sqrt(expected / 4000)
