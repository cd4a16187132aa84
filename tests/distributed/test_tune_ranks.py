"""Tuning races over several ranks: the bits of one process, whatever happens to a rank."""

import sys
from typing import Any

import pytest

from lanewise.runs.comparing import differences

KINDS = ["halving", "folds", "population", "genetic", "bayesian"]
SILENCE = 3.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and stops ranks by signals"),
    pytest.mark.slow,
]


def tune(size: int, *kinds: str, **more: Any) -> dict[str, Any]:
    return {"scenario": "tune", "size": size, "kinds": kinds, **more}


TASKS: dict[str, dict[str, Any]] = {
    # As many workers in all, so that the plan is the same.
    **{f"on {size}": tune(size, *KINDS, settings={"workers": 4 // size}) for size in (1, 2, 4)},
}


@pytest.fixture(scope="module")
def ended(drive: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return drive(TASKS, tmp_path_factory.mktemp("tune"))


def outs(found: list[dict[str, Any]]) -> list[Any]:
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    return [rank["out"] for rank in found]


@pytest.mark.parametrize("kind", KINDS)
def test_race_over_two_and_four_ranks_is_that_of_one_process(ended: Any, kind: str) -> None:
    (alone,) = outs(ended["on 1"])
    for size in (2, 4):
        for own in outs(ended[f"on {size}"]):
            assert list(differences(alone[kind]["document"], own[kind]["document"])) == []
            assert own[kind]["weights"] == alone[kind]["weights"]
