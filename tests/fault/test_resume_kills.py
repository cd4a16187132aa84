"""A fit that is killed with SIGKILL, anywhere and several times, ends in the same bits as one that is not."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

RANDOM_KILLS = int(os.environ.get("LANEWISE_KILLS", "0"))
# The trees take part, by workers that need no scikit-learn, which each attempt would load anew.
FAMILIES = "lightgbm,mlp,linear"
SETTINGS = {
    "target": "y",
    "models": FAMILIES,
    "budget": "100steps",
    "candidates": 3,
    "folds": 2,
    "seeds": 1,
    "workers": 2,
}

# Of one document to another only these differ: what the clock and the meters say, and which run it is. Warnings repeat
# findings, and say whether a budget was overrun.
MEASURED = {"seconds", "created", "run", "hardware", "warnings"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


EVERYWHERE = [
    {"seen": "lock", "after": 0.05},
    {"seen": "checkpoints/screen-*/.step-*.part", "after": 0.0},
    {"seen": "checkpoints/confirm-*/step-*", "after": 0.02},
    {"seen": "checkpoints/refit*/step-*", "after": 0.0},
    {"seen": "model*", "after": 0.0},
]


def in_steps(folder: Path, table: Path, chains: Sequence[Any]) -> dict[str, Any]:
    return {"folder": str(folder), "source": str(table), "settings": SETTINGS, "chains": chains}


def in_time(folder: Path) -> dict[str, Any]:
    """A fit by the clock, of a table with levels and missing cells."""
    draw = np.random.default_rng(0)
    signal, noise = draw.normal(size=300), draw.normal(size=300)
    table = pl.DataFrame(
        {
            "a": signal,
            "b": [value if kept else None for value, kept in zip(noise, draw.random(300) > 0.1, strict=True)],
            "c": draw.choice(["x", "y", "z"], 300),
            "y": np.where(signal + noise > 0, "yes", "no"),
        }
    )
    table.write_csv(folder / "table.csv")
    settings = {**SETTINGS, "budget": "0.6s", "candidates": 2, "workers": 1}
    kills = [{"random": 1}, {"seen": "checkpoints/*/step-*", "after": 0.1}]
    task = {"folder": str(folder / "runs"), "source": str(folder / "table.csv"), "settings": settings}
    return {**task, "chains": [kills], "planned": True}


@pytest.fixture(scope="module")
def killed(resume_driver: Any, tmp_path_factory: pytest.TempPathFactory, table: Path) -> list[dict[str, Any]]:
    """What came of fits by steps and by the clock."""
    folders = [tmp_path_factory.mktemp(name) for name in ("steps", "time")]
    return resume_driver(in_steps(folders[0], table, [EVERYWHERE]), in_time(folders[1]))


def lasting(document: Any) -> Any:
    """A document without what is measured."""
    if isinstance(document, Mapping):
        return {name: lasting(value) for name, value in document.items() if name not in MEASURED}
    if isinstance(document, list):
        return [lasting(value) for value in document]
    return document


def assert_lost_nothing(found: Mapping[str, Any]) -> None:
    reference = found["reference"]
    assert reference["status"] == "done"
    for ended in found["chains"]:
        assert ended["status"] == "done"
        assert ended["orphans"] == []
        assert ended["left"] == []
        assert ended["document"]["model_sha256"] == reference["document"]["model_sha256"]
        assert lasting(ended["document"]) == lasting(reference["document"])


@pytest.mark.slow
def test_killed_in_every_phase_and_while_writing(killed: Sequence[Any]) -> None:
    assert_lost_nothing(killed[0])
    assert {"screen", "confirm", "refit"} <= set(killed[0]["chains"][0]["killed"])


@pytest.mark.slow
def test_budget_in_time_is_planned_once(killed: Sequence[Any]) -> None:
    assert_lost_nothing(killed[1])


@pytest.mark.slow
@pytest.mark.skipif(RANDOM_KILLS == 0, reason="LANEWISE_KILLS says how many random moments to kill at, 4 to a run")
def test_killed_at_random_moments(resume_driver: Any, tmp_path: Path, table: Path) -> None:
    chains = [[{"random": 4 * run + kill} for kill in range(4)] for run in range((RANDOM_KILLS + 3) // 4)]
    (found,) = resume_driver(in_steps(tmp_path, table, chains))
    stages = Counter(stage for ended in found["chains"] for stage in ended["killed"])
    print(f"{stages.total()} kills: {dict(stages)}")
    assert_lost_nothing(found)
    assert stages.total() >= 3 * len(chains)
