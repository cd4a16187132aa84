"""A sequential model is cut into stages of about one size, whose layers keep their names."""

import itertools

import pytest
import torch
from torch import nn

from lanewise.distributed.mesh import Mesh
from lanewise.distributed.stages import balanced, keep_only, layers_of, passed_on, stages_of
from lanewise.errors import UsageError


def model() -> nn.Sequential:
    inner = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    return nn.Sequential(nn.Linear(3, 4), inner, nn.Dropout(0.5), nn.Linear(4, 2))


def test_the_largest_stage_is_the_smallest_that_can_be():
    drawn = torch.randint(0, 9, (20, 7), generator=torch.Generator().manual_seed(0)).tolist()
    for sizes in [[5, 0, 0, 1, 1], [1, 1, 1, 9], *drawn]:
        for parts in (1, 2, 3):
            starts = balanced(sizes, parts)

            def largest(starts, sizes=sizes):
                sums = [sum(sizes[one:other]) for one, other in itertools.pairwise([*starts, len(sizes)])]
                return max(sums) if all(sums) else float("inf")

            every = [(0, *cuts) for cuts in itertools.combinations(range(1, len(sizes)), parts - 1)]
            assert largest(starts) == min(map(largest, every))


def test_layers_that_stay_keep_their_names_and_follow_one_another():
    whole, rows = model().eval(), torch.randn(5, 3)
    layers = layers_of(whole)
    assert list(layers) == ["0", "1.0", "1.1", "1.2", "2", "3"]
    stages = stages_of(layers, Mesh(pipeline=2), ["1.2"])
    assert stages == [["0", "1.0", "1.1"], ["1.2", "2", "3"]]
    parts = []
    for names in stages:
        part = model().eval()
        part.load_state_dict(whole.state_dict())
        keep_only(part, names)
        parts.append(part)
    assert torch.equal(parts[1](parts[0](rows)), whole(rows))
    assert {name for part in parts for name in part.state_dict()} == set(whole.state_dict())


def test_what_is_passed_on_is_found_without_changing_the_model():
    own = model()
    own[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    own[2].eval()
    passed = passed_on(layers_of(own), torch.randn(5, 3))
    assert [tuple(passed[name].shape) for name in ("0", "1.2", "3")] == [(5, 4), (5, 4), (5, 2)]
    assert all(tensor.device.type == "meta" for tensor in passed.values())
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())
    assert own.training
    assert own[1][1].training
    assert not own[2].training


def shared() -> nn.Sequential:
    own = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    own[1].weight = own[0].weight
    return own


@pytest.mark.parametrize(
    ("module", "degree", "split", "words"),
    [
        (nn.Linear(2, 2), 2, None, "a pipeline takes a torch.nn.Sequential, .*, and the model is Linear"),
        (shared(), 2, None, "layers 0 and 1 share a weight, which two stages of a pipeline cannot hold"),
        (model(), 8, None, "5 layers are too few for pipeline=8, each needs one at least; set pipeline to 5 or less"),
        (model(), 2, ["0"], "split has '0', with which no stage can begin"),
        (model(), 3, ["3", "2"], r"split must name layers in the order of the model, got \['3', '2'\]"),
        (model(), 3, ["2", "3"], "stage 1 of split=.* has no weight to train; cut the model elsewhere"),
    ],
)
def test_what_cannot_be_cut_is_said(module, degree, split, words):
    with pytest.raises(UsageError, match=words):
        stages_of(layers_of(module), Mesh(pipeline=degree), split)
