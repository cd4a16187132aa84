"""Models of Transformers, Lightning and skorch in a race, as an ordinary loop trains them; nothing is downloaded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lanewise.lanes.draws import RowStream
from lanewise.tuning import TuneResult, tune

ROWS, TRAIN, BATCH, STEPS, RATE = 24, 16, 8, 20, 0.05
TOKENS = torch.randint(1, 17, (ROWS, 8), generator=torch.Generator().manual_seed(0))
Rows = dict[str, Tensor] | tuple[Tensor, Tensor]


def part(rows: Rows, at: Any) -> Any:
    return {name: own[at] for name, own in rows.items()} if isinstance(rows, dict) else tuple(own[at] for own in rows)


def alone(make: Callable[[], nn.Module], step: Callable[[nn.Module, Any], Tensor], rows: Rows) -> nn.Module:
    """The module after the steps of plain gradient descent over the rows of seed 0."""
    torch.manual_seed(0)
    model = make().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    stream = RowStream(0, torch.arange(TRAIN), ROWS)
    for at in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - at / STEPS)
        optimizer.zero_grad()
        step(model, part(rows, stream.take(at * BATCH, BATCH))).backward()
        optimizer.step()
    return model


def raced(make: Callable[[], nn.Module], rows: Rows, **settings: Any) -> TuneResult:
    return tune(
        make,
        train=part(rows, slice(TRAIN)),
        valid=part(rows, slice(TRAIN, ROWS)),
        candidates=[{"optimizer": "sgd", "lr": lr, "batch_size": BATCH} for lr in (RATE, 1e-9, 2e-9)],
        budget=f"{STEPS}steps",
        **settings,
    )


def assert_same(found: nn.Module, truth: nn.Module) -> None:
    for (name, one), other in zip(found.state_dict().items(), truth.state_dict().values(), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9), name


def test_a_language_model_by_the_loss_that_it_returns() -> None:
    transformers = pytest.importorskip("transformers", reason="the interop packages are not installed")
    settings = {"vocab_size": 17, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2, "use_cache": False}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}

    def make() -> nn.Module:
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings, **quiet)).double()

    def step(model: nn.Module, batch: Any) -> Tensor:
        return model(**batch).loss

    rows: Rows = {"input_ids": TOKENS, "labels": TOKENS}
    found = raced(make, rows, step=step)
    assert_same(found.model, alone(make, step, rows))


def test_a_classifier_by_a_loss_of_its_logits() -> None:
    transformers = pytest.importorskip("transformers", reason="the interop packages are not installed")
    settings = {"vocab_size": 17, "max_position_embeddings": 8, "hidden_size": 8, "intermediate_size": 12}
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_labels": 2}

    def make() -> nn.Module:
        config = transformers.BertConfig(num_hidden_layers=1, num_attention_heads=2, **settings, **quiet)
        return transformers.BertForSequenceClassification(config).double()

    rows: Rows = {"input_ids": TOKENS, "attention_mask": (TOKENS > 3).long(), "labels": (TOKENS.sum(1) > 70).long()}
    found = raced(make, rows, loss=lambda outputs, targets: F.cross_entropy(outputs.logits, targets), metric="accuracy")

    def step(model: nn.Module, batch: Any) -> Tensor:
        outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        return F.cross_entropy(outputs.logits, batch["labels"])

    assert_same(found.model, alone(make, step, rows))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning asks torch in the old way
def test_a_lightning_module_by_its_training_step() -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="the interop packages are not installed")

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 2)

        def training_step(self, batch: tuple[Tensor, Tensor], place: int) -> Tensor:
            inputs, targets = batch
            return F.cross_entropy(self.inner(inputs), targets)

    def make() -> nn.Module:
        return Classifier().double()

    def step(model: Any, batch: Any) -> Tensor:
        return model.training_step(batch, 0)

    rows: Rows = (TOKENS.double() / 17, (TOKENS.sum(1) > 70).long())
    found = raced(make, rows, step=step)
    assert_same(found.model, alone(make, step, rows))


def test_a_skorch_net_by_its_own_loss() -> None:
    skorch = pytest.importorskip("skorch", reason="skorch is not installed")
    from sklearn.base import clone

    class Classifier(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(8, width), nn.Linear(width, 2)

        def forward(self, X: Tensor) -> Tensor:  # skorch names the inputs so
            return self.head(self.body(X).tanh()).softmax(1)

    net = skorch.NeuralNetClassifier(Classifier, module__width=5, max_epochs=2, verbose=0).initialize()

    def make() -> nn.Module:
        return clone(net).initialize().module_.double()

    inputs, targets = (TOKENS.double() / 17, (TOKENS.sum(1) > 70).long())
    found = raced(make, (inputs, targets), loss=net.get_loss)

    def step(model: nn.Module, batch: Any) -> Tensor:
        return F.nll_loss(model(batch[0]).log(), batch[1])

    assert_same(found.model, alone(make, step, (inputs, targets)))
    tuned = clone(net).set_params(optimizer=lambda params, **_: found.optimizer(params))
    tuned.fit(inputs.float().numpy(), targets.numpy())
    assert tuned.optimizer_.param_groups[0]["lr"] == RATE
