"""The run document: the one JSON document that ``fit --json``, ``show --json`` and the report share.

Only ``RunHeader`` is required. Every other part may be missing or empty, and a reader leaves out what has no
data. All numbers are finite or null. ``low`` and ``high`` bound a 95% interval. Text that came from the data
(column names, classes, paths) is stored as it was read: whoever shows it must escape it.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal, NotRequired, TypedDict

from lanewise.reporting.document_race import Race
from lanewise.reporting.document_results import (
    CalibrationBin,
    Confusion,
    Estimate,
    Number,
    PerClass,
    Point,
    Residuals,
    Threshold,
)
from lanewise.task import TaskKind

SCHEMA_VERSION = 1


class Metric(TypedDict):
    """The metric that decided the race, and what it means in a phrase."""

    name: str
    direction: Literal["min", "max"]
    words: str


class CandidateCard(TypedDict):
    """A candidate: what is needed to name it and to train it again."""

    id: str
    label: str
    model: str
    optimizer: str | None
    hyperparameters: Mapping[str, Any]


class DefaultCard(CandidateCard):
    """The default of the race; where it is not the documented one, ``stands_in_for`` is the family of that."""

    stands_in_for: NotRequired[str]
    why: NotRequired[str]


class Rows(TypedDict, total=False):
    """How many rows trained, tested and were set aside (no target, duplicates of test rows, ...)."""

    train: int
    test: int
    set_aside: int
    winner: int  # training rows that the final model read, where they are streamed from disk


class EffectValue(TypedDict):
    """The score that one value of a hyper-parameter reached, others averaged out."""

    value: Any
    score: Number
    low: Number
    high: Number


class Effect(TypedDict):
    """How a hyper-parameter moved the score; ``gain`` is its best value's lead over its worst.

    ``settings`` are its names in a candidate, several where they always changed together.
    """

    hyperparameter: str
    settings: NotRequired[list[str]]
    values: list[EffectValue]
    gain: Number


class EnsembleMember(TypedDict):
    """A candidate in the ensemble, and its weight in the average."""

    id: str
    label: str
    weight: float


class Ensemble(TypedDict):
    """The ensemble that was tried; ``difference`` is by how much it beats a single choice, on rows that chose neither.

    ``words`` say how ``score`` was taken, and how that differs from ``cross_validation`` of the whole document.
    """

    members: list[EnsembleMember]
    score: Number
    difference: Number
    standard_error: Number
    taken: bool
    words: str


class Diagnosis(TypedDict):
    """Whether the winner fits too little, well or too much, and what to do about it.

    ``stop`` is the share of the full length at which its training ended, where its scores are read; ``lost`` the share
    of what it learned that holds for its training rows only, null where that cannot be told from chance.
    """

    verdict: Literal["underfit", "good", "overfit"]
    words: str
    train: Number
    valid: Number
    advice: list[str]
    stop: NotRequired[Number]
    lost: NotRequired[Number]


class Importance(TypedDict):
    """How much worse the score gets when a column is shuffled."""

    column: str
    value: Number
    low: Number
    high: Number


class FindingCard(TypedDict, total=False):
    """One thing noticed about the data (see :class:`lanewise.data.findings.Finding`)."""

    code: str
    message: str
    severity: Literal["info", "warning"]
    column: str | None
    columns: list[str]
    count: int | None
    figure: Number


class Column(TypedDict, total=False):
    """One column of the table; ``missing`` counts cells without a value."""

    name: str
    kind: str
    missing: int
    role: str
    reason: str | None


class Chunk(TypedDict, total=False):
    """How one kind of model was trained: lanes in one stack, rows in a batch, and the measured speed."""

    model: str
    lanes: int
    batch_size: int
    rows_per_second: Number
    mode: str


class Hardware(TypedDict, total=False):
    """What ran where, and what it cost.

    ``seconds`` are those of the clock, from before the table was read, or since the resume where ``resumed``.
    ``seconds_by_stage`` says how they were spent, by the name of the stage (read, plan, screen, ...), and ``unspent``
    what the plan had no room for where a good part of the budget was left.
    ``race_cpu_seconds`` is the processor time of the race, without reading, planning and the refit;
    ``one_at_a_time_seconds`` an estimate of that of its trainings in an ordinary loop, one after another on one core.
    ``energy_words`` say how ``energy_wh`` was come by.
    ``ranks`` are the processes that torchrun started, where there were several; what was used is that of all. They were
    arranged as ``mesh`` says, and ``mesh_why`` says why, where it was not stated. Those that shared batches gave
    ``exchanged_bytes`` each to sums, as ``payload``; that changed gradients by ``payload_error``.
    """

    device: str
    ranks: int
    mesh: str
    mesh_why: str
    exchanged_bytes: Number
    payload: str
    payload_error: Number
    threads: int
    precision: str
    chunks: list[Chunk]
    seconds: Number
    seconds_by_stage: Mapping[str, Number]
    budget_seconds: Number
    unspent: str
    resumed: bool
    cpu_seconds: Number
    peak_memory_bytes: Number
    predicted_memory_bytes: Number
    energy_wh: Number
    energy_words: str
    race_cpu_seconds: Number
    one_at_a_time_seconds: Number


class Event(TypedDict):
    """Something that happened to a lane: dropped, diverged and rewound, copied."""

    step: int
    lane: int
    label: str
    words: str


class FeatureSelection(TypedDict):
    """The columns that the model reads, ``of`` how many, where it was trained on some of them only."""

    kept: list[str]
    of: int
    words: str


class RunHeader(TypedDict):
    """What every run document has."""

    schema_version: int
    run: str
    created: str
    version: str
    command: str
    source: str
    target: str
    task: TaskKind
    metric: Metric


class RunDocument(RunHeader, total=False):
    """A whole run. The keys after the header follow the order of the report."""

    classes: list[str]
    positive: str | None  # of two classes the one that precision, recall, F1, PR AUC and the threshold are of
    weighed_by: str | None  # what weighs the rows of scores, "class" for instance
    seed: int
    seconds: float
    candidates: int
    lanes: int
    model_sha256: str
    warnings: list[str]
    winner: CandidateCard
    default: DefaultCard
    summary: list[str]
    verb: str  # "Predicting" unless stated
    judged: str  # "Cross-validated" unless stated
    cross_validation: Mapping[str, Estimate]
    test: Mapping[str, Estimate]
    baselines: Mapping[str, Mapping[str, Estimate]]
    rows: Rows
    race: Race
    effects: list[Effect]
    ensemble: Ensemble | None
    diagnosis: Diagnosis
    importance: list[Importance]
    importance_words: str  # which columns were not measured; empty where all were
    selection: FeatureSelection | None
    findings: list[FindingCard]
    columns: list[Column]
    threshold: Threshold | None
    confusion: Confusion
    per_class: list[PerClass]
    calibration: list[CalibrationBin]
    roc: list[Point]
    pr: list[Point]
    residuals: Residuals
    hardware: Hardware
    events: list[Event]


def finite_or_null(value: Any) -> Any:
    """The same document with every NaN and infinity turned to null, as JSON demands.

    >>> finite_or_null({"score": float("nan"), "points": (1.0, float("inf"))})
    {'score': None, 'points': [1.0, None]}
    """
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(item) for item in value]
    return value
