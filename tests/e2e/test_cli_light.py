"""Commands that only look things up start at once: they load nothing of weight. Help reads well."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import polars as pl
import pytest
import torch

from lanewise.cli.main import cli as group
from lanewise.training.torch_build import no_cuda

HEAVY = ("torch", "sklearn", "scipy", "polars", "numpy", "pandas", "pydantic", "lightgbm", "jinja2", "onnx",
         "lanewise.distributed.stated_work", "secrets", "socket")  # fmt: skip  # each a tenth of a start
COMMANDS = tuple(group.commands)


def loaded(cli, folder, *arguments, home) -> list[str]:
    """Which modules of weight a command has loaded by its end."""
    code = (
        "import sys\nfrom lanewise.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        f"sys.stderr.write('LOADED ' + ' '.join(m for m in {(*HEAVY, 'rich')!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=cli.variables(home=home),
    )
    return done.stderr.split("LOADED")[1].split()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["fit", "--help"], ["runs"], ["runs", "--json"], ["show", "--json"], ["report"],
     ["report", "-o", "r.html"], ["completion", "zsh"], ["minimize", "--help"], ["compare", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_light_commands_load_nothing_of_weight(cli, folder, finished, arguments):
    assert loaded(cli, folder, *arguments, home=finished["home"]) == []


def first_words(cli, folder, *arguments) -> tuple[str, str]:
    """The exit code of a command and whether it has loaded torch, and what it said."""
    code = (
        "import sys\nfrom lanewise.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    print(ended.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=cli.variables(),
    )
    return done.stdout, done.stderr


TOLD_EARLY = {
    "fit nowhere.csv --target y": "no file nowhere.csv: check the path",
    "fit good.csv --target y --test nowhere.csv": "no file nowhere.csv: check the path",
    "fit good.csv --target yy": "no column 'yy' in good.csv: did you mean 'y'?",
    "fit long.csv --target yy": "no column 'yy' in long.csv: did you mean 'y'?",
    "fit good.csv --target y --weight ww": "--weight names 'ww', no column of good.csv: did you mean 'w'?",
    "fit good.csv --target y --losses hinge --models tree": "--losses are for the models mlp and linear, and only tree",
    "fit good.csv --target y --optimizers lbfgs --schedules step": "--schedules are for optimizers that follow one, ",
    "fit numbers.csv --target price --task binary": "binary needs exactly two classes, and 'price' has ",
    "fit good.parquet --target yy": "no column 'yy' in good.parquet: did you mean 'y'?",
    "fit empty.csv --target y": "empty.csv is empty: it has no bytes; give a file with a table",
    "fit noise.csv --target y": "noise.csv is binary data, not a table (it holds NUL bytes): give CSV, TSV, ",
    "fit misnamed.parquet --target y": "misnamed.parquet is no Parquet file, whatever its name says: ",
    "fit none*.parquet --target y": "no file matches none*.parquet: check the pattern",
    "fit hollow --target y": "hollow is an empty folder, without a Parquet or Arrow file: ",
    "fit example:nope": "there is no example 'nope'; there are breast-cancer, diabetes, digits, iris, wine",
    "fit good.csv --target y --folds 1": "--folds must be at least 2, got 1",
    "fit good.csv --target y --metric acuracy": "--metric may not be 'acuracy'; did you mean accuracy?",
    "fit good.csv --target y --nope": "there is no option --nope; see: lanewise fit --help",
    "fit /dev/zero --target y": "/dev/zero is binary data, not a table (it holds NUL bytes): give CSV, TSV, ",
    "fit /dev/null --target y": "/dev/null is empty: it has no bytes; give a file with a table",
    "predict last nowhere.csv": "no file nowhere.csv: check the path",
    "predict last empty.csv": "empty.csv is empty: it has no bytes; give a file with a table",
}


def test_what_can_be_told_at_once_is_told_before_anything_of_weight_is_loaded(cli, folder, finished):
    (folder / "empty.csv").touch()
    pl.DataFrame({"a": [1, 2], "y": ["no", "yes"]}).write_parquet(folder / "good.parquet")
    (folder / "hollow").mkdir()
    (folder / "noise.csv").write_bytes(bytes(range(256)) * 2000)
    (folder / "misnamed.parquet").write_text("a,y\n1,2\n")
    (folder / "long.csv").write_text("a,y\n" + "12345,67890\n" * 30_000)
    code = (
        "import sys\nfrom lanewise.cli import main\n"
        f"for line in {list(TOLD_EARLY)!r}:\n"
        "    sys.argv = ['lanewise', *line.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        print(ended.code, 'torch' in sys.modules)\n"
        "sys.argv = ['lanewise', 'resume', 'last']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=cli.variables(home=finished["home"]),
    )
    *refused, resumed, ended = done.stdout.splitlines()
    assert refused == ["2 False"] * len(TOLD_EARLY)
    assert "is done; there is nothing to resume; see it with: lanewise show " in resumed
    assert ended == "0 False"
    for line, words in zip(done.stderr.splitlines(), TOLD_EARLY.values(), strict=True):
        assert line.startswith(f"lanewise: {words}")


@pytest.mark.skipif(bool(torch.version.cuda or torch.version.hip), reason="this PyTorch knows GPUs")
def test_a_gpu_that_pytorch_is_not_built_for_is_refused_before_it_is_loaded(cli, folder):
    assert first_words(cli, folder, "fit", "good.csv", "--target", "y", "--device", "cuda") == (
        "2 False\n",
        f"lanewise: device cuda is not there: {no_cuda(torch.__version__)}\n",
    )


def test_what_is_right_passes_the_first_look(cli, folder, finished):
    """Pipes are not read by it, and columns in doubt are not refused."""
    (folder / "late.csv").write_text("1,2,no\n" * 60_000)
    for given in (["late.csv"], ["/dev/stdin"]):
        ended = cli("fit", *given, "--target", "column_3", "--models", "tree", "--task", "binary", "--budget", "1steps",
                    "--json", folder=folder, stdin=(folder / "late.csv").read_bytes())  # fmt: skip
        assert (ended.code, "a target needs at least two different values" in ended.err) == (2, True), ended.err


def test_a_function_that_is_not_there_is_told_before_anything_of_weight_is_loaded(cli, folder):
    told = first_words(cli, folder, "minimize", "nowhere.py:cost")
    assert told == ("2 False\n", "lanewise: no file nowhere.py: check the path\n")


def test_the_package_runs_as_a_module(folder):
    done = subprocess.run(
        [sys.executable, "-m", "lanewise", "--version"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("lanewise, version ")


def test_show_loads_rich_for_its_summary_and_no_more(cli, folder, finished):
    assert loaded(cli, folder, "show", home=finished["home"]) == ["rich"]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns_and_cuts_nothing(cli, folder, command):
    ended = cli(*([command] if command else []), "--help", folder=folder, COLUMNS="80")
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert not re.search(r"[a-z,]\.\.\.$", ended.out, re.MULTILINE)


def test_without_a_command_there_is_help(cli, folder):
    ended = cli(folder=folder)
    assert ended.code == 0
    assert ended.out == cli("--help", folder=folder).out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_and_runs(cli, folder, finished):
    script = cli("completion", "bash", folder=folder)
    assert script.code == 0
    done = subprocess.run(["bash", "-n"], input=script.out, text=True, check=True, capture_output=True)
    assert done.stderr == ""
    assert completed(cli, folder, finished, "lanewise fi", 1) == ["fit", "find-rate", "find-batch"]
    assert "--budget" in completed(cli, folder, finished, "lanewise fit x.csv --b", 3)
    assert completed(cli, folder, finished, "lanewise fit example:d", 2) == [
        "example:diabetes",
        "example:digits",
        "example:d",
    ]
    assert completed(cli, folder, finished, "lanewise fit x.csv --search ha", 4) == ["halving"]
    assert completed(cli, folder, finished, "lanewise show 2", 2) == [finished["run"]]
    assert completed(cli, folder, finished, "lanewise minimize boo", 2)[0] == "booth"
    some = completed(cli, folder, finished, "lanewise compare booth --methods gd,newt", 4)
    assert some == ["gd,newton", "gd,newton-cg"]
    assert completed(cli, folder, finished, "lanewise minimize booth --method newt", 4) == ["newton", "newton-cg"]


def test_fish_keeps_what_follows_a_comma_of_a_completion(cli, folder):
    script = cli("completion", "fish", folder=folder)
    assert script.code == 0
    (cut,) = (line for line in script.out.splitlines() if "string split" in line)
    assert 'string split --max 1 "," $completion' in cut
    if shutil.which("fish") is None:
        return
    (folder / "lanewise").write_text(f'#!/bin/sh\nexec {shlex.join(cli.command())} "$@"\n')
    (folder / "lanewise").chmod(0o755)
    asked = f"{script.out}\ncomplete -C 'lanewise compare booth --methods gd,newt'"
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["fish", "--no-config"], input=asked, text=True, check=True, capture_output=True, env=cli.variables(PATH=path)
    )
    assert done.stdout.split() == ["gd,newton", "gd,newton-cg"]


def completed(cli, folder, finished, words: str, place: int) -> list[str]:
    """What the script asks lanewise for, and what it answers."""
    asked = {"_LANEWISE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        cli.command(),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**cli.variables(home=finished["home"]), **asked, "PATH": os.environ["PATH"]},
    )
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()]
