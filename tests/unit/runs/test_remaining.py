"""A finished run whose files were removed says what is gone, and how to train it again."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lanewise.cli.main import cli
from lanewise.cli.wording import in_words_of_the_shell
from lanewise.errors import LanewiseError, StoreError, UnavailableError, UsageError
from lanewise.fitting.finished import load
from lanewise.resuming import repeat
from lanewise.runs.remaining import check_plan, lost_model, reading_model
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore
from lanewise.storage.modelfile import load_model, save_model

COMMAND = "lanewise fit table.csv --target y"


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that is done, with a plan, and a model that has a text beside its tensors."""
    monkeypatch.chdir(tmp_path)
    return finished()


def finished(**config: Any) -> Run:
    with RunStore.open() as store:
        run = store.create(command=COMMAND, config={"settings": {}, **config})
        run.plan.write_text("{}")
        save_model(run.model, {"w": np.zeros(2)}, {}, {"member0.txt": "a tree"})
        store.finish(run.id, {"run": run.id, "winner": {"id": "a"}})
        return store.get(run.id)


def words(*arguments: str) -> str:
    """What the command line says of an error, whose exit code must be 2."""
    with pytest.raises(LanewiseError) as raised:
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert raised.value.exit_code == 2
    return str(raised.value)


@pytest.mark.parametrize(
    "command", [("predict", "last", "t.csv"), ("export", "last", "m.onnx")], ids=lambda one: one[0]
)
def test_a_model_that_is_gone_is_told_with_the_command_that_trains_it_again(
    done: Run, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t.csv").write_text("a\n1\n")
    monkeypatch.setattr("sys.argv", ["lanewise", *command])
    shutil.rmtree(done.model)
    told = words(*command)
    assert told.startswith(f"run {done.id} has no model any more: {done.model} is gone; train the same one again with")
    assert told.endswith(f"lanewise.repeat('{done.id}')")


def test_the_command_line_repeats_by_its_own_command(done: Run) -> None:
    shutil.rmtree(done.model)
    with cli.make_context("lanewise", ["predict", "last", "t.csv"]) as context:
        context.invoked_subcommand = "predict"
        told = f"train the same one again with: lanewise repeat {done.id}$"
        with pytest.raises(UnavailableError, match=told), in_words_of_the_shell(context), reading_model(done):
            pass


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "member0.txt"])
def test_the_file_that_a_model_has_lost_is_named(done: Run, name: str) -> None:
    (done.model / name).unlink()
    with (
        pytest.raises(UnavailableError, match=f"{done.model} has lost {name}; train the same one again"),
        reading_model(done),
    ):
        load_model(done.model, "numpy")


def test_of_a_damaged_model_it_is_also_told_how_to_train_it_again(done: Run) -> None:
    (done.model / "member0.txt").write_text("a bush")
    assert lost_model(done) == ""
    told = f"checksum; restore it from a backup, or train the same one again with: lanewise.repeat\\('{done.id}'\\)$"
    with pytest.raises(StoreError, match=told), reading_model(done):
        load_model(done.model, "numpy")


def test_without_its_plan_a_run_is_started_anew_and_no_repetition_is_begun(done: Run) -> None:
    shutil.rmtree(done.folder)
    assert lost_model(done).endswith(f"start it anew with: {COMMAND}")
    with pytest.raises(UsageError, match=f"its plan, {done.plan}, is gone; start it anew with: {COMMAND}$"):
        repeat(done.id)
    with RunStore.open() as store:
        assert store.count() == 1


def test_a_tune_from_python_is_called_again(done: Run) -> None:
    run = finished(kind="tune", source=None)
    run.plan.unlink()
    with pytest.raises(UsageError, match=r"is gone; call lanewise\.tune again as it was called$"):
        check_plan(run)
    shutil.rmtree(run.model)
    with pytest.raises(UnavailableError, match="has no model any more"):
        load(run.id)
    assert "has no model any more" in words("predict", run.id, "t.csv")


def test_a_result_is_shown_without_its_model_but_not_the_commands_that_need_it(done: Run) -> None:
    shown = CliRunner().invoke(cli, ["show", "last"])
    assert f"lanewise predict {done.id}" in shown.stdout
    shutil.rmtree(done.model)
    shown = CliRunner().invoke(cli, ["show", "last"])
    assert shown.exit_code == 0
    assert "lanewise predict" not in shown.stdout
    assert shown.stderr.startswith(f"warning: run {done.id} has no model any more")
    assert f"lanewise repeat {done.id}" in shown.stderr


def test_a_report_is_drawn_again_where_the_folder_is_gone(done: Run) -> None:
    shutil.rmtree(done.folder)
    drawn = CliRunner().invoke(cli, ["report", "last"])
    assert (drawn.exit_code, drawn.stdout) == (0, f"{done.report}\n")
    assert done.report.is_file()


def test_a_run_whose_folder_is_gone_is_not_said_to_be_on_another_host(done: Run) -> None:
    shutil.rmtree(done.folder)
    assert words("resume", done.id).startswith(f"the folder of run {done.id}, {done.folder}, is gone")
