"""Modules of several forms in one race: one :class:`ModuleTeams` for each setting of the arguments of make_model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.training.data import TrainingData
from lanewise.training.module_teams import ModuleTeams
from lanewise.training.team import Team

Form = tuple[tuple[str, Any], ...]
"""Settings of a candidate that are arguments of make_model, by name."""


def form_of(candidate: Candidate, arguments: Sequence[str]) -> Form:
    """The settings among ``arguments`` that the candidate has."""
    return tuple((name, candidate.settings[name]) for name in arguments if name in candidate.settings)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModuleForms:
    """Forms the teams of a race: lanes share a stack only where their modules were built alike.

    Classes, attributes and shapes follow from what make_model was given, so modules of one :data:`Form` are alike.
    """

    arguments: tuple[str, ...]
    parts: Mapping[Form, ModuleTeams]

    @property
    def data(self) -> TrainingData:
        """The rows, of which all forms train and judge the same."""
        return next(iter(self.parts.values())).data

    def of(self, candidate: Candidate) -> ModuleTeams:
        """The teams of the candidate's form."""
        return self.parts[form_of(candidate, self.arguments)]

    def form(self, lanes: Sequence[Lane], phase: str) -> list[Team]:
        groups: dict[Form, list[Lane]] = {}
        for lane in lanes:
            groups.setdefault(form_of(lane.candidate, self.arguments), []).append(lane)
        return [team for form, own in groups.items() for team in self.parts[form].form(own, phase)]

    def changed(self, **settings: Any) -> "ModuleForms":
        """The same with other settings of the teams."""
        return replace(self, parts={form: replace(own, **settings) for form, own in self.parts.items()})
