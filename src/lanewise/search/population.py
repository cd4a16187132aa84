"""Population-based training: the worst take over from the best, weights and all (Jaderberg et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lanewise.search.policy import Copy, Standing
from lanewise.search.replacing import Replacing


@final
@dataclass(frozen=True, kw_only=True)
class PopulationBased(Replacing):
    """At each look the worst ``share`` of every kind give way to copies of the best ``share`` at another rate.

    That is one at least of a kind of three or more; smaller kinds have no copies.

    A copy has the weights, the state of the optimizer and the settings of a candidate drawn from the best (truncation
    selection), and its learning rate from then on is multiplied by one of the two ``factors``, drawn as well. So rates
    follow a schedule that the race has found. At the end of the length the best ``survivors`` are left.

    Draws are keyed by ``seed``, the look and the place of who gives way, so that the same evidence gives the same
    copies. Candidates of another optimizer, batch size or structure are of another kind: there is nothing to copy.

    Source: Jaderberg et al. (2017), Population based training of neural networks, arXiv 1711.09846: ``share`` is
    0.2 and the factors 0.8 and 1.2 in section 4.1.
    """

    gave: ClassVar[str] = "copies of better ones"
    nobody: ClassVar[str] = "nobody was copied"

    share: float = 0.2
    factors: tuple[float, float] = (0.8, 1.2)

    def replaced(self, standing: Standing, members: Sequence[int], count: int) -> list[Copy]:
        best = [place for place in members[:count] if not np.isnan(standing.scores[place])]
        if not best:
            return []
        found = []
        for target in members[-count:]:
            if standing.protected[target]:
                continue
            draw = np.random.default_rng([self.seed, standing.rung, int(standing.numbers[target])])
            source, factor = best[draw.integers(len(best))], self.factors[draw.integers(2)]
            found.append(Copy(source=source, target=target, factor=factor))
        return found
