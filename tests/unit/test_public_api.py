"""The public names, on one screen: adding or losing one must be on purpose."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import lanewise

EXPORTED = [
    "BatchFinding",
    "ConfigError",
    "DataError",
    "Equality",
    "Fit",
    "Inequality",
    "Interrupted",
    "LanewiseClassifier",
    "LanewiseError",
    "LanewiseRegressor",
    "Outer",
    "RateFinding",
    "Solution",
    "StoreError",
    "TableRows",
    "TrainResult",
    "TrainingError",
    "TuneResult",
    "UsageError",
    "UserError",
    "__version__",
    "find_batch",
    "find_rate",
    "fit",
    "load",
    "minimize",
    "repeat",
    "resume",
    "table_rows",
    "train",
    "tune",
]

QUICK = {"models": "linear", "budget": "30steps", "candidates": 1, "folds": 2, "seeds": 1}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "store"))


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    size = rng.normal(size=60)
    colour = rng.choice(["red", "blue"], size=60)
    label = np.where(size + (colour == "red") > 0.5, "yes", "no")
    return pl.DataFrame({"size": size, "colour": colour, "label": label})


def test_the_exported_names_are_these():
    assert sorted(lanewise.__all__) == EXPORTED
    assert set(EXPORTED) <= set(dir(lanewise))


@pytest.mark.parametrize("name", EXPORTED)
def test_every_exported_name_can_be_had(name):
    assert getattr(lanewise, name) is not None


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = lanewise.trian


def test_the_import_loads_nothing_heavy():
    heavy = ("torch", "sklearn", "lightgbm", "polars", "numpy", "pandas", "pydantic")
    code = f"import sys, lanewise; dir(lanewise); print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("form", ["path", "polars", "pandas", "dict"])
def test_fit_takes_tables_of_every_form(form, table, tmp_path):
    path = tmp_path / "table.csv"
    table.write_csv(path)
    given = {
        "path": path,
        "polars": table,
        "pandas": table.to_pandas(),
        "dict": table.to_dict(as_series=False),
    }[form]
    found = lanewise.fit(given, target="label", **QUICK)
    rows = table.drop("label")
    probabilities = found.predict_proba(rows)
    assert found.classes == ("no", "yes")
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (found.predict(rows) == table["label"].to_numpy()).mean() > 0.8
    assert found.report.exists()


@pytest.mark.usefixtures("store")
def test_fit_takes_a_numpy_array_whose_last_column_is_named_by_its_place():
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[:, 2] = X[:, 0] - X[:, 1]
    found = lanewise.fit(X, target="x2", task="regression", **QUICK)
    np.testing.assert_allclose(found.predict(X), X[:, 2], atol=0.2)
    with pytest.raises(lanewise.UsageError, match="regression target; use predict"):
        found.predict_proba(X)


@pytest.mark.usefixtures("store")
def test_a_finished_run_is_loaded_and_predicts_the_same(table):
    found = lanewise.fit(table, target="label", **QUICK)
    again = lanewise.load(found.run)
    assert again.document["run"] == found.run
    assert again.document["summary"] == found.document["summary"]
    np.testing.assert_array_equal(again.predict_proba(table), found.predict_proba(table))
    assert lanewise.load().run == found.run


@pytest.mark.usefixtures("store")
def test_a_mistake_leaves_no_run_to_load(table):
    with pytest.raises(lanewise.UsageError):
        lanewise.fit(table, target="label", threshold="roc_auc", **QUICK)
    with pytest.raises(lanewise.UsageError, match="no run"):
        lanewise.load()


@pytest.mark.usefixtures("store")
def test_a_notebook_shows_the_report_in_a_frame_of_its_own(table):
    from html.parser import HTMLParser

    found = lanewise.fit(table.rename({"size": '<b>"size"</b>'}), target="label", **QUICK)
    seen = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)))

    parser = Tags()
    assert f"lanewise predict {found.run}" in repr(found)  # the summary, not the fields
    parser.feed(found._repr_html_())
    parser.close()
    assert [tag for tag, _ in seen] == ["iframe"]
    assert seen[0][1]["srcdoc"] == found.report.read_text()
