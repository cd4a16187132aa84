"""Quality against cost: what a smaller or faster candidate than the winner would give up."""

from collections.abc import Mapping
from dataclasses import dataclass

from lanewise.formatting.figures import four_digits
from lanewise.formatting.text_table import text_table
from lanewise.lanes.candidate import Candidate
from lanewise.selection import Selection
from lanewise.statistics import pareto_front
from lanewise.training.race import Result


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """A candidate that no other confirmed one beats in score without costing more.

    ``score`` is that on the validation rows, ``behind`` by how much that is worse than the winner's, with the
    paired ``standard_error`` of that difference; less than that is noise. ``weights`` are the numbers that it trains,
    ``seconds`` its share of the time that its stacks took, as measured, which another run measures otherwise.
    ``cheap_in`` names the costs against which it is on the front: "weights", "seconds".
    """

    candidate: Candidate
    score: float
    behind: float
    standard_error: float
    weights: int
    seconds: float
    cheap_in: tuple[str, ...]


class TradeOffs(tuple[TradeOff, ...]):
    """Candidates on a front, the best first, shown as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        head = ["candidate", "score", "behind", "standard error", "weights", "seconds", "cheap in"]
        figures = [map(four_digits, (own.score, own.behind, own.standard_error)) for own in self]
        rows = [
            [own.candidate.id, *said, f"{own.weights:,}", f"{own.seconds:.3g}", " and ".join(own.cheap_in)]
            for own, said in zip(self, figures, strict=True)
        ]
        return text_table(head, rows)


def tradeoffs(result: Result, selection: Selection, weights: Mapping[str, int], *, sign: float) -> TradeOffs:
    """Those on the front of score against weights or against seconds, the best first.

    ``weights`` by the id of the candidate; ``sign`` times a score is smaller for the better.
    """
    entered = [(own, selection.standing(own.candidate.id)) for own in result.confirmed]
    losses = [sign * standing.score for _, standing in entered]
    costs = {
        "weights": [float(weights[own.candidate.id]) for own, _ in entered],
        "seconds": [own.seconds for own, _ in entered],
    }
    fronts = {name: pareto_front(losses, cost) for name, cost in costs.items()}
    found = [
        TradeOff(
            candidate=own.candidate,
            score=standing.score,
            behind=standing.behind_winner.mean,
            standard_error=standing.behind_winner.standard_error,
            weights=weights[own.candidate.id],
            seconds=own.seconds,
            cheap_in=tuple(name for name, front in fronts.items() if front[place]),
        )
        for place, (own, standing) in enumerate(entered)
    ]
    return TradeOffs(sorted((one for one in found if one.cheap_in), key=lambda one: sign * one.score))
