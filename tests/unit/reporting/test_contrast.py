"""The colours of the report: text and marks stand out from the paper in light and dark (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from importlib.resources import files

import pytest

STYLE = files("lanewise.reporting").joinpath("templates", "style.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r"--paper: #\w{6}[^}]*", STYLE)
THEMES = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in BLOCKS]
TEXT = ("ink", "muted", "accent", "rival", "warn", "training")
MARKS = ("lane", "base")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark by system", "dark by choice"])
def test_text_and_marks_stand_out_from_the_paper(theme):
    for ground in ("paper", "raised"):
        assert {name for name in TEXT if contrast(theme[name], theme[ground]) < 4.5} == set()
    assert {name for name in MARKS if contrast(theme[name], theme["paper"]) < 3} == set()
