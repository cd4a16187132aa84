"""``lanewise fit`` against other tools on public tables: the same training and test rows, the test score, the time.

Each table is split once (80% to train, stratified for classes) into two files. Lanewise reads the files by its
command line, with a budget, and predicts the test rows by its command line; the others get the same cells, with the
kinds of columns that Lanewise found. All predictions are scored by the same function: log loss for
classes, RMSE for numbers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lanewise.data.reading import read
from lanewise.settings.budget import parse_budget

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
TEST_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Table:
    """A public table; ``drop`` holds columns that identify rows and tell nothing."""

    file: str
    target: str
    task: str
    drop: tuple[str, ...] = ()

    @property
    def is_class(self) -> bool:
        return self.task != "regression"


# The duration of a call (bank) is known only after its outcome; it is kept, as nobody is to gain by dropping it.
TABLES = {
    "adult": Table(file="adult_train.csv.gz", target="class", task="binary"),
    "bank": Table(file="bank_additional_full.csv.gz", target="y", task="binary"),
    "california": Table(file="california_housing.csv.gz", target="median_house_value", task="regression"),
    "covtype": Table(file="covtype_sample_10k.csv.gz", target="Cover_Type", task="multiclass"),
    "diamonds": Table(file="diamonds.csv.gz", target="price", task="regression"),
    "dry_bean": Table(file="dry_bean.csv.gz", target="Class", task="multiclass"),
    "letter": Table(file="letter_recognition.csv", target="letter", task="multiclass"),
    "telco": Table(file="telco_churn.csv", target="Churn", task="binary", drop=("customerID",)),
    "wine_white": Table(file="wine_quality_white.csv", target="quality", task="regression"),
    "boston": Table(file="boston_housing.csv", target="medv", task="regression"),
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training and test rows: as files, and as the other tools take them.

    ``x [N, D]`` float64 with the categories as codes (NaN: missing or unseen), ``categorical [D]`` says which
    those are; ``y [N]`` are numbers or labels as text.
    """

    train: Path
    test: Path
    x: np.ndarray
    x_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray
    categorical: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A test score, smaller is better, and the wall seconds of the training."""

    score: float
    seconds: float


def split_of(table: Table, folder: Path) -> Split:
    dataset = read(DATA / table.file)
    frame = dataset.frame.drop(table.drop).filter(pl.col(table.target).is_not_null())
    labels = frame[table.target].cast(pl.String).to_numpy() if table.is_class else None
    train, test = train_test_split(np.arange(frame.height), test_size=TEST_SHARE, random_state=0, stratify=labels)
    parts = frame[np.sort(train)], frame[np.sort(test)]
    for part, name in zip(parts, ("train", "test"), strict=True):
        part.write_csv(folder / f"{name}.csv")
    features = [name for name in frame.columns if name != table.target]
    kinds = [dataset.kinds[name] for name in features]
    columns = [_as_numbers(parts, name, is_number=kind == "number") for name, kind in zip(features, kinds, strict=True)]
    y, y_test = (part[table.target].cast(pl.String if table.is_class else pl.Float64).to_numpy() for part in parts)
    return Split(
        train=folder / "train.csv",
        test=folder / "test.csv",
        x=np.column_stack([of_train for of_train, _ in columns]),
        x_test=np.column_stack([of_test for _, of_test in columns]),
        y=y,
        y_test=y_test,
        categorical=np.array([kind != "number" for kind in kinds]),
    )


def _as_numbers(parts: tuple[pl.DataFrame, pl.DataFrame], name: str, *, is_number: bool) -> tuple[np.ndarray, ...]:
    """A column of both parts as float64; a word is the place of its level among those of the training rows."""
    if is_number:
        return tuple(part[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for part in parts)
    levels = parts[0][name].cast(pl.String).drop_nulls().unique().sort()
    codes = {level: float(code) for code, level in enumerate(levels.to_list())}
    return tuple(
        np.array([codes.get(cell, np.nan) for cell in part[name].cast(pl.String).to_list()], dtype=np.float64)
        for part in parts
    )


def scored(split: Split, table: Table, predicted: np.ndarray, classes: list[str]) -> float:
    """Log loss of probabilities ``[n, K]`` in the order of ``classes``, or RMSE of numbers ``[n]``."""
    if not table.is_class:
        return float(np.sqrt(np.mean((split.y_test - predicted) ** 2)))
    order = sorted(classes)
    clipped = np.clip(predicted[:, [classes.index(name) for name in order]], 1e-15, None)
    return float(log_loss(split.y_test, clipped / clipped.sum(axis=1, keepdims=True), labels=order))


def lanewise(split: Split, table: Table, budget: str) -> Outcome:
    """The command line: fit with a budget, then predict the test rows."""
    home = split.train.parent
    environment = {**os.environ, "LANEWISE_HOME": str(home / "runs")}
    command = [sys.executable, "-c", "from lanewise.cli import main; main()"]
    metric = "log_loss" if table.is_class else "rmse"
    fit = ["fit", str(split.train), "--test", str(split.test), "--target", table.target, "--task", table.task]
    options = ["--metric", metric, "--budget", budget, "--json", "--quiet"]
    started = time.perf_counter()
    done = subprocess.run([*command, *fit, *options], env=environment, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - started
    document = json.loads(done.stdout)
    found = home / "predictions.csv"
    predict = ["predict", document["run"], str(split.test), "--output", str(found)]
    subprocess.run([*command, *predict], env=environment, check=True, stderr=subprocess.DEVNULL)
    frame = pl.read_csv(found, infer_schema_length=None)
    if not table.is_class:
        return Outcome(score=scored(split, table, frame["prediction"].to_numpy(), []), seconds=seconds)
    classes = document["classes"]
    probabilities = frame.select(f"probability_{name}" for name in classes).to_numpy()
    return Outcome(score=scored(split, table, probabilities, classes), seconds=seconds)


def framed(x: np.ndarray, categorical: np.ndarray) -> Any:
    """The rows as pandas has them, codes as categories: FLAML fills gaps of frames only."""
    import pandas as pd

    frame = pd.DataFrame(x, columns=[f"c{place}" for place in range(x.shape[1])])
    return frame.astype({f"c{place}": "category" for place in np.flatnonzero(categorical)})


def fitted(model: Any, split: Split, table: Table, *, frames: bool = False, **settings: Any) -> Outcome:
    """Any estimator of the scikit-learn kind."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unconverged defaults, names of columns: part of how the peers are
        x, x_test = split.x, split.x_test
        if frames:
            x, x_test = framed(x, split.categorical), framed(x_test, split.categorical)
        model.fit(x, split.y, **settings)
        seconds = time.perf_counter() - started
        predicted = model.predict_proba(x_test) if table.is_class else model.predict(x_test)
    classes = [str(name) for name in model.classes_] if table.is_class else []
    return Outcome(score=scored(split, table, np.asarray(predicted), classes), seconds=seconds)


def boosting(split: Split, table: Table) -> Outcome:
    """scikit-learn's histogram boosting, at its defaults."""
    kind = HistGradientBoostingClassifier if table.is_class else HistGradientBoostingRegressor
    settings: dict[str, Any] = {"categorical_features": split.categorical, "random_state": 0}
    return fitted(kind(**settings), split, table)


def lightgbm(split: Split, table: Table) -> Outcome:
    """LightGBM, at its defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = (LGBMClassifier if table.is_class else LGBMRegressor)(verbose=-1, random_state=0)
    columns = np.flatnonzero(split.categorical).tolist()
    return fitted(model, split, table, categorical_feature=columns if columns else "auto")


def linear(split: Split, table: Table) -> Outcome:
    """Logistic or ridge regression on scaled numbers and one-hot categories, the penalty cross-validated."""
    words, numbers = np.flatnonzero(split.categorical), np.flatnonzero(~split.categorical)
    preparation = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            ("words", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    if not table.is_class:
        return fitted(make_pipeline(preparation, RidgeCV(alphas=np.logspace(-3, 3, 13))), split, table)
    settings: dict[str, Any] = {
        "l1_ratios": (0,),
        "scoring": "neg_log_loss",
        "max_iter": 1000,
        "n_jobs": os.cpu_count(),
        "use_legacy_attributes": False,
    }
    model = LogisticRegressionCV(**settings)
    return fitted(make_pipeline(preparation, model), split, table)


def flaml(split: Split, table: Table, seconds: float) -> Outcome:
    """FLAML, with the same budget."""
    from flaml import AutoML  # pyright: ignore[reportPrivateImportUsage]  # its root has it without saying so

    settings = {
        "task": "classification" if table.is_class else "regression",
        "metric": "log_loss" if table.is_class else "rmse",
        "time_budget": seconds,
        "verbose": 0,
        "seed": 0,
    }
    return fitted(AutoML(), split, table, frames=True, **settings)


def peers(budget: str) -> dict[str, Callable[[Split, Table], Outcome]]:
    """Everybody by name, Lanewise first."""
    seconds, _ = parse_budget(budget)
    found: dict[str, Callable[[Split, Table], Outcome]] = {
        "Lanewise": lambda split, table: lanewise(split, table, budget),
        "HistGradientBoosting": boosting,
        "LightGBM": lightgbm,
        "linear CV": linear,
    }
    if seconds is not None and all(find_spec(name) is not None for name in ("flaml", "xgboost")):  # flaml[automl]
        found["FLAML"] = lambda split, table: flaml(split, table, seconds)
    return found


def row_of(name: str, table: Table, outcomes: dict[str, Outcome], rows: int) -> str:
    """A line of the Markdown table; the best score is bold."""
    best = min(one.score for one in outcomes.values())
    marks = {who: "**" if one.score == best else "" for who, one in outcomes.items()}
    cells = [f"{marks[who]}{one.score:.4g}{marks[who]} ({one.seconds:.0f} s)" for who, one in outcomes.items()]
    others = [one.score for who, one in outcomes.items() if who != "Lanewise"]
    ratio = f"{outcomes['Lanewise'].score / min(others):.3f}"
    return "| " + " | ".join([name, f"{rows:,}", "log loss" if table.is_class else "RMSE", *cells, ratio]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of the tables, with commas: {', '.join(TABLES)}")
    parser.add_argument("--budget", default="60s", help="budget of Lanewise and FLAML (default 60s)")
    parser.add_argument("--output", type=Path, default=Path("against_peers.md"), help="where the table goes")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(TABLES)
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    if not DATA.is_dir():
        parser.error("the public data sets (../shared/data) are not beside this checkout")
    tools = peers(given.budget)
    head = ["table", "training rows", "test score", *tools, "Lanewise / best other"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    print("\n".join(lines), flush=True)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            split = split_of(TABLES[name], Path(folder))
            outcomes = {tool: run(split, TABLES[name]) for tool, run in tools.items()}
        lines.append(row_of(name, TABLES[name], outcomes, len(split.y)))
        print(lines[-1], flush=True)
    caption = f"Smaller is better; in brackets the seconds of training. Lanewise had {given.budget}."
    given.output.write_text("\n".join([*lines, "", caption, ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
