"""Whether ranks that would be idle gain where they share batches: by the costs of a plan and what is measured here."""

from dataclasses import replace

from lanewise.distributed.link import Link
from lanewise.distributed.ranks import Ranks
from lanewise.models.registry import build
from lanewise.training.planning.mesh_measuring import measured_link
from lanewise.training.planning.plan import Plan
from lanewise.training.ranks.planning import idle_of
from lanewise.training.teams import TeamBuilder, trains_at_hand


def measured_sharing(plan: Plan, builder: TeamBuilder, ranks: Ranks) -> str | None:
    """What a step takes alone and with its batch shared, where ranks would be idle; None where none would, or none can.

    The costs of the plan have to be seconds. All ranks call this alike.
    """
    idle = idle_of(plan, ranks.size)
    shared = [one for one in plan.candidates if not trains_at_hand(one) and one.id in plan.costs]
    if idle is None or not shared:
        return None
    dearest = max(shared, key=lambda one: (plan.costs[one.id], one.id))
    steps = replace(builder, lengths=plan.lengths).length(dearest)  # the plan may be for shorter trainings
    seconds = plan.costs[dearest.id] * plan.single.get(dearest.id, 1.0) / steps
    size = build([dearest], builder.data.width).layout.width * builder.dtype.itemsize
    return sharing_words(seconds, size, measured_link(ranks), idle.degree)


def sharing_words(seconds: float, size: float, link: Link, degree: int) -> str:
    """What a step of one lane that takes ``seconds`` would with its batch on ``degree`` ranks, by the cost model.

    ``seconds / degree`` of arithmetic and an all-reduce of a gradient of ``size`` bytes.

    >>> sharing_words(0.01, 4e6, Link(alpha=1e-4, beta=1e9), 2)
    'which pays by what was measured: a step of the dearest lane takes 10.00 ms alone and 9.20 ms shared by 2 ranks
    (alpha 100 us, beta 1.00 GB/s)'
    >>> sharing_words(0.001, 4e6, Link(alpha=1e-4, beta=1e9), 2)[:43]
    'which does not pay by what was measured: a '
    """
    together = seconds / degree + link.all_reduce(size, degree)
    pays = "pays" if together < seconds else "does not pay"
    return f"which {pays} by what was measured: {step_words(seconds, together, link, degree)}"


def step_words(alone: float, together: float, link: Link, degree: int) -> str:
    """Seconds of a step of the dearest lane ``alone``, and with its batch on ``degree`` ranks that ``link`` joins."""
    return (
        f"a step of the dearest lane takes {1e3 * alone:.2f} ms alone and {1e3 * together:.2f} ms shared by {degree} "
        f"ranks (alpha {1e6 * link.alpha:.0f} us, beta {link.beta / 1e9:.2f} GB/s)"
    )
