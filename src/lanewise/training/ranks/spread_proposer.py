"""Candidates that enter a race over ranks: rank 0 proposes, so that all of them enter the same."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from lanewise.lanes.candidate import Candidate
from lanewise.training.entering import Proposer, Tried
from lanewise.training.planning.plan import candidate_of
from lanewise.training.ranks.crew import Crew
from lanewise.training.ranks.spreading import gathered, spread
from lanewise.training.team import Former


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class SpreadProposer(Proposer):
    """What ``proposer`` proposes on rank 0, on every rank of the ``crew``."""

    proposer: Proposer
    crew: Crew

    def propose(self, batch: int, tried: Sequence[Tried]) -> Sequence[Candidate]:
        ranks, told = self.crew.ranks, b""
        if ranks.leads:
            told = json.dumps([asdict(one) for one in self.proposer.propose(batch, tried)]).encode()
        return [candidate_of(one) for one in json.loads(ranks.broadcast(told))]

    def former(self, former: Former, fresh: Sequence[Candidate]) -> Former:
        grown: Any = self.proposer.former(gathered(former), fresh)
        return spread(grown, self.crew)
