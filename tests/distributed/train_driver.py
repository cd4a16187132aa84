"""One model trained by several ranks, many checks in one launch: torchrun --nproc-per-node 2 train_driver.py FOLDER.

What four ranks do is a task of ``rank_driver.py``.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import lanewise
from lanewise.distributed.place import place_of
from lanewise.one_model import proposed
from lanewise.training.planning import mesh_measuring

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [1.0]], dtype=torch.float64)).tanh()
STEPS = 7
"""More than an epoch, and more than the steps to a checkpoint."""


def network(dtype=torch.float64, layer=nn.Tanh) -> nn.Module:
    """Rows of its weights do not split evenly over 2 or 4 ranks."""
    return nn.Sequential(nn.Linear(5, 7), layer(), nn.Linear(7, 3), layer(), nn.Linear(3, 1)).to(dtype)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.v, self.out = (nn.Linear(width, width) for _ in range(3))
        self.k = nn.Linear(width, width, bias=False)  # its gradient would be 0, of which Adam makes steps of any size

    def forward(self, x):
        q, k, v = (own(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for own in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Reader(nn.Module):
    """A small transformer, with one kind of each layer that the axis tensor splits, and some that it leaves whole."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(10, 8), nn.Embedding(5, 8)
        self.norm, self.attention = nn.LayerNorm(8), Attention(8, heads)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8)) for _ in range(2))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, bias=False)
        self.widen, self.head = nn.Linear(8, 6), nn.Linear(6, 1)

    def forward(self, tokens):
        x = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        x = x + self.attention(self.norm(x))
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.widen(self.layer(x)).tanh().mean(1))


WORDS = ((X * 2).round().long() % 10, Y)


class Idle(nn.Module):
    """A network beside which a layer does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.idle = network(), nn.Linear(5, 1).double()

    def forward(self, x):
        return self.net(x)


class Wide(nn.Module):
    """Two layers with one between that works on more than a unit at a time."""

    def __init__(self, middle: nn.Module, units: int) -> None:
        super().__init__()
        self.up, self.middle, self.down, self.units = nn.Linear(5, 8), middle, nn.Linear(8, 1), units

    def forward(self, x):
        shape = (-1, self.units) if self.units > 0 else (1, -1)
        return self.down(self.middle(self.up(x).unflatten(-1, shape)).flatten(-2))


class Scaled(nn.Module):
    """A network with single numbers among its weights: one that trains, one that no loss knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.scale, self.idle = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (0.5, 2.0))

    def forward(self, x):
        return self.scale * self.net(x)


def with_scale(**settings):
    usual = {"optimizer": "adam", "lr": 0.05, "steps": 6, "batch_size": 8, "seed": 3, "clip_norm": 0.05}
    return lanewise.train(Scaled, (X, Y), nn.MSELoss(), **{**usual, **settings})


def with_idle(**settings):
    usual = {"optimizer": "adam", "lr": 0.05, "steps": 6, "batch_size": 8, "seed": 3, "accumulate": 2}
    return lanewise.train(Idle, (X, Y), nn.MSELoss(), **{**usual, **settings})


def words_read(model=Reader, **settings):
    usual = {"optimizer": "sgd", "lr": 0.05, "steps": 4, "batch_size": 8, "seed": 3}
    return lanewise.train(lambda: model().double(), WORDS, nn.MSELoss(), **{**usual, **settings})


def trained(dtype=torch.float64, *, layer=nn.Tanh, loss=None, **settings):
    usual = {"optimizer": "sgd", "lr": 0.05, "steps": STEPS, "batch_size": 8, "seed": 3}
    return lanewise.train(lambda: network(dtype, layer), (X, Y), loss or nn.MSELoss(), **{**usual, **settings})


CASES = {
    "sgd": {"optimizer": "sgd"},
    "adam": {"optimizer": "adam"},
    "torch": {"optimizer": torch.optim.AdamW},
    "muon": {"optimizer": "muon"},
    "clipped pieces": {"optimizer": "sgd", "clip_norm": 0.05, "accumulate": 2, "batch_size": 16},
}

HALF = {"blocks.*.0": "column", "blocks.*.2": "row", "embed": "column"}
READ = {
    "tensor": {"optimizer": "sgd", "steps": 3},
    "tensor kept": {"optimizer": "adam"},
    "tensor plan": {"optimizer": "muon", "steps": 2, "clip_norm": 0.05, "accumulate": 2},
}
"""Trainings of the reader, and how ranks share each."""
SHARED = {
    "tensor": {"mesh": "tensor=2"},
    "tensor kept": {"mesh": "tensor=2", "checkpoint_every": 3},
    "tensor plan": {"mesh": "tensor=2", "tensor_plan": HALF},
}

PIPED = {
    "pipeline": {"optimizer": "sgd", "accumulate": 2},
    "pipeline kept": {"optimizer": "adam", "accumulate": 4, "clip_norm": 0.05},
}
WHOLE = {"optimizer": "soap", "accumulate": 2, "steps": 12}


def by_weight(own, lr):
    """A group for each weight that there is: of stages that have not as many others."""
    return torch.optim.SGD([{"params": [weight], "lr": lr} for weight in own])


GROUPED = {"optimizer": by_weight, "accumulate": 2}
"""Trainings of the network in stages."""

REFUSED = {
    "soap": {"optimizer": "soap"},
    "prodigy": {"optimizer": "prodigy"},
    "batch": {"batch_size": 9},
    "mesh": {"mesh": "shard=3"},
    "lanes": {"mesh": "lane=2"},
    "both": {"mesh": "tensor=2,pipeline=2"},
    "few": {"mesh": "pipeline=2"},
    "cut": {"mesh": "pipeline=2", "accumulate": 2, "split": ["2", "4"]},
    "block": {"blocks": ["nowhere"]},
    "units": {"mesh": "tensor=2"},
    "gpu": {"device": "cuda:99"},
}
DIFFER = {
    "seed": lambda rank: {"seed": rank},
    "rate": lambda rank: {"lr": 0.1 + rank},
    "layers": lambda rank: {"layer": (nn.Tanh, nn.ReLU)[rank]},
    "loss": lambda rank: {"loss": (nn.MSELoss(), nn.L1Loss())[rank]},
    "mesh of one": lambda rank: {"mesh": "data=2" if rank else None},
    "momentum": lambda rank: {"optimizer": lambda own, lr: torch.optim.SGD(own, lr=lr, momentum=0.5 * rank)},
}
"""What each rank is told otherwise than the other."""
READ_REFUSED = {
    "heads": {"model": lambda: Reader(heads=1)},
    "sequence": {"mesh": "pipeline=2", "accumulate": 2},
    "unpaired": {"tensor_plan": {"blocks.*.0": "column"}},
}
WIDE = {"between": (nn.LayerNorm(4), 4), "mixed": (nn.Softmax(-1), -1)}


def kept(found) -> dict:
    whole = {name: own.tolist() for name, own in found.state_dict().items()}
    return {"losses": list(found.losses), "weights": whole}


def on_two(folder: Path, rank: int) -> dict:
    found = {}
    for mesh in ("data=2", "shard=2"):
        for name, settings in CASES.items():
            found[f"{mesh} {name}"] = kept(trained(mesh=mesh, **settings))
    for mesh in ("data=2", "shard=2"):
        found[f"{mesh} idle"] = kept(with_idle(mesh=mesh))
        found[f"{mesh} scale"] = kept(with_scale(mesh=mesh))
    found["shard=2 single precision"] = kept(trained(torch.float32, mesh="shard=2", optimizer="adam"))
    unnamed = trained()
    found["unnamed"] = {**kept(unnamed), "mesh": unnamed.mesh, "why": unnamed.mesh_why}
    memory, proposed.memory_bytes = proposed.memory_bytes, lambda: 5000
    parted = trained(optimizer="adam")
    proposed.memory_bytes = memory
    found["too large"] = {**kept(parted), "mesh": parted.mesh, "why": parted.mesh_why}
    mesh_measuring.FITTED, mesh_measuring.SECONDS = (2**12, 2**18, 2**24), 0.0
    state = torch.get_rng_state()
    measured = trained(mesh="auto", optimizer="adam")
    undrawn = torch.equal(state, torch.get_rng_state())
    found["measured"] = {**kept(measured), "mesh": measured.mesh, "why": measured.mesh_why, "undrawn": undrawn}
    found["blocks"] = kept(trained(mesh="shard=2", blocks=["2"]))
    torch.manual_seed(1)
    model = network()
    made = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    found["made"] = kept(lanewise.train(model, (X, Y), nn.MSELoss(), optimizer=made, steps=24, mesh="shard=2"))
    split = trained(mesh="shard=2", optimizer="adam", checkpoint=folder / "two", checkpoint_every=5)
    found["kept"] = kept(split)
    part = next(split.model.parameters())
    found["rows of a part"] = len(part.to_local())
    for name, settings in READ.items():
        kept_in = {"checkpoint": folder / "words"} if name == "tensor kept" else {}
        found[name] = kept(words_read(**settings, **SHARED[name], **kept_in))
    found["pipeline"] = kept(trained(mesh="pipeline=2", **PIPED["pipeline"], split=["4"]))
    found["whole matrices"] = kept(trained(mesh="pipeline=2", **WHOLE))
    found["a group each"] = kept(trained(mesh="pipeline=2", **GROUPED, split=["4"]))
    stages = {"mesh": "pipeline=2", "checkpoint": folder / "stages", "checkpoint_every": 5}
    staged = trained(**stages, **PIPED["pipeline kept"])
    found["pipeline kept"] = kept(staged)
    found["names of a stage"] = [name for name, _ in staged.model.named_parameters()]
    for name, given in READ_REFUSED.items():
        found[f"refused {name}"] = refusal(lambda given=given: words_read(**{"mesh": "tensor=2", **given}))
    for name, (middle, units) in WIDE.items():
        model = Wide(middle, units).double()
        plan = {"mesh": "tensor=2", "tensor_plan": {"up": "column", "down": "row"}}
        call = lambda model=model, plan=plan: lanewise.train(model, (X, Y), nn.MSELoss(), steps=1, **plan)  # noqa: E731  # binds both
        found[f"refused {name}"] = refusal(call)
    for name, given in (REFUSED | {f"other {name}": own(rank) for name, own in DIFFER.items()}).items():
        settings = {"mesh": "shard=2", **given}
        found[f"refused {name}"] = refusal(lambda settings=settings: trained(**settings))
    other = (X + rank, Y)
    found["refused other rows"] = refusal(lambda: lanewise.train(network, other, nn.MSELoss(), steps=1, batch_size=8))
    return found


def refusal(call) -> str:
    try:
        call()
    except lanewise.UsageError as error:
        return str(error)
    return "not refused"


BOTH = {"sgd": {"optimizer": "sgd", "clip_norm": 0.05}, "adam": {"optimizer": "adam"}}
"""Trainings over FSDP2 and another axis at once, from the start."""


def on_four(task: Mapping[str, Any]) -> dict:
    folder, both = Path(task["folder"]), {}
    for name, settings in BOTH.items():
        both[f"shard, tensor {name}"] = kept(words_read(mesh="shard=2,tensor=2", **settings))
        both[f"shard, pipeline {name}"] = kept(trained(mesh="shard=2,pipeline=2", accumulate=2, **settings))
    again = trained(mesh="data=2,shard=2", optimizer="adam", checkpoint=folder / "two")
    return {
        **both,
        "again": kept(again),
        "in four parts": kept(trained(mesh="shard=4", optimizer="adam", checkpoint=folder / "parts")),
        "hybrid": kept(trained(mesh="data=2,shard=-1", optimizer="adam")),
        "four": kept(trained(mesh="shard=4", optimizer="adam")),
        "tensor": kept(words_read(mesh="data=2,tensor=2", **READ["tensor"])),
        "tensor kept": kept(words_read(mesh="shard=2,tensor=2", **READ["tensor kept"], checkpoint=folder / "words")),
        "pipeline": kept(trained(mesh="data=2,pipeline=2", **PIPED["pipeline"])),
        "pipeline kept": kept(
            trained(mesh="shard=2,pipeline=2", **PIPED["pipeline kept"], checkpoint=folder / "stages")
        ),
        "tensor plan": kept(words_read(mesh="shard=2,tensor=2", **READ["tensor plan"])),
    }


def on_eight(task: Mapping[str, Any]) -> dict:
    """Three axes at once, each of degree 2."""
    del task
    found = {}
    for name, settings in BOTH.items():
        found[f"tensor {name}"] = kept(words_read(mesh="data=2,shard=2,tensor=2", **settings))
        found[f"pipeline {name}"] = kept(trained(mesh="data=2,pipeline=2,shard=2", accumulate=2, **settings))
    return found


if __name__ == "__main__":
    where, place = Path(sys.argv[1]), place_of()
    (where / f"2-{place.rank}.json").write_text(json.dumps(on_two(where, place.rank)))
    trained(mesh="shard=2", optimizer="soap")  # nobody catches this one
