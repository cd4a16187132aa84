"""The mesh of a race over modules, chosen once its plan is known."""

from dataclasses import replace
from pathlib import Path

from lanewise.distributed.mesh import Mesh
from lanewise.distributed.ranks import Ranks
from lanewise.lanes.candidate import Candidate
from lanewise.lanes.roster import Lane
from lanewise.search.policy import remaining_of
from lanewise.settings.fit import Payload
from lanewise.training.apart_team import workers_of
from lanewise.training.modules.teams import ModuleTeams, batch_of
from lanewise.training.planning.plan import Plan
from lanewise.training.ranks.choosing import TIMED_STEPS, Raced, Steps, number_bytes, with_mesh
from lanewise.training.team import Team
from lanewise.tuning.planned import Planned
from lanewise.tuning.planning import Wanted


def planned_with_mesh(
    planned: Planned, teams: ModuleTeams, wanted: Wanted, payload: Payload, *, file: Path | None, ranks: Ranks
) -> Planned:
    """What was planned, with the mesh of the race, which is chosen where it was not yet; then ``file`` has it too.

    ``teams`` are those of the plan. All ranks call this alike.
    """
    if planned.plan.mesh:
        return planned
    plan = with_mesh(planned.plan, raced_modules(planned.plan, teams, wanted, payload), ranks)
    mesh = Mesh.parse(plan.mesh)
    # Ranks that share batches do so in one process each, and groups of them are there to be used.
    planned = replace(planned, plan=plan, shared_out=mesh.lane > 1 if mesh.data > 1 else planned.shared_out)
    if file is not None and ranks.leads:
        planned.write(file)
    return planned


def raced_modules(plan: Plan, teams: ModuleTeams, wanted: Wanted, payload: Payload) -> Raced:
    """What must be known of a race over modules to choose its mesh; ``teams`` are those of its plan."""

    def team(candidate: Candidate, rows: int) -> Team:
        own = replace(candidate, settings={**candidate.settings, "batch_size": rows})
        part = teams.of(candidate)
        return part.team([Lane(candidate=own, fold=0, seed=0)], part.ways[batch_of(candidate)], length=TIMED_STEPS)

    apart = any(workers_of(one) > 1 for one in plan.candidates)
    why = "candidates with average_every part a batch among workers of their own" if apart else teams.undivided
    return Raced(
        shared={
            one.id: Steps(weights=teams.of(one).blueprint.layout.width, batch=batch_of(one)) for one in plan.candidates
        },
        team=team,
        number_bytes=number_bytes(payload, teams.blueprint.dtype.itemsize),
        left=remaining_of(wanted.policy, len(plan.candidates) + wanted.proposed)[: len(plan.rungs)],
        again=lambda confirmed: int(wanted.again),
        refused=f"ranks cannot share the rows of a batch: {why}" if why else "",
        seconds=wanted.seconds,
    )
