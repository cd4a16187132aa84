"""A race in the forms of other tools."""

import json
import sys

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import UsageError
from lanewise.tuning import TuneResult, tune
from lanewise.tuning.answer import exporting

CANDIDATES = [
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": "sgd", "lr": 1e-5},
    {"optimizer": "sgd", "lr": 2e-5, "batch_size": 64},
    {"optimizer": "adamw", "lr": 3e-5, "schedule": "cosine"},
    {"optimizer": "momentum", "lr": 0.05},
    {"optimizer": "adamw", "lr": 0.03},
    {"optimizer": "sgd", "lr": 0.2},
    {"optimizer": "sgd", "lr": 1e6},
    {"optimizer": "sgd", "lr": 4e-5},
]


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 5, generator=draw)
    return X, (X[:, :1] - X[:, 1:2]) + 0.3 * torch.randn(count, 1, generator=draw)


@pytest.fixture(scope="module")
def found() -> TuneResult:
    return tune(
        lambda: nn.Linear(5, 1),
        train=rows(256, 0),
        valid=rows(128, 1),
        loss=nn.MSELoss(),
        candidates=CANDIDATES,
        budget="90steps",
        seeds=2,
    )


def test_the_frames_have_a_row_per_candidate_and_a_row_per_look(found) -> None:
    assert found.to_polars() is found.table
    curves = found.to_polars(curves=True)
    assert set(curves["candidate"]) <= set(found.table["candidate"])
    confirmed = curves.filter((pl.col("candidate") == found.winner.id) & (pl.col("phase") == "confirm"))
    assert confirmed["seed"].unique().sort().to_list() == [0, 1]
    assert confirmed.filter(pl.col("seed") == 0)["step"].to_list() == list(range(9, 91, 9))
    last = confirmed.filter(pl.col("fraction") == 1.0)["score"].mean()
    assert last == pytest.approx(found.score)


def test_an_optuna_study_has_every_candidate_with_its_fate(found) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = found.to_optuna(study_name="race")
    states = {trial.user_attrs["candidate"]: trial.state.name for trial in study.trials}
    assert states[found.winner.id] == "COMPLETE"
    assert states["sgd-01"] == "PRUNED"
    assert states["sgd-07"] == "FAIL"
    assert study.direction.name == "MINIMIZE"
    best = study.best_trial
    assert best.user_attrs["candidate"] == found.selection.ranking[0]
    assert best.value == found.selection.standings[0].score
    assert best.intermediate_values[90] == pytest.approx(best.value)
    assert set(best.params) == {"lr", "optimizer", "batch_size", "schedule", "weight_decay"}
    assert best.user_attrs["settings"]["momentum"] == 0.9
    lost = next(trial for trial in study.trials if trial.user_attrs["candidate"] == "sgd-07")
    assert lost.params["lr"] == 1e6
    assert "diverged by step" in lost.user_attrs["events"][0]
    json.dumps([trial.user_attrs for trial in study.trials])


def test_optuna_goes_on_from_the_study(found) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = found.to_optuna()
    names = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0), params=["lr", "optimizer"]
    )
    assert set(names) == {"lr", "optimizer"}
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    asked = study.ask(study.best_trial.distributions)
    assert 1e-5 <= asked.params["lr"] <= 1e6
    assert asked.params["optimizer"] in {"sgd", "adamw", "momentum"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:Attempting to set identical low and high:UserWarning")
def test_optunas_own_plots_take_it(found) -> None:
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("matplotlib").use("Agg")
    plots = optuna.visualization.matplotlib
    study = found.to_optuna()
    for name in ("optimization_history", "intermediate_values", "slice", "parallel_coordinate", "edf", "timeline"):
        getattr(plots, f"plot_{name}")(study)


def test_tensorboard_has_a_run_for_each_candidate(found, tmp_path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert found.to_tensorboard(tmp_path / "board") == tmp_path / "board"
    assert {folder.name for folder in (tmp_path / "board").iterdir()} == set(found.table["candidate"])
    events = EventAccumulator(str(tmp_path / "board" / found.winner.id)).Reload()
    scalars = events.Scalars("validation/loss")
    assert [event.step for event in scalars] == list(range(9, 91, 9))
    assert scalars[-1].value == pytest.approx(found.score)


def test_mlflow_has_a_run_for_each_candidate(found, tmp_path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    place = f"sqlite:///{tmp_path / 'runs.db'}"
    home = found.to_mlflow(experiment="race", tracking_uri=place)
    assert found.to_mlflow(experiment="race", tracking_uri=place) == home  # goes on in the same experiment
    client = MlflowClient(tracking_uri=place)
    runs = {run.info.run_name: run for run in client.search_runs([home])}
    assert set(runs) == set(found.table["candidate"])
    assert runs["sgd-07"].info.status == "FAILED"
    history = client.get_metric_history(runs[found.winner.id].info.run_id, "validation_loss")
    assert [one.step for one in history] == list(range(9, 91, 9))


MISSING = [
    ("optuna", lambda one: one.to_optuna(), r"needs the package optuna: pip install 'lanewise\[optuna\]'"),
    ("tensorboard", lambda one: one.to_tensorboard("board"), "to_tensorboard needs the package tensorboard"),
    ("mlflow", lambda one: one.to_mlflow(), "to_mlflow needs the package mlflow: pip install mlflow"),
]


@pytest.mark.parametrize(("package", "export", "words"), MISSING)
def test_what_is_not_installed_is_told(found, monkeypatch, package, export, words) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == package else sys.modules[name].__spec__)
    with pytest.raises(UsageError, match=words):
        export(found)
