"""What a fit keeps when something after the training goes wrong."""

import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from lanewise import resuming
from lanewise.cli.main import cli
from lanewise.cli.started import process_started
from lanewise.data import streaming
from lanewise.data.conventions import Convention
from lanewise.deploy.files import read_rows
from lanewise.errors import Interrupted, UsageError
from lanewise.fitting import experiment
from lanewise.fitting.finished import load
from lanewise.fitting.fit_data import dataset_of
from lanewise.reporting import report
from lanewise.runs.store import RunStore
from lanewise.settings.fit import checked


def test_a_report_that_cannot_be_drawn_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))

    def broken(document: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(report, "render", broken)
        found = experiment.fit("example:iris", budget="20steps", models="linear", candidates=2, folds=3, seeds=1)
    assert any("the report could not be drawn (ZeroDivisionError" in warning for warning in found.document["warnings"])
    assert not found.report.exists()
    assert load(found.run).document == found.document
    ended = CliRunner().invoke(cli, ["report", found.run])
    assert ended.exit_code == 0, ended.output
    assert found.report.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_processor_time_of_a_command_begins_with_its_process_as_its_seconds_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    used = time.process_time()
    quick = {"budget": "20steps", "models": "linear", "candidates": 2, "folds": 2, "seeds": 1}
    hardware = experiment.fit("example:iris", started=process_started(), **quick).document["hardware"]
    assert hardware["cpu_seconds"] > used
    assert hardware["seconds_by_stage"]["start"] > 0


def test_a_fit_that_is_stopped_while_it_reads_says_that_nothing_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))

    def stopped(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    for step in ("problem_of", "dataset_of"):
        monkeypatch.setattr(experiment, step, stopped)
        with pytest.raises(Interrupted, match="stopped before a run was recorded: nothing was kept"):
            experiment.fit("example:iris")
    assert not list((tmp_path / "runs").glob("*"))
    command = sys.modules["lanewise.cli.main"]
    monkeypatch.setattr(command, "_command", stopped)
    monkeypatch.setattr(command.threading, "active_count", lambda: 1)
    with pytest.raises(SystemExit, match="130"):
        command.main()
    assert capsys.readouterr().err == "lanewise: stopped\n"


def test_a_fit_is_repeated_by_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    draw = np.random.default_rng(0)
    table = {"a": draw.normal(size=60), "y": draw.choice(["no", "yes"], size=60)}
    found = experiment.fit(table, target="y", budget="1s", models="linear", candidates=2, folds=2, seeds=1)
    ended = CliRunner().invoke(cli, ["repeat", found.run, "--quiet"])
    assert ended.exit_code == 0, ended.output
    again = load("last")
    assert again.run != found.run
    assert again.document["repeats"] == {"run": found.run, "same": True, "differences": []}
    assert again.document["model_sha256"] == found.document["model_sha256"]
    with pytest.raises(UsageError, match="is not a tune: single lanes of a fit cannot be repeated"):
        CliRunner().invoke(cli, ["repeat", found.run, "--lane", "0"], catch_exceptions=False)


def test_intervals_are_wider_where_errors_are_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    draw = np.random.default_rng(0)

    def table(rows: int, growth: float) -> dict[str, np.ndarray]:
        a = draw.uniform(0, 10, size=rows)
        return {"a": a, "y": 2 * a + draw.normal(size=rows) * (1 + growth * a)}

    wishes = {"target": "y", "budget": "100steps", "models": "linear", "optimizers": "lbfgs", "candidates": 2}
    found = experiment.fit(table(1500, 1.0), **wishes, folds=3, seeds=1)
    assert any("prediction interval follows the prediction: from ±" in line for line in found.document["summary"])
    new = table(30_000, 1.0)
    given = load(found.run).predictor.predict(read_rows(found.predictor.contract, {"a": new["a"]}))
    within = (given.low <= new["y"]) & (new["y"] <= given.high)
    third = np.argsort(np.argsort(given.values)) // 10_000
    np.testing.assert_allclose(np.bincount(third, weights=within) / 10_000, 0.9, atol=0.04)
    one = np.abs(new["y"] - given.values) <= found.predictor.interval.half_width
    assert np.ptp(np.bincount(third, weights=one) / 10_000) > 0.15  # what one width does
    even = experiment.fit(table(1500, 0.0), **wishes, folds=3, seeds=1)
    assert not even.predictor.interval.follows
    assert not any("interval follows" in line for line in even.document["summary"])


def test_a_model_that_was_trained_on_the_sample_of_a_streamed_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 300)
    a = np.random.default_rng(0).normal(size=900)
    table = tmp_path / "rows.parquet"
    pl.DataFrame({"a": a, "y": 2 * a + np.random.default_rng(1).normal(size=900)}).write_parquet(table)
    wishes = {"target": "y", "stream": "always", "budget": "20steps", "models": "linear", "candidates": 1, "folds": 2}
    found = experiment.fit(table, **wishes, optimizers="lbfgs", workers=1).document
    assert found["rows"]["winner"] + found["rows"]["test"] == 300
    said = f"It was trained on {found['rows']['winner']} of the {found['rows']['train']} training rows: "
    assert any(line.startswith(said) for line in found["summary"])
    all_of_them = experiment.fit(table, **wishes, optimizers="adam", workers=1).document
    assert all_of_them["rows"]["winner"] == all_of_them["rows"]["train"] > 700
    assert not any("training rows" in line for line in all_of_them["summary"])


def test_a_run_that_is_gone_on_with_counts_from_the_start_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def resumed(run: str, **given: object) -> None:
        told.extend([run, given["started"]])
        message = "enough"
        raise UsageError(message)

    monkeypatch.setattr(resuming, "resume", resumed)
    ended = CliRunner().invoke(cli, ["resume", "abcd", "--quiet"], obj=12.5)
    assert isinstance(ended.exception, UsageError)
    assert told == ["abcd", 12.5]


def test_a_run_from_standard_input_that_goes_on_knows_how_its_text_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "home"))
    path = tmp_path / "t.csv"
    path.write_text("a;y\n" + "".join(f"{n},{n % 7}5;{n % 2}\n" for n in range(60)))
    table = dataset_of(str(path))
    settings = checked({"target": "y", "budget": "20steps"})
    config = {
        "source": "-",
        "settings": settings.model_dump(mode="json"),
        "rows": experiment.fingerprint(table),
        "conventions": {name: asdict(own) for name, own in table.conventions.items()},
    }
    with RunStore.open() as store:
        run = store.create(command="lanewise fit -", config=config)
    table.frame.write_parquet(run.folder / experiment.KEPT_DATA)
    problem, _ = experiment._begun(run, tell=str)
    assert problem.contract.conventions == {"a": Convention(decimal=",")}
