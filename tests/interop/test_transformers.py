"""The drop-ins unchanged as the ``optimizers=`` of the Hugging Face Trainer, on a tiny model; nothing is downloaded."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lanewise import optim
from lanewise.optim import schedules

STEPS, ROWS = 6, 12
MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(optim.AdamW, lr=0.01, weight_decay=0.1),
    "muon": partial(optim.Muon, lr=0.01),
    "sgd": partial(optim.SGD, lr=0.1),
}


@pytest.fixture(scope="module")
def transformers() -> Any:
    """Its import takes seconds, which a process that only collects these tests need not pay."""
    pytest.importorskip("accelerate", reason="the interop packages are not installed")
    return pytest.importorskip("transformers", reason="the interop packages are not installed")


@pytest.fixture
def model(transformers: Any) -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=17,
        n_positions=8,
        n_embd=8,
        n_layer=1,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


@pytest.fixture
def rows() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(17, (ROWS, 8), generator=generator)
    labels = tokens.clone()
    labels[:, 0] = -100  # nothing predicts the first token; the Trainer divides the loss by the number of labels
    return [{"input_ids": row, "labels": own} for row, own in zip(tokens, labels, strict=True)]


def arguments(transformers: Any, folder: Path, **settings: Any) -> Any:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        max_grad_norm=0.0,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        train_sampling_strategy="sequential",
        **settings,
    )


def plain(model: nn.Module, rows: list[dict[str, torch.Tensor]], optimizer: Any, scheduler: Any = None) -> None:
    """The loop of the Trainer in PyTorch alone: three batches of four rows, twice."""
    tokens = torch.stack([row["input_ids"] for row in rows])
    model.train()
    for at in range(STEPS):
        batch = tokens[4 * (at % 3) : 4 * (at % 3) + 4]

        def closure(batch: torch.Tensor = batch) -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            return loss

        optimizer.step(closure)
        if scheduler is not None:
            scheduler.step()


def assert_close(model: nn.Module, other: nn.Module) -> None:
    for own, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(own, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_it_trains_as_the_plain_loop_does(name: str, transformers, model, rows, tmp_path: Path) -> None:
    other = copy.deepcopy(model)
    expected = MAKERS[name](other.parameters())
    plain(other, rows, expected, schedules.LinearSchedule(expected, total_steps=STEPS, warmup=2))
    optimizer = MAKERS[name](model.parameters())
    scheduler = schedules.LinearSchedule(optimizer, total_steps=STEPS, warmup=2)
    before = copy.deepcopy(model)
    trainer = transformers.Trainer(
        model, arguments(transformers, tmp_path), train_dataset=rows, optimizers=(optimizer, scheduler)
    )
    result = trainer.train()
    assert result.global_step == STEPS
    assert_close(model, other)
    assert not torch.allclose(model.lm_head.weight, before.lm_head.weight, atol=1e-4)


def test_schedule_free_is_switched_by_the_trainer_and_once_more_before_saving(
    transformers, model, rows, tmp_path: Path
) -> None:
    other = copy.deepcopy(model)
    expected = optim.ScheduleFreeAdamW(other.parameters(), lr=0.01)
    plain(other, rows, expected)
    expected.eval()
    optimizer = optim.ScheduleFreeAdamW(model.parameters(), lr=0.01)
    scheduler = schedules.ConstantSchedule(optimizer)
    trainer = transformers.Trainer(
        model, arguments(transformers, tmp_path), train_dataset=rows, optimizers=(optimizer, scheduler)
    )
    trainer.train()
    trainer.optimizer.eval()
    trainer.save_model(str(tmp_path / "saved"))
    saved = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "saved")
    assert_close(saved, other)


def test_sam_takes_its_second_gradient_in_training_step(transformers, model, rows, tmp_path: Path) -> None:
    class SAMTrainer(transformers.Trainer):
        """The few more lines of SAM: the Trainer calls ``step()`` without a closure."""

        def training_step(self, model: nn.Module, inputs: Any, *rest: Any) -> torch.Tensor:
            loss = super().training_step(model, inputs, *rest)
            with self.optimizer.optimizer.perturbed():
                super().training_step(model, inputs, *rest)
            return loss

    other = copy.deepcopy(model)
    plain(other, rows, optim.SAM(other.parameters(), lr=0.1, base=optim.SGD, rho=0.5))
    optimizer = optim.SAM(model.parameters(), lr=0.1, base=optim.SGD, rho=0.5)
    scheduler = schedules.ConstantSchedule(optimizer)
    trainer = SAMTrainer(
        model, arguments(transformers, tmp_path), train_dataset=rows, optimizers=(optimizer, scheduler)
    )
    trainer.train()
    assert_close(model, other)
    unlike = copy.deepcopy(other)
    plain(unlike, rows, optim.SGD(unlike.parameters(), lr=0.1))
    with pytest.raises(AssertionError):
        assert_close(model, unlike)
