"""What each search policy loses and saves: all of them decide the same races.

Every race trains 24 drawn candidates of a small network to the end and keeps what a policy would have been shown at any
look. Then each policy decides on that record, as it would have in a race of its own: lanes do not depend on who else is
there. Told are how often the candidate that is best at the end went on to it, by how much (loss, and paired standard
errors of the validation rows) the best of those who did is behind it, and how many full trainings the way there took of
those that training everybody takes. Draws of candidates and data follow the seed; nothing depends on the clock.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from laws import LAWS, network

import lanewise
from lanewise.search.policy import Decision, Policy, Standing, decision_of, ranked
from lanewise.search.racing import Racing
from lanewise.search.registry import POLICIES

CANDIDATES, STEPS = 24, 200
TRAIN, ROWS = 300, 500
EARLY = (1 / 16, 1 / 8, 1 / 4, 1 / 2)

POLICIES_HERE: Mapping[str, Policy] = {
    "halving": POLICIES["halving"],
    "hyperband": POLICIES["hyperband"],
    "racing": POLICIES["racing"],
    "racing from 1/16": Racing(looks=EARLY),
    "racing from 1/4": Racing(looks=(1 / 4, 1 / 2, 3 / 4)),
}


class Record(Policy):
    """Drops nobody and keeps what it was shown at every look that some policy has."""

    reads_losses = True

    def __init__(self) -> None:
        self.seen: dict[float, Standing] = {}
        self.looks = sorted({look for policy in POLICIES_HERE.values() for look in policy.rungs(CANDIDATES)} | {1.0})

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return tuple(self.looks)

    def decide(self, standing: Standing) -> Decision:
        self.seen[self.looks[standing.rung]] = standing
        return Decision(keep=tuple(ranked(standing.scores)), words="everybody went on")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a policy made of one race; ``behind`` in the loss and ``errors`` in paired standard errors."""

    behind: float
    errors: float
    cost: float


def losses_at(standing: Standing) -> dict[int, np.ndarray]:
    assert standing.losses is not None
    return dict(zip(standing.numbers.tolist(), standing.losses, strict=True))


def decided(policy: Policy, record: Record) -> Outcome:
    """Let the policy decide the recorded race."""
    left, best, before, trained = list(range(CANDIDATES)), dict[int, float](), 0.0, 0.0
    for rung, look in enumerate(policy.rungs(CANDIDATES)):
        trained += len(left) * (look - before)
        before = look
        seen = record.seen[look]
        there = [place for place, number in enumerate(seen.numbers.tolist()) if number in left]
        for number, losses in losses_at(seen).items():
            best[number] = float(np.fmin(best.get(number, np.nan), losses.mean()))
        own = replace(
            seen,
            rung=rung,
            scores=np.array([best[number] for number in seen.numbers[there].tolist()]),
            losses=None if seen.losses is None else seen.losses[there],
            families=seen.families[there],
            protected=seen.protected[there],
            numbers=seen.numbers[there],
            kinds=seen.kinds[there],
        )
        left = [int(own.numbers[place]) for place in decision_of(policy, own).keep]
    end = losses_at(record.seen[1.0])
    means = {number: float(losses.mean()) for number, losses in end.items() if np.isfinite(losses).all()}
    winner, ours = min(means, key=means.__getitem__), min((n for n in left if n in means), key=means.__getitem__)
    gap = end[ours] - end[winner]
    error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    errors = float(gap.mean()) / error if error > 0 else 0.0
    return Outcome(behind=float(gap.mean()), errors=errors, cost=trained / CANDIDATES)


def recorded(task: str, seed: int) -> Record:
    """One race of the task, all to the end."""
    law = LAWS[task]
    X, y = law.draw(torch.Generator().manual_seed(seed), ROWS)
    record = Record()
    lanewise.tune(
        lambda: network(6, 16, law.outputs),
        train=(X[:TRAIN], y[:TRAIN]),
        valid=(X[TRAIN:], y[TRAIN:]),
        loss=law.loss,
        budget=f"{STEPS}steps",
        candidates=CANDIDATES,
        seed=seed,
        policy=record,
        workers=1,
    )
    return record


def table(task: str, records: Sequence[Record]) -> list[str]:
    lines = [
        f"| {task}: policy | best kept | behind the best | beyond one standard error | trained |",
        "|---|---|---|---|---|",
    ]
    for name, policy in POLICIES_HERE.items():
        found = [decided(policy, record) for record in records]
        kept = sum(one.behind == 0 for one in found)
        beyond = sum(one.errors > 1 for one in found)
        behind, cost = np.mean([one.behind for one in found]), np.mean([one.cost for one in found])
        lines.append(f"| {name} | {kept} of {len(found)} | {behind:.4f} | {beyond} | {cost:.0%} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=20, help="of each task (20)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for task in LAWS:
        print("\n".join(table(task, [recorded(task, seed) for seed in range(given.races)])), flush=True)
        print()


if __name__ == "__main__":
    main()
