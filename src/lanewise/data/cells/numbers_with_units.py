"""Columns of words that are numbers with a unit, as ``12.5 kg``: told, for a unit may change what the number means."""

from collections import Counter
from dataclasses import dataclass

import polars as pl

from lanewise.data.cells.cell_findings import cells_in_words, first_marked
from lanewise.data.cells.number_signs import NUMBER, SIGN
from lanewise.data.cells.text_columns import shares_of_cells
from lanewise.data.findings import Finding

WITH_UNITS = "numbers_with_units"
"""Code of the finding about such a column."""

_WORD = r"[^\d\s.,()+-][^\d\s]{0,9}"
_SHAPE = rf"^(?P<before>{_WORD})?\s*[+-]?(?P<number>{NUMBER})\s*(?P<after>{_WORD})?$"
_UNIT = rf"^(?:{_WORD}\s*[+-]?{NUMBER}|[+-]?{NUMBER}\s*{_WORD})$"
_PROBE = 100
_HALF = 0.5
_MOST = 0.9
_MOST_UNITS = 5
_FEW_LEVELS = 20
_WITH_FRACTIONS = 0.2


def numbers_with_units(words: pl.DataFrame) -> list[Finding]:
    """What is told of the columns whose cells are mostly numbers with one of a few units.

    Words with whole numbers behind them are names (``Q1``, ``flat 12``), unless they are currencies; and so are few
    whole numbers with a word behind (``3rd``).

    >>> sizes, flats = [f"{n}.5 kg" for n in range(30)], [f"flat {n}" for n in range(30)]
    >>> numbers_with_units(pl.DataFrame({"size": sizes, "flat": flats}))[0].message.split(": ")[0]
    "column 'size' was kept as words, because it has numbers with a unit ('kg') in 30 cells of 30"
    """
    first = words.head(_PROBE)
    shares = shares_of_cells(first, lambda cells: cells.str.contains(_UNIT))
    likely = [name for name, share in zip(words.columns, shares, strict=True) if share >= _HALF]
    looked = {name: unit_of(words[name]) for name in likely}
    return [
        Finding(
            code=WITH_UNITS,
            severity="info" if found.few else "warning",
            column=name,
            count=found.count,
            message=f"column {name!r} was kept as words, because it {found.what}",
        )
        for name, found in looked.items()
        if found is not None
    ]


@dataclass(frozen=True, kw_only=True)
class WithUnit:
    """So many cells are numbers with a unit: ``what``, after the name of their column; ``few`` different numbers."""

    what: str
    count: int
    few: bool


def unit_of(cells: pl.Series) -> WithUnit | None:
    """The units that the numbers of a column have, where most of its cells are such."""
    parts = cells.str.extract_groups(_SHAPE).struct.unnest().fill_null("")
    with_unit = (parts["number"] != "") & ((parts["before"] != "") | (parts["after"] != ""))
    found = parts.filter(with_unit)
    here = found.height
    if here < _HALF * cells.count() or (parts["number"] != "").sum() < _MOST * cells.count():
        return None
    pairs = Counter(found.select("before", "after").iter_rows())
    units = [" ".join(filter(None, pair)) for pair, _ in pairs.most_common()]
    if len(units) > _MOST_UNITS:
        return None
    numbers = found["number"].str.strip_chars()
    different = numbers.n_unique()
    fractions = numbers.str.contains(r"[.,][0-9]").mean()
    fractional = isinstance(fractions, float) and fractions >= _WITH_FRACTIONS
    named = bool((found["before"] != "").any()) and not found["before"].str.contains(rf"^(?:{SIGN})?$").all()
    if different <= _FEW_LEVELS and (named or not fractional):
        return None
    if not fractional and (named or (len(units) > 1 and not found["after"].str.contains(rf"^(?:{SIGN})?$").all())):
        return None
    unit = f"a unit ({units[0]!r})" if len(units) == 1 else f"different units ({', '.join(map(repr, units))})"
    advice = "write them without it" if len(units) == 1 else "write all in one, without it"
    told = cells_in_words(here, first_marked(cells, with_unit), after=f" of {cells.count():,}")
    return WithUnit(what=f"has numbers with {unit} in {told}; {advice}", count=here, few=different <= _FEW_LEVELS)
