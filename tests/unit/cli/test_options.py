"""The options are frozen here, so that one is added on purpose."""

import re
import subprocess
import sys
from typing import Any, get_args

import click
import pytest

from lanewise.cli import fit as module
from lanewise.cli.main import cli
from lanewise.cli.options import Homes, no_option
from lanewise.losses import LOSSES
from lanewise.metrics import METRICS, metric_names
from lanewise.models.mlp import ACTIVATIONS
from lanewise.optim.registry import RULES
from lanewise.optim.schedules.settings import SCHEDULES
from lanewise.settings.fit import FitSettings
from lanewise.settings.names import SOLVER, Activation, Loss, Schedule
from lanewise.solvers.methods import METHODS

OPTIONS = {
    "fit": "--target --task --metric --drop --missing --delimiter --encoding --max-bytes --stream "
    "--test --test-fraction --scaling --group --time --weight --class-weights --positive "
    "--threshold --budget --models --optimizers --losses --schedules --widths --depths --activations "
    "--search --policy --candidates --folds --seeds --seed --ensemble --device --workers --mesh --payload "
    "--config --report --json --quiet",
    "tune": "--data --target --inputs --valid --loss --step --groups --folds --metric --budget --candidates --space "
    "--search --policy --early-stopping --seeds --batch-size --seed --device --workers --mesh --payload --precision "
    "--full-length --weights --report --json --quiet",
    "find-rate": "--data --loss --step --groups --optimizers --rates --low --high --steps --batch-size --workers "
    "--device --report --json --quiet",
    "find-batch": "--data --loss --step --groups --optimizer --lr --start-size --steps --seconds --workers --device "
    "--report --json --quiet",
    "resume": "--json --quiet",
    "repeat": "--lane --json --quiet",
    "predict": "--output --delimiter --encoding --max-bytes",
    "show": "--json",
    "report": "--output --open",
    "runs": "--json --limit",
    "export": "--sample",
    "minimize": "--x0 --bounds --maximize --residuals --condition --method --starts --tolerance --evaluations --seed "
    "--json",
    "compare": "--x0 --bounds --condition --methods --evaluations --lr --seed --output --open",
    "example": "",
    "doctor": "--mesh --work --json",
    "launch": "--slurm --nodes --ranks --cores --time --name --partition --output",
    "completion": "",
}
ARGUMENTS = {
    "fit": ["source"],
    "tune": ["model"],
    "find-rate": ["model"],
    "find-batch": ["model"],
    "resume": ["run"],
    "repeat": ["run"],
    "predict": ["run", "source"],
    "show": ["run"],
    "report": ["run"],
    "runs": [],
    "export": ["run", "output"],
    "minimize": ["function"],
    "compare": ["function"],
    "example": ["name"],
    "doctor": [],
    "launch": ["command"],
    "completion": ["shell"],
}


def test_the_commands_are_these_in_this_order():
    assert list(cli.commands) == [
        "fit", "tune", "find-rate", "find-batch", "resume", "repeat", "predict", "show", "report", "runs", "export",
        "minimize", "compare", "example", "doctor", "launch", "completion",
    ]  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_these(command):
    parameters = cli.commands[command].params
    options = [max(one.opts, key=len) for one in parameters if isinstance(one, click.Option)]
    assert options == OPTIONS[command].split()
    assert [one.name for one in parameters if isinstance(one, click.Argument)] == ARGUMENTS[command]


def test_every_setting_has_an_option_and_no_option_is_no_setting():
    options = {one.name for one in cli.commands["fit"].params if isinstance(one, click.Option)}
    assert options - {"config", "report", "json", "quiet"} == set(FitSettings.model_fields)


@pytest.mark.parametrize(
    ("stated", "setting"),
    [
        ("TASKS", "task"),
        ("SEARCHES", "search"),
        ("POLICIES", "policy"),
        ("ENSEMBLES", "ensemble"),
    ],
)
def test_the_choices_of_the_help_are_those_of_the_settings(stated, setting):
    annotation: Any = FitSettings.model_fields[setting].annotation
    allowed = [name for part in (annotation, *get_args(annotation)) for name in get_args(part) if isinstance(name, str)]
    assert list(dict.fromkeys(allowed)) == list(getattr(module, stated))


def test_the_optimizers_of_the_help_are_those_there_are():
    assert set(module.OPTIMIZERS) == {SOLVER, *RULES}


def test_the_help_lists_the_metrics_and_the_methods_that_messages_refer_to():
    words = set(module.METRICS.replace(":", "").replace(";", "").replace(",", "").split())
    assert set(METRICS) <= words
    counts = module.METRICS.split("; ")[0].removeprefix("Numbers: ").split(", ")
    assert tuple(counts) == metric_names("regression")
    options = [one for one in cli.commands["minimize"].params if isinstance(one, click.Option)]
    listed = next(one.help or "" for one in options if one.name == "method").partition("  [")[0]
    assert set(METHODS) <= set(listed.rstrip(".").split(", "))


def test_the_defaults_of_the_help_are_those_of_the_settings():
    helps = {one.name: one.help or "" for one in cli.commands["fit"].params if isinstance(one, click.Option)}
    usual = FitSettings(target="y")
    for name in ("search", "policy", "ensemble", "seed"):
        assert helps[name].endswith(f"[default: {getattr(usual, name)}]")
    assert helps["models"].endswith(f"[default: {','.join(usual.models)}]")


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_explains_itself(command):
    for one in cli.commands[command].params:
        if isinstance(one, click.Option):
            assert one.help, one.name


def test_the_methods_that_are_compared_are_those_of_the_library():
    from lanewise.cli.solve import COMPARED
    from lanewise.solvers.comparing import USUAL

    assert COMPARED == USUAL


def test_workers_are_not_said_to_be_threads_alone():
    options = [one for command in cli.commands.values() for one in command.params if isinstance(one, click.Option)]
    helps = [one.help or "" for one in options if one.name == "workers"]
    assert len(helps) == 4
    assert all("side by side, in processes where that pays" in words for words in helps)


def test_the_losses_of_the_help_and_of_the_settings_are_those_there_are():
    assert get_args(Loss) == tuple(LOSSES)
    assert set(re.findall(r"\w+", module.LOSSES)) >= set(LOSSES)


def test_schedules_and_activations_of_the_settings_are_those_there_are():
    assert get_args(Schedule) == tuple(SCHEDULES)
    assert set(module.SCHEDULES.split(", ")) == set(SCHEDULES)
    assert get_args(Activation) == tuple(ACTIVATIONS)


def test_a_command_loads_none_of_the_others():
    code = "import sys; from lanewise.cli.main import cli; cli.commands['runs']; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    own = {name.removeprefix("lanewise.cli.") for name in loaded if name.startswith("lanewise.cli.")}
    assert "runs" in own
    assert not own & {"fit", "tune", "find", "solve", "models", "launch", "machine", "functions", "layers"}


def test_commands_can_be_added_and_taken_away():
    homes = Homes({"runs": "lanewise.cli.runs"})
    homes["mine"] = mine = click.Command("mine")
    assert (list(homes), homes["mine"], len(homes)) == (["runs", "mine"], mine, 2)
    del homes["mine"]
    assert "mine" not in homes


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--delimter", "there is no option --delimter; did you mean --delimiter?"),
        ("--formt", "there is no option --formt; predict has --output, --delimiter, --encoding, --max-bytes"),
    ],
)
def test_where_no_option_is_near_those_of_a_small_command_are_named(given, told):
    assert no_option(given, cli.commands["predict"]) == told


def test_of_a_large_command_the_options_are_not_listed():
    assert no_option("--qqqq", cli.commands["fit"]) == "there is no option --qqqq"
