"""What it cost, beside what the same trainings would have cost one at a time."""

from collections.abc import Mapping
from typing import Any

from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.whisker import bar
from lanewise.reporting.reading import (
    MORE,
    MUCH_MORE,
    STAGES,
    items,
    overran,
    part,
    stage_seconds,
    together_and_alone,
    took,
)
from lanewise.reporting.words import capitalized, count, duration, finite, number, percent, size

RACE = ("screen", "confirm", "race")
"""The stages that are the race itself, in colour."""


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time, memory, energy, and how each kind of model was trained."""
    found = part(document, "hardware")
    if not any(value not in (None, [], "") for value in found.values()):
        return None
    both = together_and_alone(document)
    return {
        "heading": _heading(both, took(document)),
        "bars": _bars(both),
        "more": MORE,
        "stages": _stages(document),
        "facts": _facts(found),
        "mesh": capitalized(str(found.get("mesh_why") or "")),
        "chunks": [_chunk(one) for one in items(found, "chunks") if one],
    }


def _heading(both: tuple[float, float] | None, words: str) -> str:
    if both is None:
        return words or "What it ran on"
    together, alone = both
    if together * MUCH_MORE <= alone:
        return f"One training at a time would take {number(alone / together, 2)} times the processor time"
    amount = "As much" if alone > together / MUCH_MORE else "More"
    return f"{amount} processor time {'as' if amount == 'As much' else 'than'} one training at a time"


def _bars(both: tuple[float, float] | None) -> list[dict[str, Any]]:
    if both is None:
        return []
    together, alone = both
    scale = Scale(low=0.0, high=max(both) * 1.02)
    rows = (
        ("All lanes together", together, "winner", "the race"),
        ("One at a time", alone, "", "an estimate"),
    )
    return [
        {
            "name": name,
            "words": duration(seconds),
            "note": note,
            "chart": bar(scale=scale, value=seconds, tone=tone, label=f"{name}: {duration(seconds)}"),
        }
        for name, seconds, tone, note in rows
    ]


def _stages(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The seconds of each stage by the clock, beside the budget."""
    known = stage_seconds(document)
    if not known:
        return None
    scale = Scale(low=0.0, high=max(1e-9, *(seconds for _, seconds in known)) * 1.02)
    total = sum(seconds for _, seconds in known) or 1.0
    found = part(document, "hardware")
    budget, unspent = finite(found.get("budget_seconds")), found.get("unspent") or ""
    rows = [
        {
            "name": capitalized(STAGES.get(name, name)),
            "words": duration(seconds),
            "share": percent(seconds / total, 0),
            "chart": bar(
                scale=scale,
                value=seconds,
                tone="winner" if name in RACE else "",
                label=f"{name}: {duration(seconds)}",
            ),
        }
        for name, seconds in known
    ]
    return {"rows": rows, "budget": duration(budget) if budget else "", "over": overran(document), "unspent": unspent}


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    peak, planned = finite(found.get("peak_memory_bytes")), finite(found.get("predicted_memory_bytes"))
    memory = size(peak) + (f" (planned {size(planned)})" if planned is not None else "") if peak is not None else ""
    facts = [
        ("Device", str(found.get("device") or "")),
        ("Ranks", str(found.get("ranks") or "")),
        ("Mesh", str(found.get("mesh") or "")),
        ("Exchanged", _exchanged(found)),
        ("Payload", _payload(found)),
        ("Threads", str(found.get("threads") or "")),
        ("Precision", str(found.get("precision") or "")),
        ("Wall time", duration(found["seconds"]) if finite(found.get("seconds")) is not None else ""),
        ("Processor time", duration(found["cpu_seconds"]) if finite(found.get("cpu_seconds")) is not None else ""),
        ("Peak memory", memory),
        ("Energy", _energy(found)),
    ]
    return [(name, words) for name, words in facts if words]


def _energy(found: Mapping[str, Any]) -> str:
    """How much was used, and how that is known; runs of earlier versions do not say how."""
    energy = finite(found.get("energy_wh"))
    return "" if energy is None else f"{number(energy, 2)} Wh, {found.get('energy_words') or 'estimated'}"


def _exchanged(found: Mapping[str, Any]) -> str:
    """What one rank gave to sums with the others."""
    given = finite(found.get("exchanged_bytes"))
    return f"{size(given)} given to sums by each rank" if given else ""


def _payload(found: Mapping[str, Any]) -> str:
    """What gradients travelled as, and what that did to them."""
    error = finite(found.get("payload_error"))
    changed = f", error of a gradient {percent(error, 2)} at first" if error is not None else ""
    return f"{found['payload']}{changed}" if found.get("payload") else ""


def _chunk(one: Mapping[str, Any]) -> dict[str, Any]:
    speed = finite(one.get("rows_per_second"))
    return {
        "model": one.get("model"),
        "lanes": count(one["lanes"], "lane") if one.get("lanes") else "",
        "batch": f"{int(one['batch_size']):,}" if one.get("batch_size") else "",
        "speed": f"{number(speed)}" if speed is not None else "",
        "mode": one.get("mode"),
    }
