"""``lanewise tune`` as a run: listed, shown, gone on with, repeated."""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

import lanewise
from lanewise.cli.main import cli
from lanewise.data import streaming
from lanewise.errors import DataError, Interrupted, UsageError
from lanewise.lanes import windows
from lanewise.runs.comparing import differences
from lanewise.runs.store import RunStore
from lanewise.storage.strict_json import dump_json, load_json
from lanewise.tuning import from_files
from lanewise.tuning.inputs.loading import named

FILE = """
import torch

X = torch.randn(160, 3, generator=torch.Generator().manual_seed(0))
y = (X[:, 0] + X[:, 1] > 0).long()
candidates = [
    {"optimizer": "sgd", "lr": 1e-3}, {"optimizer": "sgd", "lr": 0.5}, {"optimizer": "adamw", "lr": 1e12},
    {"optimizer": "adamw", "lr": 0.05}, {"optimizer": "adamw", "lr": 1e-4, "average_every": 4, "outer_momentum": 0.9},
]

def make_model():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))

def exact():
    return make_model().double()

def data():
    return (X[:100], y[:100]), (X[100:], y[100:])

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = torch.nn.Embedding(5, 2), torch.nn.Linear(3, 2)

    def forward(self, numbers, codes):
        return self.head(torch.cat([numbers, self.table(codes[:, 0])], 1))
"""
USUAL = ("mine.py:make_model", "--data", "mine.py:data", "--budget", "30steps", "--candidates", "mine.py:candidates")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "mine.py", FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "home"))
    return tmp_path


def write(path: Path, text: str) -> None:
    """A file of the user's, as a new process would find it."""
    path.write_text(text)
    sys.modules.pop(f"lanewise_user_{path.resolve()}", None)


def run(*arguments: str, obj: float | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, obj=obj)


def document_of(reference: str = "last") -> dict[str, Any]:
    return json.loads(run("show", reference, "--json").output)


def stopped(monkeypatch: pytest.MonkeyPatch, look: int, *arguments: str) -> str:
    """The id of the race that the command does, killed at that look."""
    looks = itertools.count(1)

    def watch(own: Any, pulse: Any) -> None:
        if next(looks) >= look:  # a second team may come to its look before it hears
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("lanewise.cli.screen.Screen.pulse", watch)
        with pytest.raises(Interrupted):
            run(*arguments)
    with RunStore.open() as store:
        return store.get("last").id


def test_a_race_is_listed_shown_and_reported(folder: Path) -> None:
    said = run("tune", *USUAL, "--quiet").output
    name = document_of()["run"]
    lines = said.splitlines()
    assert lines[0].startswith(("sgd wins", "adamw wins"))
    assert [line.split() for line in lines[-2:]] == [
        ["weights", f"{folder}/home/runs/{name}/model/model.safetensors"],
        ["report", f"{folder}/home/runs/{name}/report.html"],
    ]
    assert run("show", name).output == said
    assert run("report", name).output.strip() == lines[-1].split()[1]
    (row,) = json.loads(run("runs", "--json").output)["runs"]
    assert (row["run"], row["kind"], row["target"], row["status"]) == (name, "tune", "make_model", "done")
    assert row["score"] == document_of()["race"]["leaderboard"][0]["score"]
    assert row["source"] == f"{folder}/mine.py:make_model"
    assert f"{row['score']:.2g}"[:4] in run("runs").output
    with pytest.raises(UsageError, match="is a tune of your own model, which only your code can run; its weights: "):
        run("predict", name, "rows.csv")
    with pytest.raises(UsageError, match="is a tune: its weights are for your own module"):
        lanewise.load(name)


@pytest.mark.usefixtures("folder")
def test_it_goes_on_and_repeats_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    run("tune", *USUAL, "--quiet")
    whole = document_of()
    name = stopped(monkeypatch, 4, "tune", *USUAL)
    with pytest.raises(UsageError, match=f"run {name} is interrupted: only what is done can be repeated; go on with"):
        run("repeat", name)
    shown = run("show", name).output
    assert f"Run {name} was stopped, in the confirmation" in shown
    assert shown.endswith(f"  go on  lanewise resume {name}\n")
    assert "  tune  mine.py:data  make_model  " in run("runs").output
    unfinished = f"run {name} is interrupted and has no model; go on with: lanewise"
    for command in (("predict", name, "rows.csv"), ("export", name, "model.onnx")):
        with pytest.raises(UsageError, match=f"{unfinished} resume {name}"):
            run(*command)
    with pytest.raises(UsageError, match=unfinished):
        lanewise.load(name)
    long_ago = time.monotonic() - 3600  # the start of this process, as far as the command knows
    assert json.loads(run("resume", "--json", "--quiet", obj=long_ago).output)["run"] == name
    assert "It took 1 h since it was resumed" in run("show", name).output
    assert list(differences(document_of(name), whole)) == []
    with pytest.raises(UsageError, match="is done; there is nothing to resume"):
        lanewise.resume(name)
    said = run("repeat", name, "--quiet")
    assert said.exit_code == 0
    assert f"the same as run {name}: every decision" in said.output
    again = document_of()
    assert again["repeats"] == {"run": name, "same": True, "differences": []}
    assert again["model_sha256"] == whole["model_sha256"]


@pytest.mark.usefixtures("folder")
def test_a_race_in_seconds_is_repeated_by_its_plan_even_after_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = (*USUAL[:3], "--budget", "3s", "--candidates", "2", "--quiet")
    run("tune", *timed)
    name = document_of()["run"]
    stopped(monkeypatch, 3, "repeat", name)
    assert lanewise.resume("last").document["repeats"] == {"run": name, "same": True, "differences": []}


def test_processor_time_counts_from_when_the_clock_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "mine.py", FILE + "\nfrom lanewise.explain import usage\nused = usage()\n")
    posed: list[Any] = []

    def race(own: Any, watch: Any, keeping: Any) -> None:
        posed.append((own.before, named("mine.py:used")))
        raise Interrupted

    monkeypatch.setattr(from_files, "race", race)
    arguments = dict(zip(("data", "budget", "candidates"), USUAL[2::2], strict=True))
    with pytest.raises(Interrupted):
        from_files.tune_files(command="", model=USUAL[0], **arguments)
    write(folder / "mine.py", (folder / "mine.py").read_text())
    with pytest.raises(Interrupted):
        lanewise.resume()
    for before, when_read in posed:
        assert before.seconds < when_read.seconds
        assert before.cpu_seconds < when_read.cpu_seconds
    assert len(posed) == 2


@pytest.mark.usefixtures("folder")
def test_a_budget_that_was_overrun_is_named_beside_what_was_used() -> None:
    long_ago = time.monotonic() - 3600  # the start of this process, as far as the command knows
    timed = ("tune", *USUAL[:3], "--candidates", "2", "--quiet")
    text = run(*timed, "--budget", "3s", obj=long_ago).output
    assert text.count("It took 1 h, with a budget of 3 s") == 1
    assert "By stage: loading the program 1 h" in text
    document = document_of()
    assert document["warnings"] == ["It took 1 h, with a budget of 3 s"]
    assert document["hardware"]["budget_seconds"] == 3
    assert document["seconds"] == document["hardware"]["seconds"] > 3600
    assert "with a budget of" not in run(*timed, "--budget", "20steps", obj=long_ago).output


@pytest.mark.usefixtures("folder")
def test_what_comes_out_otherwise_is_told() -> None:
    run("tune", *USUAL, "--quiet")
    with RunStore.open() as store:
        first = store.get("last")
        document = dict(first.document or {})
        document["model_sha256"] = "0" * 64
        store.finish(first.id, document)
    said = run("repeat", "--quiet")
    assert said.exit_code == 1
    assert f"not the same as run {first.id}: model_sha256 differs;" in said.output


@pytest.mark.usefixtures("folder")
def test_every_lane_alone_comes_out_the_same() -> None:
    run("tune", "mine.py:exact", *USUAL[1:], "--policy", "racing", "--quiet")
    curves = document_of()["race"]["curves"]
    assert {curve["phase"] for curve in curves} >= {"confirm"}
    compared = 0
    for curve in curves:
        if not curve["x"]:
            continue
        said = run("repeat", "--lane", str(curve["lane"]), "--json")
        found = json.loads(said.output)
        assert said.exit_code == 0, found
        assert found["looks"] == len(curve["x"])
        assert found["allowed"] < 1e-9
        compared += 1
    assert compared >= 6
    with pytest.raises(UsageError, match=f"has lanes 0 to {len(curves) - 1}, got 99; its document counts them"):
        run("repeat", "--lane", "99")


def test_a_lane_that_came_out_otherwise_is_told(folder: Path) -> None:
    run("tune", *USUAL, "--quiet")
    name = document_of()["run"]
    path = folder / "home" / "runs" / name / "lanes.json"
    kept = load_json(path)
    kept["lanes"][0]["scores"][-1] *= 1.01
    path.write_bytes(dump_json(kept))
    said = run("repeat", "--lane", "0")
    assert said.exit_code == 1
    assert "is NOT the same alone" in said.output


CHANGES = [
    ("candidates = [", "candidates = [\n", r"mine\.py has changed since run .* began; restore it, or start a new run"),
    (FILE, "", r"mine\.py has changed since"),
]


@pytest.mark.parametrize(("old", "new", "words"), CHANGES, ids=["a space", "everything"])
def test_a_changed_file_is_refused_before_it_is_run(
    old: str, new: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stopped(monkeypatch, 1, "tune", *USUAL)
    write(folder / "mine.py", FILE.replace(old, new))
    with pytest.raises(DataError, match=words):
        run("resume")
    (folder / "mine.py").unlink()
    with pytest.raises(DataError, match=r"mine\.py is gone, which run .* began with"):
        run("resume")
    write(folder / "mine.py", FILE)
    assert lanewise.resume(name).run == name


def test_data_that_have_changed_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = FILE.replace("torch.randn(160, 3, generator=torch.Generator().manual_seed(0))", "torch.load('rows.pt')")
    write(folder / "mine.py", read)
    import torch

    draw = torch.randn(160, 3, generator=torch.Generator().manual_seed(1))
    torch.save(draw, folder / "rows.pt")
    name = stopped(monkeypatch, 1, "tune", *USUAL)
    torch.save(draw + 1e-6, folder / "rows.pt")
    write(folder / "mine.py", read)
    with pytest.raises(DataError, match=rf"order\) have changed since run {name} began; undo that change"):
        run("resume")


def test_a_run_from_python_says_how_it_goes_on(folder: Path) -> None:
    import torch

    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    given: dict[str, Any] = {"train": (X[:40], X[:40, :1]), "valid": (X[40:], X[40:, :1]), "loss": torch.nn.MSELoss()}
    found = lanewise.tune(
        lambda: torch.nn.Linear(3, 1), **given, candidates=1, budget="20steps", home=folder / "home", name="mine"
    )
    with pytest.raises(UsageError, match=r"with objects in memory; call lanewise\.tune again with .* name='mine'"):
        lanewise.repeat(str(found.run))


def test_a_table_is_raced_and_gone_on_with_to_the_same_bits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(windows, "FEWEST_PLACED", 64)
    monkeypatch.setattr(windows, "PLACED_BYTES", 0)
    a, towns = np.random.default_rng(0).normal(size=900), np.random.default_rng(1).choice(["Oslo", "Rome"], 900)
    table = pl.DataFrame({"a": a, "town, old": towns, "n": np.arange(900), "label": np.where(a > 0, "up", "down")})
    (folder / "table").mkdir()
    table.write_parquet(folder / "table" / "0.parquet")
    asked = ["tune", "mine.py:Net", "--data", "table", "--target", "label", "--inputs", 'a, "town, old"', "--quiet"]
    asked += ["--budget", "30steps", "--candidates", "2", "--workers", "1"]
    assert run(*asked).exit_code == 0
    whole = document_of()
    identifier = stopped(monkeypatch, 2, *asked)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert run("resume", identifier, "--quiet").exit_code == 0
    assert document_of()["model_sha256"] == whole["model_sha256"]
    table.with_columns(a=-pl.col("a")).write_parquet(folder / "table" / "0.parquet")
    with pytest.raises(DataError, match="the data"):
        run("repeat", identifier, "--quiet")
    with pytest.raises(UsageError, match="valid is for a table; give its target too"):
        run("tune", f"{folder}/mine.py:Net", "--data", f"{folder}/mine.py:data", "--valid", "0.3")
