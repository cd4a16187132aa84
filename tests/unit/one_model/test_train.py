"""``lanewise.train`` in one process: the plain loop, with all that a loop of one's own would have."""

import importlib
import signal
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lanewise
from lanewise import optim
from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.draws import RowStream
from lanewise.lanes.roster import Lane
from lanewise.models.base import Width
from lanewise.models.blueprint import Blueprint
from lanewise.one_model.keeping import Keeping
from lanewise.one_model.train import _own_device
from lanewise.task import Task
from lanewise.training.data import FoldData, TrainingData
from lanewise.training.modules.subject import ModuleSubject
from lanewise.training.stack import Stack

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]], dtype=torch.float64)).tanh()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def trained(model=network, data=(X, Y), loss=None, **settings):
    usual = {"optimizer": "sgd", "lr": 0.1, "steps": 12, "batch_size": 8, "seed": 3}
    return lanewise.train(model, data, loss or nn.MSELoss(), **{**usual, **settings})


def weights(found) -> torch.Tensor:
    return torch.cat([own.flatten() for own in found.state_dict().values()])


def by_hand(make, steps=12, batch=8, clip=0.0, schedule=lambda step: 1 - step / 12):
    """The same training as an ordinary PyTorch loop."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = network()
    optimizer, stream, losses = make(model.parameters()), RowStream(3, torch.arange(50), 50), []
    peak = optimizer.param_groups[0]["lr"]
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * schedule(step)
        rows = stream.take(step * batch, batch)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(X[rows]), Y[rows])
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return model, losses


@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        ("sgd", lambda own: torch.optim.SGD(own, lr=0.1)),
        ("adam", lambda own: torch.optim.Adam(own, lr=0.1)),
        (torch.optim.AdamW, lambda own: torch.optim.AdamW(own, lr=0.1)),
    ],
)
def test_it_is_the_ordinary_loop(optimizer, make):
    model, losses = by_hand(make)
    found = trained(optimizer=optimizer)
    torch.testing.assert_close(list(found.losses), losses, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.state_dict(), model.state_dict(), rtol=1e-12, atol=1e-12)


def test_clipping_and_pieces_are_those_of_the_ordinary_loop():
    model, losses = by_hand(lambda own: torch.optim.SGD(own, lr=0.1), clip=0.05)
    found = trained(clip_norm=0.05, accumulate=4)
    # torch divides by the norm + 1e-6
    torch.testing.assert_close(list(found.losses), losses, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.state_dict(), model.state_dict(), rtol=1e-5, atol=1e-5)


def test_it_trains_as_a_lane_of_a_race_does():
    """train and tune share row order, schedule, draws of dropout and step."""

    def dropping() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1)).double()

    settings = {"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "batch_size": 8}
    candidate = Candidate(id="adam", model="module", optimizer="adam", settings={**settings, "schedule": "cosine"})
    every = torch.arange(50)
    fold = FoldData(dense=X, codes=torch.zeros(50, 0, dtype=torch.int64), target=Y, train=every, valid=every[:8])
    task = Task(target="y", kind="regression", metric="loss")
    data = TrainingData(task=task, width=Width(dense=0, levels=(), outputs=0), folds={0: fold}, rows=50)
    blueprint = Blueprint.of(dropping, X[:8])
    subject = ModuleSubject(blueprint, data, nn.MSELoss(), looped=True, loss_looped=True)
    lane = Lane(candidate=candidate, fold=0, seed=3)
    stack = Stack([lane], data, length=12, batch_size=8, dtype=torch.float64, subject=subject)
    stack.advance(1.0)
    lane_weights = stack.optimizer.evaluation(stack.buffer.values)[0]
    found = trained(dropping, optimizer="adam", lr=0.02, schedule="cosine")
    torch.testing.assert_close(weights(found), lane_weights, rtol=1e-10, atol=1e-10)


def test_a_resumed_training_ends_in_the_same_bits(tmp_path):
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)).double()

    for optimizer in ("adamw", "schedule_free_adamw", "prodigy", "soap", "muon", torch.optim.Adam):
        name = getattr(optimizer, "__name__", optimizer)
        whole = trained(dropping, optimizer=optimizer, lr=0.01)

        class Killed(Exception):
            pass

        calls = []

        def loss(outputs, targets, calls=calls):
            calls.append(0)
            if len(calls) == 9:
                raise Killed
            return nn.functional.mse_loss(outputs, targets)

        usual = {"optimizer": optimizer, "lr": 0.01, "steps": 12, "batch_size": 8, "seed": 3}
        settings = {**usual, "checkpoint": tmp_path / name, "checkpoint_every": 5}
        with pytest.raises(Killed):
            lanewise.train(dropping, (X, Y), loss, **settings)
        assert [own.name for own in (tmp_path / name).iterdir()] == ["step-000000005"]
        again = lanewise.train(dropping, (X, Y), nn.MSELoss(), **settings)
        assert again.losses == whole.losses, name
        assert torch.equal(weights(again), weights(whole)), name
        assert again.checkpoint.name == "step-000000012"
        done = lanewise.train(dropping, (X, Y), nn.MSELoss(), **settings)
        assert torch.equal(weights(done), weights(whole)), name


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    trained(checkpoint=tmp_path)
    with pytest.raises(lanewise.UsageError, match="with batch_size 8, this one has 10; give the same, or another"):
        trained(checkpoint=tmp_path, batch_size=10)


def test_ctrl_c_leaves_a_checkpoint_from_which_it_goes_on(tmp_path):
    def loss(outputs, targets):
        if threading.current_thread() is threading.main_thread() and not asked:
            asked.append(0)
            signal.raise_signal(signal.SIGINT)
        return nn.functional.mse_loss(outputs, targets)

    asked: list[int] = []
    usual = {"optimizer": "sgd", "lr": 0.1, "steps": 12, "batch_size": 8}
    with pytest.raises(lanewise.Interrupted, match=r"^stopped on request; the same call goes on from step 1 \("):
        lanewise.train(network, (X, Y), loss, **usual, checkpoint=tmp_path)
    asked.clear()
    with pytest.raises(lanewise.Interrupted, match=r"^stopped on request; without checkpoint= it begins anew$"):
        lanewise.train(network, (X, Y), loss, **usual)
    assert [own.name for own in tmp_path.iterdir()] == ["step-000000001"]


def test_stopped_before_the_first_step_it_has_nothing_to_go_on_from(tmp_path):
    keeping = Keeping(cast("Any", SimpleNamespace(taken=0)), tmp_path, None, {}, Lone())
    keeping.save()
    assert keeping.goes_on() == "no step was taken, so the same call begins anew"


def test_alone_its_rows_are_compared_with_nobody_s(monkeypatch):
    module = importlib.import_module("lanewise.one_model.train")  # its package has a function of that name
    monkeypatch.setattr(module, "rows_told", lambda source: pytest.fail("was read"))
    assert trained(steps=1).steps == 1


class Squares(Dataset):
    def __len__(self) -> int:
        return 50

    def __getitem__(self, row):
        return X[row], Y[row]


def test_rows_come_in_any_form():
    usual = weights(trained())
    loader = DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)
    batches = [(X[at : at + 8], Y[at : at + 8]) for at in range(0, 50, 8)]
    for data in ((X.numpy(), Y.numpy()), Squares(), loader, iter(batches)):
        assert torch.equal(weights(trained(data=data, batch_size=None if data is loader else 8)), usual)


def test_an_epoch_shows_every_row_once():
    seen = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, rows):
            if self.training:
                seen.extend(rows.long().flatten().tolist())
            return rows * self.weight

    rows = torch.arange(24.0)[:, None]
    lanewise.train(Counting(), (rows, rows), nn.MSELoss(), epochs=2, batch_size=6, lr=1e-6)
    assert sorted(seen[:24]) == sorted(seen[24:]) == list(range(24))
    assert seen[:24] != seen[24:]


def test_an_optimizer_that_was_made_is_used():
    torch.manual_seed(3)
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    first = model[0].weight.detach().clone()
    found = trained(model, optimizer=optim.Momentum(groups, lr=0.1), lr=None)
    assert found.model is model
    assert not model.training
    assert torch.equal(model[0].weight, first)
    assert found.losses[-1] < found.losses[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adan"}, "there is no optimizer 'adan'; did you mean adam"),
        ({"optimizer": lambda own, lr: None}, "a class or function that makes one of the parameters"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS asks for more than one gradient a step"),
        ({"optimizer": torch.optim.SGD([nn.Parameter(X[0])], lr=1.0), "lr": None}, "1 tensors that are no parameters"),
        ({"optimizer": torch.optim.SGD([nn.Parameter(X[0])], lr=1.0)}, "lr=0.1 is another; leave lr out"),
        ({"epochs": 2}, "give epochs or steps, one of them"),
        ({"steps": None}, "give epochs or steps, one of them"),
        ({"steps": None, "epochs": -1}, "epochs must be a positive number, got -1"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        (
            {"accumulate": 3},
            "a batch of 8 rows does not split into equal pieces over accumulate=3; set batch",
        ),
        ({"loss": nn.MSELoss(reduction="sum"), "accumulate": 2}, "reduction='sum', and a batch goes .* in 2 parts"),
        ({"clip_norm": -1}, "clip_norm must be 0"),
        ({"schedule": "plateau"}, "there is no schedule 'plateau'"),
        ({"warmup": 1.0}, "warmup is a share of the steps"),
        ({"model": 3}, "model must be a torch.nn.Module or a function that builds one, got int"),
        ({"model": lambda: 3}, "returned int; it must return a Module"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number from 1, got 0"),
        ({"data": {"x": X, "y": Y}}, r"what the targets are: give \(inputs, targets\) or a dict with 'labels'$"),
    ],
)
def test_what_cannot_be_used_is_said(settings, words):
    with pytest.raises(lanewise.UsageError, match=words):
        trained(**settings)


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(lanewise.TrainingError, match=r"the loss was (inf|nan) at step \d+; lower lr"):
        trained(optimizer="sgd", lr=1e30, schedule="constant", steps=60)


def test_each_rank_of_a_host_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    place = Place(rank=1, size=2, local_rank=1, local_size=2)
    assert _own_device("cuda", place) == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="device cuda:0 is one GPU, and the 2 ranks of this host need one each; write"):
        _own_device("cuda:0", place)
    alone = Place(rank=1, size=2, local_rank=0, local_size=1)
    assert _own_device("cuda:1", alone) == torch.device("cuda", 1)
