"""Options, then the environment, then a file, then the defaults."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise.cli.layers import from_environment, gather
from lanewise.cli.main import cli
from lanewise.errors import ConfigError, UsageError, UserError
from lanewise.settings.fit import FitSettings, checked


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,y\n" + "1,no\n2,yes\n" * 9)
    for name in FitSettings.model_fields:
        monkeypatch.delenv(f"LANEWISE_{name.upper()}", raising=False)


def given(**options):
    return gather(source="t.csv", report=None, options={"target": "y", **options}, config=None)


def test_without_layers_only_what_was_stated_is_set():
    found = given(seed=3, folds=None)
    assert (found.settings, found.words) == ({"target": "y", "seed": 3}, "")


def test_the_nearer_layer_wins(tmp_path, monkeypatch):
    (tmp_path / "lanewise.toml").write_text("seed = 1\nfolds = 4\nworkers = 2\n")
    monkeypatch.setenv("LANEWISE_SEED", "2")
    monkeypatch.setenv("LANEWISE_FOLDS", "5")
    found = given(seed=3)
    assert found.settings == {"target": "y", "seed": 3, "folds": "5", "workers": 2}
    assert found.words == "also set: folds from LANEWISE_FOLDS, workers from lanewise.toml"


def test_every_setting_has_a_variable(monkeypatch):
    variables = {f"LANEWISE_{name.upper()}": "x" for name in FitSettings.model_fields}
    assert set(from_environment(variables)) == set(FitSettings.model_fields)


def test_lanewise_toml_comes_before_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.lanewise]\nseed = 1\n[tool.other]\nx = 1\n")
    assert given().settings["seed"] == 1
    (tmp_path / "lanewise.toml").write_text("seed = 2\n")
    assert given().settings["seed"] == 2


def test_a_stated_setting_hides_a_bad_one_of_another_layer(tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_FOLDS", "1")
    assert given(folds=3).settings["folds"] == 3
    with pytest.raises(ConfigError, match=r"from LANEWISE_FOLDS"):
        given()


def test_a_variable_that_is_nearly_a_setting_is_refused_and_others_are_left_alone(monkeypatch):
    monkeypatch.setenv("LANEWISE_KILLS", "3")
    assert given().words == ""
    monkeypatch.setenv("LANEWISE_FOLDZ", "3")
    with pytest.raises(ConfigError, match=r"^foldz is no setting \(from LANEWISE_FOLDZ\); did you mean folds\?"):
        given()


def test_an_example_needs_no_target_and_no_source_is_refused():
    assert gather(source="example:iris", report=None, options={}, config=None).settings == {}
    with pytest.raises(UsageError, match="name a table"):
        gather(source=None, report=None, options={}, config=None)


def test_what_was_said_elsewhere_can_be_said_as_arguments(tmp_path, monkeypatch):
    (tmp_path / "lanewise.toml").write_text(
        "source = 'a b.csv'\ntarget = 'y'\nseed = 1\nmodels = ['linear', 'tree']\nclass_weights = {no = 1, yes = 5}\n"
    )
    monkeypatch.setenv("LANEWISE_TEST_FRACTION", "0.3")
    found = gather(source=None, report=None, options={"seed": 7}, config=None)
    said = dict(zip(found.more[1::2], found.more[2::2], strict=True))
    assert found.more[0] == "a b.csv"
    assert said == {
        "--target": "y",
        "--models": "linear,tree",
        "--class-weights": "no=1,yes=5",
        "--test-fraction": "0.3",
    }
    stated = {name.removeprefix("--").replace("-", "_"): value for name, value in said.items()}
    (tmp_path / "lanewise.toml").unlink()
    monkeypatch.delenv("LANEWISE_TEST_FRACTION")
    again = gather(source=found.source, report=None, options={**stated, "seed": 7}, config=None)
    assert again.more == ()
    assert checked(again.settings) == checked(found.settings)


@pytest.mark.parametrize("name", ["drop", "missing"])
def test_a_name_with_a_comma_survives_the_command_that_repeats_a_run(tmp_path, name):
    (tmp_path / "lanewise.toml").write_text(f'{name} = ["id", "Income, net"]\n')
    assert given().more == (f"--{name}", 'id,"Income, net"')
    assert getattr(checked({"target": "y", name: given().more[1]}), name) == ("id", "Income, net")


def test_what_is_wrong_with_columns_is_told_with_what_is_wrong_with_settings(tmp_path):
    (tmp_path / "lanewise.toml").write_text("drop = 3\nfolds = 1\n")
    with pytest.raises(ConfigError) as error:
        given(target="yy", group="b")
    assert str(error.value).splitlines() == [
        "several things are off:",
        "  drop must be a list of names, got 3 (from lanewise.toml)",
        "  folds must be at least 2, got 1 (from lanewise.toml)",
        "  --target names 'yy'; did you mean 'y'?",
        "  --group names 'b'",
        "  the columns are 'a', 'y'",
    ]


def test_how_to_write_a_name_with_a_comma_is_told_beside_other_mistakes_as_for_the_shell(tmp_path):
    (tmp_path / "t.csv").write_text('"a,b",y\n1,0\n2,1\n3,0\n')
    with pytest.raises(ConfigError) as error:
        given(drop=("a", "b"), folds="1")
    assert str(error.value).splitlines()[-1] == (
        "  'a,b' is one column: a name with a comma stands in double quotes, --drop '\"a,b\"'"
    )


def test_a_class_with_a_comma_survives_the_command_that_repeats_a_run(tmp_path):
    (tmp_path / "lanewise.toml").write_text('class_weights = {"no, never" = 1, yes = 5}\n')
    assert given().more == ("--class-weights", '"no, never=1",yes=5')
    weights = checked({"target": "y", "class_weights": given().more[1]}).class_weights
    assert weights == {"no, never": 1.0, "yes": 5.0}


def test_a_metric_of_other_targets_and_a_test_set_that_is_not_there_are_told_with_what_else_is_wrong(tmp_path):
    wrong = ["fit", "t.csv", "--target", "y", "--metric", "rmse", "--folds", "1", "--test", "no.csv"]
    wrong += ["--report", "no/r.html"]
    with pytest.raises(UserError) as error:
        CliRunner().invoke(cli, wrong, catch_exceptions=False)
    assert [line.partition(":")[0].partition(",")[0].strip() for line in str(error.value).splitlines()] == [
        "4 settings are off",
        "--folds must be at least 2",
        "--metric may be accuracy",
        "no file no.csv",
        "cannot write no/r.html",
    ]
    with pytest.raises(
        UserError, match=r"2 settings are off:\n  no file no.csv: .*\n  metric may be .* for a binary target"
    ):
        CliRunner().invoke(cli, [*wrong[:6], "--test", "no.csv"], catch_exceptions=False)


def test_settings_are_checked_where_no_table_is_named_either():
    with pytest.raises(
        UserError, match=r"several things are off:\n  name a table to learn from: .*\n  --policy must be"
    ):
        CliRunner().invoke(cli, ["fit", "--policy", "x"], catch_exceptions=False)


def test_a_file_whose_source_is_no_text_is_told_what_else_is_wrong_with_it(tmp_path):
    (tmp_path / "off.toml").write_text("source = 3\nreport = 4\nfolds = 1\n")
    with pytest.raises(ConfigError) as error:
        gather(source=None, report=None, options={}, config=tmp_path / "off.toml")
    assert [line.partition(",")[0].strip() for line in error.value.mistakes] == [
        "source must be text",
        "report must be text",
        "folds must be at least 2",
    ]
    (tmp_path / "off.toml").write_text("source = 3\nreport = 4\n")
    with pytest.raises(ConfigError, match=r"2 settings are off:\n  source must be text, got 3"):
        gather(source=None, report=None, options={}, config=tmp_path / "off.toml")


def test_a_working_folder_that_may_not_be_searched_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "own.toml").write_text("seed = 4\n")
    looked = Path.is_file

    def closed(path):  # root may search all there is
        if path.name == "lanewise.toml":
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path)

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(ConfigError, match=r"may not be searched for lanewise\.toml; start lanewise in one .* --config"):
        given()
    found = gather(source="t.csv", report=None, options={"target": "y"}, config=tmp_path / "own.toml")
    assert found.settings["seed"] == 4


def test_a_mesh_that_is_none_is_told_with_what_else_is_wrong(tmp_path):
    (tmp_path / "lanewise.toml").write_text('mesh = "lane=2,row=3"\nfolds = 1\n')
    with pytest.raises(ConfigError) as error:
        given()
    mesh, folds = error.value.mistakes
    assert mesh.startswith("a mesh has no axis 'row': ")
    assert mesh.endswith(" (from lanewise.toml)")
    assert folds == "folds must be at least 2, got 1 (from lanewise.toml)"
    (tmp_path / "lanewise.toml").write_text('mesh = "auto"\n')
    assert given().settings["mesh"] == "auto"
    with pytest.raises(UserError, match=r"^lane of a mesh must be a whole number from 1, or -1 to be filled, got 'x'$"):
        given(mesh="lane=x")
