"""The scikit-learn estimators: scikit-learn's own checks, and what those do not ask."""

import copy
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_classifier_data_not_an_array,
    check_classifiers_train,
    check_estimators_pickle,
    check_fit_idempotent,
    parametrize_with_checks,
)

import lanewise.estimators.searching
from lanewise.errors import DataError, Interrupted, StoreError, UserError
from lanewise.estimators import LanewiseClassifier, LanewiseRegressor
from lanewise.estimators.searching import FAMILIES

QUICK: dict[str, Any] = {
    "models": ("linear",),
    "budget": "30steps",
    "candidates": 1,
    "folds": 2,
    "seeds": 1,
    "ensemble": "never",
}

EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": (
        "folds are dealt by rows, so that repeated rows and weighted ones are judged on other folds; scikit-learn "
        "lists its own cross-validating estimators here"
    ),
}


@parametrize_with_checks(
    [LanewiseClassifier(**QUICK), LanewiseRegressor(**QUICK)],
    expected_failed_checks=lambda _: EXPECTED_TO_FAIL,
)
def test_scikit_learn_finds_what_it_expects(estimator, check):
    check(estimator)


class OfTwoClasses(LanewiseClassifier):
    """Makes scikit-learn's checks ask for two classes, of which ``pos_label`` can be one."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


@pytest.mark.parametrize(
    ("check", "first"),
    [
        (check_classifiers_train, 0),
        (check_estimators_pickle, 0),
        (check_fit_idempotent, 0),
        (check_classifier_data_not_an_array, 1),
    ],
)
def test_scikit_learn_finds_what_it_expects_of_one_whose_first_class_is_the_positive_one(check, first):
    check("OfTwoClasses", OfTwoClasses(pos_label=first, **QUICK))


def test_what_is_expected_to_fail_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    assert all(name in page for name in EXPECTED_TO_FAIL)


@pytest.fixture
def mixed():
    """A table with numbers, words, categories, missing cells and a constant column, and its labels."""
    rng = np.random.default_rng(3)
    size = rng.normal(size=80)
    colour = rng.choice(["red", "blue", "green"], size=80)
    y = np.where(size + 2.0 * (colour == "red") > 0.5, "big", "small")
    size[::9] = np.nan
    frame = pd.DataFrame({"size": size, "colour": colour, "same": 1.0})
    frame.loc[::11, "colour"] = None
    return frame, y


@pytest.mark.parametrize("form", ["pandas", "categorical", "polars", "objects"])
def test_words_categories_and_missing_cells_are_features(form, mixed):
    frame, y = mixed
    X = {
        "pandas": frame,
        "categorical": frame.astype({"colour": "category"}),
        "polars": pl.from_pandas(frame),
        "objects": frame.to_numpy(dtype=object),
    }[form]
    model = LanewiseClassifier(**QUICK).fit(X, y)
    assert model.score(X, y) > 0.85
    assert model.classes_.tolist() == ["big", "small"]
    assert model.n_features_in_ == 3
    if form == "objects":
        assert not hasattr(model, "feature_names_in_")
    else:
        assert model.feature_names_in_.tolist() == ["size", "colour", "same"]


def test_the_families_race_where_none_is_named():
    X, y = load_iris(return_X_y=True)
    model = LanewiseClassifier(budget="60steps", candidates=2, folds=3, seeds=1).fit(X, y)
    assert {card["model"] for card in model.document_["race"]["curves"]} == set(FAMILIES)
    assert model.score(X, y) > 0.9


def test_the_document_and_the_report_tell_of_the_race_and_of_no_test_rows():
    X, y = cast(Any, load_diabetes(return_X_y=True, as_frame=True))
    model = LanewiseRegressor(**{**QUICK, "candidates": 2}).fit(X, y)
    assert model.document_["rows"] == {"train": len(y), "test": 0, "set_aside": 0}
    assert model.document_["test"] == {}
    assert model.document_["baselines"] == {}
    assert model.document_["source"] == "the pandas table"
    assert model.document_["cross_validation"]["rmse"]["value"] < y.std()
    assert [column["role"] for column in model.document_["columns"]] == ["feature"] * X.shape[1]
    assert "<html" in model.report_


def test_counts_are_fitted_as_counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(1 + 0.5 * X[:, 0]))
    model = LanewiseRegressor(task="count", **QUICK).fit(X, y)
    assert model.document_["task"] == "count"
    assert model.predict(X).min() > 0
    assert np.corrcoef(model.predict(X), np.exp(0.5 * X[:, 0]))[0, 1] > 0.95
    with pytest.raises(DataError, match="task='regression'"):
        model.fit(X, y - 100)


def test_they_work_within_pipelines_searches_and_cross_validation():
    X, y = load_iris(return_X_y=True)
    model = LanewiseClassifier(**QUICK)
    strict: dict[str, Any] = {"error_score": "raise"}  # scikit-learn types it as a number
    assert cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=3, **strict).mean() > 0.9
    search = GridSearchCV(model, {"optimizers": [("lbfgs",), ("adam",)]}, cv=2, **strict).fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.document_["candidates"] == 1


def test_a_copy_predicts_the_same_bits_and_a_clone_is_not_fitted(mixed, tmp_path):
    frame, y = mixed
    model = LanewiseClassifier(**QUICK).fit(frame, y)
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (copy.deepcopy(model), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
        assert again.document_ == model.document_
    with pytest.raises(NotFittedError):
        cast(LanewiseClassifier, clone(model)).predict(frame)


def test_the_state_holds_the_model_as_checked_files_only(mixed):
    state = LanewiseClassifier(**QUICK).fit(*mixed).__getstate__()
    files = state["predictor_"]
    assert {type(content) for content in files.values()} == {bytes}
    damaged = {**files, "model.safetensors": files["model.safetensors"][:-1] + b"x"}
    with pytest.raises(StoreError, match="damaged"):
        LanewiseClassifier().__setstate__({**state, "predictor_": damaged})


def test_one_seed_gives_the_same_bits_and_another_one_others():
    X, y = load_iris(return_X_y=True)

    def fitted(random_state):
        settings = QUICK | {"models": "mlp", "random_state": random_state}
        return LanewiseClassifier(**settings).fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(fitted(1), fitted(np.int64(1)))
    np.testing.assert_array_equal(fitted(np.random.RandomState(1)), fitted(np.random.RandomState(1)))
    assert not np.array_equal(fitted(1), fitted(2))


def test_a_threshold_decides_between_two_classes():
    X, y = make_classification(n_samples=300, weights=[0.85], class_sep=0.4, random_state=1)
    model = LanewiseClassifier(threshold=0.2, metric="f1", **QUICK).fit(X, y)
    assert " Its F1 at a threshold of 0.5 is " in model.document_["diagnosis"]["words"]
    np.testing.assert_array_equal(model.predict(X), (model.predict_proba(X)[:, 1] >= 0.2).astype(int))
    chosen = LanewiseClassifier(threshold="f1", **QUICK).fit(X, y)
    assert chosen.predictor_.threshold != 0.5
    assert "at a threshold" not in chosen.document_["diagnosis"]["words"]  # log loss needs none
    with pytest.raises(UserError, match="threshold"):
        LanewiseClassifier(threshold=2.0, **QUICK).fit(X, y)


def test_the_positive_class_may_be_the_first_and_the_order_of_probabilities_stays():
    X, y = make_classification(n_samples=300, weights=[0.2], class_sep=0.4, random_state=1)
    labels = np.where(y == 0, "bad", "good")
    usual, turned = (
        LanewiseClassifier(pos_label=given, threshold="f1", metric="pr_auc", **QUICK).fit(X, labels)
        for given in (None, "bad")
    )
    assert turned.classes_.tolist() == ["bad", "good"]
    assert " for 'bad' gives F1 " in turned.document_["threshold"]["words"]
    assert (usual.predictor_.task.positive, turned.predictor_.task.positive) == ("good", "bad")
    probabilities = turned.predict_proba(X)
    np.testing.assert_allclose(probabilities, usual.predict_proba(X), atol=1e-6)  # the loss is the same either way
    said = probabilities[:, 0] >= turned.predictor_.threshold
    np.testing.assert_array_equal(turned.predict(X), np.where(said, "bad", "good"))
    at_half = f1_score(labels, turned.classes_[probabilities.argmax(axis=1)], pos_label="bad")
    assert f1_score(labels, turned.predict(X), pos_label="bad") > at_half + 0.02
    turned.set_params(pos_label="good")  # counts from the next fit on
    np.testing.assert_array_equal(turned.predict(X), np.where(said, "bad", "good"))
    np.testing.assert_array_equal(copy.deepcopy(turned).predict(X), turned.predict(X))


@pytest.mark.parametrize(
    ("pos_label", "classes", "words"),
    [
        (2, 2, "pos_label must be 0 or 1, the classes of y, got 2"),
        ("1", 2, "pos_label must be 0 or 1, the classes of y, got '1'"),
        (np.array([0]), 2, r"pos_label must be 0 or 1, the classes of y, got array\(\[0\]\)"),
        (1, 3, "pos_label is for two classes, got 1, and y has 3; leave it out"),
    ],
)
def test_a_positive_class_that_cannot_be_is_told(pos_label, classes, words):
    X = np.arange(60.0)[:, None]
    with pytest.raises(UserError, match=f"^{words}$"):
        LanewiseClassifier(pos_label=pos_label, **QUICK).fit(X, np.arange(60) % classes)


def test_class_weights_raise_the_rare_class():
    X, y = make_classification(n_samples=300, weights=[0.9], class_sep=0.5, random_state=0)
    plain, balanced = (LanewiseClassifier(class_weight=given, **QUICK).fit(X, y) for given in (None, "balanced"))
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.1
    assert [model.document_["weighed_by"] for model in (plain, balanced)] == [None, "sample weights"]


def test_rows_without_weight_have_no_say():
    X, y = load_iris(return_X_y=True)
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    weighted = LanewiseClassifier(**QUICK).fit(X, y, sample_weight=weight)
    kept = LanewiseClassifier(**QUICK).fit(X[weight > 0], y[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_array_equal(weighted.predict_proba(X), kept.predict_proba(X))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (csr_matrix(np.eye(20)), "[Ss]parse"),
        (np.full((20, 1), np.inf), "infinity"),
        (pd.DataFrame({"a": [np.inf, *range(19)]}), "'a' contains infinity"),
        (pd.DataFrame(np.eye(20), columns=["a", "a", *range(18)]), "2 columns named 'a'"),
        (pl.DataFrame({"a": [[1]] * 20, "b": range(20)}), "single value"),
    ],
)
def test_unusable_rows_are_refused_in_a_line(X, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        LanewiseRegressor(**QUICK).fit(X, np.arange(20.0))
    assert isinstance(caught.value, DataError) or caught.value.__class__ in (TypeError, ValueError)


def test_a_handful_of_rows_is_enough_for_all_families():
    X = np.random.default_rng(0).normal(size=(4, 2))
    y = np.array([0, 1, 0, 1])
    model = LanewiseClassifier(budget="20steps", candidates=1, seeds=1).fit(np.c_[X, [[1.0, np.nan]] * 4], y)
    assert model.predict_proba(np.c_[X, [[2.0, 3.0]] * 4]).shape == (4, 2)
    with pytest.raises(DataError, match="class '1' has only 1 training row"):
        model.fit(X[:3], y[:3])
    with pytest.raises(DataError, match=r"y has 1 class, 0\.0; a classifier"):
        model.fit(X[:3], np.zeros(3))


def test_a_setting_that_is_off_is_named():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UserError, match="models"):
        LanewiseClassifier(models="svm").fit(X, y)
    with pytest.raises(UserError, match=r"(?s)3 settings are off:\n.*svm.*folds must.*optimizers may not be 'adma'"):
        LanewiseClassifier(models="svm", optimizers="adma", folds=1).fit(X, y)
    with pytest.raises(UserError, match="'regression' or 'count'"):
        LanewiseRegressor(task="binary").fit(X, y)


def test_ctrl_c_ends_a_search_over_parameters(monkeypatch):
    def interrupted(*args, **settings):
        raise Interrupted

    monkeypatch.setattr(lanewise.estimators.searching, "train", interrupted)
    X, y = load_iris(return_X_y=True)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(LanewiseClassifier(**QUICK), {"seeds": [1, 2]}, cv=2).fit(X, y)


@pytest.mark.parametrize("workers", [1, 2])
def test_verbose_writes_progress_to_stderr(capsys, workers):
    X, y = load_iris(return_X_y=True)
    LanewiseClassifier(verbose=True, workers=workers, **QUICK).fit(X, y)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "confirm 100%: linear, lbfgs" in captured.err
    assert captured.err.endswith("refit 100%\n")
