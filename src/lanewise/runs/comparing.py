"""Whether one run came out as another did: their documents, but for what the clock and the meters say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lanewise.runs.ranked import Store
from lanewise.runs.run import Run
from lanewise.storage.strict_json import dump_json, parse_json

MEASURED: Final = frozenset(
    {"seconds", "created", "run", "source", "command", "hardware", "repeats", "warnings", "positive", "unkeyed"}
)
"""Parts of a run document, at any depth, that two runs of one plan need not share.

Warnings repeat findings, which are compared, and say whether a budget was overrun and which workers died; the positive
class is the last of the classes, which are compared; what draws where no key reaches is found by passes that draw so.
"""

MOST_NAMED = 5
"""Differences beyond these are not named: once one lane differs, much does."""


def differences(one: Any, other: Any, *, at: str = "") -> Iterator[str]:
    """Where two run documents differ beyond :data:`MEASURED`, each place as a path.

    >>> first = {"run": "a", "winner": {"id": "adamw-00"}, "race": {"curves": [{"valid": [0.5, 0.25]}]}}
    >>> second = {"run": "b", "winner": {"id": "adamw-00"}, "race": {"curves": [{"valid": [0.5, 0.26]}]}}
    >>> list(differences(first, second))
    ['race.curves.0.valid.1']
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            if name not in MEASURED:
                yield from differences(one.get(name), other.get(name), at=f"{at}.{name}" if at else str(name))
    elif _listed(one) and _listed(other) and len(one) == len(other):
        for place, (own, wanted) in enumerate(zip(one, other, strict=True)):
            yield from differences(own, wanted, at=f"{at}.{place}" if at else str(place))
    elif one != other:
        yield at or "everything"


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def compared(store: Store, run: Run, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a run that repeats another, with what came of it under ``repeats``; of any other run as it is."""
    original = run.config.get("repeats")
    if original is None:
        return document
    other = store.get(original).document
    # As it is read back: a tuple and a list are one there.
    differing = list(differences(other, parse_json(dump_json(document), source="the document")))
    found = {"run": original, "same": not differing, "differences": differing[:MOST_NAMED]}
    unkeyed = (other or {}).get("unkeyed", ())
    return {**document, "repeats": {**found, **({"unkeyed": unkeyed[0]} if unkeyed else {})}}


def verdict(repeats: Mapping[str, Any], *, lanes: int, sha256: str) -> str:
    """What came of a repetition, in a sentence.

    >>> verdict({"run": "20261126-2200-abcd", "same": True, "differences": []}, lanes=9, sha256="0f" * 32)
    'the same as run 20261126-2200-abcd: every decision, the scores of 9 lanes, and the weights (SHA-256 0f0f0f0f0f0f)'
    """
    unkeyed = repeats.get("unkeyed")
    if repeats["same"]:
        promised = f", which was not to be promised: {unkeyed}" if unkeyed else ""
        return (
            f"the same as run {repeats['run']}: every decision, the scores of {lanes} lanes, and the weights "
            f"(SHA-256 {sha256[:12]}){promised}"
        )
    named = ", ".join(repeats["differences"])
    said = f"{named} differ{'s' if len(repeats['differences']) == 1 else ''}"
    why = unkeyed or "another machine or other versions round otherwise"
    return f"not the same as run {repeats['run']}: {said}; {why}"
