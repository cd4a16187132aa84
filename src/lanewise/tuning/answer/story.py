"""What a tuning race went through, for its document: phases, events in plain words, cost."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lanewise.explain import Cost, Edge, Effects
from lanewise.explain.aspects import value_words
from lanewise.explain.confirmed_words import confirmed_words
from lanewise.explain.flips import rank_flips, short_race
from lanewise.lanes.candidate import Candidate
from lanewise.metrics import Metric
from lanewise.reporting.words import capitalized, duration
from lanewise.selection import Selection
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.race import Result
from lanewise.training.watching.trace import Trace

LOSS = "loss"

MUCH_UNSPENT = 0.25
"""Share of a budget from which it is said why it was left."""


def told(
    document: Mapping[str, Any],
    *,
    plan: Plan,
    result: Result,
    selection: Selection,
    metric: Metric,
    winner: Candidate,
    cost: Cost,
    full_length: int | None,
    labels: Mapping[str, str],
    corrected: Sequence[str],
    moved: Effects | None,
    ends: Sequence[Edge],
) -> dict[str, Any]:
    """The document with phases, events, cost, the settings that mattered, and how late the order still moved.

    Only effects that are evident are in it: the others are noise that a chart would dress up. ``full_length`` is how
    many steps the user trains for, at the default's batch size. ``corrected`` are the sentences on whether the winner
    is worth having, on the score to expect, and on candidates whose workers train apart. ``moved`` are the effects of
    the settings, ``ends`` those of the winner at an end of what was tried. ``labels`` tell the confirmed apart.
    """
    evident = () if moved is None else [effect for effect in moved.effects if effect.evident]
    flips = rank_flips(result.traces, metric, labels=labels)
    steps = plan.lengths.steps(int(plan.candidates[0].number("batch_size")))
    warning = "" if full_length is None else short_race(steps, full_length, flips)
    stopped = any(row.get("stop", 1.0) < 1 for row in document["race"]["leaderboard"])  # then the end decides nothing
    race = {
        **document["race"],
        "curves": _curves(document["race"]["curves"], metric),
        "phases": phases_of(result),
        "plan": list(plan.words),
        "rungs": [*result.rungs, *confirmed_words(result, plan)],
        "order": "" if flips is None or warning or stopped else f"{flips.words}.",
        "edges": [end.told(farther(end)) for end in ends],
    }
    return {
        **document,
        "verb": "Training",
        "judged": "Validation",
        "race": race,
        "summary": [
            document["summary"][0],
            *selection.reasons,
            *(f"{words.replace('corrected', 'Corrected', 1)}." for words in corrected),
            *(f"{capitalized(words)}." for words in noticed(result.traces)),
            *(end.words(farther(end)) for end in ends),
            *([moved.words] if evident and moved else []),
        ],
        "warnings": [
            *document.get("warnings", ()),
            *cautions(result.traces, winner),
            *([warning] if warning else []),
        ],
        "effects": [asdict(effect) for effect in evident],
        "events": events_of(result.traces, plan.lengths, metric),
        "seconds": cost.seconds,
        "hardware": hardware_of(plan, cost),
    }


def farther(end: Edge) -> str:
    """Which rates to try beyond one at an end."""
    return "" if end.beyond is None else f"try {value_words(end.beyond[0])} and {value_words(end.beyond[1])}"


def _curves(curves: Sequence[Mapping[str, Any]], metric: Metric) -> list[dict[str, Any]]:
    """The curves without those of training rows where these are losses and the metric is another."""
    known = metric.name == LOSS
    return [{**curve, "train": curve["train"] if known else []} for curve in curves]


def phases_of(result: Result) -> list[dict[str, Any]]:
    """Screen and confirmation, as far as lanes ran in them."""
    found = []
    for name, seconds in result.seconds.items():
        own = [trace for trace in result.traces if trace.phase == name]
        if own:
            candidates = len({trace.lane.candidate.id for trace in own})
            found.append({"name": name, "lanes": len(own), "candidates": candidates, "seconds": seconds})
    return found


REMEDIES = {
    "vanishing": "a higher rate may do more",
    "exploding": "a lower rate, or clipping by clip_norm, may do better",
    "dead": "a lower rate, a normalization or leaky rectifiers keep more of them alive",
    "spike": "look at the rows of that batch, or clip by clip_norm",
    "unseen": "nobody knows whether some are dead",
}
"""What a lane may need, by the kind of what was noticed of it."""

SIGNS = {
    "vanishing": "updates vanish",
    "exploding": "updates explode",
    "dead": "units are dead",
    "spike": "the loss spikes",
    "unseen": "units could not be looked at",
}


def cautions(traces: Sequence[Trace], winner: Candidate) -> list[str]:
    """What was noticed of the winner, a sentence for each kind: it is handed over with that."""
    own = [notice for trace in traces if trace.lane.candidate.id == winner.id for notice in trace.notices]
    first = {notice.kind: notice.cause for notice in reversed(own)}
    return [f"the winner's {cause.removeprefix('the ')}; {REMEDIES[kind]}" for kind, cause in sorted(first.items())]


def noticed(traces: Sequence[Trace]) -> list[str]:
    """Of how many candidates something was noticed, and of which first, in one sentence; nothing where of none."""
    of: dict[str, dict[str, str]] = {}
    for trace in traces:
        for notice in trace.notices:
            of.setdefault(notice.kind, {})[trace.lane.candidate.id] = _who(trace.lane.candidate)
    parts = []
    for kind, signs in SIGNS.items():
        labels = list(dict.fromkeys(of.get(kind, {}).values()))
        if labels:
            count = len(of[kind])
            parts.append(f"{signs} in {count} of the candidates ({labels[0]}{', ...' if count > 1 else ''})")
    return [f"noticed on the way: {', '.join(parts)}"] if parts else []


STALLED = 1e-3
"""Share by which a validation loss must move from the first look to the last, or the training stood still."""

BEHIND = 1e-2
"""Share by which that loss must be above the lowest of the race, for who is at the best needs not move."""

FEWEST_LOOKS = 5


def stalled(traces: Sequence[Trace]) -> list[int]:
    """The places of lanes whose validation loss stood still far from the best; the first lane of a candidate."""
    looked = {place: own.scores for place, own in enumerate(traces) if len(own.scores) >= FEWEST_LOOKS}
    known = {place: own for place, own in looked.items() if all(map(math.isfinite, own))}
    lowest = min((own[-1] for own in known.values()), default=0.0)
    first: dict[str, int] = {}
    for place, own in known.items():
        size = abs(own[0])
        if max(own) - min(own) <= STALLED * size and own[-1] - lowest > BEHIND * size:
            first.setdefault(traces[place].lane.candidate.id, place)
    return list(first.values())


def events_of(traces: Sequence[Trace], lengths: Lengths, metric: Metric) -> list[dict[str, Any]]:
    """Each repair, copy, loss and standstill with its step: 'adam at 0.3 diverged by step 50; went back to ...'."""
    found, told_of = [], set[Hashable]()
    for place, trace in enumerate(traces):
        candidate = trace.lane.candidate
        steps = lengths.steps(int(candidate.number("batch_size")))
        for event in trace.events:
            went = f"went back to step {round(event.restored * steps):,} and on at {event.rate_factor:g} times the rate"
            found.append(_event(place, candidate, round(event.fraction * steps), f"{event.cause}; {went}"))
        copied = [event for event in candidate.events if not event.rewinds][-1:]
        if copied and candidate.id not in told_of:
            told_of.add(candidate.id)
            on = f"{copied[0].cause}; on at {copied[0].rate_factor:g} times its rate"
            found.append(_event(place, candidate, round(copied[0].fraction * steps), on))
        for notice in trace.notices:
            if (candidate.id, notice.kind) not in told_of:
                told_of.add((candidate.id, notice.kind))
                step = round(notice.fraction * steps)
                found.append(_event(place, candidate, step, f"went on, but its {notice.cause.removeprefix('the ')}"))
        if trace.failure:
            at = max([trace.failure.fraction, *trace.fractions[-1:]])  # a checkpoint of old does not say when
            found.append(_event(place, candidate, round(at * steps), f"was given up: {trace.failure.cause}"))
    for place in stalled(traces) if metric.name == LOSS else ():
        own = traces[place]
        steps = lengths.steps(int(own.lane.candidate.number("batch_size")))
        losses = f"its validation loss was {own.scores[0]:.4g} at the first look and {own.scores[-1]:.4g} at the last"
        found.append(_event(place, own.lane.candidate, steps, f"stood still: {losses}, far from the best"))
    return found


def _event(place: int, candidate: Candidate, step: int, words: str) -> dict[str, Any]:
    return {"step": step, "lane": place, "label": candidate.label, "words": f"{_who(candidate)} {words}"}


def _who(candidate: Candidate) -> str:
    return f"{candidate.optimizer} at {candidate.number('lr'):.3g}"


def unspent(plan: Plan, *, budget: float | None, seconds: float, raced: float) -> str:
    """Why a good part of a budget in seconds was left, of which ``raced`` were the race; empty where it was not so."""
    if not budget or budget - seconds < MUCH_UNSPENT * budget:
        return ""
    return (
        f"{duration(budget - seconds)} of the budget were left: the race was planned for "
        f"{duration(plan.predicted_seconds)}, with three tenths of what there was kept back in case the machine turns "
        f"slower, and took {duration(raced)}"
    )


def hardware_of(plan: Plan, cost: Cost) -> dict[str, Any]:
    """What the race ran on and what it cost, checks and plan included."""
    return {
        "device": "cpu",
        "threads": plan.workers,
        "precision": plan.precision,
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "energy_wh": cost.energy_wh,
        "energy_words": cost.energy_words,
    }
