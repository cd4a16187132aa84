"""``lanewise fit`` and what follows from it: documents, predictions, settings from every place."""

import csv
import io
import json
import random
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from lanewise.runs.store import RunStore

KEYS = ("schema_version", "run", "task", "seed", "winner", "default", "cross_validation", "test", "candidates",
        "lanes", "seconds", "model_sha256", "warnings")  # fmt: skip


def columns(text: str) -> dict[str, list[str]]:
    found = list(csv.reader(io.StringIO(text)))
    return {name: [row[place] for row in found[1:]] for place, name in enumerate(found[0])}


def test_the_document_has_its_keys_and_show_prints_the_same(cli, folder, finished):
    document = {key: value for key, value in finished.items() if key not in ("home", "table", "progress")}
    for key in KEYS:
        assert key in document, key
    for card in (document["winner"], document["default"]):
        assert {"model", "optimizer", "hyperparameters"} <= card.keys()
    for part in ("cross_validation", "test"):
        for name, estimate in document[part].items():
            assert estimate["low"] <= estimate["value"] <= estimate["high"], (part, name)
    assert document["task"] == "binary"
    assert document["candidates"] == 2
    assert document["schema_version"] == 1
    assert len(document["model_sha256"]) == 64
    for reference in (document["run"], document["run"][-4:], "last"):
        shown = cli("show", reference, "--json", folder=folder, home=finished["home"])
        assert shown.code == 0
        assert shown.err == ""
        assert shown.document == document


def test_the_same_seed_and_steps_give_the_same_model_from_a_file_and_from_stdin(cli, folder, quick, finished):
    arguments = ["fit", "-", "--target", "y", *quick, "--json", "--quiet"]
    again = cli(*arguments, folder=folder, stdin=finished["table"].read_bytes())
    assert again.document["model_sha256"] == finished["model_sha256"]
    assert again.document["test"] == finished["test"]
    other = cli(*arguments, "--seed", "1", folder=folder, stdin=finished["table"].read_bytes())
    assert other.document["model_sha256"] != finished["model_sha256"]
    assert other.document["seed"] == 1


def test_json_is_alone_on_stdout_and_progress_on_stderr(finished):
    assert finished["target"] == "y"  # all of stdout was read as one document
    assert "binary target 'y', 45 training and 15 test rows" in finished["progress"]
    assert "confirm" in finished["progress"]
    assert "\x1b" not in finished["progress"]


def test_the_summary_names_the_winner_and_the_next_commands(cli, folder, quick):
    ended = cli("fit", "numbers.csv", "--target", "price", *quick, "--quiet", "--report", "r.html", folder=folder)
    assert (ended.code, ended.err) == (0, "")
    assert "15 untouched test rows" in ended.out
    assert "lanewise predict " in ended.out
    assert "r.html" in ended.out
    assert (folder / "r.html").read_text().lstrip().lower().startswith("<!doctype html")
    predicted = cli("predict", "last", "numbers.csv", folder=folder)
    assert list(columns(predicted.out)) == ["prediction", "low", "high"]
    truth = [float(line.split(",")[2]) for line in (folder / "numbers.csv").read_text().splitlines()[1:]]
    errors = [abs(float(a) - b) for a, b in zip(columns(predicted.out)["prediction"], truth, strict=True)]
    assert max(errors) < 0.1  # the target is the sum of the features


def test_a_forest_goes_all_the_way(cli, folder):
    arguments = ("--models", "forest", "--candidates", "2", "--folds", "2", "--seeds", "1", "--ensemble", "never")
    ended = cli("fit", "numbers.csv", "--target", "price", *arguments, "--budget", "20steps", "--json", folder=folder)
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["winner"]["label"] in ("extra-trees forest", "random forest")
    assert document["importance"]
    predicted = cli("predict", "last", "numbers.csv", folder=folder)
    assert predicted.code == 0, predicted.err
    exported = cli("export", "last", "forest.onnx", folder=folder)
    assert exported.code == 0, exported.err
    assert (folder / "forest.onnx").stat().st_size > 1_000
    assert "trees" in cli("show", folder=folder).out


def test_the_positive_class_is_the_one_that_is_named(cli, folder, quick):
    """Scores (as scikit-learn has them), threshold, predictions and the exported model are of it."""
    drawn = random.Random(1)
    rows = [(drawn.gauss(0, 1), drawn.gauss(0, 1), drawn.gauss(0, 1)) for _ in range(300)]
    lines = [f"{a:.3f},{b:.3f},{'bad' if a + b + noise > 1.2 else 'good'}\n" for a, b, noise in rows]
    (folder / "wares.csv").write_text("a,b,ware\n" + "".join(lines[:200]))
    (folder / "new.csv").write_text("a,b,ware\n" + "".join(lines[200:]))
    stated = ("--metric", "pr_auc", "--threshold", "0.3", "--positive", "bad", "--test", "new.csv", "--json")
    ended = cli("fit", "wares.csv", "--target", "ware", *quick, *stated, folder=folder)
    assert "judged by PR AUC of 'bad'" in ended.err
    document = ended.document
    assert (document["positive"], document["classes"], document["confusion"]["classes"]) == (
        "bad", ["good", "bad"], ["good", "bad"])  # fmt: skip
    predicted = columns(cli("predict", "last", "new.csv", folder=folder).out)
    assert list(predicted) == ["prediction", "probability_good", "probability_bad"]
    truth, said = [line.strip().split(",")[2] for line in lines[200:]], predicted["prediction"]
    bad = [float(one) for one in predicted["probability_bad"]]
    assert "The threshold for 'bad' was stated: 0.3." in document["summary"]
    assert "On 100 untouched test rows its PR AUC of 'bad' is " in document["summary"][1]
    assert said == ["bad" if one >= 0.3 else "good" for one in bad]
    expected = {
        "f1": f1_score(truth, said, pos_label="bad"),
        "precision": precision_score(truth, said, pos_label="bad"),
        "recall": recall_score(truth, said, pos_label="bad"),
        "pr_auc": average_precision_score(truth, bad, pos_label="bad"),
    }
    assert {name: document["test"][name]["value"] for name in expected} == pytest.approx(expected, abs=1e-12)
    exported = cli("export", "last", "wares.onnx", folder=folder)  # which compares labels and probabilities
    assert exported.code == 0, exported.err
    listed = cli("runs", "--limit", "1", "--json", folder=folder).document["runs"][0]
    assert (listed["metric"], listed["positive"]) == ("pr_auc", "bad")
    assert " is the same as run " in cli("repeat", "last", "--quiet", folder=folder).out


def test_an_ensemble_that_is_handed_over_is_what_the_default_is_compared_with(cli, folder):
    drawn = random.Random(0)
    rows = [(drawn.gauss(0, 1), drawn.gauss(0, 1), drawn.gauss(0, 0.3)) for _ in range(200)]
    lines = [f"{a:.3f},{b:.3f},{a + (b > 0) + noise:.3f}\n" for a, b, noise in rows]  # a slope, and a step for the tree
    (folder / "mixed.csv").write_text("a,b,y\n" + "".join(lines))
    arguments = ("--models", "linear,tree", "--candidates", "3", "--folds", "2", "--seeds", "1", "--ensemble", "always")
    ended = cli("fit", "mixed.csv", "--target", "y", *arguments, "--budget", "60steps", "--json", folder=folder)
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["winner"]["id"] == "ensemble"
    first = document["race"]["decisions"][0]
    assert first["question"] == "Better than the default?"
    assert first["chosen"] == f"an ensemble of {len(document['ensemble']['members'])}"
    assert first["over"] == f"the default, {document['default']['label']}"
    assert any(line.startswith("On rows that chose none of its members the winner is ") for line in document["summary"])
    own = document["ensemble"]
    better = own["difference"] > own["standard_error"] and first["standard_errors"] > 1
    assert document["summary"][0].endswith(" best.") == better  # else it is there because it was asked for


def test_a_race_is_set_beside_a_plain_loop_in_processor_time(cli, folder):
    arguments = ("--models", "linear", "--candidates", "2", "--folds", "2", "--seeds", "1", "--budget", "2s", "--json")
    ended = cli("fit", "numbers.csv", "--target", "price", *arguments, folder=folder)
    assert ended.code == 0, ended.err
    hardware = ended.document["hardware"]
    assert 0 < hardware["race_cpu_seconds"] <= hardware["cpu_seconds"]
    assert hardware["one_at_a_time_seconds"] > 0
    shown = " ".join(cli("show", folder=folder).out.split())
    assert "In processor time: the race " in shown
    assert ", the same trainings one at a time about " in shown


def test_a_budget_in_steps_reports_what_was_measured_after_the_race(cli, folder, finished):
    hardware = finished["hardware"]
    assert hardware["one_at_a_time_seconds"] > 0
    assert hardware["predicted_memory_bytes"] > 0
    shown = " ".join(cli("show", folder=folder, home=finished["home"]).out.split())
    assert ", the same trainings one at a time about " in shown


def test_predictions_keep_the_order_of_the_rows(cli, folder, finished):
    lines = (folder / "good.csv").read_text().splitlines()
    predicted = columns(cli("predict", "last", "good.csv", folder=folder, home=finished["home"]).out)
    assert list(predicted) == ["prediction", "probability_no", "probability_yes"]
    truth = [line.split(",")[3] for line in lines[1:]]
    assert sum(a == b for a, b in zip(predicted["prediction"], truth, strict=True)) >= 54
    (folder / "backward.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    backward = columns(cli("predict", "last", "backward.csv", folder=folder, home=finished["home"]).out)
    assert backward["prediction"] == predicted["prediction"][::-1]
    # Vectorized products round a row's last bit by its place among the others.
    forward = [float(value) for value in reversed(predicted["probability_yes"])]
    assert [float(value) for value in backward["probability_yes"]] == pytest.approx(forward, rel=1e-12, abs=0)


def test_predictions_go_to_a_file_or_come_from_stdin(cli, folder, finished):
    content = (folder / "good.csv").read_bytes()
    shown = cli("predict", finished["run"], "-", folder=folder, home=finished["home"], stdin=content)
    assert shown.code == 0, shown.err
    ended = cli("predict", finished["run"], "good.csv", "-o", "p.csv", folder=folder, home=finished["home"])
    assert (ended.code, ended.out) == (0, "")
    assert (folder / "p.csv").read_text() == shown.out


def test_unusual_rows_are_warned_about_on_stderr(cli, folder, finished):
    (folder / "odd.csv").write_text("a,b,w,more,most\nlots,0.5,1,1,1\n1e9,0.5,1,1,1\n")
    ended = cli("predict", "last", "odd.csv", folder=folder, home=finished["home"])
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 3
    *warnings, last = ended.err.splitlines()
    assert warnings
    assert all(line.startswith("warning: ") for line in warnings)
    assert last == "info: columns that the model does not use are left out: 'w', 'more', 'most'"


def test_examples_know_their_targets(cli, folder, quick):
    listed = cli("example", folder=folder)
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert names == ["breast-cancer", "diabetes", "digits", "iris", "wine"]
    ended = cli("fit", "example:iris", *quick, "--json", "--quiet", folder=folder)
    assert (ended.document["task"], ended.document["target"]) == ("multiclass", "species")
    written = cli("example", "iris", folder=folder)
    (folder / "iris.csv").write_text(written.out)
    predicted = columns(cli("predict", "last", "iris.csv", folder=folder).out)
    assert list(predicted) == [
        "prediction", "probability_setosa", "probability_versicolor", "probability_virginica"]  # fmt: skip
    assert len(predicted["prediction"]) == 150


def test_unicode_names_and_labels_come_through(cli, folder, quick):
    text = (folder / "good.csv").read_text().replace("a,b,w,y", "größe,日本,w,target 🎯").replace("yes", "jà✓")
    (folder / "ünï 🎈.csv").write_text(text, encoding="utf-8")
    ended = cli("fit", "ünï 🎈.csv", "--target", "target 🎯", *quick, "--json", folder=folder, home=folder / "h")
    assert ended.document["target"] == "target 🎯"
    assert ended.document["classes"] == ["jà✓", "no"]
    assert "jà✓" in ended.out
    plain = cli("show", "--json", folder=folder, home=folder / "h", PYTHONIOENCODING="ascii")
    assert plain.document == ended.document
    cold = cli.cold("show", "--json", folder=folder, home=folder / "h", PYTHONIOENCODING="ascii")
    assert cold.out.isascii()
    assert cold.document == ended.document
    predicted = cli("predict", "last", "ünï 🎈.csv", folder=folder, home=folder / "h")
    assert predicted.out.splitlines()[0] == "prediction,probability_jà✓,probability_no"


def test_labels_with_terminal_escapes_do_not_reach_the_terminal(cli, folder, hostile):
    outputs = [hostile["ended"]]
    outputs += [cli(*line, folder=folder, home=hostile["home"]) for line in (["show"], ["show", "--json"], ["runs"])]
    for ended in outputs:
        assert ended.code == 0, ended.err
        assert "\x1b" not in ended.out + ended.err
        assert "\u202e" not in ended.out + ended.err
    assert outputs[2].document["classes"] == ["no", hostile["label"]]


# -- settings -------------------------------------------------------------------------------------------------------


def settings_of(cli, ended, folder):
    listed = cli("runs", "--json", "--limit", "1", folder=folder)
    assert listed.document["runs"][0]["run"] == ended.document["run"]
    return ended.document


FILE = """
target = "y"
models = ["linear"]
budget = "30steps"
candidates = 2
folds = 3
seed = 7
"""


def test_options_beat_variables_beat_the_file_beats_defaults(cli, folder):
    (folder / "lanewise.toml").write_text(FILE)
    run = ["fit", "good.csv", "--json"]
    from_variables = cli(*run, folder=folder, LANEWISE_SEED="8", LANEWISE_WORKERS="")
    assert from_variables.document["seed"] == 8
    assert "also set: " in from_variables.err
    assert "folds from lanewise.toml" in from_variables.err
    assert "seed from LANEWISE_SEED" in from_variables.err
    assert "3 folds" in from_variables.err
    from_options = cli(*run, "--seed", "9", folder=folder, LANEWISE_SEED="8", LANEWISE_FOLDS="2")
    assert from_options.document["seed"] == 9
    assert "LANEWISE_SEED" not in from_options.err
    assert "folds from LANEWISE_FOLDS" in from_options.err
    assert "2 folds" in from_options.err


def test_config_replaces_the_file_of_the_folder_and_may_state_everything(cli, folder):
    (folder / "lanewise.toml").write_text("seed = 1\nfolds = 1\n")
    (folder / "own.toml").write_text('source = "good.csv"\nreport = "own.html"\n' + FILE)
    ended = cli("fit", "--config", "own.toml", "--json", "--quiet", folder=folder)
    assert ended.document["seed"] == 7
    assert (folder / "own.html").is_file()


def test_pyproject_may_hold_the_settings(cli, folder):
    body = FILE.replace("seed = 7", "seed = 11")
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.lanewise]\nsource = "good.csv"\n' + body)
    ended = cli("fit", "--json", "--quiet", folder=folder)
    assert ended.document["seed"] == 11


def test_a_variable_that_is_off_is_named(cli, folder):
    ended = cli("fit", "good.csv", "--target", "y", folder=folder, LANEWISE_FOLDS="one", LANEWISE_BUDGET="soon")
    assert ended.code == 2
    assert "folds must be a whole number, got 'one' (from LANEWISE_FOLDS)" in ended.err
    assert "got 'soon' (from LANEWISE_BUDGET)" in ended.err


# -- the list of runs -----------------------------------------------------------------------------------------------


def test_runs_lists_what_became_of_each(cli, folder, finished):
    home = folder / "home"
    shutil.copytree(finished["home"], home)
    with RunStore(home) as store:
        lost = store.create(command="fit", config={"source": "good.csv", "settings": {"target": "q\x1b[2J"}})
        store.fail(lost.id, "no column 'q\x1b[2J' in good.csv")
    listed = cli("runs", "--json", folder=folder, home=home)
    failed, done = listed.document["runs"]
    assert (done["status"], done["error"], done["target"]) == ("done", None, "y")
    assert done["score"] == pytest.approx(finished["test"][done["metric"]]["value"])
    assert done["winner"]
    assert failed["status"] == "failed"
    assert "no column" in failed["error"]
    assert cli("runs", "--json", "--limit", "1", folder=folder, home=home).document["runs"] == [failed]
    lines = cli("runs", folder=folder, home=home).out.splitlines()
    assert lines[0].split() == ["run", "made", "kind", "data", "target", "score", "winner"]
    assert lines[1].split()[3:6] == ["fit", "good.csv", "q"]
    assert "failed: no column" in lines[1]
    assert "score" not in lines[1]
    assert done["winner"] in lines[2]
    assert all("\x1b" not in line for line in lines)


def test_report_says_where_it_is_and_copies_it(cli, folder, finished):
    ended = cli("report", folder=folder, home=finished["home"])
    assert ended.out.strip().endswith("report.html")
    copied = cli("report", finished["run"], "-o", "copy.html", folder=folder, home=finished["home"])
    assert copied.out.strip() == "copy.html"
    assert (folder / "copy.html").read_text() == Path(ended.out.strip()).read_text()


def test_doctor_prints_one_document(cli, folder):
    ended = cli("doctor", "--json", folder=folder)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["cores"] >= 1


def test_what_was_declared_of_the_text_holds_in_fit_and_predict(cli, folder, quick):
    draw = random.Random(3)
    rows = [(draw.gauss(5, 1), draw.gauss(5, 1)) for _ in range(60)]
    lines = [
        f"{'-200' if place % 6 == 0 else f'{a:.3f}'},{b:.3f},{'no' if b < 5 else 'yes'}"
        for place, (a, b) in enumerate(rows)
    ]
    (folder / "marked.csv").write_text("\n".join(["a,größe,y", *lines]).replace(",", "~") + "\n", encoding="cp437")
    stated = ["--missing", "-200", "--delimiter", "~", "--encoding", "cp437", "--max-bytes", "1MB"]
    ended = cli("fit", "marked.csv", "--target", "y", *stated, *quick, "--json", "--quiet", folder=folder)
    assert ended.code == 0, ended.err
    assert [one["name"] for one in ended.document["columns"]] == ["a", "größe", "y"]
    known = cli("runs", "--json", folder=folder).document["runs"]
    (kept,) = [own for own in known if own["run"] == ended.document["run"]]
    assert kept["seconds"] == ended.document["seconds"]
    spent = ended.document["hardware"]["seconds_by_stage"]
    assert 0 < spent["start"] < sum(spent.values()) == pytest.approx(ended.document["seconds"], rel=0.05)
    assert not any("-200" in one["message"] for one in ended.document["findings"])
    (folder / "new.csv").write_text("a~größe\n-200~4.0\n~4.0\n", encoding="cp437")
    cli("predict", "last", "new.csv", "--output", "out.csv", folder=folder)
    first, second = columns((folder / "out.csv").read_text())["probability_yes"]
    assert first == second
    (folder / "other.csv").write_text("a,größe\n-200,4.0\n,4.0\n")
    again = cli("predict", "last", "other.csv", "--delimiter", ",", "--encoding", "utf-8", folder=folder)
    assert again.out == (folder / "out.csv").read_text()
    ended = cli("predict", "last", "new.csv", "--max-bytes", "9", folder=folder)
    assert (ended.code, "more than the allowed 9 bytes: take a sample, or allow more (--max-bytes)" in ended.err) == (
        2,
        True,
    )
