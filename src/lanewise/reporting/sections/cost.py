"""What it cost, beside what the same trainings would have cost one at a time."""

from collections.abc import Mapping
from typing import Any

from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.whisker import bar
from lanewise.reporting.reading import items, part, training_seconds
from lanewise.reporting.words import count, duration, finite, number, size


def build(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time, memory, energy, and how each kind of model was trained."""
    found = part(document, "hardware")
    if not any(value not in (None, [], "") for value in found.values()):
        return None
    spent, alone = training_seconds(document), finite(found.get("one_at_a_time_seconds"))
    return {
        "heading": _heading(spent, alone),
        "bars": _bars(spent, alone),
        "facts": _facts(found),
        "chunks": [_chunk(one) for one in items(found, "chunks") if one],
    }


def _heading(spent: float | None, alone: float | None) -> str:
    if spent and alone and alone / spent >= 1.1:
        return f"{number(alone / spent, 2)} times as fast as one training at a time"
    if spent and alone:
        return f"{'About as fast as' if alone / spent > 1 / 1.1 else 'Slower than'} one training at a time"
    return f"It took {duration(spent)}" if spent is not None else "What it ran on"


def _bars(spent: float | None, alone: float | None) -> list[dict[str, Any]]:
    if not spent or not alone:
        return []
    scale = Scale(low=0.0, high=max(spent, alone) * 1.02)
    rows = (("All lanes together", spent, "winner", "the race"), ("One at a time", alone, "", "estimate"))
    return [
        {
            "name": name,
            "words": duration(seconds),
            "note": note,
            "chart": bar(scale=scale, value=seconds, tone=tone, label=f"{name}: {duration(seconds)}"),
        }
        for name, seconds, tone, note in rows
    ]


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    peak, planned = finite(found.get("peak_memory_bytes")), finite(found.get("predicted_memory_bytes"))
    memory = size(peak) + (f" (planned {size(planned)})" if planned is not None else "") if peak is not None else ""
    energy = finite(found.get("energy_wh"))
    facts = [
        ("Device", str(found.get("device") or "")),
        ("Threads", str(found.get("threads") or "")),
        ("Precision", str(found.get("precision") or "")),
        ("Wall time", duration(found["seconds"]) if finite(found.get("seconds")) is not None else ""),
        ("Processor time", duration(found["cpu_seconds"]) if finite(found.get("cpu_seconds")) is not None else ""),
        ("Peak memory", memory),
        ("Energy, estimated", f"{number(energy, 2)} Wh" if energy is not None else ""),
    ]
    return [(name, words) for name, words in facts if words]


def _chunk(one: Mapping[str, Any]) -> dict[str, Any]:
    speed = finite(one.get("rows_per_second"))
    return {
        "model": one.get("model"),
        "lanes": count(one["lanes"], "lane") if one.get("lanes") else "",
        "batch": f"{int(one['batch_size']):,}" if one.get("batch_size") else "",
        "speed": f"{number(speed)}" if speed is not None else "",
        "mode": one.get("mode"),
    }
