"""``lanewise find-rate`` and ``lanewise find-batch`` over a file of the user's."""

import json

import pytest
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.errors import LanewiseError, UsageError

FILE = """
import torch

X = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
y = (X[:, 0] > 0).long()

def make_model():
    return torch.nn.Linear(3, 2)

def data():
    return (X[:80], y[:80]), (X[80:], y[80:])

def step(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

def groups(model):
    return [{"params": model.bias, "lr_factor": 0.0}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--quiet"], catch_exceptions=False, standalone_mode=False)
    return done.output


USUAL = ("mine.py:make_model", "--data", "mine.py:data")


def test_a_step_and_groups_of_ones_own(folder) -> None:
    learning = ("--step", "mine.py:step", "--groups", "mine.py:groups")
    assert "train with a rate of" in run("find-rate", *USUAL, *learning, "--rates", "9", "--steps", "20")
    assert "train with batches of" in run("find-batch", *USUAL, *learning, "--seconds", "0.05", "--start-size", "16")
    with pytest.raises(UsageError, match="2 settings are off"):
        run("find-rate", *USUAL, "--step", "mine.py:no", "--groups", "mine.py:none")


def test_rates_from_the_shell(folder) -> None:
    settings = ("--optimizers", "sgd, adam", "--rates", "9", "--steps", "40", "--low", "1e-4")
    text = run("find-rate", *USUAL, *settings, "--report", "rates.html")
    lines = text.splitlines()
    assert {line.split(":")[0] for line in lines[:2]} == {"sgd", "adam"}
    assert lines[2] == "after 40 steps of 16 rows at a constant rate, judged on 40 validation rows"
    assert "stable edge" in (folder / "rates.html").read_text()


@pytest.mark.usefixtures("folder")
def test_rates_as_json() -> None:
    document = json.loads(run("find-rate", *USUAL, "--rates", "5", "--steps", "20", "--json"))
    (curve,) = document["curves"]
    assert len(curve["rates"]) == len(curve["losses"]) == 5
    assert document["steps"] == 20


def test_a_batch_size_from_the_shell(folder) -> None:
    settings = ("--optimizer", "sgd", "--lr", "0.1", "--start-size", "16", "--seconds", "0.05", "--steps", "20")
    text = run("find-batch", *USUAL, *settings, "--report", "batch.html")
    assert text.startswith("sgd: train with batches of ")
    assert "rows per second" in text
    assert "Throughput" in (folder / "batch.html").read_text()
    document = json.loads(run("find-batch", *USUAL, *settings, "--json"))
    assert document["sizes"] == [8, 16]  # eight batches an epoch at least
    assert document["start"] == {"batch_size": 16, "lr": 0.1}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", ["find-rate", "find-batch"])
def test_mistakes(command) -> None:
    with pytest.raises(LanewiseError, match="there is no folder no"):
        run(command, *USUAL, "--report", "no/where.html")
    with pytest.raises(LanewiseError, match="there is no loss 'hinge'"):
        run(command, *USUAL, "--loss", "hinge")


@pytest.mark.usefixtures("folder")
def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        run("find-rate", "mine.py:no", "--data", "mine.py:none", "--rates", "1", "--steps", "3", "--optimizers", "sdg")
    begins = ["mine.py has no 'no'", "mine.py has no 'none'", "rates must", "steps must", "there is no optimizer 'sdg'"]
    lines = str(caught.value).split("\n  ")[1:]
    assert [line[: len(own)] for line, own in zip(lines, begins, strict=True)] == begins
    with pytest.raises(UsageError) as caught:
        run("find-batch", *USUAL, "--seconds", "0", "--start-size", "0", "--optimizer", "sdg")
    begins = ["start_size must", "seconds must be above 0, got 0", "there is no optimizer 'sdg'"]
    lines = str(caught.value).split("\n  ")[1:]
    assert [line[: len(own)] for line, own in zip(lines, begins, strict=True)] == begins
