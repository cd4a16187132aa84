"""What the ranks of ``test_tune_ranks`` do: races of modules of their own, each of which every rank comes to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import lanewise
from lanewise.features.encoding import Encoded
from lanewise.training.streamed.row_store import RowStore
from lanewise.tuning.fingerprint import digest

RATES = [{"optimizer": "sgd", "lr": lr} for lr in (0.1, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 0.3, 0.2, 1e9)]
APART = {"optimizer": "sgd", "lr": 0.2, "average_every": 4, "outer_lr": 0.7, "outer_momentum": 0.9}
ADAMS = [{"optimizer": "adam", "lr": lr} for lr in (0.1, 1e-3, 1e-4)]


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 5, generator=draw)
    return X, (X[:, 0] - X[:, 1] + 0.3 * torch.randn(count, generator=draw) > 0).long()


def network(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))


def normalizing() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


KINDS: Mapping[str, Mapping[str, Any]] = {
    "halving": {"candidates": [*RATES, *ADAMS, APART], "seeds": 2, "metric": "roc_auc"},
    "folds": {"candidates": [*RATES, {"lr": 0.05, "width": 3}], "valid": None, "folds": 2},
    "population": {"candidates": [*RATES[:6], *ADAMS, APART], "policy": "population"},
    "genetic": {"candidates": [*RATES[:6], *ADAMS], "policy": "genetic"},
    "bayesian": {"candidates": 12, "space": {"optimizer": ["sgd", "adam"], "width": [4, 8]}, "search": "bayesian"},
    "normalizing": {"make_model": normalizing, "candidates": RATES[:3]},
    "table": {"make_model": lambda: nn.Linear(3, 2), "candidates": RATES[:4], "valid": 0.2},
}


def rows_written() -> list[int]:
    """How many rows this rank writes from now on to stores of rows, each time that it does."""
    written, write = list[int](), RowStore.write

    def counted(self: RowStore, first: int, encoded: Encoded, *args: Any) -> None:
        written.append(encoded.rows)
        write(self, first, encoded, *args)

    RowStore.write = counted
    return written


def tune(task: Mapping[str, Any]) -> Any:
    """For each kind of race its document and the digest of the weights that won."""
    place, found = os.environ.get("RANK", "0"), {}
    home = Path(task["folder"]) / task["home"] if "home" in task else None
    for kind in task["kinds"]:
        usual = {
            "make_model": network, "train": rows(240, 0), "valid": rows(120, 1), "loss": nn.CrossEntropyLoss(),
            "budget": "20steps", "home": home, "name": kind if home else None,
        }  # fmt: skip
        own = {**usual, **KINDS[kind], **task.get("settings", {}), **task.get("settings_of", {}).get(place, {})}
        written = rows_written()
        if task.get("source") == "table":
            inputs = ["x0", "x1", "x2"]
            own["train"] = lanewise.table_rows(Path(task["folder"]) / "table", target="y", inputs=inputs)
        result = lanewise.tune(**own)
        found[kind] = {
            "document": result.document, "weights": digest(result.model.state_dict()), "wrote": sum(written),
        }  # fmt: skip
    return found
