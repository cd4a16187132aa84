"""A budget as it is stated: a time, or steps."""

import math
import re

from lanewise.errors import UsageError

_DURATION = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h|steps?)")
_COMPOUND = re.compile(r"(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s(?:ec)?)?")
_UNFINISHED = re.compile(r"(.*\d\s*)(h|m|min)\s*\d+(?:\.\d+)?")
_NEXT_UNIT = {"h": "min", "m": "s", "min": "s"}
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SPELT = (
    (re.compile(r"(?<=\d)\s*(?:seconds?|secs)\b"), "s"),
    (re.compile(r"(?<=\d)\s*(?:minutes?|mins)\b"), "min"),
    (re.compile(r"(?<=\d)\s*(?:hours?|hrs?)\b"), "h"),
    (re.compile(r"(?<=[a-z])(?:\s*,\s*|\s+and\s+|\s+)(?=\d)"), ""),
)
"""How units are spelt elsewhere, and what joins two of them, by what stands for it here."""
_DAYS = re.compile(r"(\d+)\s*d(?:ays?)?")
LONGEST_DAYS = 30
"""Days that a budget may have at the most; a longer one is a slip of the pen."""
_FORMS = "a time such as 30s, 10min, 1h or 1h30min, or steps such as 2000steps"


def parse_budget(text: object) -> tuple[float | None, int | None]:
    """Seconds or steps of a budget such as ``30s``, ``10min``, ``1h30min`` or ``2000steps``.

    Raises ``UsageError`` for anything else.

    >>> parse_budget("10min"), parse_budget("1h30min"), parse_budget("2000steps")
    ((600.0, None), (5400.0, None), (None, 2000))
    """
    if not isinstance(text, str):  # a bare number: seconds or steps?
        raise _no_budget(text)
    plain = text.strip().lower()
    match, parts = _DURATION.fullmatch(plain), _COMPOUND.fullmatch(plain)
    if not match and parts and any(parts.groups()):
        seconds = sum(size * float(number or 0) for size, number in zip((3600, 60, 1), parts.groups(), strict=True))
        match = _DURATION.fullmatch(f"{seconds}s")
    if not match or float(match[1]) == math.inf:
        raise _no_budget(text)
    if not float(match[1]) > 0:
        message = f"budget must be above zero, got {text!r}; give {_FORMS}"
        raise UsageError(message)
    if match[2].startswith("step"):
        if not float(match[1]).is_integer():
            message = f"a budget in steps must be whole, got {text!r}"
            raise UsageError(message)
        return None, int(float(match[1]))
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST_DAYS * 86400:
        raise _too_long(text)
    return seconds, None


def _too_long(given: object) -> UsageError:
    return UsageError(f"budget must be at most {LONGEST_DAYS} days ({LONGEST_DAYS * 24}h), got {given!r}")


def _no_budget(given: object) -> UsageError:
    """The refusal of a budget, with what was probably meant."""
    text = str(given).strip().lower()
    unfinished = _UNFINISHED.fullmatch(text)
    hint = ""
    spelt = _as_here(text)
    if spelt:
        try:
            parse_budget(spelt)
        except UsageError:  # what it stands for is no budget either
            return _too_long(given)
        hint = f"; did you mean {spelt}?"
    elif re.fullmatch(r"\d+(\.\d+)?", text) and len(text) < 20:
        steps = f" or {text}steps" if text.isdecimal() else ""
        hint = f"; say its unit: {text}s, {text}min{steps}"
    elif unfinished and len(text) < 20:
        hint = f"; did you mean {text}{_NEXT_UNIT[unfinished[2]]}?"
    elif "epoch" in text:
        hint = "; an epoch is as many steps as there are batches in the training rows"
    return UsageError(f"budget must be {_FORMS}, got {given!r}{hint}")


def _as_here(text: str) -> str:
    """A budget that is spelt in another way, as it is written here; empty where that is none either.

    >>> _as_here("1 minute"), _as_here("1 hour, 30 minutes"), _as_here("2 days"), _as_here("soon")
    ('1min', '1h30min', '48h', '')
    """
    days = _DAYS.fullmatch(text)
    plain = f"{24 * int(days[1])}h" if days and len(text) < 20 else text
    for spelling, unit in _SPELT:
        plain = spelling.sub(unit, plain)
    known = _DURATION.fullmatch(plain) or _COMPOUND.fullmatch(plain)
    positive = re.search("[1-9]", plain) and not plain.startswith("-")
    return plain if plain != text and known and positive else ""
