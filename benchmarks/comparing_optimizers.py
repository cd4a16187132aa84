"""What trainings with many optimizers show: chosen rates, ties, ranks; and how to tell it as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.lanes.candidate import Candidate

DEFAULT = "default"
"""The name, within an optimizer, of the setting that was not drawn."""

BASELINE = "adamw"
CLEAR = 2.0
"""Paired standard errors from which a difference is no tie."""

DRAWS = 10_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Losses of candidates C on seeds S: ``valid [C, S, n]`` and ``test [C, S, m]`` of single rows at the end,
    ``curves [C, S, G]`` mean validation losses at the fractions ``grid`` of the training; infinite where a lane
    diverged. A candidate's id is its optimizer, a slash, and the place of its rate or :data:`DEFAULT`.
    """

    candidates: tuple[Candidate, ...]
    valid: np.ndarray
    test: np.ndarray
    curves: np.ndarray
    grid: Sequence[float]

    def places(self, optimizer: str) -> list[int]:
        """Where the drawn rates of an optimizer are; its default alone where none were drawn."""
        own = [place for place, one in enumerate(self.candidates) if one.optimizer == optimizer]
        return [place for place in own if place != self.default(optimizer)] or own

    def default(self, optimizer: str) -> int:
        """Where the default of an optimizer is."""
        return next(place for place, one in enumerate(self.candidates) if one.id == f"{optimizer}/{DEFAULT}")

    def chosen(self, places: Sequence[int]) -> int:
        """The best of some candidates by their validation loss."""
        return min(places, key=lambda place: float(self.valid[place].mean()))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One optimizer with one model on one table.

    ``valid`` and ``test`` are mean losses of the rate that was best on the validation rows, ``spread`` the standard
    deviation of the test loss over seeds. ``good`` is the share of rates within one standard error of the best,
    ``decades`` what that is in powers of ten. ``caught_default`` and ``caught_tuned`` are the shares of the training
    after which the final validation loss of AdamW, at its default rate and at its best, was reached; None: never.
    ``default`` is the test loss at the default rate. ``behind_best`` and ``behind_baseline`` are differences of the
    test losses with their standard errors, and so is ``all_defaults``: the best, by validation, of all optimizers at
    their defaults, against the baseline tuned.
    """

    table: str
    model: str
    optimizer: str
    rate: float
    valid: float
    test: float
    spread: float
    good: float
    decades: float
    caught_default: float | None
    caught_tuned: float | None
    default: float
    diverged: int
    behind_best: tuple[float, float]
    behind_baseline: tuple[float, float]
    all_defaults: tuple[float, float]


def paired(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean of ``a - b`` ``[S, n]`` and its standard error: of the rows, and of training again, added as variances."""
    apart = a - b
    if not np.isfinite(apart).all():
        return float(a.mean() - b.mean()), float("nan")
    seeds, rows = apart.shape
    of_rows = apart.mean(0).var(ddof=1) / rows
    of_seeds = apart.mean(1).var(ddof=1) / seeds if seeds > 1 else 0.0
    return float(apart.mean()), float(np.sqrt(of_rows + of_seeds))


def tied(difference: tuple[float, float], errors: float = CLEAR) -> bool:
    """Whether a difference lies within so many of its standard errors."""
    mean, error = difference
    return mean == 0 or abs(mean) <= errors * error


def outcomes_of(runs: Runs, *, table: str, model: str, decades: Mapping[str, float]) -> list[Outcome]:
    """What each optimizer made of a table; ``decades`` says how wide the range of its rates was."""
    names = list(dict.fromkeys(one.optimizer for one in runs.candidates))
    chosen = {name: runs.chosen(runs.places(name)) for name in names}
    best = min(chosen.values(), key=lambda place: float(runs.test[place].mean()))
    baseline = chosen[BASELINE]
    among_defaults = runs.chosen([runs.default(name) for name in names])
    found = []
    for name in names:
        place, own = chosen[name], runs.places(name)
        good = np.mean([_as_good(runs.valid[other], runs.valid[place]) for other in own])
        candidate = runs.candidates[place]
        found.append(
            Outcome(
                table=table,
                model=model,
                optimizer=name,
                rate=candidate.number("lr", float("nan")),
                valid=float(runs.valid[place].mean()),
                test=float(runs.test[place].mean()),
                spread=float(runs.test[place].mean(1).std(ddof=1)) if len(runs.test[place]) > 1 else 0.0,
                good=float(good),
                decades=float(good) * decades[name],
                caught_default=_caught(runs, place, runs.default(BASELINE)),
                caught_tuned=_caught(runs, place, baseline),
                default=float(runs.test[runs.default(name)].mean()),
                diverged=sum(not np.isfinite(runs.valid[other]).all() for other in own),
                behind_best=paired(runs.test[place], runs.test[best]),
                behind_baseline=paired(runs.test[place], runs.test[baseline]),
                all_defaults=paired(runs.test[among_defaults], runs.test[baseline]),
            )
        )
    return found


def _caught(runs: Runs, place: int, other: int) -> float | None:
    """The share of its training after which one candidate first was as good as another in the end."""
    reached = np.flatnonzero(runs.curves[place].mean(0) <= runs.curves[other, :, -1].mean())
    return float(runs.grid[reached[0]]) if len(reached) else None


def _as_good(losses: np.ndarray, best: np.ndarray) -> bool:
    return bool(np.isfinite(losses).all()) and tied(paired(losses, best), 1.0)


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Mean rank over tables (1 is best) with the interval that other tables of this kind might have given."""

    mean: float
    low: float
    high: float


def ranks(tests: np.ndarray) -> list[Rank]:
    """Ranks of optimizers by test losses ``[tables, optimizers]``; the interval is a 95% bootstrap over tables."""
    order = tests.argsort(1).argsort(1) + 1.0
    draws = np.random.default_rng(0).integers(len(tests), size=(DRAWS, len(tests)))
    low, high = np.quantile(order[draws].mean(1), (0.025, 0.975), axis=0)
    return [
        Rank(mean=float(mean), low=float(least), high=float(most))
        for mean, least, most in zip(order.mean(0), low, high, strict=True)
    ]


def report(found: Sequence[Outcome], costs: Mapping[str, Mapping[str, str]]) -> str:
    """All of it as Markdown: per model the ranks, the scores, and every table in detail."""
    parts = []
    for model in dict.fromkeys(one.model for one in found):
        own = [one for one in found if one.model == model]
        parts += [f"## {model}", "", *_overall(own, costs.get(model, {})), ""]
        parts += [*_scores(own), ""]
        for table in dict.fromkeys(one.table for one in own):
            parts += [f"### {table}, {model}", "", *_detail([one for one in own if one.table == table]), ""]
    return "\n".join(parts)


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _overall(own: Sequence[Outcome], costs: Mapping[str, str]) -> list[str]:
    tables = list(dict.fromkeys(one.table for one in own))
    names = list(dict.fromkeys(one.optimizer for one in own))
    tests = np.array([[one.test for one in own if one.table == table] for table in tables])
    rows = []
    for name, rank in sorted(zip(names, ranks(tests), strict=True), key=lambda pair: pair[1].mean):
        mine = [one for one in own if one.optimizer == name]
        against = [one.behind_baseline for one in mine]
        better = sum(mean < 0 and not tied((mean, error)) for mean, error in against)
        worse = sum(mean > 0 and not tied((mean, error)) for mean, error in against)
        rows.append(
            [
                name,
                f"{rank.mean:.1f} ({rank.low:.1f} to {rank.high:.1f})",
                f"{sum(tied(one.behind_best) for one in mine)} of {len(tables)}",
                "" if name == BASELINE else f"{better} / {len(tables) - better - worse} / {worse}",
                "" if np.isnan(mine[0].rate) else f"{np.mean([one.good for one in mine]):.0%}",
                "" if np.isnan(mine[0].rate) else f"{np.mean([one.decades for one in mine]):.1f}",
                _catches([one.caught_default for one in mine]),
                _catches([one.caught_tuned for one in mine]),
                costs.get(name, ""),
            ]
        )
    head = ["optimizer", "mean rank (95%)", "ties with the best", "better / tie / worse than AdamW", "good rates"]
    head += ["decades", "catches up with AdamW at its default after", "with AdamW tuned after"]
    head += ["time of a step, by SGD's"]
    defaults = [one.all_defaults for one in own if one.optimizer == BASELINE]
    better = sum(mean < 0 and not tied((mean, error)) for mean, error in defaults)
    worse = sum(mean > 0 and not tied((mean, error)) for mean, error in defaults)
    words = (
        f"The best of all optimizers at their default rates, by validation, against AdamW tuned: better on {better} "
        f"tables, worse on {worse}, a tie on {len(defaults) - better - worse}."
    )
    return [*_lines(head, rows), "", words]


def _catches(shares: Sequence[float | None]) -> str:
    """Median share of the training over the tables where it happened, and on how many it did."""
    known = [share for share in shares if share is not None]
    return f"{np.median(known):.0%} (on {len(known)})" if known else "never"


def _scores(own: Sequence[Outcome]) -> list[str]:
    """Test losses, optimizers by tables; what ties with the best is bold."""
    tables = list(dict.fromkeys(one.table for one in own))
    rows = []
    for name in dict.fromkeys(one.optimizer for one in own):
        mine = {one.table: one for one in own if one.optimizer == name}
        marks = {table: "**" if tied(one.behind_best) else "" for table, one in mine.items()}
        rows.append([name, *(f"{marks[table]}{mine[table].test:.4f}{marks[table]}" for table in tables)])
    return _lines(["optimizer", *tables], rows)


def _detail(own: Sequence[Outcome]) -> list[str]:
    rows = [
        [
            one.optimizer,
            "" if np.isnan(one.rate) else f"{one.rate:.2g}",
            f"{one.valid:.4f}",
            f"{one.test:.4f} ± {one.spread:.4f}",
            f"{one.default:.4f}",
            f"{one.good:.0%}",
            str(one.diverged),
            "never" if one.caught_tuned is None else f"{one.caught_tuned:.0%}",
            f"{one.behind_baseline[0]:+.4f} ± {one.behind_baseline[1]:.4f}",
        ]
        for one in sorted(own, key=lambda one: one.test)
    ]
    head = ["optimizer", "rate", "validation", "test, spread over seeds", "test at its default rate", "good rates"]
    return _lines([*head, "diverged", "catches up with AdamW after", "against AdamW"], rows)
