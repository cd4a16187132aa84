"""One lane of a finished race, trained again without company: does it come out as it did among the others?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lanewise.data.wording import counted
from lanewise.errors import UsageError
from lanewise.lanes.roster import Lane
from lanewise.runs.run import Run
from lanewise.storage.durable import load_json
from lanewise.training.apart_team import ApartTeam
from lanewise.training.judging import Judge
from lanewise.training.modules.teams import batch_of, everywhere
from lanewise.training.planning.plan import candidate_of
from lanewise.training.stack import Stack
from lanewise.training.team import Team
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.compiling import compiled_again
from lanewise.tuning.fingerprint import digest
from lanewise.tuning.planned import Planned
from lanewise.tuning.posed import Posed
from lanewise.tuning.posing import by_ways
from lanewise.tuning.precision import autocast_of
from lanewise.tuning.storing import LANES

MARGIN = 30
"""How many times as far as one rounding of the first weights moves a lane it may be off. Sums of a batched product
round otherwise than those of a single one, in every step, and training carries that on."""


@dataclass(frozen=True, kw_only=True)
class LaneAlone:
    """What came of training one lane alone.

    ``difference`` is the largest between scores and training losses, now and in the race, over all ``looks``, relative
    to the larger of 1 and the value; ``allowed`` what rounding may do, measured where anything differs: :data:`MARGIN`
    times the difference that comes of first weights that are larger by one rounding. ``bits`` says that the trained
    weights have the checksum that they had in the race, None where none was kept (a lane that was dropped). ``notes``
    are sentences on how it was trained otherwise than in the race.
    """

    run: str
    lane: int
    label: str
    looks: int
    difference: float
    allowed: float
    bits: bool | None
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the lane came out as in the race, up to rounding."""
        return self.difference <= self.allowed

    @property
    def words(self) -> str:
        """The verdict in a sentence.

        >>> LaneAlone(run="k3f9", lane=3, label="sgd", looks=9, difference=2e-7, allowed=3e-5, bits=False).words
        'lane 3 of run k3f9 (sgd) is the same alone: 9 looks, off by 2e-07, and rounding explains up to 3e-05'
        """
        who, looks = f"lane {self.lane} of run {self.run} ({self.label})", counted(self.looks, "look")
        if self.same and self.difference == 0 and self.bits is not False:
            kept = ", and so are the trained weights" if self.bits else ""
            verdict = f"is the same alone, bit for bit: the scores and losses of {looks}{kept}"
        else:
            same = "is the same alone" if self.same else "is NOT the same alone"
            verdict = f"{same}: {looks}, off by {self.difference:.2g}, and rounding explains up to {self.allowed:.2g}"
        return "; ".join([f"{who} {verdict}", *self.notes])


def train_alone(run: Run, posed: Posed, lane: int) -> LaneAlone:
    """Train the lane of that number, as ``race.curves`` of the run's document counts them, by the plan of the run.

    Raises ``UsageError`` where there is no such lane, or it was lost before its first look.
    """
    record = _record(run, lane)
    own = Lane(candidate=candidate_of(record["candidate"]), fold=record["fold"], seed=record["seed"])
    planned = Planned.read(run.plan)
    plan = planned.plan
    batch = batch_of(own.candidate)
    placed = everywhere(by_ways(posed.teams, planned.ways), autocast=autocast_of(plan, posed.teams))
    teams = posed.grow(placed, [own.candidate]).of(own.candidate)
    teams = compiled_again(replace(teams.reading(record["phase"]), ways={batch: teams.ways[batch]}, others={}))
    metric = posed.question.judge.metric
    judge = Judge(metric=metric, y=posed.question.y, weight=None, data=teams.data)

    def formed() -> Stack | ApartTeam:
        return teams.formed([own], teams.ways[batch], length=plan.lengths.steps(batch))

    stack, fractions = formed(), record["fractions"]
    with threads_per_product(1):
        seen = _looks(stack, fractions, judge)
        difference = _difference(seen, np.array([record["scores"], record["train_losses"]], dtype=float))
        allowed = 0.0
        if difference:
            # Gradients that travelled as bfloat16 were rounded to it, and alone none travels.
            travelled = [torch.bfloat16] if run.config["settings"].get("payload") == "bfloat16" else []
            rounding = max(torch.finfo(dtype).eps for dtype in (teams.rounds_to, *travelled))
            moved = formed()
            moved.scale(1 + rounding)
            allowed = MARGIN * max(rounding, _difference(_looks(moved, fractions, judge), seen))
    return LaneAlone(
        run=run.id,
        lane=lane,
        label=own.candidate.label,
        looks=len(fractions),
        difference=difference,
        allowed=allowed,
        bits=_same_bits(stack, own, record["weights_sha256"]),
        notes=tuple(teams.notes),
    )


def _record(run: Run, lane: int) -> Mapping[str, Any]:
    lanes = load_json(run.folder / LANES)["lanes"]
    if not 0 <= lane < len(lanes):
        message = f"run {run.id} has lanes 0 to {len(lanes) - 1}, got {lane}; its document counts them in race.curves"
        raise UsageError(message)
    if not lanes[lane]["fractions"]:
        message = f"lane {lane} of run {run.id} was lost before its first look: there is nothing to compare with"
        raise UsageError(message)
    return lanes[lane]


def _looks(team: Team, fractions: list[float], judge: Judge) -> np.ndarray:
    """Scores and training losses ``[2, looks]``; NaN where the lane is lost."""
    found = np.full((2, len(fractions)), np.nan)
    for place, fraction in enumerate(fractions):
        team.advance(fraction)
        for item in team.evidence():
            found[:, place] = judge.loss(item) * judge.metric.sign, item.train_loss
    return found


def _difference(now: np.ndarray, before: np.ndarray) -> float:
    if (np.isfinite(now) != np.isfinite(before)).any():
        return float("inf")
    gaps = np.abs(now - before) / np.maximum(1.0, np.abs(before))
    return float(np.nanmax(gaps, initial=0.0))


def _same_bits(team: Team, lane: Lane, known: str | None) -> bool | None:
    return None if known is None else digest(team.export(lane.id).tensors or {}) == known
