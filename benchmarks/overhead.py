"""What a race costs beside training: 1,000 trivial candidates of ``lanewise.tune``, from the call to its result.

The network is one linear layer of four weights, and every candidate trains for 20 steps, so that nearly all of
the time is the machinery's own: candidates made, lanes formed, evidence judged, the winner selected, the document
written. ``never`` looks at every candidate ten times and compares all of them with all others.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import lanewise

GOAL = 3.0


def race(candidates: int, policy: str, *, looped: bool) -> float:
    """Seconds of one race. ``looped``: with a module that vmap refuses, so that every lane is a stack of its own."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=draw)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    make: Callable[[], nn.Module] = Deciding if looped else lambda: nn.Linear(3, 1)
    started = time.perf_counter()
    lanewise.tune(
        make,
        train=(x[:200], y[:200]),
        valid=(x[200:], y[200:]),
        loss=nn.MSELoss(),
        candidates=candidates,
        budget="20steps",
        policy=policy,
    )
    return time.perf_counter() - started


class Deciding(nn.Module):
    """Looks at a value in Python, which cannot be vectorized."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        out = self.inner(rows)
        return out if out.sum().item() > 0 else out * 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1000, help="how many are raced (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--policy", choices=("halving", "never"), help="one policy only")
    parser.add_argument("--looped", action="store_true", help="with a module that cannot be stacked")
    given = parser.parse_args()
    if given.candidates < 1 or given.rounds < 1:
        parser.error("--candidates and --rounds must be at least 1")
    race(20, "halving", looped=given.looped)
    print(f"{given.candidates:,} candidates; the goal is {GOAL:g} s with halving")
    for policy in [given.policy] if given.policy else ("halving", "never"):
        seconds = [race(given.candidates, policy, looped=given.looped) for _ in range(given.rounds)]
        print(f"{policy:8} {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
