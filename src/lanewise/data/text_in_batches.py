"""Rows for a stored model, read from a long delimited text a part at a time: as if they were read at once.

The contract of the model says how cells are read, for it knows how those of training were written. What all of the
cells tell (which words stand for missing ones, whether a column is written otherwise, where rows are ragged) is found
in a first pass, and what is told of them in a second; a third one gives the cells. Values and findings are those of the
text read into memory. A text that cannot be told by its parts is one that is read whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from lanewise.data.cells.cell_findings import cells_in_words, first_marked
from lanewise.data.cells.missing import MARKERS, blank_out, strip_cells, word_markers
from lanewise.data.cells.number_cells import without_named
from lanewise.data.contract import ColumnContract, DataContract, Differences, check_readable
from lanewise.data.conventions import (
    MOST_OTHERS,
    UNREADABLE,
    WRITTEN_OTHERWISE,
    DateReading,
    DatesSeen,
    NumberReading,
    NumbersSeen,
    Told,
)
from lanewise.data.dataset import Dataset
from lanewise.data.findings import Finding
from lanewise.data.kinds import ColumnKind
from lanewise.data.read_options import ReadOptions
from lanewise.data.row_by_row import checked_rows
from lanewise.data.rows_in_batches import in_blocks, more_words
from lanewise.data.text.delimited import (
    SHOWN_RAGGED,
    blank_findings,
    comment_findings,
    empty_findings,
    empty_of,
    filled_rows,
    header_findings,
    names_of,
    preface_findings,
    set_aside,
)
from lanewise.data.text.text_parts import NeedsWhole, Part, TextParts, changed, text_parts

LONG_BYTES = 32 * 2**20
"""A text of more bytes is read in parts; what a shorter one takes, any machine has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextInBatches:
    """The rows of a text as a model of a ``contract`` reads them, looked through already.

    ``findings`` are those of reading and of the contract, ``needed`` the cells that a row has at the least.
    """

    parts: TextParts
    contract: DataContract
    columns: "dict[str, _Column]"
    places: dict[str, str]
    needed: int
    rows: int
    findings: tuple[Finding, ...]

    def blocks(self, rows: int) -> Iterator[Dataset]:
        """All rows in order, ``rows`` at a time, whatever the parts they lie in.

        Raises ``DataError`` where the file has changed.
        """
        kinds: dict[str, ColumnKind] = {column.name: column.kind for column in self.contract.columns}
        try:
            yield from in_blocks(self._typed(), rows, kinds, self.parts.name)
        except (NeedsWhole, OSError):  # the first passes saw another text
            raise changed(self.parts.path) from None

    def _typed(self) -> Iterator[pl.DataFrame]:
        for part in self.parts.parts(needed=self.needed):
            yield pl.DataFrame(
                [self.columns[name].typed(part.frame[place])[1].alias(name) for name, place in self.places.items()]
            )


def text_in_batches(source: object, contract: DataContract, *, options: ReadOptions) -> TextInBatches | None:
    """The rows of a delimited text of more than `LONG_BYTES`; None for what is read whole.

    A limit that was stated (``options.max_bytes``) is kept: a text beyond it is refused where it is read.

    Raises ``DataError`` where columns are absent, or where rows are ragged.
    """
    if not isinstance(source, (str, Path)) or str(source) == "-" or not Path(source).is_file():
        return None
    known = all(column.convention is not None or column.kind in ("category", "text") for column in contract.columns)
    if not known or options.decimal is not None or options.header is not None:
        return None
    kinds: dict[str, ColumnKind] = {column.name: column.kind for column in contract.columns}
    options = ReadOptions(
        delimiter=options.delimiter,
        encoding=options.encoding,
        missing=options.missing,
        kinds=kinds,
        keep_empty=True,
        max_bytes=options.max_bytes,
        max_line_bytes=options.max_line_bytes,
        max_columns=options.max_columns,
    )
    try:
        parts = text_parts(Path(source), options, least=LONG_BYTES)
        return None if parts is None else _looked_through(parts, contract)
    except (NeedsWhole, OSError):
        return None  # what is wrong is said where it is read


@dataclass(kw_only=True, eq=False)
class _Column:
    """A column that the model needs: what the cells so far told of it, and how they are read after the first pass."""

    contract: ColumnContract
    missing: tuple[str, ...]
    words: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))
    seen: NumbersSeen | DatesSeen | None = None
    markers: tuple[str, ...] = ()
    reading: NumberReading | DateReading | None = None
    told: dict[str, tuple[str, int, list[tuple[str, int]]]] = field(
        default_factory=dict[str, tuple[str, int, list[tuple[str, int]]]]
    )
    differences: Differences | None = None

    def see(self, raw: pl.Series) -> None:
        """The first pass."""
        cells, convention = strip_cells(raw, self.missing), self.contract.convention
        if convention is None or self.contract.kind in ("category", "text"):
            self.words = more_words(self.words, cells)
            return
        bare = blank_out(cells, MARKERS)
        if convention.dates is None:
            seen = NumbersSeen.of(bare, convention)
            self.seen = seen.plus(self.seen) if isinstance(self.seen, NumbersSeen) else seen
        else:
            seen = DatesSeen.of(bare, convention.dates)
            self.seen = seen.plus(self.seen) if isinstance(self.seen, DatesSeen) else seen
        if len(seen.others) > MOST_OTHERS or len(self.seen.others) > MOST_OTHERS:
            raise NeedsWhole

    def settle(self) -> None:
        """How cells are read; raises `NeedsWhole` where the other columns of the file would have a say."""
        convention = self.contract.convention
        if isinstance(self.seen, NumbersSeen) and convention is not None:
            by_point, by_comma = (NumberReading.of(convention, self.seen, decimal) for decimal in (".", ","))
            self.reading, open_ = by_point, by_point != by_comma
        elif isinstance(self.seen, DatesSeen) and convention is not None and convention.dates is not None:
            by_day, by_month = (DateReading.of(convention.dates, self.seen, day_first=first) for first in (True, False))
            self.reading, open_ = by_day, by_day != by_month
        else:
            self.markers, open_ = word_markers(self.words), False
        if open_:
            raise NeedsWhole

    def typed(self, raw: pl.Series) -> tuple[pl.Series, pl.Series, list[Told]]:
        """Cells as text, as they are read, and what is told of them."""
        cells = strip_cells(raw, self.missing)
        if self.reading is None:
            return cells, blank_out(cells, self.markers), []
        bare = blank_out(cells, MARKERS)
        if isinstance(self.reading, DateReading):
            return bare, *self.reading.dates(bare)
        numbers, told = self.reading.numbers(bare)
        return bare, without_named(numbers, self.missing), told

    def look(self, raw: pl.Series, before: int) -> None:
        """The second pass; so many rows came ``before`` these."""
        cells, typed, told = self.typed(raw)
        for one in told:
            what, count, first = self.told.get(one.code, (one.what, 0, []))
            first = [*first, *first_marked(cells, one.cells, before=before)]
            self.told[one.code] = (what, count + int(one.cells.sum()), first)
        differences = Differences.of(self.contract, typed)
        self.differences = differences if self.differences is None else self.differences.plus(differences)

    def findings(self) -> list[Finding]:
        """What reading noticed."""
        name = self.contract.name
        return [
            Finding(
                code=code,
                severity="warning",
                column=name,
                count=count,
                message=f"column {name!r} {what} {cells_in_words(count, first)}",
            )
            for code in (WRITTEN_OTHERWISE, UNREADABLE)
            if code in self.told
            for what, count, first in (self.told[code],)
        ]


@dataclass(kw_only=True)
class _Rows:
    """What the first pass counts of the rows themselves; ``short`` and ``ragged`` ones with their first places."""

    rows: int = 0
    blank: int = 0
    comments: int = 0
    empty: int = 0
    needed: int | None = None
    unnamed: list[str] = field(default_factory=list[str])
    short: dict[int, tuple[int, list[tuple[int, int]]]] = field(
        default_factory=dict[int, tuple[int, list[tuple[int, int]]]]
    )
    ragged: tuple[int, list[tuple[int, int]]] = (0, [])
    fields: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    double: bool = False
    single: bool | None = None

    def see(self, part: Part) -> None:
        """A part."""
        self.rows += part.frame.height
        self.blank += part.blank
        self.comments += part.comments
        self.empty += part.frame.height - int(filled_rows(part.frame).sum())
        if part.needed is not None:
            self.needed = max(self.needed or 0, part.needed)
        self.unnamed = empty_of(part.frame, self.unnamed)
        for fields in {fields for _, fields in part.short}:
            own = [place for place in part.short if place[1] == fields]
            count, first = self.short.get(fields, (0, []))
            self.short[fields] = (count + len(own), [*first, *own][:SHOWN_RAGGED])
        self.ragged = (self.ragged[0] + len(part.ragged), [*self.ragged[1], *part.ragged][:SHOWN_RAGGED])
        size = max(len(self.fields), len(part.fields))
        self.fields = np.sum([np.pad(one, (0, size - len(one))) for one in (self.fields, part.fields)], axis=0)
        self.double |= part.double
        if part.single is not None:
            self.single = part.single and self.single is not False

    def check_dialect(self, usual: int) -> None:
        """`NeedsWhole` where all of the records tell another layout or other quotes than the first ones."""
        if int(self.fields.argmax()) != usual or (self.single and not self.double):
            raise NeedsWhole

    def least(self, width: int) -> int:
        """The cells that a row has at the least, in a table of ``width`` columns."""
        return width if self.needed is None else self.needed

    def findings(self, source: str, width: int) -> list[Finding]:
        """What is told of rows; ``DataError`` where too many are ragged."""
        count, places = self.ragged
        for fields, (own, first) in self.short.items():
            if fields < self.least(width):
                count, places = count + own, sorted([*places, *first])[:SHOWN_RAGGED]
        kept = self.rows + self.ragged[0] - count
        found = set_aside(source, places, count, width=width, kept=kept)
        return [
            *found,
            *comment_findings(self.comments),
            *empty_findings(self.empty),
            *blank_findings(self.blank),
        ]


def _looked_through(parts: TextParts, contract: DataContract) -> TextInBatches:
    names, unnamed = names_of(parts.layout)
    _checked_header(contract, names, parts.name)
    wanted = {column.name: column for column in contract.columns}
    if not wanted.keys().isdisjoint(unnamed):  # such a column is one only if some cell is filled
        raise NeedsWhole
    places = {name: f"c{place}" for place, name in enumerate(names) if name in wanted}
    columns = {name: _Column(contract=wanted[name], missing=parts.options.missing) for name in places}
    rows = _Rows(unnamed=[f"c{names.index(name)}" for name in unnamed])
    usual = None
    for part in parts.parts(needed=2):
        rows.see(part)
        usual = int(part.fields.argmax()) if usual is None else usual
        for name, place in places.items():
            columns[name].see(part.frame[place])
    assert usual is not None, "a long text has a part"
    rows.check_dialect(usual)
    empty = [names[int(place[1:])] for place in rows.unnamed]
    read = [
        *preface_findings(parts.preface),
        *parts.layout.findings,
        *rows.findings(parts.name, parts.layout.width),
        *header_findings(parts.layout, empty),
    ]
    extra = _checked_header(contract, [name for name in names if name not in empty], parts.name)
    checked = checked_rows(read, source=parts.name, rows=rows.rows)
    for column in columns.values():
        column.settle()
    before = 0
    needed = rows.least(parts.layout.width)
    for part in parts.parts(needed=needed):
        for name, place in places.items():
            columns[name].look(part.frame[place], before)
        before += part.frame.height
    blank = tuple(one for one in checked if one.code == "blank_lines")  # told after what was read
    told = [finding for column in columns.values() for finding in column.findings()]
    differences = {name: column.differences for name, column in columns.items() if column.differences is not None}
    check_readable(parts.name, contract.columns, told, {name: one.missing for name, one in differences.items()}, before)
    unlike = [finding for name, column in wanted.items() for finding in differences[name].findings(column)]
    findings = (*(one for one in checked if one not in blank), *told, *blank, *unlike, *extra)
    return TextInBatches(
        parts=parts,
        contract=contract,
        columns=columns,
        places={name: places[name] for name in wanted},
        needed=needed,
        rows=before,
        findings=findings,
    )


def _checked_header(contract: DataContract, names: list[str], source: str) -> tuple[Finding, ...]:
    """What the names of columns tell: those that the model does not use; ``DataError`` where it lacks one."""
    frame = pl.DataFrame(schema=dict.fromkeys(names, pl.String()))
    return contract.check(Dataset(frame=frame, kinds=dict.fromkeys(names, "category"), source=source))
