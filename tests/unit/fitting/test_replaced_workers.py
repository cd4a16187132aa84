"""A worker that is killed during a fit is told of at once, in the document and in the report."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lanewise.fitting import experiment, pools
from lanewise.training.trees.pool import TreePool
from lanewise.training.watching.pulse import Pulse

WORDS = "the trees' worker was ended by SIGKILL; what it trained is trained again, to the same bits"


class Killer:
    """Kills the trees' worker at the first sign of life of a race."""

    def __init__(self) -> None:
        self.pools: list[TreePool] = []
        self.said: list[str] = []
        self._due = True

    def announce(self, text: str) -> None:
        self.said.append(text)

    def pulse(self, pulse: Pulse) -> None:
        del pulse
        if self._due:
            self._due = False
            os.kill(self.pools[0].process_ids()[0], signal.SIGKILL)


def test_a_fit_whose_worker_was_killed_says_so_in_its_document_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    killer = Killer()

    def made(*given: Any, **more: Any) -> TreePool:
        killer.pools.append(TreePool(*given, **more))
        return killer.pools[-1]

    monkeypatch.setattr(pools, "TreePool", made)
    settings: dict[str, Any] = {"models": "lightgbm", "candidates": 2, "folds": 2, "seeds": 1, "workers": 1}
    found = experiment.fit("example:iris", budget="20steps", watcher=killer, **settings)
    assert killer.said.count(WORDS) == 1
    assert WORDS in found.document["warnings"]
    assert "worker was ended by SIGKILL" in found.report.read_text(encoding="utf-8")
    whole = experiment.fit("example:iris", budget="20steps", **settings)
    assert found.document["model_sha256"] == whole.document["model_sha256"]
    assert not any("SIGKILL" in line for line in whole.document["warnings"])
