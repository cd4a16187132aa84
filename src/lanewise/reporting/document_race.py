"""The part of the run document about the race itself: who ran how far, who led, and what was decided by it."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from lanewise.reporting.document_results import Estimate, Number

Status = Literal["winner", "member", "default", "confirmed", "pruned", "diverged"]


class Phase(TypedDict):
    """One phase of the race: screen, confirm or refit."""

    name: str
    lanes: int
    candidates: int
    seconds: Number


class Curve(TypedDict):
    """The way of one lane in a phase: ``x`` is the fraction of the full length, the others the metric there."""

    lane: int
    candidate: str
    label: str
    model: str
    optimizer: str | None
    fold: int | None
    seed: int | None
    phase: NotRequired[str]
    status: Status
    x: list[float]
    valid: list[Number]
    train: list[Number]


class JudgedCurve(TypedDict):
    """The way of a whole candidate: the score of its predictions, averaged over seeds, on all rows that judge.

    ``train`` is the mean score of its lanes on training rows.
    """

    candidate: str
    x: list[float]
    valid: list[Number]
    train: list[Number]


class SensitivityPoint(Estimate):
    """The ``score`` reached with one learning rate; ``value`` is unused and may repeat the score."""

    lr: float
    score: Number


class Sensitivity(TypedDict):
    """Score against learning rate for one optimizer on one model; a null score means that it diverged.

    ``look`` says after how much of the training, and on how many folds.
    """

    optimizer: str
    model: str
    points: list[SensitivityPoint]
    look: NotRequired[str]


class LeaderboardRow(TypedDict):
    """One candidate of the leaderboard.

    ``difference`` is its score minus the winner's (paired, out of fold) and ``standard_error`` belongs to it;
    ``tie`` says that the evidence cannot tell the two apart; ``stop`` is the share of the full length at which its
    training was stopped, where it was judged.
    """

    rank: int
    id: str
    label: str
    model: str
    optimizer: str | None
    hyperparameters: Mapping[str, Any]
    score: Number
    low: Number
    high: Number
    difference: Number
    standard_error: Number
    tie: bool
    status: Status
    seconds: Number
    stop: NotRequired[Number]


class Decision(TypedDict):
    """One choice: ``difference`` is by how much the chosen one is better, also counted in standard errors.

    ``among`` is empty, or says that the choice is between others than the winner: ``single candidates``.
    """

    question: str
    chosen: str
    over: str
    difference: Number
    standard_errors: Number
    verdict: str
    among: NotRequired[str]


class Edge(TypedDict):
    """A setting of the winner that is the largest or smallest of those tried, so that one beyond might be better.

    ``tried`` counts the different values, ``of`` names the optimizer where they are its own.
    """

    setting: str
    value: int | float
    side: Literal["largest", "smallest"]
    tried: int
    of: str
    words: str


class Race(TypedDict, total=False):
    """Everything about the race itself."""

    phases: list[Phase]
    curves: list[Curve]
    judged: list[JudgedCurve]
    sensitivity: list[Sensitivity]
    edges: list[Edge]
    leaderboard: list[LeaderboardRow]
    decisions: list[Decision]
    rungs: list[str]  # who was dropped at each look, and what the time that was left has changed, in phrases
    plan: list[str]  # what was decided before training, in phrases
    order: str  # how the order of the candidates moved towards the end, in a sentence
