"""What is measured of sharing batches, and where nothing is: no rank is to wait for one that does not ask."""

from collections.abc import Sequence

import pytest

from lanewise.distributed.link import Link
from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.lanes.candidate import Candidate
from lanewise.models.base import Width
from lanewise.task import Task
from lanewise.training.data import TrainingData
from lanewise.training.planning.plan import Lengths, Plan
from lanewise.training.ranks import sharing
from lanewise.training.ranks.sharing import measured_sharing
from lanewise.training.teams import TeamBuilder

LENGTHS = Lengths(rows_seen=12_800)  # 100 steps
NET = {"width": 8, "depth": 1, "activation": "relu", "layer_norm": False, "loss": "squared", "batch_size": 128}


def plan(*candidates: Candidate, costs: Sequence[float] = (0.2,)) -> Plan:
    return Plan(
        candidates=candidates,
        rungs=(),
        confirm={},
        folds=1,
        seeds=(0,),
        lengths=LENGTHS,
        workers=1,
        costs=dict(zip((one.id for one in candidates), costs, strict=True)),
        single={"net": 3.0},
    )


def builder() -> TeamBuilder:
    task = Task(target="y", kind="regression", metric="rmse")
    data = TrainingData(task=task, width=Width(dense=4, levels=(), outputs=1), folds={}, rows=100)
    usual = Lengths(rows_seen=4 * LENGTHS.rows_seen)  # of which the plan has time for a quarter
    return TeamBuilder(data=data, lengths=usual, workers=1, stop=lambda: False)


NETWORK = Candidate(id="net", model="mlp", optimizer="sgd", settings=NET)
SOLVED = Candidate(id="solved", model="linear", optimizer="lbfgs", settings={})
TREE = Candidate(id="tree", model="tree", optimizer="", settings={})


def test_a_step_of_the_dearest_network_is_reckoned_with_the_link_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "measured_link", lambda ranks: Link(alpha=1e-4, beta=1e9))
    ranks = Lone(Place(size=2, local_size=2))
    found = measured_sharing(plan(NETWORK), builder(), ranks)
    assert found is not None
    # 0.2 s of 100 steps, in a stack of its own three times as much; two messages of 0.1 ms, and next to no bytes
    assert found.startswith(
        "which pays by what was measured: a step of the dearest lane takes 6.00 ms alone and 3.20 ms"
    )
    brief = measured_sharing(plan(NETWORK, costs=(0.005,)), builder(), ranks)
    assert brief is not None
    assert brief.startswith("which does not pay by what was measured")


@pytest.mark.parametrize(
    ("given", "size"),
    [(plan(NETWORK), 1), (plan(SOLVED, costs=(9.0,)), 2), (plan(TREE, costs=(9.0,)), 2)],
)
def test_nothing_is_measured_where_no_batch_could_be_shared(
    given: Plan, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "measured_link", lambda ranks: pytest.fail("measured"))
    assert measured_sharing(given, builder(), Lone(Place(size=size, local_size=size))) is None
