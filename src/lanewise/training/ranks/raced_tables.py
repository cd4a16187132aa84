"""What must be known of a race over a table to choose its mesh."""

from dataclasses import replace

from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.models.registry import build
from lanewise.search.policy import Policy, remaining_of
from lanewise.training.planning.amending import LEAST_REFITTED, REFITTED
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.planning.trials import first_team
from lanewise.training.ranks.choosing import TIMED_STEPS, Raced, Steps
from lanewise.training.team import Team
from lanewise.training.teams import TeamBuilder, trains_at_hand


def raced_tables(
    plan: Plan, builder: TeamBuilder, policy: Policy, *, number_bytes: float, seconds: float | None
) -> Raced:
    """The race of ``plan`` by ``policy``, with the teams that ``builder`` would make.

    Trees, solvers and rules that read all rows at each step train on every rank of a group alike. ``number_bytes`` and
    ``seconds`` as :class:`Raced` has them.
    """
    alone = replace(builder, workers=1, ranks=1, seats=None, axis=None)

    def team(candidate: Candidate, rows: int) -> Team:
        own = replace(candidate, settings={**candidate.settings, "batch_size": rows})
        long = replace(alone, lengths=Lengths(rows_seen=TIMED_STEPS * rows))
        return first_team(long, [Lane(candidate=own, fold=0, seed=0)])

    return Raced(
        shared={
            one.id: Steps(weights=build([one], builder.data.width).layout.width, batch=builder.batch(one))
            for one in plan.candidates
            if not trains_at_hand(one)
        },
        team=team,
        number_bytes=number_bytes,
        left=remaining_of(policy, len(plan.candidates))[: len(plan.rungs)],
        again=lambda confirmed: max(LEAST_REFITTED, round(REFITTED * confirmed)),
        seconds=seconds,
    )
