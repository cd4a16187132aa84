"""How sure a difference is, by its size in paired standard errors: one scale for race, summary and report."""

TIE = 1.0
"""Up to here the evidence cannot tell two candidates apart."""
CLEAR = 2.0
"""From here on a difference is called clear; in between it is likely."""


def certainty(steps: float) -> str:
    """What a lead of so many standard errors is called.

    >>> certainty(0.9), certainty(1.96), certainty(2.0)
    ('tie', 'likely', 'clear')
    """
    return "tie" if steps <= TIE else "likely" if steps < CLEAR else "clear"


def errors_shown(steps: float) -> str:
    """The figure to two significant digits, or to as many more as keep it on its side of the two bounds.

    >>> errors_shown(3.14159), errors_shown(1.996), errors_shown(1.04), errors_shown(-0.049), errors_shown(212.0)
    ('3.1', '1.996', '1.04', '-0.049', '212')
    """
    text = ""
    for digits in range(2, 18):
        text = f"{steps:.{digits}g}"
        if certainty(float(text)) == certainty(steps):
            break
    return text if "e" not in text else f"{steps:,.0f}" if abs(steps) >= 1 else text
