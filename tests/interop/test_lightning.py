"""The drop-ins unchanged in Lightning's ``configure_optimizers``: the same weights as the plain loop, bit for bit."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lanewise import optim
from lanewise.optim import schedules

pytestmark = [
    pytest.mark.skipif(find_spec("lightning") is None, reason="the interop packages are not installed"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning asks torch in the old way
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

STEPS, EPOCHS = 15, 3
MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(optim.AdamW, lr=0.05, weight_decay=0.1),
    "muon": partial(optim.Muon, lr=0.02),
    "dog": optim.DoG,
    "sam": partial(optim.SAM, lr=0.05, base=optim.AdamW, rho=0.1),
}


def lightning() -> Any:
    """Its import takes seconds, which a process that only collects these tests need not pay."""
    return import_module("lightning.pytorch")


def made(kind: type, *arguments: Any) -> Any:
    """A ``kind`` that is a module of Lightning."""
    return type(kind.__name__, (kind, lightning().LightningModule), {})(*arguments)


class Regression:
    def __init__(self, model: nn.Module, make: Callable[..., torch.optim.Optimizer], schedule: Any = None) -> None:
        super().__init__()
        self.model, self.make, self.schedule = model, make, schedule

    def training_step(self, batch: tuple[Tensor, Tensor], place: int) -> Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(self.model(inputs), targets)

    def configure_optimizers(self) -> Any:
        optimizer = self.make(self.parameters())
        if self.schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": "step"}}


class ScheduleFreeRegression(Regression):
    """The few more lines of Schedule-Free: the weights to judge and save by are not those to train with."""

    def on_train_epoch_start(self) -> None:
        self.trainer.optimizers[0].train()

    def on_train_epoch_end(self) -> None:
        self.trainer.optimizers[0].eval()


def trainer(folder: Path, epochs: int = EPOCHS, **settings: Any) -> Any:
    return lightning().Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def loader(batches: Any) -> DataLoader:
    return DataLoader(batches, batch_size=None)


@pytest.mark.parametrize("name", MAKERS)
def test_it_trains_as_the_plain_loop_does(name: str, network, plain_loop, batches, tmp_path: Path) -> None:
    plain = network()
    optimizer = MAKERS[name](plain.parameters())
    expected = plain_loop(plain, optimizer, schedules.CosineSchedule(optimizer, total_steps=STEPS, warmup=3))
    module = made(Regression, network(), MAKERS[name], partial(schedules.CosineSchedule, total_steps=STEPS, warmup=3))
    trainer(tmp_path).fit(module, loader(batches))
    assert all(torch.equal(*pair) for pair in zip(module.model.parameters(), expected, strict=True))


def test_schedule_free_ends_with_the_weights_to_judge_by(
    network, plain_loop, assert_same_weights, batches, tmp_path: Path
) -> None:
    plain = network()
    optimizer = optim.ScheduleFreeAdamW(plain.parameters(), lr=0.05)
    for _ in range(EPOCHS):
        optimizer.train()
        plain_loop(plain, optimizer, epochs=1)
        optimizer.eval()
    module = made(ScheduleFreeRegression, network(), partial(optim.ScheduleFreeAdamW, lr=0.05))
    trainer(tmp_path).fit(module, loader(batches))
    assert_same_weights(module.model, [parameter.detach() for parameter in plain.parameters()])


def test_a_run_goes_on_from_a_checkpoint(network, plain_loop, assert_same_weights, batches, tmp_path: Path) -> None:
    plain, schedule = network(), partial(schedules.LinearSchedule, total_steps=STEPS, warmup=2)
    optimizer = MAKERS["adamw"](plain.parameters())
    expected = plain_loop(plain, optimizer, schedule(optimizer))
    first = trainer(tmp_path, epochs=1)
    first.fit(made(Regression, network(), MAKERS["adamw"], schedule), loader(batches))
    first.save_checkpoint(tmp_path / "half.ckpt")
    module = made(Regression, network(), MAKERS["adamw"], schedule)
    trainer(tmp_path).fit(module, loader(batches), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert_same_weights(module.model, expected)


def test_a_plateau_is_stepped_with_what_it_monitors(network, batches, tmp_path: Path) -> None:
    class Watched(Regression):
        def on_train_epoch_end(self) -> None:
            self.log("watched", torch.tensor(1.0))

        def configure_optimizers(self) -> Any:
            optimizer = self.make(self.parameters())
            self.plateau = schedules.PlateauSchedule(optimizer, gamma=0.5, patience=1)
            schedule = {"scheduler": self.plateau, "monitor": "watched", "reduce_on_plateau": True}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    module = made(Watched, network(), partial(optim.SGD, lr=0.08))
    trainer(tmp_path, epochs=5).fit(module, loader(batches))
    # better, then two that are not and a reduction, twice
    assert module.plateau.get_last_lr() == [0.02]
