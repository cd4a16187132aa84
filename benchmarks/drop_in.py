"""Step time of ``lanewise.optim`` against ``torch.optim``, foreach and fused, in one process and in turns."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer
from turns import in_turns, ratio, waited

import lanewise.optim as ours
from lanewise.training.device import device_name, device_of

Make = Callable[[Sequence[nn.Parameter]], Optimizer]

PAIRS: dict[str, tuple[Make, dict[str, Make]]] = {
    "AdamW": (
        lambda p: ours.AdamW(p, lr=1e-3),
        {
            "foreach": lambda p: torch.optim.AdamW(p, lr=1e-3, foreach=True),
            "fused": lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True),
        },
    ),
    "Momentum": (
        lambda p: ours.Momentum(p, lr=1e-3),
        {
            "foreach": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, foreach=True),
            "fused": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True),
        },
    ),
    "RMSprop": (
        lambda p: ours.RMSprop(p, lr=1e-3),
        {"foreach": lambda p: torch.optim.RMSprop(p, lr=1e-3, foreach=True)},
    ),
    "Lion": (lambda p: ours.Lion(p, lr=1e-3), {}),
    "Adagrad": (
        lambda p: ours.Adagrad(p, lr=1e-3),
        {
            "foreach": lambda p: torch.optim.Adagrad(p, lr=1e-3, foreach=True),
            "fused": lambda p: torch.optim.Adagrad(p, lr=1e-3, fused=True),
        },
    ),
    "AMSGrad": (
        lambda p: ours.AMSGrad(p, lr=1e-3),
        {
            "foreach": lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True, foreach=True),
            "fused": lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True, fused=True),
        },
    ),
    **{
        name: (
            lambda p, name=name: getattr(ours, name)(p, lr=1e-3),
            {"foreach": lambda p, name=name: getattr(torch.optim, name)(p, lr=1e-3, foreach=True)},
        )
        for name in ("Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD")
    },
}
"""Ours, and torch's own where it has the rule."""

USUAL = "AdamW,Momentum,RMSprop,Lion"

GOALS = {"foreach": 1.0, "fused": 1.2}
"""How long a step may take, as a share of torch's."""

BANDWIDTH_GOAL, LARGE = 0.7, 10**8
"""The least share of the copy bandwidth, from so many elements on."""

TENSOR = 1_000
"""Elements of each of many tensors."""

FEW = 4


def parameters(total: int, device: torch.device, *, many: bool) -> list[nn.Parameter]:
    """Float32 weights with gradients, ``total`` elements in all."""
    size = TENSOR if many else total // FEW
    result = []
    for _ in range(max(1, total // size)):
        param = nn.Parameter(torch.rand(size, device=device))
        param.grad = torch.rand(size, device=device)
        result.append(param)
    return result


def copy_seconds(total: int, device: torch.device) -> float:
    """Seconds to copy as many floats, the median of five."""
    source, target = torch.rand(total, device=device), torch.empty(total, device=device)
    seconds = []
    for _ in range(5):
        waited(device)
        started = time.perf_counter()
        target.copy_(source)
        waited(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def against(met: bool, goal: str) -> str:  # noqa: FBT001  # read here only
    """Whether a goal is met, in words."""
    return f"[goal {goal}: {'met' if met else 'MISSED'}]"


def compare(rule: str, total: int, device: torch.device, *, many: bool, rounds: int) -> None:
    """One line: the time of our step, and its ratio to each of torch's, smaller is better."""
    make, others = PAIRS[rule]
    params = parameters(total, device, many=many)
    sides = {"lanewise": make(params)} | {name: other(params) for name, other in others.items()}
    repeats = max(1, 2_000_000 // total)

    def steps(optimizer: Optimizer) -> Callable[[], None]:
        def run() -> None:
            for _ in range(repeats):
                optimizer.step()

        return run

    runs = {name: steps(optimizer) for name, optimizer in sides.items()}
    in_turns(runs, 1, device)
    seconds = in_turns(runs, rounds, device)
    own_seconds = statistics.median(seconds["lanewise"]) / repeats
    ratios = {name: ratio(seconds["lanewise"], seconds[name]) for name in others}
    words = [f"{name} {own} {against(own.median <= GOALS[name], f'<= {GOALS[name]}')}" for name, own in ratios.items()]
    # weights and gradients are read, weights written; each slot is read and written; a copy reads and writes
    slots = len(getattr(ours, rule).rule.slots)
    share = (3 + 2 * slots) / 2 * copy_seconds(total, device) / own_seconds
    met = f" {against(share >= BANDWIDTH_GOAL, f'>= {BANDWIDTH_GOAL:.0%}')}" if total >= LARGE else ""
    words.append(f"{share:.0%} of the copy bandwidth{met}")
    where = f"{len(params):>7,} tensors"
    print(f"{rule:<9} {total:>12,} in {where}  {own_seconds * 1e6:>12,.0f} us  " + "  ".join(words), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default="1e4,1e6,1e8")
    parser.add_argument("--only", default=USUAL, help=f"rules, separated by commas: {', '.join(PAIRS)}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default cpu)")
    given = parser.parse_args()
    device = device_of(given.device)
    torch.set_num_threads(given.threads)
    print(f"{device_name(device)}, {given.threads} threads, torch {torch.__version__}")
    print("ratios are lanewise / torch, below 1 is faster")
    for rule in given.only.split(","):
        for size in given.sizes.split(","):
            for many in (False, True):
                compare(rule, int(float(size)), device, many=many, rounds=given.rounds)


if __name__ == "__main__":
    main()
