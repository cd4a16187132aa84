"""The commands that use a trained model: what they refuse, and in what words."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise.cli.models import export, predict
from lanewise.errors import UsageError, UserError
from lanewise.runs.store import RunStore


def test_a_run_without_a_model_and_a_wrong_place_are_things_and_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunStore.open() as store:
        run = store.create(command="fit", config={})
        store.fail(run.id, "the disk is full")
    told = rf"^2 things are off:\n  run {run.id} is failed .*\n  OUTPUT must end in .onnx"
    with pytest.raises(UserError, match=told):
        CliRunner().invoke(export, ["last", "m.txt"], catch_exceptions=False)


def test_a_table_before_the_run_is_told_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match=r"^the run stands before the table: lanewise predict last new\.csv$"):
        CliRunner().invoke(predict, ["new.csv", "last"], catch_exceptions=False)
