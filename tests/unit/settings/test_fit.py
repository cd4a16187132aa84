"""Settings are checked all at once, in words that say what is allowed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.cli.toml_settings import read_toml
from lanewise.errors import ConfigError, UsageError
from lanewise.metrics import METRICS, unknown_metrics
from lanewise.settings.budget import parse_budget
from lanewise.settings.fit import FitSettings, checked, parse_class_weights, threshold_value


@pytest.mark.parametrize(
    ("text", "seconds", "steps"),
    [("30s", 30, None), ("10min", 600, None), ("1.5 h", 5400, None), ("250ms", 0.25, None), ("2m", 120, None),
     (" 2000Steps ", None, 2000), ("1step", None, 1), ("5 min", 300, None), ("1h30min", 5400, None),
     ("1h 30m", 5400, None), ("2min30s", 150, None), ("1h5s", 3605, None), ("0h1min", 60, None)],
)  # fmt: skip
def test_budgets(text, seconds, steps):
    assert parse_budget(text) == (seconds, steps)


@pytest.mark.parametrize(
    "text",
    ["", "s", "10", "0s", "-3s", "1.5steps", "10 bananas", "1e3s", "9" * 400 + "s", "30min1h", "h", "9" * 400 + "h1s"],
)
def test_budgets_that_are_none(text):
    with pytest.raises(UsageError, match="budget"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0s", "budget must be above zero, got '0s'; give a time such as 30s, 10min, 1h or 1h30min, or steps such as "),
        ("0h0min", "budget must be above zero, got '0h0min'"),
        ("-5s", "budget must be above zero, got '-5s'; give a time"),
        ("10", "such as 2000steps, got '10'; say its unit: 10s, 10min or 10steps"),
        ("1.5", "got '1.5'; say its unit: 1.5s, 1.5min"),
        (60, "got 60; say its unit: 60s, 60min or 60steps"),
        ("721h", "budget must be at most 30 days (720h), got '721h'"),
        (f"1{'0' * 24}s", "budget must be at most 30 days (720h)"),
        ("1h30", "got '1h30'; did you mean 1h30min?"),
        ("5min30", "got '5min30'; did you mean 5min30s?"),
        ("1minute", "got '1minute'; did you mean 1min?"),
        ("1 hour and 30 minutes", "; did you mean 1h30min?"),
        ("2 days", "got '2 days'; did you mean 48h?"),
        ("-5 minutes", "or steps such as 2000steps, got '-5 minutes'"),
        ("3 epochs", "got '3 epochs'; an epoch is as many steps as there are batches in the training rows"),
        ("40 days", "budget must be at most 30 days (720h), got '40 days'"),
        ("soon", "budget must be a time such as 30s, 10min, 1h or 1h30min, or steps such as 2000steps, got 'soon'"),
    ],
)
def test_a_budget_that_is_none_is_told_what_it_may_have_meant(given, words):
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "budget": given})
    assert words in str(error.value)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_any_text_is_a_budget_or_refused_in_words(text):
    try:
        seconds, steps = parse_budget(text)
    except UsageError:
        return
    assert (steps is None) != (seconds is None)
    assert (steps or 0) > 0 or 0 < (seconds or 0) < math.inf


@pytest.mark.parametrize(
    ("stated", "label"),
    [("bad", "bad"), (True, "True"), (np.False_, "False"), (1, "1"), (np.int64(-1), "-1"), (0.0, "0.0"), (2.5, "2.5")],
)
def test_a_positive_class_is_stated_as_text_a_number_or_a_truth_value(stated, label):
    assert checked({"target": "y", "positive": stated}).positive == label


@pytest.mark.parametrize(
    ("value", "weights"),
    [("balanced", "balanced"), ("a=1,b=2.5", {"a": 1.0, "b": 2.5}), ("a=b=3", {"a=b": 3.0}), ({"x": 2}, {"x": 2.0})],
)
def test_class_weights(value, weights):
    assert parse_class_weights(value) == weights


@pytest.mark.parametrize("value", ["", "heavy", {}, {"a": 0}, {"a": "x"}, {"a": math.inf}, "a=-1", "a=", 3])
def test_class_weights_that_are_none(value):
    with pytest.raises(UsageError, match="class_weights must be"):
        parse_class_weights(value)


def test_all_class_weights_that_are_none_are_told():
    with pytest.raises(UsageError, match="above zero, got -1 for 'a', 'x' for 'c'"):
        parse_class_weights({"a": -1, "b": 2, "c": "x"})
    with pytest.raises(UsageError, match="above zero, got 0 for '1'"):
        parse_class_weights({0: 1, 1: 0})


@pytest.mark.parametrize("value", ["a=1,b=2,a=3", {1: 2.0, "1": 3.0}])
def test_a_class_has_one_weight(value):
    with pytest.raises(UsageError, match=r"class_weights must name each class once, got '[a1]', "):
        parse_class_weights(value)


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-0.1", "nan", "inf"])
def test_thresholds_out_of_range(text):
    with pytest.raises(UsageError, match="between 0 and 1"):
        threshold_value(text)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("folds", 1, "folds must be at least 2, got 1"),
        ("folds", 101, "folds must be at most 100, got 101"),
        ("folds", "x", "folds must be a whole number, got 'x'"),
        ("folds", 2.5, "folds must be a whole number, got 2.5"),
        ("folds", math.nan, "folds must be a finite number, got nan"),
        ("folds", True, "folds must be a number or text, got true"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("seed", 2**32, "seed must be below"),
        ("test_fraction", 0, "test_fraction must be above 0, got 0"),
        ("test_fraction", 1.0, "test_fraction must be below 1, got 1.0"),
        ("test_fraction", 20, "test_fraction must be below 1, got 20; 20% are 0.2"),
        ("metric", 3, "metric must be text, got 3"),
        ("drop", 3, "drop must be a list of names, got 3"),
        ("task", "binery", "task must be regression, count, binary or multiclass, got 'binery'; did you mean binary?"),
        (
            "models",
            "linear,ligtgbm",
            "models must be lightgbm, mlp, linear, forest or tree, got 'ligtgbm'; did you mean",
        ),
        (
            "task",
            "classification",
            "task must be regression, count, binary or multiclass, got 'classification'; did you ",
        ),
        ("models", "", "models must name one at least"),
        (
            "schedules",
            "cosin",
            "schedules must be constant, linear, cosine, exponential, step, polynomial, inverse",
        ),
        ("activations", "rellu", "activations must be relu, silu, gelu or tanh, got 'rellu'; did you mean relu?"),
        ("widths", "64,many", "widths must be a whole number, got 'many'"),
        ("widths", [64, 5000], "widths must be at most 1024, got 5000"),
        ("depths", 0, "depths must be at least 1, got 0"),
        ("losses", "hing", "losses must be squared, huber, poisson, logistic, softmax, hinge or squared_hinge, got 'h"),
        ("budget", 60, "budget must be a time such as 30s, 10min, 1h or 1h30min, or steps such as 2000steps, got 60"),
        ("budget", "soon", "budget must be a time such as 30s"),
        ("threshold", 1.5, "threshold must be a metric or a number between 0 and 1, got 1.5"),
        ("positive", ["a"], "positive must be text, got ['a']"),
        ("positive", np.array([0]), "positive must be text, got array([0])"),
        ("class_weights", "x", "class_weights must be 'balanced' or a weight for classes"),
        ("delimiter", "ab", "delimiter must be one ASCII character that is no letter, digit, quote or line end"),
        ("encoding", "utf-9", "encoding 'utf-9' is unknown: name one such as utf-8"),
        ("encoding", "base64", "encoding 'base64' is unknown"),
        ("max_bytes", "2XB", "max_bytes must be a number of bytes above zero such as 2GB or 500MB, got '2XB'"),
        ("max_bytes", 0, "max_bytes must be at least 1, got 0"),
        ("workers", "0", "workers must be at least 1, got 0"),
        ("workers", 0, "workers must be at least 1, got 0"),
        ("device", "tpu", "device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        (
            "fold",
            3,
            f"fold is no setting; did you mean folds? All {len(FitSettings.model_fields)}: lanewise.settings.fit.FitS",
        ),
    ],
)
def test_each_mistake_says_what_is_allowed(name, value, words):
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", name: value})
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


def test_what_is_no_share_in_percent_either_is_not_taken_for_one():
    with pytest.raises(ConfigError, match=r"^test_fraction must be below 1, got 250$"):
        checked({"target": "y", "test_fraction": 250})


def test_names_that_are_all_unknown_are_not_said_to_be_missing_too():
    with pytest.raises(ConfigError, match=r"^models must be lightgbm, mlp, linear, forest or tree, got 'foo'$"):
        checked({"target": "y", "models": "foo"})


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("task", "classification", "did you mean binary or multiclass?"),
        ("models", "xgboost", "did you mean lightgbm?"),
        ("models", "Random Forest,tree", "did you mean forest?"),
        ("models", "mpl", "did you mean mlp?"),
    ],
)
def test_what_a_setting_is_called_elsewhere_is_understood_though_not_taken(name, value, hint):
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", name: value})
    assert str(error.value).endswith(f"; {hint}")


def test_of_many_metrics_the_near_ones_are_told_and_where_all_are_listed():
    known = unknown_metrics({"metric": "logarithmic_loss"})
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "metric": "logarithmic_loss"}, known=known)
    every = f"{len(METRICS)}: lanewise.metrics.METRICS"
    assert str(error.value) == f"metric may not be 'logarithmic_loss'; did you mean log_loss? All {every}"
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "metric": "zzz"}, known=unknown_metrics({"metric": "zzz"}))
    assert str(error.value) == f"metric may not be 'zzz'; all {every}"


def test_unknown_names_of_one_list_are_told_together():
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "models": "foo,ligtgbm,linear,tre"})
    got = "models must be lightgbm, mlp, linear, forest or tree, got 'foo' and 'ligtgbm' and 'tre'"
    assert str(error.value) == f"{got}; did you mean lightgbm and tree?"


def test_all_mistakes_come_in_one_error_with_their_places():
    with pytest.raises(ConfigError, match=r"^4 settings are off:\n  ") as error:
        checked({"folds": 1, "seed": -1, "zzz": 3}, places={"folds": "LANEWISE_FOLDS"})
    for words in (
        "folds must be at least 2, got 1 (from LANEWISE_FOLDS)",
        "seed must",
        "zzz is no",
        "target is missing",
    ):
        assert words in str(error.value)


def test_names_that_are_settled_elsewhere_are_checked_with_the_rest():
    known = {"optimizers": ("adam", "sgd")}
    assert checked({"target": "y", "optimizers": "adam, sgd"}, known=known).optimizers == ("adam", "sgd")
    with pytest.raises(ConfigError) as error:
        checked({"target": "y", "optimizers": ["adamx", "sgd"], "folds": 1}, known=known, called={"folds": "--folds"})
    assert str(error.value) == (
        "2 settings are off:\n  --folds must be at least 2, got 1\n  "
        "optimizers may not be 'adamx'; did you mean adam? There are adam, sgd"
    )


@given(st.dictionaries(st.sampled_from(sorted(FitSettings.model_fields)), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()),
    st.dictionaries(st.text(), st.floats()))))  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_any_values_are_settings_or_a_config_error(values):
    try:
        found = checked(values)
    except ConfigError:
        return
    assert checked(found.model_dump(mode="json")) == found  # as a resumed run reads them


def test_names_are_split_and_taken_once():
    found = checked({"target": "y", "drop": " a, b ,", "models": "mlp,linear,mlp", "optimizers": ["sgd", "sgd"]})
    assert (found.drop, found.models, found.optimizers) == (("a", "b"), ("mlp", "linear"), ("sgd",))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.toml", "seed = 3", {"seed": 3}),
        ("pyproject.toml", "seed = 3", {}),
        ("pyproject.toml", "[tool.lanewise]\nseed = 4", {"seed": 4}),
        ("pyproject.toml", "tool = 3", {}),
    ],
)
def test_toml_files(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    assert read_toml(tmp_path / name) == found


def test_toml_files_that_are_none(tmp_path):
    (tmp_path / "broken.toml").write_bytes(b"a = '\xff'")
    (tmp_path / "pyproject.toml").write_text("[tool]\nlanewise = 1")
    for name, words in {
        "broken.toml": "not readable",
        "pyproject.toml": "table of settings",
        "x": "there is no",
    }.items():
        with pytest.raises(ConfigError, match=words):
            read_toml(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)


def test_a_test_file_and_a_share_of_the_rows_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="test_fraction cannot hold rows out beside a test file"):
        checked({"target": "y", "test": "rows.csv", "test_fraction": 0.2})


def test_one_number_is_a_list_of_one():
    found = checked({"target": "y", "widths": 64, "depths": "1, 2,1"})
    assert (found.widths, found.depths) == ((64,), (1, 2))
