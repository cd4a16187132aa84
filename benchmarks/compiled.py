"""What ``torch.compile`` gains for modules that ``lanewise.tune`` trains on a processor, and what compiling takes.

A step is forward, loss and backward on one batch; the update is the same on both sides and left out. There are two
kinds, each as it is and compiled (by inductor, in torch's default mode): that of a single module, and that of a stack
of lanes. As it is the stack is run as in a race; compiled, it is the module and its loss under ``torch.func.vmap``. The
gradients of both get into the lane buffer. The sides take turns in one process. Seconds are processor time with one
thread, so that others at work on the machine matter little.

Compiling is what the first compiled step takes more than a later one, loading torch's compiler and running the one of
C++ included: in a process that finds no compiled code on the disk, and in one after it that finds all of it. A second
core, if it is idle, halves that at best.

The **gain** is that of a lane, of the faster kind of step as it is over the faster kind compiled. From the
**break-even** on, in seconds of training as it is, compiling has paid for itself. That is for one shape: a race with
another batch size, or with fewer lanes left in its stacks, would compile anew.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from architectures import ARCHITECTURES, Architecture
from torch import Tensor
from torch.func import functional_call, vmap
from turns import Ratio, ratio

from lanewise.lanes.buffer import LaneBuffer
from lanewise.models.base import Inputs
from lanewise.models.batch import channels_last
from lanewise.models.blueprint import Blueprint
from lanewise.models.module import StackedModule, without_batching_rules
from lanewise.training.modules.subject import UserLoss, each_element
from lanewise.training.step import Batch, KeyedNoise, mean_loss

AGREE = 1e-3
"""Largest difference of gradients in float32, relative to the largest, as the plan of a race asks it of its ways."""

SECONDS = 0.2
"""Processor time of one side in one round, or a little more."""

Step = Callable[[], Tensor]
"""Takes a step and returns all gradients, one after another."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one kind of step: ``lanes``, seconds of each side in each round, and of compiling; gradients ``apart``."""

    lanes: int
    eager: list[float]
    compiled: list[float]
    compiling: float
    apart: float

    @property
    def gain(self) -> Ratio:
        return ratio(self.eager, self.compiled)

    def per_lane(self, side: str) -> float:
        """Seconds of a step for each lane: the median over the rounds."""
        return statistics.median(getattr(self, side)) / self.lanes


def single(asked: Architecture) -> tuple[Step, Step]:
    """A step of one module, as it is and compiled."""
    torch.manual_seed(0)
    module, loss = asked.make().train(), asked.loss
    x, y = asked.rows()
    batch = channels_last(x)  # as a race has images

    def losses() -> Tensor:
        return loss(module(batch), y)

    def step(losses: Callable[[], Tensor]) -> Tensor:
        module.zero_grad()
        losses().backward()
        return torch.cat([weight.grad.flatten() for weight in module.parameters() if weight.grad is not None])

    compiled = torch.compile(losses)
    return lambda: step(losses), lambda: step(compiled)


def stack(asked: Architecture, lanes: int) -> tuple[Step, Step]:
    """A step of a stack of so many lanes, as a race takes it and compiled."""
    x, y = asked.rows()
    blueprint = Blueprint.of(asked.make, x)
    model = StackedModule(blueprint)
    buffer = LaneBuffer(model.layout, model.init(range(lanes)))
    batch = Batch(
        inputs=Inputs(dense=x[None], codes=torch.zeros(1, len(x), 0, dtype=torch.int64), sizes=(lanes,)),
        targets=y[None],
        weights=None,
    )
    noise = KeyedNoise([0], 0)
    loss = UserLoss(asked.loss, each=each_element(asked.loss))

    def as_it_is() -> Tensor:
        mean_loss(loss, model.forward(buffer.weights, batch.inputs, noise=noise), batch, None).sum().backward()
        return buffer.gradients.flatten()

    module = blueprint.module().train()
    dtypes = {own.name: dict(module.named_buffers())[own.name].dtype for own in model.layout.statistics}

    def one(tensors: dict[str, Tensor], kept: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return asked.loss(functional_call(module, {**tensors, **kept}, (x,)), y), kept

    @torch.compile
    def losses(tensors: dict[str, Tensor], kept: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        found, changed = vmap(one, randomness="same")(tensors, kept)
        return found.sum(), changed

    def compiled() -> Tensor:
        read = {own.name: buffer.weights[own.name].read() for own in model.layout.parameters}
        kept = {name: buffer.weights[name].value.to(dtype, copy=True) for name, dtype in dtypes.items()}
        total, changed = losses(read, kept)
        total.backward()
        with torch.no_grad():
            for name, tensor in changed.items():
                buffer.weights[name].value.copy_(tensor)
        return buffer.gradients.flatten()

    return as_it_is, compiled


def measured(asked: Architecture, kind: str, *, lanes: int, rounds: int) -> Found:
    """One kind of step, measured in this process, which has compiled nothing yet."""
    as_it_is, compiled = single(asked) if kind == "single" else stack(asked, lanes)
    expected = as_it_is().clone()
    before = _processor()
    found = compiled()
    compiling = _processor() - before
    # Statistics have changed, which say nothing in training: the gradients are those of the same weights and batch.
    apart = float((found - expected).abs().max() / expected.abs().max())
    sides = {"eager": as_it_is, "compiled": compiled}
    steps = {
        side: max(1, math.ceil(SECONDS / min(_seconds(step, 1) for _ in range(3)))) for side, step in sides.items()
    }
    took: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            took[side].append(_seconds(sides[side], steps[side]))
    later = statistics.median(took["compiled"])
    return Found(lanes=1 if kind == "single" else lanes, **took, compiling=compiling - later, apart=apart)


def _processor() -> float:
    """Seconds that this process and those that it waited for, such as the C++ compiler, spent so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _seconds(step: Step, count: int) -> float:
    """Processor time of a step, over ``count`` of them."""
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count


def apart(name: str, kind: str, cache: Path, *, lanes: int, rounds: int) -> Found | str:
    """What a process of its own measures with that cache on disk; where it cannot be compiled, why."""
    command = [sys.executable, __file__, "--only", name, "--lanes", str(lanes), "--rounds", str(rounds), "--kind", kind]
    own = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "TORCHINDUCTOR_COMPILE_THREADS": "1"}  # whose time is waited for
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:200]
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def compare(name: str, *, lanes: int, rounds: int) -> None:
    """Measure and print one architecture."""
    weights = sum(weight.numel() for weight in ARCHITECTURES[name].make().parameters())
    print(f"{name} ({weights:,} weights, batch {ARCHITECTURES[name].batch})", flush=True)
    known: dict[str, Found] = {}
    for kind in ("single", "stack"):
        with tempfile.TemporaryDirectory() as cache:
            cold = apart(name, kind, Path(cache), lanes=lanes, rounds=rounds)
            if isinstance(cold, str):
                print(f"  {kind:7} cannot be: {cold}", flush=True)
                continue
            warm = apart(name, kind, Path(cache), lanes=lanes, rounds=1)
        assert isinstance(warm, Found)
        known[kind] = cold
        per_lane = " and ".join(f"{1e3 * cold.per_lane(side):.2f}" for side in ("eager", "compiled"))
        refused = "" if cold.apart <= AGREE else ", which a race would refuse"
        print(
            f"  {kind:7} {cold.lanes:2} lanes: {cold.gain!s:22} ({per_lane} ms for each lane), compiling "
            f"{cold.compiling:.0f} s, with all on disk {warm.compiling:.0f} s; {cold.apart:.0e} apart{refused}",
            flush=True,
        )
    print(f"  {verdict(known)}", flush=True)


def verdict(known: Mapping[str, Found]) -> str:
    """The gain of the best compiled over the best as it is, and from when on it pays."""
    right = [kind for kind in known if known[kind].apart <= AGREE]
    if not right:
        return "nothing compiled is right"
    usual = min(known, key=lambda kind: known[kind].per_lane("eager"))
    best = min(right, key=lambda kind: known[kind].per_lane("compiled"))
    across = known[usual].per_lane("eager") / known[best].per_lane("compiled")
    gain = known[best].gain.median if best == usual else across  # of one kind both sides took turns
    said = f"a lane: {usual} as it is over {best} compiled, {gain:.2f}x"
    if gain <= 1.0:
        return f"{said}; never pays"
    return f"{said}; pays from {known[best].compiling / (1 - 1 / gain):,.0f} s of training on"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of taking turns (default 7)")
    parser.add_argument("--lanes", type=int, default=16, help="lanes of a stack (default 16)")
    parser.add_argument("--only", choices=ARCHITECTURES, help="one architecture only")
    parser.add_argument("--kind", choices=["single", "stack"], help=argparse.SUPPRESS)  # measured in this process
    given = parser.parse_args()
    if given.rounds < 1 or given.lanes < 2:
        parser.error("--rounds must be at least 1, --lanes at least 2")
    torch.set_num_threads(1)
    if given.kind:
        with without_batching_rules():
            found = measured(ARCHITECTURES[given.only], given.kind, lanes=given.lanes, rounds=given.rounds)
        print(json.dumps(asdict(found)))
        return 0
    print(
        f"torch {torch.__version__}, {given.rounds} rounds, one thread\n"
        "processor time of a step as it is / compiled: median of the rounds (smallest to largest)\n"
    )
    names = [given.only] if given.only else list(ARCHITECTURES)
    for name in names:
        compare(name, lanes=given.lanes, rounds=given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
