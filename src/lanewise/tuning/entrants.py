"""The candidates that a tuning race begins with, of what the user lists or of what is to be drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, final

import numpy as np
from torch import nn

from lanewise.errors import Mistakes, UsageError, as_given
from lanewise.lanes.candidate import Candidate
from lanewise.search.bayesian import SEARCHES, Search
from lanewise.tuning.bayesian import Searched, searched
from lanewise.tuning.model_settings import ModelArguments, different, somewhere
from lanewise.tuning.proposing import OPTIMIZERS, TRIES, USUAL_COUNT, Where, drawn, listed

FEWEST = 4
"""Candidates that are raced at the least where nobody says how many, however small the budget."""

FREE_SEARCHES = ("sobol", "random")
"""Searches whose first points are a search too."""

ANY_SIZE = 1000
"""Rows of train that candidates are checked with while nobody has counted them."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """Who is to take part, as the user says it: see :func:`lanewise.tune`."""

    make_model: Callable[..., nn.Module]
    candidates: int | Sequence[Mapping[str, Any]] | None
    space: Mapping[str, Any] | None
    search: Search
    where: Where | None
    seed: int

    def check(self) -> None:
        """Raise ``UsageError`` with all that is off, as far as it can be told before any row is read."""
        mistakes = Mistakes()
        mistakes.of(self._check_forms)
        legible = callable(self.make_model) and not mistakes
        mistakes.of(_check_search, self.search)
        if legible:
            own = self if self.search in SEARCHES else replace(self, search="sobol")
            # Whether a point may be raced can depend on the batch size, which is not known yet.
            mistakes.of(own._found, batch_size=_usual_size(ANY_SIZE), where=None)
        mistakes.tell()

    def entrants(self, rows: int, *, batch_size: int | None) -> tuple[tuple[Candidate, ...], Searched | None]:
        """The candidates, and the space that is searched for more on the way, if it is.

        ``rows`` are those that train; ``batch_size`` is that of candidates which do not say. Raises as :meth:`check`,
        and where ``where`` lets nothing through.
        """
        return self._found(batch_size=batch_size or _usual_size(rows), where=self.where)

    def fewest(self, entrants: Sequence[Candidate]) -> int | None:
        """How many of the entrants race at the least, with the default of each optimizer; None: all of them.

        That is where nobody said how many there are, neither by a number or a list nor by a grid.
        """
        if self.candidates is not None or self.search not in FREE_SEARCHES:
            return None
        return max(FEWEST, len({own.optimizer for own in entrants}))

    @property
    def _model(self) -> str:
        name = str(getattr(self.make_model, "__name__", "module")).strip("<>")
        return "module" if name == "lambda" else name

    def _check_forms(self) -> None:
        mistakes, given = Mistakes(), self.candidates
        several = isinstance(given, Sequence) and not isinstance(given, str)
        if not several and given is not None:
            mistakes.of(check_whole, "candidates", given, least=1, otherwise=", or a list of settings")
        mistakes.of(_check_space, self.space)
        if several and self.space is not None:
            mistakes.of(refuse, "give either a list of candidates or a space to draw them from, not both")
        if several and (self.search in SEARCHES[1:] or self.where is not None):
            mistakes.of(
                refuse, "search and where are for candidates that are drawn; a list of candidates is raced as it is"
            )
        mistakes.tell()

    def _found(self, *, batch_size: int, where: Where | None) -> tuple[tuple[Candidate, ...], Searched | None]:
        arguments = ModelArguments.of(self.make_model)
        if isinstance(self.candidates, Sequence):
            return self._listed(self.candidates, arguments, batch_size), None
        count = None if self.candidates is None else int(self.candidates)  # a number of NumPy would not go into JSON
        mistakes = Mistakes()
        training, own = mistakes.of(arguments.parted, self.space or {}, usual=OPTIMIZERS[:count]) or ({}, {})
        varied = mistakes.of(arguments.varied, own) or {}
        mistakes.tell()
        searching, where = None, arguments.seen_by(where)
        fixed = {name: value for name, value in own.items() if name not in varied}
        if self.search == "grid":
            known = {"model": self._model, "batch_size": batch_size, "seed": self.seed}
            found = drawn(training, count, **known, sampling="grid", where=where, arguments=varied)
            settings = [{**fixed, **{name: one.settings[name] for name in varied}} for one in found]
            return arguments.added(found, settings), None
        if self.search == "bayesian":
            searching = searched(
                training,
                count,
                arguments=varied,
                fixed=fixed,
                model=self._model,
                batch_size=batch_size,
                seed=self.seed,
                where=where,
            )
            count = searching.first
        most = count or USUAL_COUNT
        points = arguments.points(own, most, seed=self.seed, tries=TRIES)
        looked = different(points)
        found = drawn(
            training,
            count,
            model=self._model,
            batch_size=batch_size,
            seed=self.seed,
            sampling="sobol" if self.search == "bayesian" else self.search,
            where=somewhere(where, looked),
            beside=len(looked) if varied else 0,
        )
        return arguments.dealt(points, found, where=where, count=most), searching

    def _listed(
        self, candidates: Sequence[Mapping[str, Any]], arguments: ModelArguments, batch_size: int
    ) -> tuple[Candidate, ...]:
        mistakes = Mistakes()
        pairs = [mistakes.of(arguments.parted, candidate) or ({}, {}) for candidate in candidates]
        found = mistakes.of(listed, [training for training, _ in pairs], model=self._model, batch_size=batch_size)
        mistakes.tell()
        return arguments.added(found or [], [own for _, own in pairs])


def _usual_size(rows: int) -> int:
    """Some 40 batches in an epoch, a power of two."""
    return int(min(128, max(16, 2 ** round(np.log2(max(rows, 1) / 40)))))


def refuse(message: str) -> None:
    """``UsageError`` with that message."""
    raise UsageError(message)


def check_whole(name: str, value: object, *, least: int, otherwise: str = "") -> None:
    """``UsageError`` unless the value is a whole number, at least ``least``; ``otherwise`` says what else it may be.

    >>> check_whole("workers", 0, least=1)
    Traceback (most recent call last):
    lanewise.errors.UsageError: workers must be at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        message = f"{name} must be a whole number, at least {least}{otherwise}, got {as_given(value)}"
        raise UsageError(message)
    if int(value) < least:
        message = f"{name} must be at least {least}, got {value}"
        raise UsageError(message)


def _check_space(space: object) -> None:
    if space is not None and not isinstance(space, Mapping):
        message = (
            f"space must be a dict such as {{'optimizer': ['adamw', 'sgd'], 'lr': (1e-4, 1e-1)}}, got {as_given(space)}"
        )
        raise UsageError(message)


def _check_search(search: object) -> None:
    if search not in SEARCHES:
        message = f"search must be one of {', '.join(SEARCHES)}, got {search!r}"
        raise UsageError(message)
