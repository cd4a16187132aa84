"""What a fit keeps when something after the training goes wrong."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lanewise import experiment
from lanewise.cli.main import cli
from lanewise.reporting import report


def test_a_report_that_cannot_be_drawn_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))

    def broken(document: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(report, "render", broken)
        found = experiment.fit("example:iris", budget="20steps", models="linear", candidates=2, folds=3, seeds=1)
    assert any("the report could not be drawn (ZeroDivisionError" in warning for warning in found.document["warnings"])
    assert not found.report.exists()
    assert experiment.load(found.run).document == found.document
    ended = CliRunner().invoke(cli, ["report", found.run])
    assert ended.exit_code == 0, ended.output
    assert found.report.read_text(encoding="utf-8").startswith("<!doctype html>")
