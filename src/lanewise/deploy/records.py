"""The manifest of a saved predictor: which fields there are, and nothing else is accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lanewise.errors import StoreError
from lanewise.storage.strict_json import dump_json
from lanewise.task import TaskKind

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION = 1
_STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A `lanewise.task.Task`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    target: str
    kind: TaskKind
    metric: str
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class IntervalRecord:
    """A `lanewise.deploy.predictor.Interval`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    level: float
    half_width: float
    edges: tuple[float, ...] = ()
    half_widths: tuple[float, ...] = ()
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class EventRecord:
    """A `lanewise.lanes.candidate.Event`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    fraction: float
    restored: float
    rate_factor: float
    cause: str


@dataclass(frozen=True, kw_only=True)
class TreesMetaRecord:
    """What `lanewise.models.saved_trees` keeps beside the text of trees."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    task: TaskKind
    classes: int
    numbers: int
    codes: int
    tokens: int
    offset: float
    rounds: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TreesRecord:
    """Trees, whose text is a file of its own."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    kind: Literal["lightgbm", "forest", "tree"]
    meta: TreesMetaRecord


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """A `lanewise.training.calibration.Calibration`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    scale: float
    offsets: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """A member; its tensors or its text are kept beside it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    weight: float
    id: str
    model: str
    optimizer: str
    settings: dict[str, bool | int | float | str]
    events: tuple[EventRecord, ...]
    seed: int
    stop: float
    loss: str
    center: float
    scale: float
    trees: TreesRecord | None
    columns: tuple[str, ...] | None = None
    calibration: CalibrationRecord | None = None


@dataclass(frozen=True, kw_only=True)
class PredictorRecord:
    """Everything about a predictor but its tensors and trees."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    schema_version: Literal[1]
    task: TaskRecord
    contract: dict[str, Any]
    preparation: dict[str, Any]
    members: tuple[MemberRecord, ...]
    threshold: float
    interval: IntervalRecord | None
    name: str
    words: str


@cache
def record_reader() -> "TypeAdapter[PredictorRecord]":
    """What reads records: to make it takes longer than to read many."""
    from pydantic import TypeAdapter

    return TypeAdapter(PredictorRecord)


def predictor_record(manifest: Mapping[str, Any], *, source: str) -> PredictorRecord:
    """The record that a manifest holds; ``source`` names it in messages.

    Raises ``StoreError`` for an unknown or missing field, a wrong type, or a newer version.
    """
    from pydantic import ValidationError

    version = manifest.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = (
            f"{source} holds a model of version {version}, this Lanewise reads up to {SCHEMA_VERSION}; "
            "upgrade with `pip install -U lanewise`"
        )
        raise StoreError(message)
    try:
        return record_reader().validate_json(dump_json(manifest))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
    message = f"{source} is not a usable model: {place}: {first['msg']}; save the model again"
    raise StoreError(message)
