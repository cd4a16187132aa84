"""One team's part of a phase: trained from look to look, saved as it goes, resumed to the same bits."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import Interrupted
from lanewise.lanes.candidate import Event, Notice
from lanewise.training.journal import Journal
from lanewise.training.team import Evidence, Team

SAVE_SHARE = 0.05
"""Share of the time that saving may take: a large state is saved less often."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at a team has shown: evidence of the lanes that are alive, and repairs since the last.

    ``fresh`` is the share of the way from the look before that was trained now: not by a process before this one, and
    not in the screen.
    """

    evidence: Sequence[Evidence]
    repairs: Mapping[str, Sequence[Event]]
    fresh: float = 1.0


@final
@dataclass(kw_only=True)
class Stretch:
    """Advances ``team`` through ``fractions`` and keeps under ``key`` of ``journal`` what it has.

    ``save_every`` seconds lie between two saves, or more where saving is slow; 0 saves at every chance.
    ``halted`` is asked between steps; when it turns true the team saves and raises Interrupted. ``abandoned``
    forbids to save: somebody else may own the journal by now. When it is saved decides what a kill costs,
    never what comes out. ``score`` of predictions for validation rows, by ``metric`` (its ``direction`` is min or max),
    is kept beside them, and ``train_score`` in the place of those for training rows. One that is ``told`` was trained
    by another rank meanwhile, and its journal has all of it.
    """

    team: Team
    fractions: Sequence[float]
    key: str
    journal: Journal
    save_every: float
    halted: Callable[[], bool]
    abandoned: Callable[[], bool]
    metric: str = ""
    direction: str = ""
    score: Callable[[Evidence], float] = field(default=lambda item: item.score)
    train_score: Callable[[Evidence], float] = field(default=lambda item: item.train_score)
    evidence: list[Evidence] = field(default_factory=list)
    looks: list[dict[str, tuple[Event, ...]]] = field(default_factory=list)
    seconds: float = 0.0
    told: bool = False

    def __post_init__(self) -> None:
        self._lanes = {lane.id: lane for lane in self.team.lanes}
        self._first = self.team.fraction
        self._since = self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def begun(self) -> float:
        """How much of its length the team had trained when this was begun, in whatever process that was."""
        return self._first

    def run(self, seen: Callable[[Look], None]) -> list[Evidence]:
        """Go on from what the journal has to the last fraction; ``seen`` is told of every look, old and new."""
        try:
            return self._run(seen)
        finally:
            self.team.settle()

    def _run(self, seen: Callable[[Look], None]) -> list[Evidence]:
        self._resume()
        for fraction, repairs in zip(self.fractions, self.looks, strict=False):
            kept = [item for item in self.evidence if item.fraction == fraction]
            seen(Look(evidence=kept, repairs=repairs, fresh=float(self.told)))
        self._since = self._saved = time.monotonic()
        start = self.team.fraction
        for fraction in self.fractions[len(self.looks) :]:
            share = self._share_from(start)
            try:
                self.team.advance(fraction, self._between)
                fresh = [self._as_seen(item, fraction) for item in self.team.evidence()]
            except Interrupted:
                self._save()
                raise
            repairs = self.team.repairs()
            self.evidence += fresh
            self.looks.append(repairs)
            seen(Look(evidence=fresh, repairs=repairs, fresh=share))
            if fraction == self.fractions[-1]:
                self._end()
        return self.evidence

    def _share_from(self, start: float) -> float:
        """The share of the way to the next look that is trained now, for who is at ``start``: mostly all of it."""
        place = len(self.looks)
        before, until = self.fractions[place - 1] if place else self._first, self.fractions[place]
        if until < before:
            return 0.0  # it went on from a screen that was farther
        return min(1.0, max(0.0, until - start) / (until - before)) if until > before else 1.0

    def _as_seen(self, item: Evidence, fraction: float) -> Evidence:
        """With the fraction as planned, and in memory as a resumed race has it."""
        loss, learned = (x if np.isfinite(x) else float("nan") for x in (item.train_loss, self.train_score(item)))
        valid, score = np.ascontiguousarray(item.valid), self.score(item)
        return replace(
            item, fraction=fraction, valid=valid, train_loss=loss, train=None, train_score=learned, score=score
        )

    def _between(self) -> None:
        if self.halted():
            message = "stopped because another team failed"
            raise Interrupted(message)
        pause = max(self.save_every, self._cost / SAVE_SHARE) if self.save_every else 0.0
        if time.monotonic() - self._saved >= pause:
            self._save()

    def _end(self) -> None:
        """Save what the last look has shown; nothing is fetched for a journal that would throw it away."""
        if self.journal.keeps:
            self._save()
        else:
            self.seconds += time.monotonic() - self._since

    def _save(self) -> None:
        if self.abandoned():
            return
        started = time.monotonic()
        self.seconds += started - self._since
        tensors, rest = self.team.state()
        lanes: list[dict[str, Any]] = []
        for place, item in enumerate(self.evidence):
            tensors[f"look/{place}"] = torch.from_numpy(item.valid)
            known = {"train_loss": item.train_loss, "train_score": item.train_score, "score": item.score}
            known = {name: value if np.isfinite(value) else None for name, value in known.items()}
            noticed = [asdict(notice) for notice in item.notices]
            lanes.append({"lane": item.lane.id, "fraction": item.fraction, **known, "notices": noticed})
        state = {
            "team": rest,
            "evidence": lanes,
            "looks": [
                {name: [asdict(event) for event in events] for name, events in repairs.items()}
                for repairs in self.looks
            ],
            "seconds": self.seconds,
            "begun": self._first,
            # Nothing goes on from these: they are for whoever asks how far the run is.
            "length": self.team.length,
            "metric": self.metric,
            "direction": self.direction,
        }
        self.journal.save(self.key, tensors, state)
        self._since = self._saved = time.monotonic()
        self._cost = self._saved - started

    def _resume(self) -> None:
        kept = self.journal.load(self.key)
        if kept is None:
            return
        tensors, state = kept
        shown = {name: tensors.pop(name) for name in list(tensors) if name.startswith("look/")}
        self.team.restore(tensors, state["team"])
        kept_evidence = [
            Evidence(
                lane=self._lanes[item["lane"]],
                fraction=item["fraction"],
                valid=_array(shown[f"look/{place}"]),
                train_loss=float("nan") if item["train_loss"] is None else item["train_loss"],
                train_score=float("nan") if item.get("train_score") is None else item["train_score"],
                notices=tuple(Notice(**notice) for notice in item.get("notices", ())),
            )
            for place, item in enumerate(state["evidence"])
        ]
        self.evidence = [replace(item, score=self.score(item)) for item in kept_evidence]
        self.looks = [
            {name: tuple(Event(**event) for event in events) for name, events in repairs.items()}
            for repairs in state["looks"]
        ]
        self.seconds = state["seconds"]
        self._first = state.get("begun", self._first)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()
