"""One model trained by several ranks, many checks in one launch: torchrun --nproc-per-node N train_driver.py FOLDER."""

import json
import sys
from pathlib import Path

import torch
from torch import nn

import lanewise
from lanewise.distributed.place import place_of

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [1.0]], dtype=torch.float64)).tanh()
STEPS = 12


def network(dtype=torch.float64) -> nn.Module:
    """Rows of its weights do not split evenly over 2 or 4 ranks."""
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 1)).to(dtype)


def trained(dtype=torch.float64, **settings):
    usual = {"optimizer": "sgd", "lr": 0.05, "steps": STEPS, "batch_size": 8, "seed": 3}
    return lanewise.train(lambda: network(dtype), (X, Y), nn.MSELoss(), **{**usual, **settings})


CASES = {
    "sgd": {"optimizer": "sgd"},
    "adam": {"optimizer": "adam"},
    "torch": {"optimizer": torch.optim.AdamW},
    "clipped": {"optimizer": "sgd", "clip_norm": 0.05},
    "pieces": {"optimizer": "adam", "accumulate": 2, "batch_size": 16},
}

REFUSED = {
    "soap": {"optimizer": "soap"},
    "prodigy": {"optimizer": "prodigy"},
    "batch": {"batch_size": 9},
    "mesh": {"mesh": "shard=3"},
    "axis": {"mesh": "shard=3,pipeline=2"},
    "block": {"blocks": ["nowhere"]},
    "differs": {},
}


def kept(found) -> dict:
    whole = {name: own.tolist() for name, own in found.state_dict().items()}
    return {"losses": list(found.losses), "weights": whole}


def on_two(folder: Path, rank: int) -> dict:
    found = {}
    for mesh in ("data=2", "shard=2"):
        for name, settings in CASES.items():
            found[f"{mesh} {name}"] = kept(trained(mesh=mesh, **settings))
    found["shard=2 single precision"] = kept(trained(torch.float32, mesh="shard=2", optimizer="adam"))
    found["unnamed"] = kept(trained())
    found["blocks"] = kept(trained(mesh="shard=2", blocks=["2"]))
    torch.manual_seed(1)
    model = network()
    made = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    found["made"] = kept(lanewise.train(model, (X, Y), nn.MSELoss(), optimizer=made, steps=40, mesh="shard=2"))
    split = trained(mesh="shard=2", optimizer="adam", checkpoint=folder / "two", checkpoint_every=5)
    found["kept"] = kept(split)
    part = next(split.model.parameters())
    found["rows of a part"] = len(part.to_local())
    for name, given in REFUSED.items():
        settings = {"mesh": "shard=2", **given, **({"seed": rank} if name == "differs" else {})}
        try:
            trained(**settings)
        except lanewise.UsageError as error:
            found[f"refused {name}"] = str(error)
    return found


def on_four(folder: Path, rank: int) -> dict:
    del rank
    again = trained(mesh="data=2,shard=2", optimizer="adam", checkpoint=folder / "two")
    return {
        "again": kept(again),
        "hybrid": kept(trained(mesh="data=2,shard=-1", optimizer="adam")),
        "four": kept(trained(mesh="shard=4", optimizer="adam")),
    }


if __name__ == "__main__":
    where, place = Path(sys.argv[1]), place_of()
    results = (on_two if place.size == 2 else on_four)(where, place.rank)
    (where / f"{place.size}-{place.rank}.json").write_text(json.dumps(results))
    if place.size == 2:
        trained(mesh="shard=2", optimizer="soap")  # nobody catches this one
