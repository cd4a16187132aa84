"""A target that is pure noise shows chance level everywhere; a planted leak is seen by the very same checks.

What is checked is known exactly where nothing can be learnt, and is taken over several races to have power:

- association of predictions and target on rows that did not train, out of fold and on the test rows. Rows can be
  exchanged, so its mean (zero) and its variance over permutations of the target are known exactly. For two classes it
  is the correlation of class and probability, as the ROC AUC is that of class and rank.
- the corrected cross-validated score against a guess, in standard errors of its own interval.
- claims: how many races say that something predicts ``y`` although nothing can.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import polars as pl
import pytest

from lanewise.composing import Choice, Stage, Unrecorded, as_scored, document
from lanewise.composing.against_guess import over_guess
from lanewise.composing.on_test import evaluations
from lanewise.data.dataset import Dataset
from lanewise.data.reading import read
from lanewise.data.splits import Fold
from lanewise.evaluation import dummy_prediction
from lanewise.fitting import choosing, stages
from lanewise.fitting.watcher import Silent
from lanewise.lanes.candidate import Candidate
from lanewise.runs.stage_times import StageTimes
from lanewise.selection import corrected_score
from lanewise.settings.fit import FitSettings, checked
from lanewise.statistics import CorrectedScore, bootstrap_interval
from lanewise.training import posing, selecting
from lanewise.training.planning import proposals
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem
from lanewise.training.race import Confirmed
from lanewise.training.race import Result as RaceResult
from lanewise.training.stopping import Stop

SURE = 3.0
"""Standard errors beyond which chance is ruled out."""

FALSE_CLAIMS = 1
"""Of a handful of races that may claim by chance: a 95% interval errs to one side once in forty."""

Table = Callable[[np.random.Generator], pl.DataFrame | Dataset]


@dataclass(frozen=True, kw_only=True, eq=False)
class Raced:
    """A race that is over."""

    problem: Problem
    settings: FitSettings
    trained: stages.Trained

    @cached_property
    def headline(self) -> str:
        """The first sentence of the report."""
        trained = self.trained
        stage = Stage(
            run=Unrecorded(created="", command="test"),
            settings=self.settings,
            problem=self.problem,
            plan=trained.plan,
            result=trained.result,
            choice=trained.choice,
            refitted=trained.refitted,
            predictor=trained.predictor,
            cutoff=trained.cutoff,
            sha256="",
            seconds=0.0,
        )
        found = evaluations(stage)
        return document._summary(stage, found, over_guess(stage), ())[0]  # not what else it takes seconds to tell

    @cached_property
    def out_of_fold(self) -> np.ndarray:
        """Predictions ``[N]`` or ``[N, C]``, averaged over all that were confirmed; NaN for rows of no fold."""
        found = [item.predictions for item in self.trained.result.confirmed]
        return as_scored(self.problem, np.mean(found, axis=0))

    @cached_property
    def of_test(self) -> np.ndarray:
        """Predictions of the final model for the test rows."""
        members = self.trained.choice.weights.items()
        parts = [weight * self.trained.refitted[name].test for name, weight in members]
        return as_scored(self.problem, np.sum(parts, axis=0))

    @property
    def judged(self) -> tuple[Fold, ...]:
        """The folds that the screen did not see: on the first one the confirmed were picked for their score."""
        return self.problem.folds[1:] if self.trained.plan.rungs else self.problem.folds


def settings_of(seed: int, **more: Any) -> FitSettings:
    quick = {"models": "linear", "budget": "60steps", "candidates": 5, "seeds": 1, "workers": 1, "ensemble": "never"}
    return checked({**quick, "target": "y", "seed": seed, **more})


def races(
    table: Table,
    count: int,
    *,
    models: str = "linear",
    candidates: int = 5,
    ensemble: str = "never",
    **request: Any,
) -> list[Raced]:
    """Races on ``count`` tables, each drawn with a seed of its own."""
    found = []
    for seed in range(count):
        drawn = table(np.random.default_rng([seed, 7]))
        dataset = read(drawn) if isinstance(drawn, pl.DataFrame) else drawn
        problem = pose(dataset, Request(target="y", folds=4, seed=seed, **request))
        settings = settings_of(seed, models=models, candidates=candidates, ensemble=ensemble)
        trained = stages.train(problem, settings, watcher=Silent(), stop=Stop(), times=StageTimes(time.monotonic()))
        found.append(Raced(problem=problem, settings=settings, trained=trained))
    return found


# -- checks -------------------------------------------------------------------------------------------


def association(problem: Problem, rows: np.ndarray, predicted: np.ndarray) -> float:
    """Association of predictions and target on ``rows``, standardized: mean 0 and variance 1 where there is none.

    T = sum_i <p_i, t_i> of centred predictions p and indicators t of the classes (or the target itself); over
    permutations Var T = tr(P'P T'T) / (n - 1). Rows of one cluster count as one, by their mean.
    """
    y = problem.y[rows]
    target = np.eye(len(problem.task.classes))[y.astype(np.int64)] if problem.task.classes else y[:, None]
    predicted = predicted.reshape(len(rows), -1)
    if problem.clusters is not None:
        _, cluster, sizes = np.unique(problem.clusters[rows], return_inverse=True, return_counts=True)
        means = np.eye(len(sizes))[:, cluster] / sizes[:, None]
        target, predicted = means @ target, means @ predicted
    target, predicted = target - target.mean(axis=0), predicted - predicted.mean(axis=0)
    variance = np.trace(predicted.T @ predicted @ target.T @ target) / (len(target) - 1)
    return float((predicted * target).sum() / np.sqrt(variance)) if variance > 1e-12 else 0.0


def out_of_fold_association(found: Sequence[Raced]) -> float:
    """Over folds and races, in standard errors.

    Folds of a race are not independent: fold i judges what fold j taught, and the other way round, so that a pair
    enters a sum twice. That doubles the variance of the sum at most (exactly for predictions linear in the target).
    """
    each = [association(one.problem, fold.valid, one.out_of_fold[fold.valid]) for one in found for fold in one.judged]
    return sum(each) / np.sqrt(2 * len(each))


def held_out_association(found: Sequence[Raced]) -> float:
    """On the test rows, over races, in standard errors."""
    return sum(association(one.problem, one.problem.test, one.of_test) for one in found) / np.sqrt(len(found))


def lead_over_guess(problem: Problem, corrected: CorrectedScore) -> tuple[float, float]:
    """How much better the corrected score is than a guess from each fold's training rows, and its standard error."""
    parts = [dummy_prediction(problem.task, problem.y[f.train], None, len(f.valid)) for f in problem.folds]
    y = np.concatenate([problem.y[fold.valid] for fold in problem.folds])
    guess = problem.metric.score(y, np.concatenate(parts))
    return problem.metric.sign * (guess - corrected.value), (corrected.high - corrected.low) / 3.92


def lead_in_errors(leads: Sequence[tuple[float, float]]) -> float:
    """The sum of leads in its standard errors."""
    lead, error = np.array(leads).T
    return float(lead.sum() / np.sqrt((error**2).sum()))


def claims(found: Sequence[Raced]) -> int:
    return sum(not one.headline.startswith("No model was shown to predict y better than a guess") for one in found)


def suspicions(found: Sequence[Raced], *, headlines: bool = False) -> set[str]:
    """Names of the checks that chance does not explain."""
    seen = {
        "out of fold": abs(out_of_fold_association(found)) > SURE,
        "test rows": abs(held_out_association(found)) > SURE,
        "corrected score": lead_in_errors([lead_over_guess(one.problem, one.trained.choice.corrected) for one in found])
        > SURE,
        "claims": headlines and claims(found) > FALSE_CLAIMS,
    }
    return {name for name, suspicious in seen.items() if suspicious}


# -- tables -------------------------------------------------------------------------------------------

WORDS = np.array([f"{first}{second}" for first in "bdfgklmnprst" for second in ("ana", "eve", "oro", "ulu")])


def target_of(kind: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "regression":
        return rng.normal(size=rows)
    return rng.choice(np.array(["a", "b"] if kind == "binary" else ["a", "b", "c"]), rows)


def holes(values: np.ndarray, share: float, rng: np.random.Generator) -> pl.Series:
    missing = rng.random(len(values)) < share
    return pl.Series([None if gone else value for gone, value in zip(missing, values.tolist(), strict=True)])


def mixed_table(kind: str, rng: np.random.Generator, rows: int = 300) -> pl.DataFrame:
    """20 columns of every kind, a third of them with missing values, and a target that none of them tells."""
    columns: dict[str, Any] = {f"number{place}": rng.normal(size=rows) for place in range(8)}
    columns |= {f"gappy{place}": holes(rng.normal(size=rows), 0.2, rng) for place in range(4)}
    columns |= {f"kind{place}": rng.choice(list("pqrs"), rows) for place in range(3)}
    columns |= {f"count{place}": rng.poisson(3, rows) for place in range(2)}
    columns["city"] = holes(np.array([f"city {place}" for place in rng.integers(0, rows // 3, rows)]), 0.1, rng)
    columns["site"] = [f"s{place}" for place in rng.integers(0, 25, rows)]
    columns["note"] = [" ".join(rng.choice(WORDS, 6)) for _ in range(rows)]
    return pl.DataFrame({**columns, "y": target_of(kind, rows, rng)})


def wide_table(rng: np.random.Generator, rows: int = 60) -> pl.DataFrame:
    """40 columns for 60 rows: whatever is fitted on the rows is fitted closely."""
    columns: dict[str, Any] = {f"gappy{place}": holes(rng.normal(size=rows), 0.3, rng) for place in range(20)}
    columns |= {f"heavy{place}": np.exp(2 * rng.normal(size=rows)) for place in range(10)}
    columns |= {f"level{place}": [f"v{value}" for value in rng.integers(0, 20, rows)] for place in range(10)}
    return pl.DataFrame({**columns, "y": target_of("binary", rows, rng)})


def repeated_table(rng: np.random.Generator) -> pl.DataFrame:
    """150 different rows, each of them there twice, with the target that it had."""
    frame = mixed_table("binary", rng, 150)
    return pl.concat([frame, frame])[rng.permutation(300).tolist()]


def grouped_table(rng: np.random.Generator) -> pl.DataFrame:
    """40 clinics, each with one value of the target and marks of its own by which it can be told."""
    clinic = rng.integers(0, 40, 300)
    marks = rng.normal(size=(40, 12))[clinic]
    columns: dict[str, Any] = {f"mark{place}": marks[:, place] for place in range(12)}
    columns |= {f"number{place}": rng.normal(size=300) for place in range(7)}
    columns |= {"town": [f"town {place}" for place in clinic], "clinic": [f"c{place}" for place in clinic]}
    return pl.DataFrame({**columns, "y": target_of("binary", 40, rng)[clinic]})


def wandering_table(rng: np.random.Generator) -> pl.DataFrame:
    """A random walk: between two known days a day can be told, after the last one nothing can."""
    rows = 300
    columns: dict[str, Any] = {f"number{place}": rng.normal(size=rows) for place in range(3)}
    day = np.cumsum(rng.uniform(0.5, 1.5, rows))
    frame = pl.DataFrame({**columns, "day": day, "y": np.cumsum(rng.normal(size=rows))})
    return frame[rng.permutation(rows).tolist()]


def many_columns(rng: np.random.Generator, rows: int = 180) -> Dataset:
    """300 columns for 180 rows: some of them look like the target on any rows. To find out what they are takes long."""
    columns: dict[str, Any] = {f"number{place}": rng.normal(size=rows) for place in range(300)}
    frame = pl.DataFrame({**columns, "y": target_of("binary", rows, rng)})
    return Dataset(frame=frame, kinds={**dict.fromkeys(columns, "number"), "y": "category"}, source="a table")


# -- plants -------------------------------------------------------------------------------------------


def peeking_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fold trains on the rows that judge it as well."""
    usual = posing.folds

    def folds(y: np.ndarray, rows: np.ndarray, **more: Any) -> tuple[Fold, ...]:
        return tuple(Fold(train=np.sort(rows), valid=fold.valid) for fold in usual(y, rows, **more))

    monkeypatch.setattr(posing, "folds", folds)


def peeking_refit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test rows are among those that train."""
    usual = posing.holdout

    def holdout(y: np.ndarray, **more: Any) -> tuple[np.ndarray, np.ndarray]:
        train, test = usual(y, **more)
        return np.sort(np.concatenate([train, test])), test

    monkeypatch.setattr(posing, "holdout", holdout)


def peeking_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are ranked on all rows, those that judge included: once for all folds of a race."""
    usual = dict(selecting.RANKINGS)

    def peek(way: str) -> Callable[..., Any]:
        found: dict[int, Any] = {}

        def ranked(layout: Any, dense: Any, codes: Any, target: np.ndarray, rows: Any, **more: Any) -> Any:
            seed = more["seed"]
            if seed not in found:
                found[seed] = usual[way](layout, dense, codes, target, np.arange(len(target)), **more)
            return found[seed]

        return ranked

    monkeypatch.setattr(selecting, "RANKINGS", {way: peek(way) for way in usual})


def only_selecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every linear candidate but the default reads a few of the columns."""
    places = tuple(
        (place, way, share)
        for place, (way, share) in enumerate(
            [("l1-path", 0.1), ("permutation", 0.1), ("l1-path", 0.05), ("permutation", 0.2)], 1
        )
    )
    monkeypatch.setattr(proposals, "SELECTIONS", {"linear": places})


def judged_where_chosen(*contenders: Any, y: Any, metric: Any, seed: int, **more: Any) -> CorrectedScore:
    """In the place of ``corrected_score``: the winner on the very rows that it was chosen on."""
    found = corrected_score(*contenders, y=y, metric=metric, seed=seed, **more)
    own = bootstrap_interval(metric, y, contenders[0][found.chosen].prediction, seed=seed)
    return replace(found, value=own.value, low=own.low, high=own.high)


# -- tests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_noise_is_no_better_than_a_guess(kind: str) -> None:
    found = races(lambda rng: mixed_table(kind, rng), 2, ensemble="auto")
    assert suspicions(found, headlines=True) == set()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_folds_that_train_on_what_they_judge_are_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peeking_folds(monkeypatch)
    found = races(lambda rng: mixed_table(kind, rng), 1)
    assert suspicions(found) == {"out of fold", "corrected score"}


def test_training_on_the_test_rows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    peeking_refit(monkeypatch)
    found = races(lambda rng: mixed_table("binary", rng), 2)
    assert {"test rows", "claims"} <= suspicions(found, headlines=True)


def test_noise_with_all_families() -> None:
    found = races(lambda rng: mixed_table("binary", rng), 2, models="lightgbm,mlp,linear,forest,tree", candidates=2)
    assert {item.candidate.model for one in found for item in one.trained.result.confirmed} == {
        "lightgbm",
        "mlp",
        "linear",
        "forest",
        "tree",
    }
    assert suspicions(found) == set()


def test_preparation_of_few_rows_and_many_columns() -> None:
    assert suspicions(races(wide_table, 4)) == set()


def test_peeking_is_seen_with_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    peeking_folds(monkeypatch)
    assert "out of fold" in suspicions(races(wide_table, 2))


def test_columns_chosen_by_noise_do_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    only_selecting(monkeypatch)
    found = races(many_columns, 5)  # as many as let the score see the planted leak below
    confirmed = [item.candidate for one in found for item in one.trained.result.confirmed]
    assert sum(candidate.settings["features"] != "all" for candidate in confirmed) >= 4
    assert suspicions(found) == set()


def test_columns_chosen_on_the_rows_that_judge_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    only_selecting(monkeypatch)
    peeking_selection(monkeypatch)
    assert suspicions(races(many_columns, 5)) >= {"out of fold", "corrected score", "test rows"}


def test_repeated_rows_stay_on_one_side() -> None:
    found = races(repeated_table, 2)
    assert suspicions(found) == set()
    for one in found:
        assert one.problem.clusters is not None
        sides = [one.problem.clusters[rows] for rows in (one.problem.train, one.problem.test)]
        assert not set(sides[0]) & set(sides[1])


def test_repeated_rows_on_both_sides_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posing, "kept_together", lambda groups, rows: None)
    assert {"out of fold", "test rows"} <= suspicions(races(repeated_table, 3))


def test_marks_of_a_group_do_not_help_with_others() -> None:
    assert suspicions(races(grouped_table, 2, group="clinic")) == set()


def test_marks_of_a_group_help_where_groups_are_torn_apart() -> None:
    assert suspicions(races(grouped_table, 1, drop=("clinic",))) >= {"out of fold", "test rows", "corrected score"}


def foresight(found: Sequence[Raced]) -> float:
    """How well predictions follow a random walk beyond their last day, in standard errors.

    What a walk does next is up or down alike, so the correlation r with it within a later block of days is symmetric
    around zero whatever was learnt before: sum r / sqrt(sum r^2) has mean 0 and variance 1.
    """
    each = []
    for one in found:
        y, guess = one.problem.y, one.out_of_fold.copy()
        guess[one.problem.test] = one.of_test
        blocks = [*(fold.valid for fold in one.judged), one.problem.test]
        each += [float(np.corrcoef(guess[rows], y[rows])[0, 1]) for rows in blocks if np.ptp(guess[rows]) > 1e-9]
    return sum(each) / np.sqrt(np.square(each).sum())


def test_the_future_is_not_seen() -> None:
    assert abs(foresight(races(wandering_table, 4, time="day"))) < SURE


def test_the_future_is_seen_where_days_are_shuffled() -> None:
    assert foresight(races(wandering_table, 4)) > SURE


@cache
def confirmed_among_noise(seed: int, contenders: int, screened: int) -> tuple[Problem, tuple[Confirmed, ...]]:
    """Predictions that are all drawn at random; of ``screened`` ones, the best on the first fold."""
    rng = np.random.default_rng([seed, 11])
    table = pl.DataFrame({"number": rng.normal(size=300), "y": target_of("binary", 300, rng)})  # nobody reads it
    problem = pose(read(table), Request(target="y", metric="roc_auc", folds=4, seed=seed))
    confirmed = []
    for place in range(max(contenders, screened)):
        candidate = Candidate(id=f"c{place}", model="linear", optimizer="adam", settings={})
        chance = rng.uniform(size=len(problem.y))
        predictions = np.column_stack([1 - chance, chance])
        confirmed.append(Confirmed(candidate=candidate, predictions=predictions, stop=1.0, curve=(0.5,), seconds=1.0))
    if screened:
        rows = problem.folds[0].valid
        scores = [problem.metric.score(problem.y[rows], item.predictions[rows]) for item in confirmed]
        confirmed = [confirmed[place] for place in np.argsort(scores)[::-1][:contenders]]
    return problem, tuple(confirmed)


def choice_among_noise(seed: int, contenders: int = 40, *, screened: int = 0) -> tuple[Problem, Choice]:
    """The choice between them."""
    problem, confirmed = confirmed_among_noise(seed, contenders, screened)
    candidates = [
        Candidate(id=f"c{place}", model="linear", optimizer="adam", settings={})
        for place in range(max(contenders, screened))
    ]
    plan = Plan(
        candidates=tuple(candidates),
        rungs=(1.0,) if screened else (),
        confirm={"linear": contenders},
        folds=4,
        seeds=(seed,),
        lengths=Lengths(rows_seen=1),
        workers=1,
        costs={candidate.id: 1.0 for candidate in candidates},
    )
    result = RaceResult(confirmed=confirmed, traces=(), rungs=(), seconds={})
    return problem, choosing.choose(problem, plan, result, settings_of(seed))


def lead_of_the_luckiest(count: int, **more: int) -> float:
    choices = [choice_among_noise(seed, **more) for seed in range(count)]
    return lead_in_errors([lead_over_guess(problem, choice.corrected) for problem, choice in choices])


def test_the_luckiest_of_many_is_not_praised() -> None:
    assert abs(lead_of_the_luckiest(6)) < SURE


def test_scoring_on_the_rows_that_chose_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "corrected_score", judged_where_chosen)
    assert lead_of_the_luckiest(6) > SURE


def test_luck_on_the_fold_of_the_screen_is_not_praised() -> None:
    assert abs(lead_of_the_luckiest(24, contenders=4, screened=400)) < SURE


def test_scoring_on_the_fold_of_the_screen_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = choosing.judged_rows
    monkeypatch.setattr(choosing, "judged_rows", lambda problem, plan: usual(problem, replace(plan, rungs=())))
    assert lead_of_the_luckiest(24, contenders=4, screened=400) > SURE
