"""``lanewise.tune`` against other searches: the same candidates, data and cores, until the same validation loss.

Each peer races the same list of settings for the same network and data, and prunes in its own way: Optuna with its
median or Hyperband pruner around a tight PyTorch loop, in one process per core; Ray Tune with ASHA around the same
loop; skorch with scikit-learn's ``HalvingRandomSearchCV``, as many jobs as cores. Lanewise then races the same list.
Two quotients are printed: the time that the peer took in all over the time after which Lanewise had seen a
validation loss as good as the peer's best completed training (``reached``), and both times in all (``whole``). Every
training is as long, with the same linear schedule, batch size and rows, and starts from the same weights, other ones in
every round: of the LeNet's best candidates, trained from five seeds, the losses lie 0.03 and 0.08 apart, which is more
than what tells the candidates apart. So one round is luck. Those peers are run that are installed:
``pip install optuna skorch 'ray[tune]'``.
"""

import argparse
import gzip
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from networks import lenet
from other_searches import BATCH, EPOCHS, Case, Outcome, Pair, in_a_process, with_optuna, with_ray, with_skorch
from torch import nn

import lanewise
from lanewise.training.watching.pulse import Pulse

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A network, its rows, and how many candidates are raced."""

    make: Callable[[], nn.Module]
    rows: Callable[[], tuple[Pair, Pair]]
    candidates: int


def fashion_images(train: int, valid: int) -> tuple[Pair, Pair]:
    """Fashion-MNIST: the first ``train`` images and the ``valid`` after them, ``[N, 1, 28, 28]``."""

    def read(name: str, header: int) -> np.ndarray:
        with gzip.open(DATA / "fashion_mnist" / name) as file:
            return np.frombuffer(file.read(), dtype=np.uint8, offset=header)

    images = torch.from_numpy(read("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[: train + valid].copy())
    labels = torch.from_numpy(read("train-labels-idx1-ubyte.gz", 8)[: train + valid].astype(np.int64))
    pixels = (images.float() - 72.94) / 90.02
    return (pixels[:train], labels[:train]), (pixels[train:], labels[train:])


def fashion_rows(train: int, valid: int) -> tuple[Pair, Pair]:
    """The same as rows of 784 numbers."""
    (x, y), (x_valid, y_valid) = fashion_images(train, valid)
    return (x.flatten(1), y), (x_valid.flatten(1), y_valid)


def bank_rows(train: int, valid: int) -> tuple[Pair, Pair]:
    """The bank table, shuffled: numbers scaled, words one-hot; ``duration``, which is known too late, left out."""
    table = pl.read_csv(DATA / "bank_additional_full.csv.gz", separator=";", infer_schema_length=None)
    table = table.drop("duration").sample(fraction=1.0, shuffle=True, seed=0)
    y = torch.from_numpy((table["y"] == "yes").to_numpy().astype(np.int64))
    numbers = table.drop("y").select(pl.selectors.numeric()).to_numpy().astype(np.float32)
    words = table.drop("y").select(pl.selectors.string()).to_dummies().to_numpy().astype(np.float32)
    numbers = (numbers - numbers[:train].mean(0)) / numbers[:train].std(0)
    x = torch.from_numpy(np.concatenate([numbers, words], 1))
    return (x[:train], y[:train]), (x[train : train + valid], y[train : train + valid])


def sms_rows(train: int, valid: int) -> tuple[Pair, Pair]:
    """Texts as 512 hashed counts of words, and whether each is spam."""
    from sklearn.feature_extraction.text import HashingVectorizer

    lines = (DATA / "text" / "sms_spam.tsv").read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    counts: Any = HashingVectorizer(n_features=512, alternate_sign=False).transform(texts)
    x = torch.from_numpy(counts.toarray().astype(np.float32))
    y = torch.tensor([label == "spam" for label in labels]).long()
    return (x[:train], y[:train]), (x[train : train + valid], y[train : train + valid])


CONTEXT, EMBEDDED = 16, 16
"""Characters that the next one is told by, and numbers for each of them."""


def text_rows(train: int, valid: int) -> tuple[Pair, Pair]:
    """Windows of ``CONTEXT`` characters ``[N, CONTEXT]``, each with the one after it: from the text's first nine tenths
    to train, from the last one to judge."""
    text = gzip.decompress((DATA / "text" / "tinyshakespeare.txt.gz").read_bytes())
    codes = torch.from_numpy(np.unique(np.frombuffer(text, dtype=np.uint8), return_inverse=True)[1].astype(np.int64))
    windows = codes.unfold(0, CONTEXT + 1, 1)
    edge = len(windows) * 9 // 10
    draws = torch.Generator().manual_seed(0)
    parts = []
    for count, low, high in ((train, 0, edge - CONTEXT), (valid, edge, len(windows))):
        rows = windows[low + torch.randperm(high - low, generator=draws)[:count]]
        parts.append((rows[:, :-1].contiguous(), rows[:, -1].contiguous()))
    return parts[0], parts[1]


def next_character() -> nn.Module:
    """One hidden layer over the embedded characters of a window."""
    return nn.Sequential(
        nn.Embedding(65, EMBEDDED), nn.Flatten(), nn.Linear(CONTEXT * EMBEDDED, 128), nn.ReLU(), nn.Linear(128, 65)
    )


def perceptron(inputs: int, hidden: int, outputs: int) -> Callable[[], nn.Module]:
    """One hidden layer."""
    return lambda: nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


PROBLEMS = {
    "fashion-mlp": Problem(make=perceptron(784, 64, 10), rows=lambda: fashion_rows(6000, 2000), candidates=32),
    "fashion-lenet": Problem(make=lenet, rows=lambda: fashion_images(4000, 1000), candidates=16),
    "bank-mlp": Problem(make=perceptron(62, 32, 2), rows=lambda: bank_rows(12_000, 4000), candidates=64),
    "sms-mlp": Problem(make=perceptron(512, 32, 2), rows=lambda: sms_rows(4000, 1500), candidates=64),
    "text-mlp": Problem(make=next_character, rows=lambda: text_rows(12_000, 4000), candidates=32),
}


def candidates_of(count: int) -> list[dict[str, Any]]:
    """AdamW and Nesterov momentum at rates over three decades; AdamW at 0.001 first, the rest in random order."""
    rates = torch.logspace(0, 3, count // 2, dtype=torch.float64).tolist()
    found = [{"optimizer": "adamw", "lr": 1e-4 * rate, "weight_decay": 0.01} for rate in rates]
    found += [{"optimizer": "nesterov", "lr": 1e-3 * rate, "momentum": 0.9, "weight_decay": 1e-4} for rate in rates]
    random.Random(0).shuffle(found)
    default = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01}
    return [default, *found[: count - 1]]


def with_lanewise(case: Case) -> Outcome:
    """The race, and the losses of its leader as it went on."""
    seen: list[tuple[float, float]] = []
    race = lanewise.tune  # loads what it needs, as the peers have before their clocks start
    started = time.perf_counter()

    def watch(pulse: Pulse) -> None:
        seen.append((time.perf_counter() - started, pulse.score))

    result = race(
        case.make,
        train=case.train,
        valid=case.valid,
        loss=nn.CrossEntropyLoss(),
        candidates=[dict(own) for own in case.candidates],
        batch_size=BATCH,
        budget=f"{case.steps}steps",
        workers=case.cores,
        device=case.device,
        seeds=[case.seed],
        watch=watch,
    )
    best = min(standing.score for standing in result.selection.standings)
    return Outcome(loss=best, seconds=time.perf_counter() - started, seen=tuple(seen))


PEERS: dict[str, Callable[[Case], Outcome]] = {
    "optuna-median": with_optuna("median"),
    "optuna-hyperband": with_optuna("hyperband"),
    "ray-asha": with_ray,
    "skorch-halving": with_skorch,
}


def compare(name: str, peers: Sequence[str], *, rounds: int, cores: int, device: str) -> None:
    """Race one problem with every peer and with Lanewise, in turns, and print the quotients."""
    problem = PROBLEMS[name]
    train, valid = problem.rows()
    cases = [
        Case(
            make=problem.make,
            train=train,
            valid=valid,
            candidates=candidates_of(problem.candidates),
            cores=cores,
            seed=seed,
            device=device,
        )
        for seed in range(rounds)
    ]
    case = cases[0]
    parameters = sum(weight.numel() for weight in case.make().parameters())
    print(
        f"{name}: {len(case.candidates)} candidates, {parameters:,} parameters, {len(train[0]):,} rows to train, "
        f"{case.steps} steps each"
    )
    ours: list[Outcome] = []
    theirs: dict[str, list[Outcome]] = {peer: [] for peer in peers}
    for case in cases:
        ours.append(with_lanewise(case) if device == "cpu" else in_a_process(with_lanewise, case))
        for peer in peers:
            theirs[peer].append(PEERS[peer](case))
    middle = statistics.median(own.seconds for own in ours)
    print(f"  {'lanewise':18} loss {statistics.median(own.loss for own in ours):.4f}, {middle:6.1f} s")
    for peer, outcomes in theirs.items():
        seconds = statistics.median(own.seconds for own in outcomes)
        loss = statistics.median(own.loss for own in outcomes)
        reached = [other.seconds / own.reached(other.loss) for own, other in zip(ours, outcomes, strict=True)]
        whole = [other.seconds / own.seconds for own, other in zip(ours, outcomes, strict=True)]
        words = f"{statistics.median(reached):.1f}x" if min(reached) > 0 else "not in every round"
        print(
            f"  {peer:18} loss {loss:.4f}, {seconds:6.1f} s; reached {words} ({min(reached):.1f} to "
            f"{max(reached):.1f}), whole {statistics.median(whole):.1f}x ({min(whole):.1f} to {max(whole):.1f})",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PROBLEMS, help="one problem only")
    parser.add_argument("--peer", choices=PEERS, action="append", help="only this peer; may be given again")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of taking turns (default 1)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processes or jobs (default: cores)")
    parser.add_argument("--device", default="cpu", help="where all train; a GPU with Optuna alone (default cpu)")
    given = parser.parse_args()
    if given.rounds < 1 or given.cores < 1:
        parser.error("--rounds and --cores must be at least 1")
    if given.device != "cpu" and not all(peer.startswith("optuna") for peer in given.peer or ()):
        parser.error("on a GPU the peers are --peer optuna-median and --peer optuna-hyperband")
    installed = [peer for peer in PEERS if find_spec(peer.partition("-")[0]) is not None]
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    print(f"{EPOCHS} epochs, batches of {BATCH}, {given.cores} cores, {given.device}, {given.rounds} rounds")
    for name in [given.only] if given.only else PROBLEMS:
        compare(name, given.peer or installed, rounds=given.rounds, cores=given.cores, device=given.device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
