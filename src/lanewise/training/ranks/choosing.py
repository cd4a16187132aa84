"""The mesh of a race that asks for ``auto``: the one on which its plan is predicted to end soonest, and why."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from lanewise.data.memory import memory_bytes
from lanewise.distributed.cost import Hardware, Workload, predict
from lanewise.distributed.link import Link
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.place import Place
from lanewise.distributed.proposing import as_long, meshes
from lanewise.distributed.ranks import Ranks
from lanewise.errors import UsageError
from lanewise.lanes.candidate import Candidate
from lanewise.settings.fit import Payload
from lanewise.training.planning.mesh_measuring import measured_link
from lanewise.training.planning.plan import Plan
from lanewise.training.planning.trials import TRIAL_STEPS, TRIALS, trial
from lanewise.training.ranks.assigning import busiest
from lanewise.training.ranks.crew import SPLIT, Crew
from lanewise.training.ranks.planning import idle_of
from lanewise.training.ranks.sharing import step_words
from lanewise.training.team import Team
from lanewise.training.workers.side_by_side import threads_per_product

CLEARLY = 0.9
"""What sharing batches must bring a race down to before it is taken: of what PyTorch's exchange does in Python the cost
model knows nothing, and along lane the bits are those of one process."""

MOST_SECONDS, MOST_SHARE = 3.0, 0.05
"""For how long steps are timed at the most; and the share of a budget in seconds."""

TIMED_STEPS = 1_000
"""The length of trainings of which a few steps are timed."""


@final
@dataclass(frozen=True, kw_only=True)
class Steps:
    """A candidate that trains by steps of ``batch`` rows, each of which has a gradient of so many ``weights``."""

    weights: int
    batch: int


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Raced:
    """What must be known of a race to choose its mesh, beside its plan.

    ``shared`` are the candidates whose batches ranks can share, by id; ``team`` makes a team of one lane of such a
    one, with steps of so many rows. ``refused`` says why ranks can share none; empty where they can. ``left`` says
    how many go on after each rung of the plan, and ``again`` how many lanes are trained once more when a race of so
    many confirmed candidates is over. A number of a gradient travels in ``number_bytes``. ``seconds`` are those of the
    budget; None: it is in steps.
    """

    shared: Mapping[str, Steps]
    team: Callable[[Candidate, int], Team]
    number_bytes: float
    left: Sequence[int]
    again: Callable[[int], int] = field(default=lambda confirmed: 0)
    refused: str = ""
    seconds: float | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of a step of one lane on the slowest rank, with all of them at it: of the ``whole`` batch and of a part.

    The part has ``rows`` rows, of ``batch``. What both have in common passes whatever the rows are.
    """

    candidate: str
    batch: int
    rows: int
    whole: float
    part: float

    @property
    def of_a_row(self) -> float:
        return max(self.whole - self.part, 1e-9) / max(self.batch - self.rows, 1)

    @property
    def start(self) -> float:
        return max(self.whole - self.batch * self.of_a_row, 0.0)


def with_mesh(plan: Plan, raced: Raced, ranks: Ranks) -> Plan:
    """The plan with the mesh of its race over all ``ranks``, which call this alike, and with why it is that one.

    It is chosen among those along ``lane`` and ``data`` that split the ranks: a step of the dearest lane is timed on
    all of them, of a whole batch and of one rank's part, and the link between them; then the cost model says how
    much shorter a step would be on each mesh, and the lanes of the plan are given to ranks as the race would. What
    rank 0 finds counts. Another time another mesh may come out.
    """
    if ranks.size == 1:
        why = "mesh auto: there is one process, so that nothing is split; torchrun starts several"
        return replace(plan, mesh=str(Mesh()), mesh_why=why)
    along = Mesh(lane=ranks.size)
    dearest = max(
        (one for one in plan.candidates if one.id in raced.shared),
        key=lambda one: (plan.costs[one.id], one.id),
        default=None,
    )
    if raced.refused or dearest is None:
        refused = raced.refused or "no candidate trains by steps of a few rows, which ranks could share"
        return replace(plan, mesh=str(along), mesh_why=f"mesh {along}: {refused}")
    timed = _timed(dearest, raced, ranks)
    try:
        link = measured_link(ranks)
    except UsageError as error:  # on all ranks alike: they have measured together
        return replace(plan, mesh=str(along), mesh_why=f"mesh {along}: the link between ranks told nothing ({error})")
    found = soonest(plan, raced, timed, link, ranks.place) if ranks.leads else plan
    mesh, why, workers = json.loads(ranks.broadcast(json.dumps([found.mesh, found.mesh_why, found.workers]).encode()))
    return replace(plan, mesh=mesh, mesh_why=why, workers=workers)


def number_bytes(payload: Payload, itemsize: int) -> float:
    """Bytes in which a number of a gradient travels; it has ``itemsize`` where it is not rounded."""
    return itemsize if payload == "full" else 2


def mesh_words(plan: Plan, crew: Crew) -> str:
    """Why a race whose mesh was chosen is on the one that it is on; empty where none was chosen."""
    if not plan.mesh or str(crew.mesh) == plan.mesh:
        return plan.mesh_why
    there = f"{crew.ranks.size} ranks, which are all along lane" if crew.ranks.size > 1 else "one process"
    planned = "one process" if plan.mesh == str(Mesh()) else f"mesh {plan.mesh}"
    return f"the race was planned for {planned}, and goes on in {there}"


def soonest(plan: Plan, raced: Raced, timed: Timed, link: Link, place: Place) -> Plan:
    """The plan with the mesh over all ranks that is predicted to end it soonest, by what was measured.

    Ranks that share batches train one stack at a time, so that the plan then has as many workers as groups of them.
    """
    hardware = Hardware(
        flops=1.0,  # arithmetic is told in seconds
        memory=memory_bytes() / place.local_size,
        memory_speed=float("inf"),  # what moving weights takes is in the start, which was measured
        near=link,
        far=link,
        per_host=place.local_size,
        start=timed.start,
    )
    each = timed.of_a_row / raced.shared[timed.candidate].weights

    def step(id: str, degree: int) -> float:
        own = raced.shared[id]
        work = Workload(
            parameters=own.weights, batch=own.batch, flops_per_parameter=each, gradient_bytes=raced.number_bytes
        )
        return predict(work, Mesh(data=degree), hardware).seconds

    def seconds(mesh: Mesh) -> float:
        groups = mesh.lane if mesh.data > 1 else plan.workers
        costs = {
            id: cost * (step(id, mesh.data) / step(id, 1) if id in raced.shared else 1.0)
            for id, cost in plan.costs.items()
        }
        return sum(share * busiest([costs[id] for id in lanes], groups) for lanes, share in _stretches(plan, raced))

    along = Mesh(lane=place.size)
    fewest = min(own.batch for own in raced.shared.values())
    others = [mesh for mesh in meshes(place.size, SPLIT) if 1 < mesh.data <= fewest]
    took = {mesh: seconds(mesh) for mesh in (along, *others)}
    best = min(others, key=lambda mesh: (took[mesh], mesh.data), default=along)
    if best == along:
        return replace(plan, mesh=str(along), mesh_why=f"mesh {along}: a batch has too few rows for {place.size} ranks")
    idle = idle_of(plan, place.size)
    few = "" if idle is None else f"the {idle.phase} has {idle.lanes} lane{'s' if idle.lanes > 1 else ''}; "
    words = step_words(step(timed.candidate, 1), step(timed.candidate, best.data), link, best.data)
    if took[best] <= CLEARLY * took[along]:
        ratio = f"with {along} the race is predicted to take {as_long(took[along] / took[best], 2)}"
        return replace(
            plan, mesh=str(best), mesh_why=f"mesh {best}, as measured: {few}{ratio}; {words}", workers=best.lane
        )
    ratio = f"with {best} the race is predicted to take {as_long(took[best] / took[along], 2)}"
    clear = ", which is no clear gain" if took[best] < took[along] else ""
    return replace(plan, mesh=str(along), mesh_why=f"mesh {along}, as measured: {few}{ratio}{clear}; {words}")


def _stretches(plan: Plan, raced: Raced) -> Iterator[tuple[list[str], float]]:
    """The lanes of one stretch of a race after another, as ids of candidates, and which share of their length it is.

    Who goes on is not known yet: in a screen it is the first of the plan, to be confirmed the dearest of each family.
    """
    alive, before = [one.id for one in plan.candidates], 0.0
    for rung, after in zip(plan.rungs, raced.left, strict=True):
        yield alive, rung - before
        before, alive = rung, alive[: after + 1]
    confirmed = [one.id for one in plan.candidates]
    if plan.rungs:
        dearest = sorted(plan.candidates, key=lambda one: -plan.costs[one.id])
        families = {model: [one.id for one in dearest if one.model == model] for model in plan.confirm}
        confirmed = [id for model, count in plan.confirm.items() for id in families[model][:count]]
    yield confirmed * plan.folds * len(plan.seeds), 1.0
    again = sorted(confirmed, key=lambda id: -plan.costs[id])[: raced.again(len(confirmed))]
    if again:
        yield again * len(plan.seeds), 1.0


def _timed(candidate: Candidate, raced: Raced, ranks: Ranks) -> Timed:
    """A few steps on all ranks at once, of a whole batch and of one rank's part in turns."""
    batch = raced.shared[candidate.id].batch
    rows = max(1, batch // ranks.size)
    most = MOST_SECONDS if raced.seconds is None else min(MOST_SECONDS, MOST_SHARE * raced.seconds)
    times: dict[int, list[float]] = {batch: [], rows: []}
    ranks.meet()
    until = time.monotonic() + most
    with threads_per_product(1):
        for _ in range(TRIALS):
            for size, own in times.items():
                own.append(trial(raced.team(candidate, size), TRIAL_STEPS, most_seconds=most / (2 * TRIALS)))
            if time.monotonic() > until:
                break
    told = [json.loads(one) for one in ranks.gather(json.dumps([min(times[batch]), min(times[rows])]).encode())]
    return Timed(
        candidate=candidate.id,
        batch=batch,
        rows=rows,
        whole=max(one for one, _ in told),
        part=max(one for _, one in told),
    )
