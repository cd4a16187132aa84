"""How a column of text writes its numbers or dates: found in training, and held for the rows that come later.

A short file leaves open what a long one told: ``1,234`` may be a thousand or one and a bit, ``03/04/2024`` a day of
March or of April. So new cells are read as those of training were. Cells that cannot be are told: where none of the
others contradicts, the whole column is read in the one other way that fits; else they count as missing.

What is decided of a column follows from facts that add up (`NumbersSeen`, `DatesSeen`), so that it does not depend on
whether its cells are looked at together or in batches.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl

from lanewise.data.cells.date_cells import DateForm, fit_dates, fit_form, in_form, swapped, with_offset
from lanewise.data.cells.number_cells import PLAIN, Decimal, Grammar, NumberFit, choose, fit_numbers, with_plain_blanks
from lanewise.data.cells.number_signs import (
    LIKE_NUMBERS,
    Minus,
    Sign,
    with_minus_before,
    with_plain_minus,
    without_sign,
)

_MARK = r"[.,' ]"
_POINT_OR_COMMA = "[.,]"
_ONE_GROUP = r"^[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}$"
_PROBE = 1000
_ZEROS = r"^([+-]?)0+([0-9])"

WRITTEN_OTHERWISE = "written_otherwise"
"""Code of the finding about cells that are not written as those of training, and are read all the same."""

UNREADABLE = "unreadable_cells"
"""Code of the finding about cells that cannot be read as their kind."""

MOST_OTHERS = 10_000
"""Different cells of a column, unlike those of training, that are kept while rows are read in batches."""


@dataclass(frozen=True, kw_only=True)
class Convention:
    """The marks of a column of numbers, or the form of a column of dates; None and empty where nothing shows them.

    ``unit`` is the currency or percent sign that was read over, ``minus`` where minus signs stood if not in front.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "extra": "forbid"}

    decimal: Decimal | None = None
    thousands: Literal["", ",", ".", "'", " "] = ""
    unit: Sign = ""
    minus: Minus = ""
    dates: DateForm | None = None

    @property
    def own(self) -> Grammar:
        """The grammar of its numbers."""
        return Grammar(self.decimal or ".", self.thousands)

    def takes_plain(self, *, whole: bool) -> bool:
        """Whether cells written plainly, ``whole`` numbers or with a decimal point, are as those of training."""
        return self.dates is None and self.unit != "%" and (whole or self.decimal == ".")


def convention_of(fit: NumberFit, grammar: Grammar, decimal: Decimal | None) -> Convention:
    """The convention of cells that were read by a grammar; ``decimal`` is the mark of their file, if known."""
    shows = grammar.thousands in (",", ".") or fit.cells.str.contains(grammar.decimal, literal=True).any()
    thousands: Any = grammar.thousands  # of the few that there are
    return Convention(
        decimal=grammar.decimal if shows else decimal, thousands=thousands, unit=fit.unit, minus=fit.minus
    )


def _in_words(grammar: Grammar, unit: str) -> str:
    """A way of writing numbers.

    >>> _in_words(Grammar(",", "."), "%")
    "',' as decimal mark, '.' as thousands mark and the sign %"
    """
    words = [f"{grammar.decimal!r} as decimal mark"]
    words += [f"{grammar.thousands!r} as thousands mark"] if grammar.thousands else []
    words += [f"the sign {unit}"] if unit else []
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """Cells that were not written as in training: ``what`` was made of them, after the name of their column."""

    code: str
    what: str
    cells: pl.Series


@dataclass(frozen=True, kw_only=True, eq=False)
class NumbersSeen:
    """What cells tell of how their column is written.

    ``some`` are written as in training; ``decisive`` says that one of these cannot be read otherwise, else ``grouped``
    are the marks of those that can (``1,234``). ``others`` are those written otherwise, each once.
    """

    some: bool
    decisive: bool
    grouped: frozenset[str]
    others: pl.Series

    @classmethod
    def of(cls, cells: pl.Series, convention: Convention) -> "NumbersSeen":
        """The facts of cells: stripped, missing ones null."""
        cells = with_minus_before(cells, convention.minus)
        texts, fits = _as_in_training(cells, convention)
        own = texts.filter(fits)
        for some in (own.head(_PROBE), own):  # the first ones mostly tell
            marked = some.filter(some.str.contains(_MARK))
            groups = marked.filter(marked.str.contains(_ONE_GROUP))
            if len(groups) < len(marked):
                return cls(some=True, decisive=True, grouped=frozenset(), others=_each_once(cells.filter(~fits)))
        return cls(
            some=len(own) > 0,
            decisive=False,
            grouped=frozenset(mark for mark in ".," if groups.str.contains(mark, literal=True).any()),
            others=_each_once(cells.filter(~fits)),
        )

    def plus(self, more: "NumbersSeen") -> "NumbersSeen":
        """The facts of the cells of both."""
        return NumbersSeen(
            some=self.some or more.some,
            decisive=self.decisive or more.decisive,
            grouped=self.grouped | more.grouped,
            others=pl.concat([self.others, more.others]).unique(),
        )


@dataclass(frozen=True, kw_only=True)
class NumberReading:
    """How the cells of a column are read: as in training, and the others by ``grammar`` with the sign ``unit``.

    None: the others are no numbers. ``whole`` says that all cells are read by that grammar, ``guessed`` that their
    marks may have the other meaning, which training, of whole numbers, did not tell.
    """

    convention: Convention
    grammar: Grammar | None = None
    unit: str = ""
    whole: bool = False
    guessed: bool = False

    @classmethod
    def of(cls, convention: Convention, seen: NumbersSeen, decimal: Decimal | None = None) -> "NumberReading":
        """The reading of a column; ``decimal`` is the mark of its file where training knew none."""
        likely = seen.others.filter(with_plain_minus(seen.others).str.contains(LIKE_NUMBERS)).sort()
        if likely.is_empty():
            return cls(convention=convention)
        fit = fit_numbers(likely.str.replace(_ZEROS, "${1}${2}"), amounts=True)
        grammar, in_doubt = choose(fit, convention.decimal or decimal) if fit.grammars else (fit.nearest, False)
        if not _is_allowed(fit.unit, convention.unit, beside=seen.some):
            return cls(convention=convention)
        if not fit.cells.str.contains(_MARK).any():
            grammar = convention.own  # only the sign is another
        if convention.decimal in (None, grammar.decimal) or not fit.cells.str.contains(_POINT_OR_COMMA).any():
            open_ = in_doubt or (decimal is None and grammar == PLAIN and fit.could_be_grouped())
            guessed = convention.decimal is None and open_
            return cls(convention=convention, grammar=grammar, unit=fit.unit, guessed=guessed)
        marks = seen.grouped - {grammar.decimal}  # of thousands, if all cells are to be read so
        if seen.decisive or len(marks | set(grammar.thousands)) > 1:
            return cls(convention=convention)
        grammar = Grammar(grammar.decimal, grammar.thousands or "".join(marks))
        return cls(convention=convention, grammar=grammar, unit=fit.unit, whole=True)

    def numbers(self, cells: pl.Series) -> tuple[pl.Series, list[Told]]:
        """The numbers of cells, null where they are none, and what is told of those written otherwise."""
        cells = with_minus_before(cells, self.convention.minus)
        texts, fits = _as_in_training(cells, self.convention)
        numbers = _converted(texts.set(~fits, None), self.convention.own)
        by_other = pl.Series([False]).new_from_index(0, len(cells))
        if self.grammar is not None and (self.whole or not fits.all()):
            texts = _bare(cells, self.unit)
            matches = texts.str.contains(self.grammar.pattern).fill_null(value=False)
            taken = matches if self.whole else matches & ~fits
            numbers = numbers.zip_with(~taken, _converted(texts.set(~taken, None), self.grammar))
            by_other = taken & (~fits | texts.str.contains(_MARK))
        unreadable = numbers.is_null() & cells.is_not_null()
        return numbers, self._told(cells, by_other, unreadable)

    def _told(self, cells: pl.Series, by_other: pl.Series, unreadable: pl.Series) -> list[Told]:
        convention, told = self.convention, list[Told]()
        if by_other.any() and (what := self._unlike()):
            told.append(Told(code=WRITTEN_OTHERWISE, what=what, cells=by_other))
        if unreadable.any():
            known = (
                f" written with {_in_words(convention.own, convention.unit)}, as in training,"
                if convention.decimal
                else ""
            )
            what = f"can't be read as number{known} and counts as missing in"
            told.append(Told(code=UNREADABLE, what=what, cells=unreadable))
        return told

    def _unlike(self) -> str:
        """How the other cells are unlike those of training, in words; none where nothing of training contradicts."""
        own, grammar = self.convention, self.grammar
        if grammar is None:
            return ""
        if self.guessed:
            return f"is read with {_in_words(grammar, self.unit)}, by a guess, as training had only whole numbers, in"
        if own.decimal is not None and grammar != own.own:
            before = _in_words(own.own, own.unit)
            return f"is written with {_in_words(grammar, self.unit)}, and in training with {before}, in"
        if self.unit == own.unit:
            return ""
        if not self.unit:
            return f"is written without the sign {own.unit}, and in training with it, in"
        return (
            f"is written with the sign {self.unit}, and in training {f'with {own.unit}' if own.unit else 'without'}, in"
        )


def _is_allowed(unit: str, own: str, *, beside: bool) -> bool:
    """Whether cells with the sign ``unit`` may be read ``beside`` those of training, which have their ``own``."""
    if unit == own or not beside:
        return True
    return "%" not in (unit, own) and not (unit and own)


def _as_in_training(cells: pl.Series, convention: Convention) -> tuple[pl.Series, pl.Series]:
    """Cells without sign, and which of them are numbers written as in training."""
    fits = _fitting(cells, cells, convention)
    if (fits | cells.is_null()).all():  # as they mostly do
        return cells, fits
    texts = _bare(cells, convention.unit)
    return texts, _fitting(texts, cells, convention)


def _fitting(texts: pl.Series, cells: pl.Series, convention: Convention) -> pl.Series:
    """Which of the texts, of ``cells`` perhaps without sign, are numbers written as in training."""
    fits = texts.str.contains(convention.own.pattern)
    if convention.decimal is None:
        fits &= ~texts.str.contains(_POINT_OR_COMMA)
    if convention.unit == "%":
        fits &= cells.str.contains("%", literal=True)
    return fits.fill_null(value=False)


def _bare(cells: pl.Series, unit: str) -> pl.Series:
    """Cells with plain minus signs, blanks and beginnings, without their sign ``unit``."""
    texts = with_plain_minus(cells)
    if unit:
        signed = texts.str.contains(unit, literal=True).fill_null(value=False)
        texts = texts.zip_with(~signed, without_sign(texts))
    return with_plain_blanks(texts).str.replace(_ZEROS, "${1}${2}")


def _converted(texts: pl.Series, grammar: Grammar) -> pl.Series:
    """Numbers of 64 bits, the nearest ones; what is beyond all of them is null."""
    numbers = grammar.plain(texts).str.strip_prefix("+").cast(pl.Float64, strict=False)
    return numbers.set(numbers.is_infinite().fill_null(value=False), None)


def _each_once(cells: pl.Series) -> pl.Series:
    """The different cells, without the memory of the table that they come from."""
    return pl.Series("cell", cells.drop_nulls().unique().to_list(), dtype=pl.String)


@dataclass(frozen=True, kw_only=True, eq=False)
class DatesSeen:
    """What cells tell of the form of their dates: as `NumbersSeen` does of numbers.

    ``offsets`` counts the dates with an offset to UTC and those without: where there are both, the more are read.
    """

    some: bool
    decisive: bool
    others: pl.Series
    offsets: tuple[int, int]

    @classmethod
    def of(cls, cells: pl.Series, form: DateForm) -> "DatesSeen":
        """The facts of cells: stripped, missing ones null."""
        sorts = (None,) if fit_form(cells, form) is not None else (True, False)
        fits, decisive = pl.Series([False]).new_from_index(0, len(cells)), False
        for zoned in sorts:
            own, other = _in_both_orders(cells, form, zoned=zoned)
            fits |= own.is_not_null()
            decisive |= bool((own.is_not_null() & (True if other is None else other.is_null())).any())
        with_one, without = with_offset(cells, form)  # day and month in either order
        return cls(
            some=bool(fits.any()),
            decisive=decisive,
            others=_each_once(cells.filter(~fits)),
            offsets=(int(with_one.sum()), int(without.sum())),
        )

    def plus(self, more: "DatesSeen") -> "DatesSeen":
        """The facts of the cells of both."""
        return DatesSeen(
            some=self.some or more.some,
            decisive=self.decisive or more.decisive,
            others=pl.concat([self.others, more.others]).unique(),
            offsets=(self.offsets[0] + more.offsets[0], self.offsets[1] + more.offsets[1]),
        )

    @property
    def zoned(self) -> bool | None:
        """Whether dates with an offset to UTC are read, or those without; None where there is one sort alone."""
        return _sort_of_most(*self.offsets)


def _sort_of_most(with_one: int, without: int) -> bool | None:
    return with_one > without if with_one and without else None


@dataclass(frozen=True, kw_only=True)
class DateReading:
    """How the cells of a column are read: in the ``form`` of training, the others in ``other`` if that is a form.

    ``whole`` says that all cells are read in the other form. Where dates with an offset to UTC stand among others
    without, ``zoned`` says which of them are read.
    """

    form: DateForm
    other: DateForm | None = None
    whole: bool = False
    zoned: bool | None = None

    @classmethod
    def of(cls, form: DateForm, seen: DatesSeen, *, day_first: bool | None = None) -> "DateReading":
        """The reading of a column; ``day_first`` is the order of its file where training knew none."""
        fit, zoned = fit_dates(seen.others.sort(), all_cells=False), seen.zoned
        if fit is None:
            return cls(form=form, zoned=zoned)
        month = swapped(fit.form)
        other = fit.form
        if fit.month_first is not None and month is not None:
            days, months = fit.day_first.count(), fit.month_first.count()
            other = month if months > days or (months == days and day_first is False) else other
        if other == swapped(form):
            whole = not seen.decisive
            return cls(form=form, other=other if whole else None, whole=whole, zoned=zoned)
        if seen.some:
            return cls(form=form, zoned=zoned)
        sorts = (int(own.sum()) for own in with_offset(seen.others, other))
        return cls(form=form, other=other, zoned=_sort_of_most(*sorts))

    def dates(self, cells: pl.Series) -> tuple[pl.Series, list[Told]]:
        """The dates of cells, null where they are none, and what is told of those written otherwise."""
        dates, _ = _in_both_orders(cells, self.form, zoned=self.zoned)
        fits, told = dates.is_not_null(), list[Told]()
        if self.other is not None and (self.whole or not fits.all()):
            others, _ = _in_both_orders(cells, self.other, zoned=self.zoned)
            taken = others.is_not_null() if self.whole else others.is_not_null() & ~fits
            dates = dates.zip_with(~taken, others)
            what = f"has dates written {self.other}, and in training {self.form}, in"
            told += [Told(code=WRITTEN_OTHERWISE, what=what, cells=taken)] if taken.any() else []
        unreadable = dates.is_null() & cells.is_not_null()
        if unreadable.any():
            sort = "" if self.zoned is None else f" {'with' if self.zoned else 'without'} an offset to UTC, as most,"
            what = f"can't be read as date written {self.form}, as in training,{sort} and counts as missing in"
            told.append(Told(code=UNREADABLE, what=what, cells=unreadable))
        return dates, told


def _in_both_orders(
    cells: pl.Series, form: DateForm, *, zoned: bool | None = None
) -> tuple[pl.Series, pl.Series | None]:
    """The dates of cells in a form, and with day and month in the other order where that is one; ``zoned`` ones only,
    or those without an offset, where it is stated."""
    fit, other = fit_form(cells, form, zoned=zoned), swapped(form)
    if fit is None:
        nothing = pl.Series(cells.name, [None], dtype=pl.Datetime("us")).new_from_index(0, len(cells))
        return nothing, nothing if other else None
    return in_form(fit, form), in_form(fit, other) if other else None
