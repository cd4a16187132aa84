"""What a run cost on all of its ranks."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from lanewise.distributed.ranks import Ranks
from lanewise.explain.cost import Cost


def gathered(ranks: Ranks, own: Cost) -> list[Cost]:
    """The cost of every rank, by rank; all ranks call this alike."""
    return [Cost(**json.loads(told)) for told in ranks.gather(json.dumps(asdict(own)).encode())]


def total(costs: Sequence[Cost]) -> Cost:
    """What was used in all: processor time, memory and energy add up, the time by the clock is the longest.

    >>> half = Cost(seconds=2.0, cpu_seconds=3.0, peak_memory_bytes=10, energy_wh=0.5, energy_words="estimated")
    >>> total([half, half])
    Cost(seconds=2.0, cpu_seconds=6.0, peak_memory_bytes=20, energy_wh=1.0, energy_words='estimated')
    """
    if len(costs) == 1:
        return costs[0]
    peaks = [cost.peak_memory_bytes for cost in costs]
    # The counters of a host's packages count all of its ranks: they are not added.
    counted = [cost for cost in costs if not cost.energy_words.startswith("estimated")]
    energy = max(cost.energy_wh for cost in counted) if counted else sum(cost.energy_wh for cost in costs)
    return Cost(
        seconds=max(cost.seconds for cost in costs),
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        peak_memory_bytes=None if None in peaks else sum(peak for peak in peaks if peak is not None),
        energy_wh=energy,
        energy_words=(counted or costs)[0].energy_words,
    )
