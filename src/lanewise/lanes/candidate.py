"""A candidate: one complete answer to the question how the model should be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Value = float | int | str | bool

FORESTS = {"extra": "extra-trees forest", "random": "random forest"}
"""Names of forests, by their setting ``forest``."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A repair, or a change of rate, during training that a refit must repeat to be the same candidate.

    At ``fraction`` of the full length the lane went back to the weights that it had at
    ``restored``, and every later rate was multiplied by ``rate_factor``. Where both fractions are the
    same, nothing was taken back. ``changes`` are settings, by name, that have other values from then on.
    """

    fraction: float
    restored: float
    rate_factor: float
    cause: str
    changes: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        # JSON made lists of them.
        object.__setattr__(self, "changes", tuple((str(name), float(value)) for name, value in self.changes))

    @property
    def rewinds(self) -> bool:
        """Whether the lane went back to earlier weights."""
        return self.restored < self.fraction


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something about a lane that its user should know and that nothing was done about.

    It was first seen at ``fraction`` of the full length; ``kind`` names it, ``cause`` says it in plain words.
    """

    kind: str
    fraction: float
    cause: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a lane was given up, and at which ``fraction`` of the full length."""

    cause: str
    fraction: float

    @classmethod
    def of(cls, told: Mapping[str, Any] | str) -> "Failure":
        """Of what JSON made of it; before there was a fraction, a state held the cause alone."""
        return cls(cause=told, fraction=0.0) if isinstance(told, str) else cls(**told)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model family with an optimizer and every hyper-parameter of both.

    ``settings`` is flat: a name means the same in every candidate, whichever part reads it
    (``lr`` the rule, ``width`` the model, ``batch_size`` the loop). ``id`` is unique in a race.
    """

    id: str
    model: str
    optimizer: str
    settings: Mapping[str, Value]
    is_default: bool = False
    events: tuple[Event, ...] = field(default=())

    @property
    def label(self) -> str:
        """Short name for people, e.g. ``mlp 128x2, adamw, lr 0.003``."""
        parts = [FORESTS.get(self.text("forest"), self.model)]
        if "width" in self.settings and "depth" in self.settings:
            parts[0] += f" {self.settings['width']}x{self.settings['depth']}"
        if self.optimizer not in ("boosting", "splitting"):
            parts.append(self.optimizer)
        rate = self.settings.get("lr", self.settings.get("learning_rate"))
        if rate is not None:
            parts.append(f"lr {float(rate):.2g}")
        share = self.number("feature_share", 1.0)
        if share < 1:
            parts.append(f"{share:.0%} of the columns")
        return ", ".join(parts)

    def number(self, name: str, default: float = 0.0) -> float:
        """A numeric setting, or ``default`` where the candidate has none."""
        return float(self.settings.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """A textual setting, or ``default`` where the candidate has none."""
        return str(self.settings.get(name, default))

    def at(self, taken: int, length: int) -> "Candidate":
        """With the settings that it has after ``taken`` of ``length`` steps; the rate apart, which has factors."""
        changed = {
            name: value
            for event in self.events
            if round(event.fraction * length) <= taken
            for name, value in event.changes
        }
        return replace(self, settings={**self.settings, **changed}) if changed else self

    def repaired(self, event: Event, *, id: str) -> "Candidate":
        """The new candidate that a lane stands for once it was repaired, or copied at another rate."""
        return replace(self, id=id, is_default=False, events=(*self.events, event))
