"""A tuning race that is stored: recorded, gone on with by its name, refused where something has changed."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lanewise
import lanewise.training.race
from lanewise.errors import DataError, Interrupted, UsageError
from lanewise.runs.comparing import differences
from lanewise.runs.store import RunStore
from lanewise.storage.modelfile import load_model
from lanewise.training.stack import Stack
from lanewise.training.watching.pulse import Pulse

RATES = [{"optimizer": "sgd", "lr": lr} for lr in (0.1, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 0.3, 0.2, 1e9)]


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 5, generator=draw)
    return X, (X[:, 0] - X[:, 1] + 0.3 * torch.randn(count, generator=draw) > 0).long()


TRAIN, VALID = rows(240, 0), rows(120, 1)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


def tune(home: Path | None, **settings: Any) -> lanewise.TuneResult:
    usual: dict[str, Any] = {
        "train": TRAIN, "valid": VALID, "loss": nn.CrossEntropyLoss(), "candidates": RATES, "budget": "40steps",
        "home": home, "workers": 2,
    }  # fmt: skip
    return lanewise.tune(**{"make_model": network, **usual, **settings})


class Killing:
    """Ends a race at the look of that number, without a word of warning."""

    def __init__(self, look: int) -> None:
        self.left = look

    def __call__(self, pulse: Pulse) -> None:
        self.left -= 1
        if not self.left:
            raise Interrupted


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> lanewise.TuneResult:
    return tune(tmp_path_factory.mktemp("whole"), name="mine")


def test_a_stored_race_is_the_race(whole: lanewise.TuneResult) -> None:
    plain = tune(None)
    assert (plain.run, plain.folder) == (None, None)
    assert list(differences(plain.document["race"], whole.document["race"])) == []
    assert plain.selection == whole.selection


def test_what_is_in_its_folder(whole: lanewise.TuneResult) -> None:
    assert whole.folder is not None
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "lanes.json", "lock", "model", "plan.json", "report.html",
    ]  # fmt: skip
    kept = load_model(whole.folder / "model")
    assert kept.sha256 == whole.document["model_sha256"]
    assert kept.manifest["settings"] == dict(whole.settings)
    model = network()
    model.load_state_dict(dict(kept.tensors))
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    with RunStore(whole.folder.parents[1]) as store:
        run = store.get("last")
    assert (run.id, run.status) == (whole.run, "done")
    assert run.document == whole.document
    assert {"schema_version", "kind", "winner", "default", "candidates", "lanes", "seconds", "warnings"} <= set(
        whole.document
    )


@pytest.mark.parametrize("looks", [(3,), (9, 4, 2)], ids=["one kill", "three kills"])
def test_the_same_call_goes_on_to_the_same_bits(
    looks: tuple[int, ...], whole: lanewise.TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanewise.training.race, "SAVE_EVERY_SECONDS", 0.01)
    runs = set()
    for look in looks:
        with pytest.raises(Interrupted, match=r"stopped; go on with: lanewise\.resume\('(\S+)'\)") as caught:
            tune(tmp_path, name="mine", watch=Killing(look))
        runs.add(str(caught.value))
    restored = []
    restore = Stack.restore
    monkeypatch.setattr(Stack, "restore", lambda own, *given: (restored.append(own), restore(own, *given)))
    found = tune(tmp_path, name="mine")
    assert len(runs) == 1
    assert restored
    assert list(differences(found.document, whole.document)) == []
    assert found.document["model_sha256"] == whole.document["model_sha256"]
    assert not (tmp_path / "runs" / str(found.run) / "checkpoints").exists()
    with RunStore(tmp_path) as store:
        assert [run.status for run in store.list()] == ["done"]


class Pulled(nn.Module):
    """A network that asks for gradients by its inputs, as those of forces do, while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(5, 8), nn.Linear(8, 2)

    def forward(self, rows: Tensor) -> Tensor:
        at = rows.detach().requires_grad_()
        found = self.outer(torch.tanh(self.inner(at)))
        if not self.training:
            return found
        (pull,) = torch.autograd.grad(found.sum(), at, create_graph=True)
        return found + pull.square().sum(1, keepdim=True)


def test_a_module_that_asks_for_gradients_is_raced_and_stored(tmp_path: Path) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    found = tune(tmp_path, make_model=Pulled, loss=loss, candidates=RATES[:2], budget="20steps", workers=1)
    assert found.run


def test_folds_and_modules_of_several_forms_go_on_too(tmp_path: Path) -> None:
    def module(width: int = 4) -> nn.Module:
        return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 2))

    asked: dict[str, Any] = {
        "make_model": module, "valid": None, "folds": 2, "budget": "20steps",
        "candidates": [{"lr": 1e-3}, {"lr": 0.05, "width": 8, "batch_size": 32}],
    }  # fmt: skip
    with pytest.raises(Interrupted):
        tune(tmp_path / "home", name="mine", watch=Killing(4), **asked)
    found = tune(tmp_path / "home", name="mine", **asked)
    truth = tune(tmp_path / "whole", name="mine", **asked)
    assert list(differences(found.document, truth.document)) == []
    assert found.arguments == {"width": 8}


def test_a_run_that_is_done_is_not_gone_on_with(tmp_path: Path) -> None:
    first, second = (tune(tmp_path, name="mine", candidates=RATES[:1], budget="20steps") for _ in range(2))
    assert first.run != second.run


def test_a_budget_in_time_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        tune(tmp_path, name="mine", budget="2s", candidates=RATES[:2], watch=Killing(2))
    (plan,) = tmp_path.glob("runs/*/plan.json")
    before = plan.read_bytes()
    monkeypatch.setattr(time, "perf_counter", lambda: pytest.fail("the clock was read"))
    tune(tmp_path, name="mine", budget="2s", candidates=RATES[:2])
    assert plan.read_bytes() == before


def deeper() -> nn.Module:
    return nn.Sequential(*network(), nn.Linear(2, 2))


CHANGES = [
    ({"train": rows(240, 5)}, r"the data \(rows, values or their order\) have changed since run .* began; undo that"),
    ({"make_model": deeper}, "what make_model builds has changed"),
    ({"loss": nn.CrossEntropyLoss(label_smoothing=0.2)}, "what the module or the loss computes has changed"),
    ({"candidates": RATES[:4], "seeds": 2}, "named 'mine', is unfinished and began with other seeds, candidates; call"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_what_has_changed_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        tune(tmp_path, name="mine", watch=Killing(1))
    with pytest.raises((DataError, UsageError), match=words):
        tune(tmp_path, name="mine", **change)


@pytest.mark.parametrize("given", [{"policy": "population"}, {"search": "bayesian", "policy": "halving"}])
def test_another_constraint_that_draws_the_same_candidates_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    """It would decide otherwise about copies and proposals from here on."""
    space = {"optimizer": "sgd", "lr": (0.01, 0.1), "weight_decay": 0.0}
    given = {"candidates": 8, "space": space, "name": "mine", **given}
    with pytest.raises(Interrupted):
        tune(tmp_path, **given, where=lambda one: one["lr"] < 0.08, watch=Killing(1))
    with pytest.raises(UsageError, match="is unfinished and began with other where; call it as it was"):
        tune(tmp_path, **given, where=lambda one: one["lr"] < 0.085)
    tune(tmp_path, **given, where=lambda one: not one["lr"] >= 0.08)
    assert len(list(tmp_path.glob("runs/*"))) == 1


def test_a_name_without_a_home_is_refused() -> None:
    with pytest.raises(UsageError, match="give home too"):
        tune(None, name="mine")


def test_scarce_memory_is_told_in_the_result(monkeypatch: pytest.MonkeyPatch, whole: lanewise.TuneResult) -> None:
    advance = Stack.advance

    def scarce(own: Stack, *given: Any) -> None:
        if len(own.lanes) > 4:
            raise MemoryError
        advance(own, *given)

    monkeypatch.setattr(Stack, "advance", scarce)
    found = tune(None)
    assert found.warnings[0] == "memory ran out with 9 lanes in one stack; they were trained at most 5 at a time"
    assert found.document["warnings"] == list(found.warnings)
    assert found.winner.id == whole.winner.id
    assert found.score == pytest.approx(whole.score, abs=1e-4)
