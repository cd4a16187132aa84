"""What a run without a result tells: the candidates where they were looked at last, the best first."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from lanewise.cli.runs import show
from lanewise.errors import UsageError
from lanewise.formatting.plain_text import columns_of
from lanewise.lanes.candidate import Candidate
from lanewise.reporting.unfinished import unfinished_table
from lanewise.runs.journal import RunJournal
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore
from lanewise.runs.unfinished import unfinished
from lanewise.storage.durable import write_atomically
from lanewise.storage.strict_json import dump_json
from lanewise.training.planning.plan import Lengths, Plan

CANDIDATES = (
    Candidate(id="lightgbm-000", model="lightgbm", optimizer="boosting", settings={"rounds": 100}, is_default=True),
    Candidate(id="mlp-000", model="mlp", optimizer="adamw", settings={"lr": 0.003, "width": 64, "depth": 2}),
    Candidate(id="mlp-001", model="mlp", optimizer="adamw", settings={"lr": 0.01, "width": 64, "depth": 2}),
    Candidate(id="linear-000", model="linear", optimizer="lbfgs", settings={"l2": 1e-4}),
)
PLAN = Plan(
    candidates=CANDIDATES,
    rungs=(0.5, 1.0),
    confirm={"lightgbm": 1, "mlp": 1, "linear": 1},
    folds=2,
    seeds=(0,),
    lengths=Lengths(rows_seen=1000),
    workers=1,
    costs={one.id: 1.0 for one in CANDIDATES},
)


def state(length: int, **looks: list[tuple[float, float | None]]) -> dict[str, Any]:
    """What a team keeps: for every lane, as ``mlp_000_f0``, the fractions and scores of its looks."""
    evidence = [
        {"lane": "{}-{}.{}.s0".format(*lane.split("_")), "fraction": fraction, "score": score}
        for lane, own in looks.items()
        for fraction, score in own
    ]
    return {"evidence": evidence, "length": length, "metric": "log_loss"}


@pytest.fixture
def stopped(tmp_path: Path) -> Run:
    """A run that was stopped while it confirmed, with a checkpoint that is damaged."""
    folder = tmp_path / "runs" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    write_atomically(folder / "plan.json", dump_json(PLAN.to_json()))
    journal = RunJournal(folder / "checkpoints")
    journal.save("screen-0.5000-0", {}, state(200, mlp_000_f0=[(0.5, 0.4)], mlp_001_f0=[(0.5, 0.3)]))
    journal.save("screen-1.0000-0", {}, state(200, mlp_001_f0=[(1.0, 0.25)]))
    journal.save("screen-1.0000-1", {}, state(200, mlp_000_f0=[(1.0, 0.35)]))
    journal.save("screen-0.5000-1", {}, state(100, lightgbm_000_f0=[(1.0, 0.2)]))
    journal.save("confirm-0.1000-0", {"w": torch.zeros(2)}, state(100, lightgbm_000_f0=[(0.1, 0.9), (0.2, 0.3)]))
    journal.save("confirm-0.1000-1", {}, state(100, lightgbm_000_f1=[(0.4, 0.5)]))
    journal.save("confirm-0.1000-2", {}, state(200, mlp_001_f0=[(0.1, None)]))
    (folder / "checkpoints" / "confirm-0.1000-2" / "step-000000000002").mkdir()
    return Run(
        sequence=1,
        id=folder.name,
        created="2026-01-01T00:00:00.000Z",
        status="interrupted",
        command="lanewise fit t.csv --target y",
        error=None,
        seconds=None,
        folder=folder,
        config_text='{"settings": {"target": "y"}}',
        document_text=None,
    )


def test_candidates_stand_where_they_were_looked_at_last(stopped: Run) -> None:
    found = unfinished(stopped)
    assert found is not None
    assert (found["status"], found["phase"], found["target"]) == ("interrupted", "confirm", "y")
    assert found["metric"] == {"name": "log_loss", "direction": "min"}
    assert found["resume"] == f"lanewise resume {stopped.id}"
    assert (found["planned"], found["left"]) == (4, None)
    first, second, third = found["candidates"]
    assert (first["id"], first["lanes"], first["of_lanes"], first["default"]) == ("lightgbm-000", 2, 2, True)
    assert first["score"] == pytest.approx((0.3 + 0.5) / 2)
    assert (first["steps"], first["unit"], first["trained"]) == (30, "rounds", pytest.approx(0.3))
    assert (second["id"], second["phase"], second["score"]) == ("mlp-001", "confirm", None)
    assert (third["id"], third["phase"], third["score"], third["steps"]) == ("mlp-000", "screen", 0.35, 200)
    assert (third["lanes"], third["of_lanes"]) == (1, 1)


def test_a_tune_shows_the_same_by_its_own_metric(stopped: Run) -> None:
    write_atomically(stopped.plan, dump_json({"plan": PLAN.to_json(), "ways": [], "shared_out": None}))
    shutil.rmtree(stopped.checkpoints)
    looks = state(200, mlp_000_f0=[(1.0, 0.5)], mlp_001_f0=[(1.0, 0.75)])
    journal = RunJournal(stopped.checkpoints)
    journal.save("screen-1.0000-1", {}, {**looks, "metric": "hits", "direction": "max"})
    own = '{"kind": "tune", "source": "/x/mine.py:make_model", "settings": {"model": "/x/mine.py:make_model"}}'
    found = unfinished(replace(stopped, config_text=own))
    assert found is not None
    assert (found["kind"], found["target"]) == ("tune", "make_model")
    assert found["metric"] == {"name": "hits", "direction": "max"}
    assert [card["id"] for card in found["candidates"]] == ["mlp-001", "mlp-000"]
    assert found["left"] is None
    assert (
        "\n2 of 4 candidates looked at in what is saved; best so far: mlp 64x2, adamw, lr 0.01, "
        in unfinished_table(found, width=80)
    )
    found["planned"] = 2
    assert "\nAll 2 candidates were looked at; best so far: mlp" in unfinished_table(found, width=80)
    found |= {"planned": 4, "left": 4}
    assert "\n4 candidates, none dropped; best so far: mlp" in unfinished_table(found, width=80)
    assert "more is better" in unfinished_table(found, width=80)


@pytest.mark.parametrize(
    ("changes", "later", "left"),
    [
        ({"confirmed": ("lightgbm-000", "mlp-001", "linear-000")}, False, 3),
        ({}, True, 2),
        ({"rungs": ()}, True, None),
    ],
    ids=["the plan names them", "all were looked at", "no screen"],
)
def test_who_is_left_is_counted_where_it_is_known(stopped: Run, changes: Any, later: bool, left: int | None) -> None:
    write_atomically(stopped.plan, dump_json(replace(PLAN, **changes).to_json()))
    if later:
        RunJournal(stopped.checkpoints).save("refit-1.0000-0", {}, {"evidence": [], "length": 100})
    found = unfinished(stopped)
    assert found is not None
    assert found["left"] == left
    assert (f"\n{left} left of 4 candidates; best so far" in unfinished_table(found, width=80)) == (left is not None)


def test_a_run_without_a_plan_has_nothing_to_show(stopped: Run) -> None:
    stopped.plan.unlink()
    assert unfinished(stopped) is None


def test_a_terminal_of_80_columns_shows_them_and_the_way_on(stopped: Run) -> None:
    found = unfinished(stopped)
    assert found is not None
    text = unfinished_table(found, width=80)
    assert max(map(columns_of, text.splitlines())) <= 80
    assert f"Run {stopped.id} was stopped, in the confirmation; it has no result yet." in text
    assert "\n2 of 4 candidates in the confirmation so far; best so far: lightgbm, 0.400.\n" in text
    assert "Log loss on validation rows so far, the mean over lanes, less is better:" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["0.400", "30", "rounds", "(30%)", "2", "of", "2", "lightgbm", "(the", "default)"] in rows
    assert rows.index(["confirmation:"]) < rows.index(["screen:"])
    assert "Of 1 planned candidate no look is saved yet." in text
    assert text.endswith(f"  go on  lanewise resume {stopped.id}\n")


def test_a_run_that_was_killed_before_its_plan_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        run = store.create(command="lanewise fit t.csv", config={"settings": {}})
        store.interrupt(run.id)
    with pytest.raises(
        UsageError, match=rf"{run.id} was stopped before its race was planned, .*lanewise resume {run.id}"
    ):
        CliRunner().invoke(show, ["last"], catch_exceptions=False)


def test_a_stopped_run_whose_folder_was_removed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        run = store.create(command="lanewise fit t.csv", config={"settings": {}})
        store.interrupt(run.id)
    shutil.rmtree(run.folder)
    with pytest.raises(UsageError, match=rf"its folder .*{run.id} is gone; start it anew with: lanewise fit t.csv"):
        CliRunner().invoke(show, ["last"], catch_exceptions=False)


def test_where_no_lane_has_a_score_yet_no_best_is_named(stopped: Run) -> None:
    shutil.rmtree(stopped.checkpoints)
    RunJournal(stopped.checkpoints).save("screen-1.0000-1", {}, state(200, mlp_000_f0=[(0.1, None)]))
    found = unfinished(stopped)
    assert found is not None
    assert "\n1 of 4 candidates looked at in what is saved; none has a score yet.\n" in unfinished_table(
        found, width=80
    )


def test_what_a_file_holds_cannot_steer_the_terminal(stopped: Run) -> None:
    found = unfinished(stopped)
    assert found is not None
    found["candidates"][0]["label"] = "\x1b[2Jgone"
    assert "\x1b" not in unfinished_table(found, width=80)
