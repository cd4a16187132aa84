"""Points and values in words, with digits enough to tell apart what differs."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST = 10
"""So many numbers of an array are shown; of more, the first of them and how many there are."""


def digits(value: float, count: int = 10) -> str:
    """A number to so many significant digits.

    >>> digits(1.00000001), digits(-0.0), digits(2.5, 3)
    ('1.00000001', '0', '2.5')
    """
    return f"{value + 0.0:.{count}g}"  # 0.0 takes the sign off a zero


def point(x: Any) -> str:
    """A point in one line: a number, an array or a tensor, or dicts, lists and tuples of these.

    >>> point(2.0), point([1.0, 1 / 3]), point([0.0] * 12)
    ('2', '(1, 0.33333333)', '(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ... 12 numbers)')
    >>> point({"weight": [[1.0], [2.0]], "kind": "a"})
    "{'weight': ((1), (2)), 'kind': 'a'}"
    """
    if isinstance(x, Mapping):
        return "{" + ", ".join(f"{name!r}: {point(part)}" for name, part in x.items()) + "}"
    plain = x.tolist() if hasattr(x, "tolist") else x
    if isinstance(plain, (list, tuple)):
        count = _count(plain)
        if count <= MOST or any(isinstance(part, (Mapping, str)) or hasattr(part, "tolist") for part in plain):
            return f"({', '.join(map(point, plain))})"
        return f"({', '.join(map(point, _first(plain)))}, ... {count:,} numbers)"
    number = isinstance(plain, (int, float)) and not isinstance(plain, bool)
    return digits(plain, 8) if number else repr(plain)


def _count(plain: Sequence[Any]) -> int:
    return sum(_count(part) if isinstance(part, (list, tuple)) else 1 for part in plain)


def _first(plain: Sequence[Any]) -> list[Any]:
    """The first entries of nested lists."""
    found: list[Any] = []
    for part in plain:
        found += _first(part) if isinstance(part, (list, tuple)) else [part]
        if len(found) >= MOST:
            break
    return found[:MOST]
