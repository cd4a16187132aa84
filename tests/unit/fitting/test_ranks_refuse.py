"""What several ranks cannot do is said before anything is read."""

import pytest
import torch

from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.errors import UsageError
from lanewise.fitting.agreement import check_ranks
from lanewise.settings.fit import FitSettings
from lanewise.tuning.tune import asked


@pytest.mark.parametrize(
    ("source", "device", "mesh", "said"),
    [
        ("-", "cpu", None, "standard input reaches one process only"),
        (
            "a.csv",
            "cuda:0",
            "data=2",
            "ranks that share batches train on processors only, got device cuda:0 in mesh data=2",
        ),
        ("a.csv", "cuda:99", None, "device cuda:99 is not there"),
    ],
)
def test_refused_on_two_ranks_and_allowed_on_one(source, device, mesh, said):
    wanted = FitSettings(target="y", device=device, mesh=mesh)
    with pytest.raises(UsageError, match=said):
        check_ranks(Lone(Place(size=2, local_size=2)), source, wanted, begins=True)
    check_ranks(Lone(Place()), source, wanted.model_copy(update={"mesh": None}), begins=True)


@pytest.mark.parametrize("space", [None, {"optimizer": "sgd", "average_every": [0, 4]}], ids=["listed", "drawn"])
def test_candidates_that_average_are_refused_where_ranks_share_batches(space):
    rows = torch.zeros(32, 2), torch.zeros(32, 1)
    given = {"space": space, "candidates": 4} if space else {"candidates": [{"optimizer": "sgd", "average_every": 4}]}
    wanted = {"train": rows, "valid": 0.25, "loss": torch.nn.functional.mse_loss, "budget": "20steps", **given}
    with pytest.raises(UsageError, match=r"data=2 of the mesh parts it among ranks; leave one of them out"):
        asked(lambda: torch.nn.Linear(2, 1), **wanted, mesh="data=2", ranks=Lone(Place(size=2)))
    asked(lambda: torch.nn.Linear(2, 1), **wanted, mesh="lane=2", ranks=Lone(Place(size=2)))


def test_batches_that_split_evenly_may_be_of_any_size():
    """What the usual size of a batch would be is no matter where one was stated."""
    rows = torch.zeros(96, 2), torch.zeros(96, 1)
    given = {"train": rows, "valid": 0.5, "loss": torch.nn.functional.mse_loss, "budget": "20steps"}
    apart = [{"optimizer": "sgd", "average_every": 4, "average_over": 3}]
    posed = asked(lambda: torch.nn.Linear(2, 1), **given, candidates=apart, batch_size=48)
    assert posed.wanted.candidates[0].number("batch_size") == 48
    with pytest.raises(UsageError, match="a batch of 32 rows does not split evenly"):
        asked(lambda: torch.nn.Linear(2, 1), **given, candidates=apart, batch_size=32)
