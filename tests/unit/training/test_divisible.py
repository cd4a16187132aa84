"""Memory that runs out divides a team, and no lane notices."""

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lanewise.errors import Interrupted, TrainingError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.divisible import Divisible, out_of_memory
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack
from lanewise.training.workers.side_by_side import threads_per_product

ROWS, STEPS, LOOKS = 60, 28, (0.25, 0.5, 1.0)
X = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X[:, 0] - X[:, 1] > 0).long()
FOLD = FoldData(
    dense=X,
    codes=torch.zeros(ROWS, 0, dtype=torch.int64),
    target=Y,
    train=torch.arange(40),
    valid=torch.arange(40, ROWS),
)
DATA = TrainingData(
    task=Task(target="y", kind="regression", metric="loss"),
    width=Width(dense=0, levels=(), outputs=0),
    folds={0: FOLD},
    rows=ROWS,
)


def network() -> nn.Module:
    layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))
    return layers.double()


BLUEPRINT = Blueprint.of(network, X[:8])
REFUSAL = RuntimeError("[enforce fail at alloc_cpu.cpp:128] DefaultCPUAllocator: can't allocate memory: 8 bytes")


def lanes(count: int = 5) -> list[Lane]:
    names = ("sgd", "adamw", "momentum", "sgd", "adamw")
    rates = (0.1, 0.01, 0.05, 1e300, 0.03)  # one of them diverges
    return [
        Lane(
            candidate=Candidate(
                id=f"{names[place]}-{place}", model="m", optimizer=names[place], settings={"lr": rates[place]}
            ),
            fold=0,
            seed=0,
        )
        for place in range(count)
    ]


def stack(own: Sequence[Lane]) -> Stack:
    return Stack(
        own,
        DATA,
        length=STEPS,
        batch_size=8,
        dtype=torch.float64,
        subject=ModuleSubject(BLUEPRINT, DATA, nn.CrossEntropyLoss()),
    )


class Scarce:
    """Forms stacks that need memory for ``enough`` lanes at most: others fail when they are ``where``."""

    def __init__(self, enough: int, *, where: str, error: BaseException = REFUSAL, after: int = 0) -> None:
        self.enough, self.where, self.error, self.after = enough, where, error, after
        self.formed: list[int] = []

    def __call__(self, own: Sequence[Lane]) -> Stack:
        self.formed.append(len(own))
        if self.where == "formed" and len(own) > self.enough:
            raise self.error
        made = stack(own)
        if self.where != "formed":
            self._make_scarce(made)
        return made

    def _make_scarce(self, made: Any) -> None:
        work: Callable[..., Any] = getattr(made, self.where)
        calls = iter(range(10_000))

        def failing(*given: Any, **named: Any) -> Any:
            if len(made.lanes) > self.enough and next(calls) >= self.after:
                made.buffer.rows.fill_(7.0)  # what a step that was torn apart has left
                raise self.error
            return work(*given, **named)

        setattr(made, self.where, failing)


def scores(team: Any, looks: Sequence[float] = LOOKS) -> tuple[dict[tuple[str, float], np.ndarray], list[Any]]:
    """Losses on validation rows with the training loss last, by lane and look; and the repairs."""
    found, repairs = {}, []
    with threads_per_product(1):  # bits are compared, and other tests change the number of threads
        for look in looks:
            team.advance(look)
            for item in team.evidence():
                found[item.lane.id, look] = np.append(item.valid, item.train_loss)
            repairs.append(team.repairs())
    return found, repairs


def divisible(form: Callable[[Sequence[Lane]], Stack], told: list[str] | None = None) -> Divisible:
    return Divisible(lanes(), form, length=STEPS, tell=(told if told is not None else []).append)


def assert_alike(found: dict[Any, np.ndarray], truth: dict[Any, np.ndarray]) -> None:
    assert found.keys() == truth.keys()
    for key, values in truth.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-9, atol=1e-10, err_msg=str(key))


TRUTH = scores(stack(lanes()))


def test_where_memory_suffices_nothing_is_divided() -> None:
    told: list[str] = []
    form = Scarce(5, where="advance")
    found, repairs = scores(divisible(form, told))
    assert (form.formed, told) == ([5], [])
    assert all((found[key] == TRUTH[0][key]).all() for key in TRUTH[0])
    assert repairs == TRUTH[1]
    assert any(TRUTH[1])


@pytest.mark.parametrize(
    ("where", "after", "error"),
    [
        ("advance", 0, REFUSAL),
        ("advance", 2, MemoryError()),
        ("evidence", 0, torch.OutOfMemoryError("CUDA out of memory")),
        ("evidence", 1, REFUSAL),
    ],
)
def test_a_half_ends_as_the_whole_would_have(where: str, after: int, error: BaseException) -> None:
    told: list[str] = []
    form = Scarce(3, where=where, after=after, error=error)
    found, repairs = scores(divisible(form, told))
    assert form.formed == [5, 3, 2]
    assert told == ["memory ran out with 5 lanes in one stack; they were trained at most 3 at a time"]
    assert_alike(found, TRUTH[0])
    assert [{name: len(events) for name, events in one.items()} for one in repairs] == [
        {name: len(events) for name, events in one.items()} for one in TRUTH[1]
    ]


def test_it_is_divided_until_it_fits_and_lanes_may_leave() -> None:
    form = Scarce(1, where="formed")
    team = divisible(form)
    first, _ = scores(team, LOOKS[:1])
    assert form.formed == [5, 3, 2, 1, 1, 1, 2, 1, 1]
    team.keep({"sgd-0.f0.s0", "adamw-4.f0.s0"})
    assert [lane.id for lane in team.lanes] == ["adamw-4.f0.s0", "sgd-0.f0.s0"]
    rest, _ = scores(team, LOOKS[1:])
    kept = {
        key: value for key, value in TRUTH[0].items() if key[1] == LOOKS[0] or key[0].startswith(("sgd-0", "adamw-4"))
    }
    assert_alike({**first, **rest}, kept)
    plain = stack(lanes())
    plain.advance(1.0)
    own, truth = team.export("sgd-0.f0.s0").tensors, plain.export("sgd-0.f0.s0").tensors
    assert own is not None
    assert truth is not None
    for name, tensor in truth.items():
        torch.testing.assert_close(own[name], tensor, rtol=0, atol=1e-10)


def test_one_lane_that_does_not_fit_is_told() -> None:
    with pytest.raises(
        TrainingError, match=r"memory ran out while m, adamw, lr 0\.01 was trained alone; use a smaller"
    ):
        divisible(Scarce(0, where="advance")).advance(0.5)


def test_another_failure_is_no_reason_to_divide() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        divisible(Scarce(1, where="advance", error=RuntimeError("mat1 and mat2 shapes cannot be"))).advance(0.5)
    assert not out_of_memory(ValueError("not enough memory"))


def test_a_look_that_is_stopped_between_two_parts_is_taken_again_by_both() -> None:
    team = divisible(Scarce(3, where="formed"))
    scores(team, LOOKS[:1])
    team.advance(LOOKS[1])
    second: Any = team._parts[1].team

    def stopped() -> None:
        message = "stopped on request"
        raise Interrupted(message)

    second.evidence = stopped
    with pytest.raises(Interrupted):
        team.evidence()
    later = divisible(Scarce(3, where="formed"))
    later.restore(*team.state())
    found, _ = scores(later, LOOKS[1:])
    through, _ = scores(divisible(Scarce(3, where="formed")))
    assert all((values == through[key]).all() for key, values in found.items())


def test_a_divided_team_is_saved_and_goes_on_to_the_same_bits() -> None:
    through, _ = scores(divisible(Scarce(3, where="formed")))
    half = divisible(Scarce(3, where="formed"))
    before, _ = scores(half, LOOKS[:2])
    tensors, rest = half.state()
    told: list[str] = []
    after = divisible(stack, told)
    after.restore({name: tensor.clone() for name, tensor in tensors.items()}, rest)
    found, _ = scores(after, LOOKS[2:])
    assert len(told) == 1
    for key, values in {**before, **found}.items():
        assert (values == through[key]).all(), key


def test_stopped_while_a_half_catches_up_it_catches_up_again() -> None:
    stopped: list[bool] = []

    def form(own: Sequence[Lane]) -> Stack:
        made = Scarce(3, where="advance", after=1)(own)
        if len(own) < len(lanes()):
            made.stop = lambda: bool(stopped)
        return made

    team = divisible(form)
    first, _ = scores(team, LOOKS[:1])
    stopped.append(True)
    with pytest.raises(Interrupted):
        team.advance(LOOKS[1])
    tensors, rest = team.state()
    assert [part["team"] for part in rest["parts"]] == [None, None]
    after = divisible(stack)
    after.restore(tensors, rest)
    found, _ = scores(after, LOOKS[1:])
    assert_alike({**first, **found}, TRUTH[0])


def test_what_a_failed_step_computed_is_free_before_a_half_is_formed() -> None:
    computed: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    class Failing:
        fraction = 0.0

        def advance(self, fraction: float, between: Callable[[], None]) -> None:
            values = torch.ones(8)
            computed.append(weakref.ref(values))
            try:
                raise ValueError
            except ValueError as error:
                kept = error  # its traceback holds this frame, which holds it
            assert kept is not None
            raise MemoryError

    def form(own: Sequence[Lane]) -> Any:
        alive.extend(one() is not None for one in computed)
        return Failing() if len(own) > 1 else stack(own)

    gc.disable()  # it may come by itself, or may not
    try:
        Divisible(lanes(2), form, length=STEPS, tell=lambda words: None).advance(0.25)
    finally:
        gc.enable()
    assert alive == [False, False]
