"""A question that can be raced: all that was given, checked, and the candidates."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from lanewise._version import __version__
from lanewise.distributed.ranks import Ranks
from lanewise.explain import Usage
from lanewise.runs.stage_times import StageTimes
from lanewise.search.registry import policy_name
from lanewise.settings.fit import Payload
from lanewise.training.entering import NobodyElse, Proposer
from lanewise.training.modules.teams import ModuleTeams
from lanewise.tuning.bayesian import Bayesian, Searched
from lanewise.tuning.constraint import answers
from lanewise.tuning.fingerprint import fingerprint, sha256_of
from lanewise.tuning.planning import Wanted
from lanewise.tuning.posing import Grow, Question
from lanewise.tuning.precision import Precision
from lanewise.tuning.proposing import Where


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """A question that can be raced: all that was given, checked, and the candidates.

    ``teams`` form the lanes; how long these are and how they are run is yet to be planned. ``words`` are what the plan
    has to say of the module. ``grow`` makes teams for candidates that ``space`` is searched for on the way, if it is.
    ``times`` began when it was asked for. ``where`` is a constraint that copies keep, too.
    """

    question: Question
    teams: ModuleTeams
    words: tuple[str, ...]
    wanted: Wanted
    full_length: int | None
    before: Usage
    times: StageTimes
    grow: Grow
    space: Searched | None = None
    mesh: str | None = None
    payload: Payload = "full"
    precision: Precision = "float32"
    where: Where | None = None

    @property
    def proposer(self) -> Proposer:
        """Who brings further candidates into the race."""
        return NobodyElse() if self.space is None else Bayesian(space=self.space, grow=self.grow)

    @property
    def alone(self) -> bool:
        """Whether all teams are in this process: copies are made there, and modules that nobody knew before."""
        return self.wanted.policy.copies or (self.space is not None and self.space.varies_form)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What a stored race must find again to go on."""
        return fingerprint(self.question, self.teams, seed=self.wanted.seeds[0])

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it is no data: another answer to any of these is another race."""
        own = self.wanted
        asked = answers(self.where, own.candidates, copies=own.policy.copies, space=self.space)
        return {
            "model": own.candidates[0].model,
            "metric": self.question.judge.metric.name,
            "policy": policy_name(own.policy),
            "seeds": list(own.seeds),
            "steps": own.steps,
            "seconds": own.seconds,
            "folds": own.folds,
            **({} if self.teams.device.type == "cpu" else {"device": self.teams.device.type}),
            "candidates": sha256_of([asdict(candidate) for candidate in own.candidates]),
            "proposed": own.proposed or None,
            **self._groups,
            **({"where": sha256_of(asked)} if asked else {}),
            **({"early_stopping": True} if own.early else {}),
            **({} if self.payload == "full" else {"payload": self.payload}),
            **({} if self.precision == "float32" else {"precision": self.precision}),
        }

    @property
    def _groups(self) -> dict[str, str]:
        """The factors of all parameters where there are groups of them."""
        if self.question.groups is None:
            return {}
        parts = (self.teams, *self.teams.others.values())
        layouts = [[[own.name, own.rate, own.decay] for own in part.blueprint.layout.parameters] for part in parts]
        return {"groups": sha256_of(layouts)}

    def agree(self, ranks: Ranks, **given: Any) -> None:
        """Raise ``UsageError`` with the first thing that ranks were told otherwise, or have otherwise."""
        if ranks.size == 1:
            return
        known = self.fingerprint
        found = {"data": known["data"], "what make_model builds": known["start"]}  # a loss may be off by rounding
        versions = {"the version of lanewise": __version__, "the version of torch": torch.__version__}
        ranks.agree({**self.settings, "workers": self.wanted.workers, "mesh": self.mesh, **given, **found, **versions})
