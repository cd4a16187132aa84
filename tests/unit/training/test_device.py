"""What a device's name means, and what trains there; tests/gpu has what needs a GPU."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lanewise
from lanewise.distributed.place import Place
from lanewise.errors import UsageError
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import FoldData, Moving, TrainingData
from lanewise.training.device import CPU, device_here, device_name, device_of, gpu_width, turn


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {getattr(device, 'index', device)}")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("name", [None, "auto", "cpu", CPU])
def test_the_processor(name: Any) -> None:
    assert device_of(name) == CPU


@pytest.mark.usefixtures("two_gpus")
def test_gpus_by_number() -> None:
    assert device_of("cuda") == torch.device("cuda", 0)
    assert device_of(torch.device("cuda", 1)) == device_of("cuda:1")
    assert device_name(device_of("cuda:1")) == "GPU 1"
    with pytest.raises(UsageError, match=r"^device cuda:2 is not there: there is cuda:0 \(GPU 0\), cuda:1 \(GPU 1\)$"):
        device_of("cuda:2")
    # Of several ranks each has the GPU of its own number on its host, unless one is named.
    ranks = [Place(rank=2 + own, size=6, local_rank=own, local_size=3) for own in range(3)]
    assert [str(device_here("cuda", own)) for own in ranks[:2]] == ["cuda:0", "cuda:1"]
    assert str(device_here("cuda:0", ranks[1])) == "cuda:0"
    with pytest.raises(UsageError, match=r"^device cuda:2 is not there"):
        device_here("cuda", ranks[2])


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("built", "words"),
    [(None, r"is built without CUDA; use cpu, or install"), ("13.0", r"sees no GPU \(check nvidia-smi")],
)
def test_no_gpu_is_told_with_what_to_do(built: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=built, hip=None))
    with pytest.raises(UsageError, match=words):
        device_of("cuda")


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:-1", "cuda:x", "mps"])
def test_other_names(name: str) -> None:
    with pytest.raises(UsageError, match=r"^device must be auto, cpu, cuda or cuda:N, got "):
        device_of(name)


@pytest.mark.usefixtures("no_gpu")
def test_what_takes_a_device_refuses_one_that_is_not_there() -> None:
    rows = torch.zeros(8, 2), torch.zeros(8, 1)
    with pytest.raises(UsageError, match=r"^device cuda is not there"):
        lanewise.fit("no_such_table.csv", target="y", device="cuda")
    with pytest.raises(UsageError, match=r"^device cuda:1 is not there"):
        lanewise.tune(lambda: torch.nn.Linear(2, 1), train=rows, valid=0.5, loss=torch.nn.MSELoss(), device="cuda:1")


def test_tensors_are_moved_once() -> None:
    def fold(shared: torch.Tensor) -> FoldData:
        rows = torch.arange(4)
        return FoldData(dense=torch.zeros(4, 1), codes=shared, target=torch.zeros(4), train=rows[:3], valid=rows[3:])

    codes = torch.zeros(4, 0, dtype=torch.int64)
    task = Task(target="y", kind="regression", metric="rmse")
    folds = {0: fold(codes), 1: fold(codes)}
    data = TrainingData(
        task=task, width=Width(dense=1, levels=(), outputs=1), folds=folds, rows=4, weight=torch.ones(4)
    )
    moving = Moving(torch.device("meta"))
    there, again = moving(data), moving(data)
    assert {own.dense.device.type for own in there.folds.values()} == {"meta"}
    assert there.weight is not None
    assert there.weight.device.type == "meta"
    assert there.folds[0].codes is there.folds[1].codes is again.folds[1].codes
    assert data.folds[0].dense.device == CPU
    assert Moving(CPU)(data) is data


def test_a_turn_on_the_processor_is_nothing() -> None:
    before = torch.backends.cudnn.allow_tf32
    with turn(CPU):
        assert torch.backends.cudnn.allow_tf32 is before


def test_the_width_of_a_stack_on_a_gpu_falls_with_its_parameters() -> None:
    widths = [gpu_width(count) for count in (10, 10**5, 10**7, 10**9)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[2] > widths[3] == 1
