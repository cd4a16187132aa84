"""Labels that tell candidates apart: those of the same label are told by the settings in which they differ."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_NAMED = 3
"""Settings that are added to a label at most."""


def told_apart(cards: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """The label of each card, a pair of a label and settings, with what differs where others have the same label.

    >>> told_apart([("mlp", {"dropout": 0.1, "l2": 0}), ("tree", {}), ("mlp", {"dropout": 0.3, "l2": 0})])
    ['mlp, dropout 0.1', 'tree', 'mlp, dropout 0.3']
    >>> told_apart([("tree", {"depth": 3}), ("tree", {"depth": 3})])
    ['tree', 'tree']
    """
    known = list(cards)
    groups: dict[str, list[int]] = {}
    for place, (label, _) in enumerate(known):
        groups.setdefault(label, []).append(place)
    found = [label for label, _ in known]
    for places in groups.values():
        if len(places) > 1:
            additions = _differences([known[place][1] for place in places])
            for place, addition in zip(places, additions, strict=True):
                found[place] = ", ".join([found[place], *addition])
    return found


def with_labels(text: str, labels: Mapping[str, str]) -> str:
    """The text with the label of each candidate in the place of its id.

    >>> with_labels("sgd-1 beats sgd-11, not sgd-1-slower.", {"sgd-1": "sgd at 0.1", "sgd-11": "sgd at 1"})
    'sgd at 0.1 beats sgd at 1, not sgd-1-slower.'
    """
    ids = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
    return re.sub(rf"(?<![\w-])(?:{ids})(?![\w-])", lambda found: labels[found[0]], text) if labels else text


def counted_once(labels: Iterable[str]) -> list[str]:
    """Each label once, in the order of its first use, with how often it came where that is more than once.

    >>> counted_once(["mlp", "tree", "mlp"])
    ['mlp (2 of them)', 'tree']
    """
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return [label if count == 1 else f"{label} ({count} of them)" for label, count in counts.items()]


def _differences(settings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each of several settings the few that tell it from the others: one after another while they tell more."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    told: list[list[str]] = [[] for _ in settings]
    for name in names:
        longer = [[*words, _shown(name, one.get(name))] for words, one in zip(told, settings, strict=True)]
        if len(set(map(tuple, longer))) > len(set(map(tuple, told))):
            told = longer
        if len(set(map(tuple, told))) == len(settings) or len(told[0]) == MOST_NAMED:
            break
    return told


def _shown(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if value is None:
        return f"no {words}"
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return f"{words} {value:.3g}" if isinstance(value, float) else f"{words} {value}"
