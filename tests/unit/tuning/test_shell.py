"""``lanewise tune`` over a file of the user's."""

import json

import click
import pytest
import torch
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.cli.wording import as_options, options_of
from lanewise.errors import LanewiseError, UsageError
from lanewise.storage.tensorfile import read_tensors
from lanewise.tuning.inputs.loading import loss_of, named
from lanewise.tuning.named_metrics import NAMES

FILE = """
import torch
from beside import WIDTH

X = torch.randn(90, WIDTH, generator=torch.Generator().manual_seed(0))
y = (X[:, 0] > 0).long()
candidates = [{"optimizer": "sgd", "lr": 1e-3}, {"optimizer": "sgd", "lr": 0.5}]

def make_model():
    return torch.nn.Linear(WIDTH, 2)

def data():
    return (X[:60], y[:60]), (X[60:], y[60:])

def alone():
    return X, y

def four():
    return X[:60], y[:60], X[60:], y[60:]

def broken():
    raise ValueError("no such\\ndata")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["tune", *arguments], catch_exceptions=False, standalone_mode=False)
    return done.output


USUAL = ("mine.py:make_model", "--data", "mine.py:data", "--budget", "40steps", "--candidates", "mine.py:candidates")


def test_a_race_from_the_shell(folder) -> None:
    text = run(*USUAL, "--weights", "best.safetensors", "--report", "race.html", "--quiet")
    assert text.startswith("sgd wins with a validation loss of")
    assert text.count("wins with") == 1, "why it won does not say again that it did"
    assert "\nIt is better than the default, sgd at 0.001 (" in text
    assert [line.split() for line in text.splitlines()[-2:]] == [
        ["weights", "best.safetensors"],
        ["report", "race.html"],
    ]
    assert "How it was raced\n  2 candidates, 40 steps each, policy halving" in text
    assert "lr 0.5" in text
    assert 'id="race"' in (folder / "race.html").read_text()
    content = bytearray((folder / "best.safetensors").read_bytes())
    tensors = read_tensors(content, "torch", source="best")
    model = torch.nn.Linear(3, 2)
    model.load_state_dict(tensors)
    draw = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
    assert ((model(draw).argmax(1) == (draw[:, 0] > 0)).double().mean()) > 0.9


@pytest.mark.usefixtures("folder")
def test_the_document_is_json_and_progress_goes_elsewhere() -> None:
    document = json.loads(run(*USUAL, "--json", "--quiet", "--metric", "accuracy"))
    assert document["metric"]["name"] == "accuracy"
    assert document["winner"]["hyperparameters"]["lr"] == 0.5
    assert len(document["race"]["curves"]) == 2


MISTAKES = [
    (["mine.py:nothing", "--data", "mine.py:data"], "mine.py has no 'nothing'; it has torch, WIDTH, X"),
    (["mine", "--data", "mine.py:data"], "name an object as FILE:NAME, such as mymodel.py:make_model, got 'mine'"),
    (["other.py:make", "--data", "mine.py:data"], "there is no file other.py"),
    (["mine.py:make_model", "--data", "mine.py:broken"], "mine.py:broken failed: ValueError: no such"),
    (
        ["mine.py:make_model", "--data", "mine.py:WIDTH"],
        r"must give \(\(X, y\), \(X_valid, y_valid\)\), .* None with --folds; got int",
    ),
    (
        ["mine.py:make_model", "--data", "mine.py:alone"],
        r"must give \(\(X, y\), \(X_valid, y_valid\)\), .*; got \(X, y\), rows to train on without rows to judge by",
    ),
    (["mine.py:make_model", "--data", "mine.py:four"], "None with --folds; got a tuple of 4"),
    (["mine.py:make_model", "--data", "mine.py:data", "--loss", "hinge"], "there is no loss 'hinge'; there are cross"),
    (["mine.py:make_model", "--data", "mine.py:data", "--report", "no/r.html"], "there is no folder no"),
    (["mine.py:make_model"], "[Mm]issing"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_mistakes_are_told_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises((LanewiseError, click.UsageError), match=words) as caught:
        run(*arguments, "--quiet")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("folder")
def test_mistakes_that_do_not_depend_on_each_other_are_told_at_once() -> None:
    wrong = ("--policy", "guess", "--search", "sobal", "--metric", "f3", "--device", "tpu", "--precision", "half")
    with pytest.raises(UsageError, match=r"\A5 settings are off:(\n  [a-z]+ must be .*){5}\Z"):
        run(*USUAL, *wrong, "--quiet")
    named = (
        "mine.py:nothing",
        "--data",
        "mine.py:data",
        "--space",
        "no.py:space",
        "--loss",
        "hinge",
        "--budget",
        "soon",
    )
    with pytest.raises(UsageError) as caught:
        run(*named, "--quiet")
    assert [line.split(";")[0] for line in str(caught.value).split("\n  ")] == [
        "4 settings are off:",
        "mine.py has no 'nothing'",
        "there is no file no.py",
        "there is no loss 'hinge'",
        "budget must be a time such as 30s, 10min, 1h or 1h30min, or steps such as 2000steps, got 'soon'",
    ]


def test_a_file_that_fails_says_why(folder) -> None:
    (folder / "bad.py").write_text("import torch\n1 / 0\n")
    with pytest.raises(UsageError, match=r"bad.py failed: ZeroDivisionError: division by zero"):
        named("bad.py:make")


def test_the_loss_follows_from_the_targets() -> None:
    whole, real = torch.zeros(4, dtype=torch.int64), torch.zeros(4)
    assert loss_of(None, (real, whole)) is torch.nn.functional.cross_entropy
    assert loss_of(None, (real, real)) is torch.nn.functional.mse_loss
    assert loss_of("l1", (real, real)) is torch.nn.functional.l1_loss


FORMS = """
import torch
from torch.utils.data import TensorDataset

X = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
y = (X[:, 0] > 0).long()

def make_model(width=4):
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))

def sets():
    return TensorDataset(X[:60], y[:60]), TensorDataset(X[60:], y[60:])

def folds():
    return (X, y), None

def step(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

candidates = [{"lr": 1e-3, "width": 3}, {"lr": 0.03, "width": 5}]
"""


@pytest.mark.parametrize(
    "arguments", [["--data", "forms.py:sets"], ["--data", "forms.py:folds", "--folds", "2", "--step", "forms.py:step"]]
)
def test_data_sets_folds_and_steps_from_the_shell(folder, arguments: list[str]) -> None:
    (folder / "forms.py").write_text(FORMS)
    given = ["forms.py:make_model", *arguments, "--candidates", "forms.py:candidates", "--budget", "40steps", "--quiet"]
    assert "width 5" in run(*given)


@pytest.mark.usefixtures("folder")
def test_the_shell_does_not_offer_what_only_python_can_be_given() -> None:
    wrong = ("--policy", "best", "--metric", "f3", "--loss", "mse", "--step", "mine.py:make_model")
    with pytest.raises(UsageError) as caught:
        run(*USUAL, *wrong, "--quiet")
    assert as_options(str(caught.value), options_of(cli.commands["tune"])).split("\n  ") == [
        "3 settings are off:",
        "give either --loss or --step; got both",
        f"--metric must be one of {', '.join(NAMES)}, got 'f3'",
        "--policy must be one of halving, hyperband, racing, population, genetic, never, got 'best'",
    ]


SPACES = """
space = {"optimizer": ["adamw"], "lr": [1e-3, 1e-1], "width": [8, 32]}
listed = ({"optimizer": "adamw", "width": 8},)
"""


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        # Whether there is a setting width only the function that was not found could say.
        (("mine.py:nothing", "--space", "spaces.py:space"), ["mine.py has no 'nothing'"]),
        (("mine.py:nothing", "--space", "spaces.py:space", "--search", "grid"), ["mine.py has no 'nothing'"]),
        (("mine.py:nothing", "--candidates", "spaces.py:listed"), ["mine.py has no 'nothing'"]),
        (
            ("mine.py:nothing", "--candidates", "0"),
            ["mine.py has no 'nothing'", "candidates must be at least 1, got 0"],
        ),
        (("mine.py:make_model", "--search", "grid", "--space", "spaces.py:no"), ["spaces.py has no 'no'"]),
        (("mine.py:make_model", "--search", "grid"), ["a grid needs a space that names what to vary"]),
    ],
)
def test_what_hangs_on_something_that_was_not_found_is_not_told(folder, arguments: tuple[str], more: list[str]) -> None:
    (folder / "spaces.py").write_text(SPACES)
    with pytest.raises(UsageError) as caught:
        run(*arguments, "--data", "mine.py:data", "--workers", "0", "--quiet")
    lines = [line.partition(";")[0].partition(", such")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert lines == [*more, "workers must be at least 1, got 0"]


@pytest.mark.usefixtures("folder")
def test_numbers_files_and_settings_of_a_table_that_are_off_are_told_with_all_the_rest() -> None:
    wrong = (
        "--folds",
        "two",
        "--workers",
        "0",
        "--report",
        "no/r.html",
        "--valid",
        "0.3",
        "--inputs",
        "a",
        "--policy",
        "x",
    )
    with pytest.raises(UsageError) as caught:
        run(*USUAL, *wrong, "--candidates", "many", "--quiet")
    told = as_options(str(caught.value), options_of(cli.commands["tune"])).split("\n  ")
    assert [line.partition(";")[0] for line in told] == [
        "7 settings are off:",
        "--folds must be a whole number, got 'two'",
        "cannot write no/r.html: there is no folder no",
        "--candidates must be a whole number, or a list of settings as FILE:NAME, got 'many'",
        "--inputs is for a table",
        "--valid is for a table",
        "--policy must be one of halving, hyperband, racing, population, genetic, never, got 'x'",
        "--workers must be at least 1, got 0",
    ]
