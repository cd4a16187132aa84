"""What a mesh of degree 1 costs a step: ``lanewise.train`` against the plain loop with the same optimizer and batches.

python benchmarks/degree_one.py
"""

import argparse
from functools import partial

import torch
from torch import nn
from turns import in_turns, ratio

import lanewise
from lanewise import optim
from lanewise.lanes.draws import RowStream

ROWS, BATCH, WIDTH = 4096, 128, 512


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    torch.set_num_threads(1)
    X = torch.randn(ROWS, 64, generator=torch.Generator().manual_seed(0))
    y = X[:, :1].tanh()
    loss = nn.MSELoss()

    def ours(steps: int) -> None:
        settings = {"optimizer": "adamw", "lr": 1e-3, "batch_size": BATCH, "schedule": "constant"}
        lanewise.train(make_model, (X, y), loss, steps=steps, mesh="data=1,shard=1", **settings)

    def plain(steps: int) -> None:
        torch.manual_seed(0)
        model, stream = make_model(), RowStream(0, torch.arange(ROWS), ROWS)
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)
        for step in range(steps):
            rows = stream.take(step * BATCH, BATCH)
            optimizer.zero_grad()
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()

    # What a call costs whatever its length is in the short one as well.
    short, long = given.steps // 10, given.steps + given.steps // 10
    sides = {f"{name} {steps}": partial(side, steps) for name, side in (("train", ours), ("plain", plain))
             for steps in (short, long)}  # fmt: skip
    in_turns(sides, 1)
    seconds = in_turns(sides, given.rounds)
    train, loop = (
        [whole - begun for whole, begun in zip(seconds[f"{name} {long}"], seconds[f"{name} {short}"], strict=True)]
        for name in ("train", "plain")
    )
    print(f"a step of train with a mesh of degree 1 / of the plain loop: {ratio(train, loop)}")
    least = {name: min(own) for name, own in seconds.items()}
    steps = (least[f"train {long}"] - least[f"train {short}"]) / (least[f"plain {long}"] - least[f"plain {short}"])
    print(f"by the fastest rounds: {steps:.3f}; a whole call of {long} steps: "
          f"{least[f'train {long}'] / least[f'plain {long}']:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
