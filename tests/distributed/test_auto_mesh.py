"""Ranks whose mesh is chosen by what is measured: alike on all, kept with the plan. One launch of the driver."""

import signal
import sys
from typing import Any

import pytest

FIT = {
    "budget": "20steps",
    "folds": 3,
    "seeds": 1,
    "models": "linear",
    "candidates": 1,
    "optimizers": "sgd",
    "target": "y",
    "mesh": "auto",
}
RATES = [{"optimizer": "sgd", "lr": lr} for lr in (0.1, 0.01, 0.3)]
TUNE = {"candidates": RATES, "policy": "never", "seeds": 1, "mesh": "auto"}
LONG, BRIEF = {"start": 0.001, "of_a_row": 0.001}, {"start": 0.1, "of_a_row": 1e-6}
STOPPED = {"rank": 0, "signal": signal.SIGTERM, "after": 1}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and stops ranks by signals"),
    pytest.mark.slow,
]


def fit(size: int, **more: Any) -> dict[str, Any]:
    return {"scenario": "auto", "of": "fit", "source": "small.csv", "size": size, "settings": FIT, **more}


def tune(*kinds: str, **more: Any) -> dict[str, Any]:
    return {"scenario": "auto", "of": "tune", "size": 2, "kinds": kinds, "settings": TUNE, **more}


TASKS = {
    "stopped": fit(2, measured=LONG, harm=STOPPED),
    "gone on with": fit(2, resume=True),
    "repeated": fit(1, repeat=True),
    "long steps": tune("halving", "normalizing", measured=LONG, home="named"),
    "brief steps": tune("halving", measured=BRIEF),
    "on several workers": fit(2, settings={**FIT, "workers": 2}),
}


@pytest.fixture(scope="module")
def ended(drive: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return drive(TASKS, tmp_path_factory.mktemp("auto-mesh"))


def hardware(found: list[dict[str, Any]], kind: str | None = None) -> Any:
    assert [rank["code"] for rank in found] == [0] * len(found), [rank["stderr"] for rank in found]
    outs = [rank["out"] if kind is None else rank["out"][kind] for rank in found]
    documents = [out["document"] for out in outs]
    assert all(one == documents[0] for one in documents)
    return documents[0]["hardware"]


def test_ranks_share_batches_where_that_is_predicted_to_end_sooner(ended: Any) -> None:
    found = hardware(ended["long steps"], "halving")
    assert found["mesh"] == "data=2"
    assert found["exchanged_bytes"] > 0
    # Three lanes: two rounds of whole batches of 16 rows against three of halves, by the slower of the ranks.
    assert found["mesh_why"] == (
        "mesh data=2, as measured: with lane=2 the race is predicted to take 1.25 times as long; a step of the dearest "
        "lane takes 34.00 ms alone and 18.20 ms shared by 2 ranks (alpha 100 us, beta 1.00 GB/s)"
    )


def test_lanes_are_spread_where_sharing_is_predicted_to_gain_nothing(ended: Any) -> None:
    found = hardware(ended["brief steps"], "halving")
    assert (found["mesh"], found.get("exchanged_bytes", 0)) == ("lane=2", 0)
    assert found["mesh_why"].startswith("mesh lane=2, as measured: with data=2 the race is predicted to take 1.5")


def test_lanes_are_spread_where_a_batch_cannot_be_shared(ended: Any) -> None:
    found = hardware(ended["long steps"], "normalizing")
    assert found["mesh"] == "lane=2"
    assert found["mesh_why"].startswith("mesh lane=2: ranks cannot share the rows of a batch: 1 normalizes by the mean")


def test_who_goes_on_or_repeats_takes_the_mesh_that_is_written(ended: Any) -> None:
    # Nothing is timed again: the ranks would say so.
    assert [rank["code"] for rank in ended["stopped"]] == [130, 130], [rank["stderr"] for rank in ended["stopped"]]
    found = hardware(ended["gone on with"])
    assert found["mesh"] == "data=2"
    assert found["mesh_why"].startswith("mesh data=2, as measured")
    alone = hardware(ended["repeated"])
    assert "mesh" not in alone
    assert alone["mesh_why"] == "the race was planned for mesh data=2, and goes on in one process"


def test_several_workers_each_leave_nothing_to_choose(ended: Any) -> None:
    for rank in ended["on several workers"]:
        assert rank["code"] == 2, rank["stderr"]
        assert "mesh auto chooses whether ranks share batches, which they do with one worker each" in rank["stderr"]
