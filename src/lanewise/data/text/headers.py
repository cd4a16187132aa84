"""Is the first record a header, and what do its columns get called?"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from lanewise.data.cells.number_signs import CODE, SIGN
from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.formatting.plain_text import clean

_NUMBER = re.compile(rf"[-+]?{SIGN}?\s*(\d[\d.,]*|[.,]\d+)([eE][-+]?\d+)?\s*{SIGN}?", re.ASCII)
_CODE = re.compile(CODE)
_NUMBERLIKE = re.compile(r"[-+]?[\d][\d\s.,:/eETZ+-]*%?", re.ASCII)
_END = "\x1f"
_DIGIT = re.compile(r"\d")
_PLAIN_NUMBERS = re.compile(rf"(?>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?{_END})*", re.ASCII)
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff\u200b]+")
_HIDDEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PATTERN = re.compile(r"\*|\^.*\$", re.DOTALL)
"""Names that polars takes for patterns of names."""

_MISSING = frozenset({"", "NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "nan", "?", "-"})
REPEATED = "duplicate_header"
"""Code of the finding about names that several columns have."""

_FEW_LEVELS = 20
_ENOUGH_CELLS = 3
_WORDS_OF_PROSE = 4


def looks_like_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names the columns, by one vote of each column.

    A column votes for a header if its other cells are numbers or dates and the first is not, or if
    its few levels never include the first cell; against, if the first cell is one of the others or
    of their kind. Without votes a first record of short distinct words is a header.
    """
    if not rest:
        return all(not _is_number_among(cell.strip(), ()) for cell in first)
    rest = [[cell.strip() for cell in row] for row in rest]
    others_count = all(map(_is_counting, rest[:_ENOUGH_CELLS]))
    counts_up = _is_counting([cell.strip() for cell in first]) and not others_count
    votes = 0
    for column, cell in enumerate(first):
        others = [row[column] for row in rest if column < len(row)]
        votes += _vote(cell.strip(), [other for other in others if other not in _MISSING], counts_up=counts_up)
    if votes:
        return votes > 0
    names = [cell.strip() for cell in first if cell.strip()]
    words = [name for name in names if not _is_number_among(name, ())]
    return bool(words) and (counts_up or len(words) == len(names)) and all(map(_is_short, words))


def _vote(cell: str, others: list[str], *, counts_up: bool) -> int:
    if not cell or not others:
        return 0
    numbers = _count_numberlike(others)
    if _is_number_among(cell, others):
        if numbers:
            return 0 if counts_up else -1
        return 1 if not counts_up and len(set(others)) <= _FEW_LEVELS else 0
    return 1 if numbers >= max(1, 0.9 * len(others)) else _vote_on_words(cell, others)


def _vote_on_words(cell: str, others: list[str]) -> int:
    levels = Counter(others)
    if cell in levels:
        return -1 if len(others) >= _ENOUGH_CELLS else 0
    if len(others) >= 2 * len(levels) and len(levels) <= _FEW_LEVELS:
        return 1
    words = sum(len(other.split()) for other in others) / len(others)
    if words >= _WORDS_OF_PROSE:
        return -1 if len(cell.split()) >= _WORDS_OF_PROSE else 1
    return 0


def _is_short(name: str) -> bool:
    return len(name.split()) <= 2 * _WORDS_OF_PROSE


def _is_numberlike(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None or _NUMBERLIKE.fullmatch(cell) is not None


def _is_number_among(cell: str, others: Sequence[str]) -> bool:
    """Whether a cell is like a number; with the code of a currency that the others lack it is a name (``EUR2019``)."""
    code = _CODE.search(cell)
    return _is_numberlike(cell) and (code is None or any(code[0] in other for other in others))


def _count_numberlike(cells: list[str]) -> int:
    """How many of the cells are like numbers; where all are plain ones, or none has a digit, one look tells."""
    together = _END.join([*cells, ""])
    if _PLAIN_NUMBERS.fullmatch(together) and together.count(_END) == len(cells):
        return len(cells)
    if not _DIGIT.search(together):
        return 0
    return sum(map(_is_numberlike, cells))


def _is_counting(cells: list[str]) -> bool:
    """Whether the numbers among the cells count up by one, as the names of pixels or years do."""
    numbers = [int(cell) for cell in cells if cell.isascii() and cell.isdigit() and len(cell) < 10]
    return len(numbers) > 2 and all(b == a + 1 for a, b in pairwise(numbers))


def column_names(header: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Distinct names without control characters, terminal escapes or outer blanks: as they are shown, so that what is
    read on a screen can be typed.

    A blank name becomes ``column_3`` by its place; a repeated one gets ``_2``, ``_3``, ...; ``*`` and ``^...$``, which
    name patterns elsewhere, get ``_``.

    >>> column_names(["id", "", "id", "\\x1b[31mred\\x1b[0m"])[0]
    ['id', 'column_2', 'id_2', 'red']
    """
    cleaned = list(map(_shown, header))
    blank = [place for place, name in enumerate(cleaned, 1) if not name]
    named = [name or f"column_{place}" for place, name in enumerate(cleaned, 1)]
    taken = set(named)
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    names: list[str] = []
    repeated: list[str] = []
    for name in named:
        unique = name
        if name in seen:
            number = numbers.get(name, 2)
            while (unique := f"{name}_{number}") in taken:
                number += 1
            numbers[name] = number + 1
            taken.add(unique)
            repeated.append(unique)
        seen.add(unique)
        names.append(unique)
    findings: list[Finding] = []
    if blank:
        places = ", ".join(f"column_{place}" for place in blank[:5])
        message = f"{counted(len(blank), 'column')} without a name got one by place: {places}"
        findings.append(Finding(code="blank_header", count=len(blank), message=message))
    if repeated:
        message = f"{counted(len(repeated), 'repeated column name')} got a number: {', '.join(map(repr, repeated[:5]))}"
        finding = Finding(
            code=REPEATED, severity="warning", count=len(repeated), message=message, columns=tuple(repeated)
        )
        findings.append(finding)
    changed = [(cell, name) for name, cell, kept in zip(names, header, cleaned, strict=True) if kept and _is_odd(cell)]
    return names, [*findings, *_cleaned(changed)]


def twins_of(name: str, repeated: Collection[str]) -> list[str]:
    """The other columns that have the name of the column ``name`` in the file; those ``repeated`` got a number.

    >>> twins_of("y", ["y_2", "y_3", "z_2"]), twins_of("y_3", ["y_2", "y_3"]), twins_of("a_2", ["y_2"])
    (['y_2', 'y_3'], ['y', 'y_2'], [])
    """
    own = name.rpartition("_")[0] if name in repeated else name
    numbered = [other for other in repeated if other.rpartition("_")[0] == own]
    return [other for other in (own, *numbered) if other != name] if numbered else []


def cleaned_names(header: Sequence[str]) -> tuple[dict[str, str], list[Finding]]:
    """Distinct names of a typed table, of which only those with control characters or of patterns are made anew, as for
    text.

    >>> cleaned_names([" a", "\\x1b[31mred", "red"])[0]
    {'\\x1b[31mred': 'red_2'}
    """
    taken, titles = set(header), {}
    for name in filter(_is_odd, header):
        bare = _shown(name) or "column"
        number, unique = 2, bare
        while unique in taken:
            number, unique = number + 1, f"{bare}_{number}"
        taken.add(unique)
        titles[name] = unique
    return titles, _cleaned(list(titles.items()))


def _shown(cell: str) -> str:
    """The name as a screen shows it, and one that stands for itself alone."""
    name = _BLANKS.sub(" ", clean(cell)).strip()
    return f"{name}_" if _PATTERN.fullmatch(name) else name


def _is_odd(cell: str) -> bool:
    return _HIDDEN.search(cell) is not None or _PATTERN.fullmatch(cell.strip()) is not None


def _cleaned(changed: Sequence[tuple[str, str]]) -> list[Finding]:
    """That odd names were made anew: each as it was given, and as it is."""
    found = []
    for hides, what in (
        (True, "with control characters, which were left out"),
        (False, "that would stand for several columns got a '_'"),
    ):
        names = [name for given, name in changed if (_HIDDEN.search(given) is not None) == hides]
        if names:
            message = f"{counted(len(names), 'column name')} {what}: {', '.join(map(repr, names[:5]))}"
            found.append(Finding(code="cleaned_header", severity="warning", count=len(names), message=message))
    return found
