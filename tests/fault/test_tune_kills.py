"""A tune that is killed with SIGKILL, anywhere and several times, ends in the same bits as one that is not."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lanewise.runs.comparing import differences

HERE = Path(__file__).parent
RANDOM_KILLS = int(os.environ.get("LANEWISE_KILLS", "0"))
FILE = HERE / "tuned_module.py"
SETTINGS = {
    "model": f"{FILE}:make_model",
    "data": f"{FILE}:data",
    "loss": None,
    "candidates": f"{FILE}:candidates",
    "budget": "150steps",
    "seeds": 1,
    "workers": 2,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


def asked(folder: Path, **task: Any) -> dict[str, Any]:
    return {"folder": str(folder), "source": "", "settings": SETTINGS, **task}


def assert_lost_nothing(found: dict[str, Any]) -> None:
    reference = found["reference"]
    assert reference["status"] == "done"
    for ended in found["chains"]:
        assert (ended["status"], ended["left"]) == ("done", [])
        assert ended["document"]["model_sha256"] == reference["document"]["model_sha256"]
        assert list(differences(ended["document"], reference["document"])) == []


@pytest.mark.slow
def test_killed_in_every_phase_and_while_writing(resume_driver: Any, tmp_path: Path) -> None:
    kills = [
        {"seen": "plan.json", "after": 0.0},
        {"seen": "checkpoints/screen-*/.step-*.part", "after": 0.0},
        {"seen": "checkpoints/screen-*/step-*", "after": 0.05},
        {"seen": "checkpoints/confirm-*/step-*", "after": 0.02},
        {"seen": "model*", "after": 0.0},
    ]
    (found,) = resume_driver(asked(tmp_path, chains=[kills]))
    assert_lost_nothing(found)
    assert {"planned", "screen", "confirm"} <= set(found["chains"][0]["killed"])


@pytest.mark.slow
@pytest.mark.skipif(RANDOM_KILLS == 0, reason="LANEWISE_KILLS says how many random moments to kill at, 4 to a run")
def test_killed_at_random_moments(resume_driver: Any, tmp_path: Path) -> None:
    chains = [[{"random": 4 * run + kill} for kill in range(4)] for run in range((RANDOM_KILLS + 3) // 4)]
    (found,) = resume_driver(asked(tmp_path, chains=chains))
    stages = Counter(stage for ended in found["chains"] for stage in ended["killed"])
    print(f"{stages.total()} kills: {dict(stages)}")
    assert_lost_nothing(found)
    assert stages.total() >= 2 * len(chains)
