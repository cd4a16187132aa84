"""What a training of a candidate's kind and size usually costs beside others: known before anything is measured."""

from lanewise.lanes.candidate import Candidate
from lanewise.training.selecting import selects

KINDS = {"tree": 0.1, "linear": 0.2, "forest": 0.5, "mlp": 1.0, "lightgbm": 1.0}
"""Of the usual size of each kind."""

RANKING = 1.1
"""Factor where columns are ranked first."""


def usual_cost(candidate: Candidate) -> float:
    """By kind, and by leaves times rounds of boosted trees or weights of a network; 1 for one of the usual size.

    No clock has a say in it: of candidates that tie the simpler one is taken, and which is simpler must not depend on
    what else a machine does.

    >>> usual_cost(Candidate(id="a", model="linear", optimizer="lbfgs", settings={}))
    0.2
    >>> usual_cost(Candidate(id="b", model="mlp", optimizer="adamw", settings={"width": 256, "depth": 2}))
    4.0
    """
    boosted = candidate.number("rounds", 100) / 100 * candidate.number("num_leaves", 31) / 31
    network = candidate.number("width", 128) ** 2 * candidate.number("depth", 2) / 32768
    ranking = RANKING if selects(candidate) else 1.0
    return ranking * KINDS[candidate.model] * (boosted if candidate.model == "lightgbm" else network)
