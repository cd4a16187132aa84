"""Numbers in words: as many digits as the evidence carries, durations, sizes, shares."""

import re
from collections.abc import Callable, Sequence
from math import floor, isfinite, log10
from typing import Any

from lanewise.formatting import figures, rounding
from lanewise.formatting.metric_labels import SHARES

MISSING = "\N{EN DASH}"
_UNITS = ("s", "min", "h", "d", "B", "kB", "MB", "GB", "TB", "Wh", "kWh", "J", "SE", "points")
_QUOTES = "'\"\u2018\u2019\u201c\u201d"


def finite(value: Any) -> float | None:
    """The value as a float, or None where it is missing, not a number or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def capitalized(text: str) -> str:
    """The text with a capital first letter, the others as they are.

    >>> capitalized("log loss"), capitalized("RMSE")
    ('Log loss', 'RMSE')
    """
    return text[:1].upper() + text[1:]


def as_sentence(text: Any) -> str:
    """A line with a capital first letter where it begins with a word, and not with the name of a file, say.

    >>> as_sentence("the budget is short"), as_sentence("t.csv is short"), as_sentence("'y' is short")
    ('The budget is short', 't.csv is short', "'y' is short")
    """
    line = str(text or "")
    return capitalized(line) if line.partition(" ")[0].isalpha() else line


def with_stop(text: str) -> str:
    """The text with a full stop where it does not end in a mark of its own; an empty one stays empty.

    >>> with_stop("It took 5 s"), with_stop("Nothing won."), with_stop("So it is, or is it?"), with_stop("")
    ('It took 5 s.', 'Nothing won.', 'So it is, or is it?', '')
    """
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits, without a tail of zeros.

    >>> number(0.0123456), number(1234567.8), number(2.0), number(1.5e-7), number(None)
    ('0.0123', '1,234,568', '2', '1.5e-7', '–')
    """
    known = finite(value)
    if known is None:
        return MISSING
    if known == 0:
        return "0"
    size = floor(log10(abs(known)))
    if size >= 15 or size < -4:
        mantissa, exponent = f"{known:.{digits - 1}e}".split("e")
        return f"{_trim(mantissa)}e{int(exponent)}"
    return _trim(f"{known:,.{max(0, digits - 1 - size)}f}")


def rate_words(value: Any, digits: int = 3) -> str:
    """A learning rate to so many significant digits, as a power of ten where it is far from 1.

    >>> rate_words(0.00123456), rate_words(4322545.2), rate_words(0.00001), rate_words(30.0), rate_words(None)
    ('0.00123', '4.32e6', '1e-5', '30', '–')
    """
    known = finite(value)
    if known is None or known == 0 or 1e-4 <= abs(known) < 1e4:
        return number(value, digits)
    mantissa, exponent = f"{known:.{digits - 1}e}".split("e")
    return f"{_trim(mantissa)}e{int(exponent)}"


def whole_percents(shares: Sequence[Any]) -> list[str]:
    """Shares of a whole in percent, rounded so that they sum to 100 by largest remainder; missing where one is unknown.

    >>> whole_percents([0.375, 0.375, 0.25]), whole_percents([1 / 3] * 3), whole_percents([None, 0.5])
    (['38%', '37%', '25%'], ['34%', '33%', '33%'], ['–', '50%'])
    """
    known = [100 * (finite(share) or 0.0) for share in shares]
    kept = [floor(share) for share in known]
    # Remainders that differ by rounding alone are equal: the first goes first.
    order = sorted(range(len(known)), key=lambda place: -round(known[place] - kept[place], 9))
    for place in order[: max(0, round(sum(known)) - sum(kept))]:
        kept[place] += 1
    return [MISSING if finite(share) is None else f"{part}%" for share, part in zip(shares, kept, strict=True)]


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals(half_width: Any, *, fallback: Any = None) -> int:
    """Decimals that an interval of this half width justifies (negative: round to tens).

    Half the interval keeps two significant digits up to 3.5, one above, as the Particle Data Group rounds.
    """
    width = finite(half_width)
    if width is None or width <= 0:
        size = finite(fallback)
        return 3 if not size else max(0, 3 - floor(log10(abs(size))))
    return rounding.decimals(width)


def rounded(value: Any, digits: int) -> str:
    """A number with so many decimals, kept even where they are zeros, so that columns line up; never rounded away.

    >>> rounded(0.3, 3), rounded(48231.4, -2), rounded(-6.69, -1)
    ('0.300', '48,200', '-7')
    """
    known = finite(value)
    if known is None:
        return MISSING
    return rounding.fixed(known, digits)


def places(metric: str, low: Any, high: Any, *, fallback: Any = None) -> int:
    """Decimals for a score with this interval, counted in percent for shares; without one those of ``fallback``."""
    bottom, top = finite(low), finite(high)
    half = None if bottom is None or top is None else top / 2 - bottom / 2
    return figures.places(metric, finite(fallback) or 0.0, half)


def score(metric: str, value: Any, low: Any = None, high: Any = None, *, digits: int | None = None) -> str:
    """A score with the digits that its interval justifies, or with so many decimals; shares as a percentage.

    None is rounded to a perfect one.

    >>> score("log_loss", 0.31237, 0.29811, 0.32702), score("accuracy", 0.8731, 0.86, 0.88), score("accuracy", 0.9999)
    ('0.312', '87.3%', '>99.9%')
    """
    known = finite(value)
    if known is None:
        return MISSING
    known = figures.without_noise(metric, known)
    return figures.written(metric, known, places(metric, low, high, fallback=known) if digits is None else digits)


def axis_words(metric: str) -> Callable[[Any], str]:
    """How a tick of the metric's axis is written.

    >>> axis_words("accuracy")(0.85), axis_words("rmse")(0.85)
    ('85%', '0.85')
    """
    return percent if metric in SHARES else number


def interval(metric: str, low: Any, high: Any, *, digits: int | None = None) -> str:
    """The bounds of an interval, or an empty text where there are none.

    >>> interval("rmse", 3.1, 3.9)
    '3.1 to 3.9'
    """
    bottom, top = finite(low), finite(high)
    if bottom is None or top is None:
        return ""
    return figures.between(metric, bottom, top, kept=digits)


def difference(metric: str, value: Any, standard_error: Any = None) -> str:
    """The size of a difference between two scores; shares in percentage points.

    >>> difference("accuracy", 0.0123), difference("rmse", -0.5)
    ('1.2 points', '0.50')
    """
    known = finite(value)
    if known is None:
        return MISSING
    return figures.gap(metric, known, finite(standard_error))


def percent(share: Any, digits: int = 1) -> str:
    """A share between 0 and 1 as a percentage, never rounded to an untrue 0% or 100%.

    >>> percent(0.5), percent(0.00001), percent(0.99999)
    ('50%', '<0.1%', '>99.9%')
    """
    known = finite(share)
    if known is None:
        return MISSING
    step = 10.0**-digits
    if 0 < 100 * known < step / 2:
        return f"<{step:.{digits}f}%"
    if 100 - step / 2 < 100 * known < 100:
        return f">{100 - step:.{digits}f}%"
    return f"{_trim(rounded(100 * known, digits))}%"


def duration(seconds: Any) -> str:
    """A time span in at most two units.

    >>> duration(0.42), duration(9.44), duration(72), duration(7500), duration(200000)
    ('0.42 s', '9.4 s', '1 min 12 s', '2 h 5 min', '2 d 8 h')
    """
    known = finite(seconds)
    if known is None or known < 0:
        return MISSING
    if known < 10:
        return f"{number(known, 2)} s"
    for unit, small, size in (("min", "s", 60), ("h", "min", 3600), ("d", "h", 86400)):
        part = size // {"min": 60, "h": 60, "d": 24}[unit]
        ticks = round(known / part)
        if unit == "min" and ticks < 60:
            return f"{ticks} s"
        if unit == "d" or ticks * part < size * {"min": 60, "h": 24}[unit]:
            whole, rest = divmod(ticks, size // part)
            return f"{whole:,} {unit} {rest} {small}" if rest else f"{whole:,} {unit}"
    raise AssertionError


def size(amount: Any) -> str:
    """A number of bytes.

    >>> size(999), size(412_345_678), size(1.5e9)
    ('999 B', '412 MB', '1.5 GB')
    """
    known = finite(amount)
    if known is None or known < 0:
        return MISSING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if known < 999.5 or unit == "TB":
            return f"{number(known)} {unit}"
        known /= 1000
    raise AssertionError


def count(amount: Any, noun: str, plural: str | None = None) -> str:
    """A count with its noun.

    >>> count(1, "lane"), count(1200, "lane"), count(2, "class", "classes")
    ('1 lane', '1,200 lanes', '2 classes')
    """
    known = int(finite(amount) or 0)
    return f"{known:,} {noun if known == 1 else plural or noun + 's'}"


def typeset(text: str) -> str:
    """The text with real minus signs before its numbers, and with no line end between a number and its unit or ``lr``.

    What is quoted is a name, and stays as it is.

    >>> typeset("-0.5 (1e-7), recall of '-1'")
    "−0.5 (1e−7), recall of '-1'"
    >>> typeset("1 min 56 s of '5 min'")
    "1\xa0min 56\xa0s of '5 min'"
    """
    text = re.sub(r"(?<![\w.-])lr (?=\d)", "lr\N{NO-BREAK SPACE}", bound(text))
    return re.sub(r"(?<![\w.)'\"\u2018\u201c])-(?=\.?\d)|(?<=\de)-(?=\d)", "\N{MINUS SIGN}", text)


def bound(text: str, joint: str = "\N{NO-BREAK SPACE}") -> str:
    """The text with ``joint`` between a number and its unit, so that no line ends there.

    >>> bound("56 s of 2.5 GB", "_")
    '56_s of 2.5_GB'
    """
    number_and_unit = rf"(?<![\w.,{_QUOTES}])(\d[\d.,]*) ({'|'.join(_UNITS)})(?![\w{_QUOTES}])"
    return re.sub(number_and_unit, rf"\1{joint}\2", text)


def listing(names: list[str]) -> str:
    """Names as a phrase.

    >>> listing(["a"]), listing(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
