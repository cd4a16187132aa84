"""What a mesh of degree 1 costs a step: ``lanewise.train`` against the plain loop with the same optimizer and batches.

python benchmarks/degree_one.py
"""

import argparse

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

    def ours() -> None:
        settings = {"optimizer": "adamw", "lr": 1e-3, "batch_size": BATCH, "schedule": "constant"}
        lanewise.train(make_model, (X, y), loss, steps=given.steps, mesh="data=1,shard=1", **settings)

    def plain() -> None:
        torch.manual_seed(0)
        model, stream = make_model(), RowStream(0, torch.arange(ROWS), ROWS)
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)
        for step in range(given.steps):
            rows = stream.take(step * BATCH, BATCH)
            optimizer.zero_grad()
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()

    ours()
    plain()
    seconds = in_turns({"train": ours, "plain": plain}, given.rounds)
    print(f"a step of train with a mesh of degree 1 / of the plain loop: {ratio(seconds['train'], seconds['plain'])}")
    print(f"by the fastest rounds: {min(seconds['train']) / min(seconds['plain']):.3f}")


if __name__ == "__main__":
    main()
