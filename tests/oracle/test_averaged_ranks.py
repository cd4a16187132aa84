"""Ranks that train one model apart and average it: each is a thread here, and the truth a plain loop."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_averaging import trained_apart
from torch import Tensor, nn

from lanewise import optim
from lanewise.distributed.apart import Apart, Peers
from lanewise.distributed.outer import OUTERS, Outer
from lanewise.errors import TrainingError
from lanewise.training.model_training import Course, ModelTraining

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]], dtype=torch.float64)).tanh()
STEPS, BATCH, RANKS = 11, 12, 2
DILOCO = {"lr": 0.7, "momentum": 0.9, "nesterov": True}
MEAN = {"lr": 1.0}


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)


class Ranks:
    """``size`` ranks as threads: what one gives to a sum, all get."""

    def __init__(self, size: int = RANKS) -> None:
        self.size = size
        self._given: list[Tensor] = [torch.empty(0)] * size
        self._meeting = threading.Barrier(size, timeout=20)

    def _all(self, place: int, message: Tensor, join: Callable[[list[Tensor]], Tensor]) -> None:
        self._given[place] = message.clone()
        self._meeting.wait()
        message.copy_(join(self._given))
        self._meeting.wait()

    def peers(self, place: int) -> Peers:
        return Peers(
            place=place,
            size=self.size,
            sums=lambda message: self._all(place, message, lambda given: torch.stack(given).sum(0)),
            largest=lambda numbers: self._all(place, numbers, lambda given: torch.stack(given).amax(0)),
        )

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """``work`` of every place, side by side; raises what one of them raised."""
        found: list[Any] = [None] * self.size
        failed: list[BaseException] = []

        def on(place: int) -> None:
            try:
                found[place] = work(place)
            except BaseException as error:
                failed.append(error)
                self._meeting.abort()

        threads = [threading.Thread(target=on, args=(place,)) for place in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise next((error for error in failed if not isinstance(error, threading.BrokenBarrierError)), failed[0])
        return found


class One:
    """One rank's training, and the batches that it was shown."""

    def __init__(self, peers: Peers, model: nn.Module, *, every: int, outer: Outer, inner: Any) -> None:
        self.shown: list[tuple[Tensor, Tensor]] = []
        self.portion = Apart(model, peers, every=every, outer=outer)
        self.optimizer = inner(self.portion.leaves.values())
        course = Course(
            steps=STEPS,
            batch_size=BATCH,
            accumulate=1,
            factors=1 - torch.arange(STEPS).double() / STEPS,
            clip_norm=0.0,
            seed=5,
        )

        def read(rows: Tensor, key: int) -> tuple[Tensor, Tensor]:
            del key
            self.shown.append((X[rows], Y[rows]))
            return self.shown[-1]

        self.training = ModelTraining(
            self.portion, self.optimizer, course, read=read, rows=len(X), loss=nn.functional.mse_loss
        )


def together(every: int, outer: Outer, inner: Any, *, size: int = RANKS, make: Any = network) -> list[One]:
    ranks = Ranks(size)
    ones = [One(ranks.peers(place), make(), every=every, outer=outer, inner=inner) for place in range(size)]
    ranks.run(lambda place: ones[place].training.advance(STEPS))
    return ones


def hold(ones: list[One], *, every: int, inner: Any, outer: dict[str, Any]) -> None:
    """Every rank ends with the weights and losses of the plain loop over the batches that the ranks were shown."""
    seen = [own.shown for own in ones]
    model, losses = trained_apart(
        network(), seen, every=every, inner=inner, outer=outer, factor=lambda step: 1 - step / STEPS
    )
    close = {"rtol": 1e-10, "atol": 1e-10}
    for own in ones:
        torch.testing.assert_close(own.portion.module.state_dict(), model.state_dict(), **close)
        torch.testing.assert_close(own.training.losses, losses, **close)
    rows = torch.cat([inputs for own in ones for inputs, _ in own.shown])
    assert len(rows) == STEPS * BATCH
    assert len(rows[:, 0].unique()) == len(X)


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def adam(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.05)


def own_adamw(params: Any) -> torch.optim.Optimizer:
    return optim.AdamW(params, lr=0.05, weight_decay=0.1)


def adamw(params: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=0.05, weight_decay=0.1)


@pytest.mark.parametrize(
    ("every", "inner", "plain"), [(1, adam, adam), (4, sgd, sgd), (4, own_adamw, adamw), (100, adam, adam)]
)
@pytest.mark.parametrize(("outer", "settings"), [("average", MEAN), ("diloco", DILOCO)])
def test_ranks_apart_are_the_workers_of_a_plain_loop(every, inner, plain, outer, settings):
    hold(together(every, OUTERS[outer], inner), every=every, inner=plain, outer=settings)


def test_three_ranks_and_an_outer_rate_without_momentum():
    found = together(4, Outer(lr=0.5), sgd, size=3)
    hold(found, every=4, inner=sgd, outer={"lr": 0.5})


def test_averaging_at_every_step_is_synchronous_training():
    """With SGD: the mean of the steps is the step of the mean gradient."""
    found = together(1, Outer(), sgd)
    whole = [
        (torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]))
        for one, other in zip(found[0].shown, found[1].shown, strict=True)
    ]
    model = network()
    optimizer = sgd(model.parameters())
    for step, (inputs, targets) in enumerate(whole):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / STEPS)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    for own in found:
        torch.testing.assert_close(own.portion.module.state_dict(), model.state_dict(), rtol=1e-10, atol=1e-10)


def test_bytes_are_counted_and_are_those_of_the_formula():
    found = together(4, OUTERS["diloco"], adam)
    parameters = sum(own.numel() for own in network().parameters())
    for own in found:
        portion = own.portion
        assert portion.averagings == 3  # after steps 4, 8 and 11
        assert portion.exchanged == portion.averagings * portion.one_exchange
        assert portion.one_exchange == portion.one_gradient == 8 * parameters


def test_statistics_are_averaged_and_half_precision_is_added_up_in_single():
    def normed() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            norm = nn.BatchNorm1d(8).double()
            return nn.Sequential(nn.Linear(4, 8).double(), norm, nn.Linear(8, 1).double())

    found = together(100, Outer(), sgd, make=normed)
    first, second = (own.portion.module for own in found)
    assert torch.equal(first[1].running_mean, second[1].running_mean)
    assert first[1].num_batches_tracked == STEPS
    low = Apart(network(torch.bfloat16), Ranks(1).peers(0), every=1, outer=OUTERS["diloco"])
    assert low.kept["theta"].dtype == torch.float32
    assert low.one_gradient * 2 == low.one_exchange


def test_a_wish_is_told_at_the_next_averaging_and_heard_by_all():
    ranks = Ranks()
    ones = [One(ranks.peers(place), network(), every=4, outer=Outer(), inner=sgd) for place in range(RANKS)]

    def train(place: int) -> tuple[int, bool]:
        own = ones[place]
        heard = False
        for step in range(1, 5):
            heard = own.portion.any(own=place == 1 and step == 2)
            own.training.advance(step)
        return own.training.taken, heard or own.portion.any(own=False)

    assert ranks.run(train) == [(4, True), (4, True)]


def test_ranks_that_came_to_different_weights_say_so():
    def drifted() -> None:
        ranks = Ranks()
        ones = [One(ranks.peers(own), network(), every=4, outer=OUTERS["diloco"], inner=sgd) for own in range(RANKS)]
        ones[1].portion.kept["velocity"].add_(1e-12)  # as if gone on from another checkpoint
        ranks.run(lambda place: ones[place].training.advance(STEPS))

    with pytest.raises(TrainingError, match="ranks came to different weights when they averaged after step 4"):
        drifted()


def _skipped(theta: Tensor, *, mean: Tensor, velocity: Tensor | None, **settings: Any) -> None:
    del mean, velocity, settings


def _wrong_sign(theta: Tensor, *, mean: Tensor, velocity: Any, lr: float, momentum: float) -> None:
    velocity.mul_(-momentum).add_(theta - mean)
    theta.copy_(mean + (1 - lr) * (theta - mean) - lr * momentum * velocity)


def _heavy_ball(theta: Tensor, *, mean: Tensor, velocity: Any, lr: float, momentum: float) -> None:
    velocity.mul_(momentum).add_(theta - mean)
    theta.sub_(lr * velocity)


def _uphill(theta: Tensor, *, mean: Tensor, velocity: Any, lr: float, momentum: float) -> None:
    velocity.mul_(momentum).add_(mean - theta)
    theta.sub_(lr * (mean - theta + momentum * velocity))


def _half_the_weights(self: Apart, message: Tensor) -> None:
    at = 0
    for own in list(self.leaves.values())[:2]:
        own.copy_(message[at : at + own.numel()].view(own.shape))
        at += own.numel()


def _first_part(patch: pytest.MonkeyPatch) -> None:
    made = Apart.__init__

    def alike(self: Apart, *args: Any, **settings: Any) -> None:
        made(self, *args, **settings)
        self.share = (0, RANKS)

    patch.setattr(Apart, "__init__", alike)


@pytest.mark.parametrize(
    "bug",
    [
        lambda patch: patch.setattr("lanewise.distributed.outer.outer_step", _skipped),
        lambda patch: patch.setattr("lanewise.distributed.outer.outer_step", _wrong_sign),
        lambda patch: patch.setattr("lanewise.distributed.outer.outer_step", _heavy_ball),
        lambda patch: patch.setattr("lanewise.distributed.outer.outer_step", _uphill),
        lambda patch: patch.setattr(Apart, "_take_over", _half_the_weights),
        lambda patch: patch.setattr(Apart, "after", lambda self, taken, *, last: True),
        _first_part,
    ],
    ids=["no outer step", "momentum's sign", "heavy ball", "uphill", "half", "never averaged", "all read one part"],
)
def test_planted_bugs_are_caught(bug, monkeypatch):
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        hold(together(4, OUTERS["diloco"], adam), every=4, inner=adam, outer=DILOCO)
