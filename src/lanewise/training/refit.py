"""Trains the chosen candidates once more, up to where they were best."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanewise.errors import TrainingError
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.calibration import Calibration
from lanewise.training.data import ALL_ROWS
from lanewise.training.fitted import Fitted
from lanewise.training.race import Confirmed, Part, Race
from lanewise.training.team import Evidence


@dataclass(frozen=True, kw_only=True, eq=False)
class Refitted:
    """The final trainings of one candidate: a member per seed, and predictions averaged over them.

    ``test [n, K]`` are predictions for the test rows, ``train [m, K]`` for the training rows.
    """

    candidate: Candidate
    members: tuple[Fitted, ...]
    test: np.ndarray


def refit(
    race: Race, chosen: Sequence[Confirmed], *, needed: Collection[str], fold: int = ALL_ROWS
) -> dict[str, Refitted]:
    """Train each chosen candidate on the rows of ``fold``, by default that which holds nothing out, up to its stop.

    ``race.builder`` must be built over data that have the fold. A candidate that fails although it did
    not on any fold is missing from the result, unless its id is ``needed``: then it raises ``TrainingError``.
    """
    by_stop: dict[float, list[Candidate]] = {}
    for item in chosen:
        by_stop.setdefault(item.stop, []).append(item.candidate)
    lanes = {
        item.candidate.id: [Lane(candidate=item.candidate, fold=fold, seed=seed) for seed in race.plan.seeds]
        for item in chosen
    }
    parts = [
        Part(
            phase="refit",
            key=f"refit{stop}",
            teams=race.builder.form([lane for one in candidates for lane in lanes[one.id]], f"refit{stop}"),
            fractions=(stop,),
            share=len(candidates) / len(chosen),
        )
        for stop, candidates in sorted(by_stop.items())
    ]
    evidence = race.together(parts)
    teams = [team for part in parts for team in part.teams]
    adjust = {item.candidate.id: item.calibration for item in chosen}
    looks = {
        item.lane.id: _calibrated(item, adjust[item.lane.candidate.id])
        for shown in evidence
        for items in shown
        for item in items
    }
    lost = {name: failure.cause for team in teams for name, failure in team.lost().items()}
    members = {
        lane.id: replace(team.export(lane.id), calibration=adjust[lane.candidate.id])
        for team in teams
        for lane in team.lanes
        if lane.id in looks
    }
    result: dict[str, Refitted] = {}
    for item in chosen:
        try:
            result[item.candidate.id] = _refitted(item.candidate, lanes[item.candidate.id], members, looks, lost)
        except TrainingError:
            if item.candidate.id in needed:
                raise
    for team in teams:
        team.keep(())
    return result


def _calibrated(item: Evidence, calibration: Calibration | None) -> np.ndarray:
    return item.valid if calibration is None else calibration.apply(item.valid)


def _refitted(
    candidate: Candidate,
    lanes: Sequence[Lane],
    members: Mapping[str, Fitted],
    looks: Mapping[str, np.ndarray],
    lost: Mapping[str, str],
) -> Refitted:
    failed = [lane.id for lane in lanes if lane.id not in looks or not np.isfinite(looks[lane.id]).all()]
    if failed:
        message = (
            f"{candidate.label} trained on every fold but failed on all rows "
            f"({lost.get(failed[0], 'its predictions are not finite')}); lower its learning rate"
        )
        raise TrainingError(message)
    return Refitted(
        candidate=candidate,
        members=tuple(members[lane.id] for lane in lanes),
        test=np.mean([looks[lane.id] for lane in lanes], axis=0),
    )
