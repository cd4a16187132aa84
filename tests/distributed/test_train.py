"""One model over several ranks is the model that one process trains, and its checkpoints fit any number of them."""

import importlib.util
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

DRIVER = Path(__file__).with_name("train_driver.py")
SPEC = importlib.util.spec_from_file_location("train_driver", DRIVER)
driver = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(driver)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="launches ranks that meet on the loopback interface"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def two(tmp_path_factory, drive):
    """What two ranks of torchrun found, by rank, the folder they wrote into, and what their launch said."""
    folder = tmp_path_factory.mktemp("ranks")
    own = {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    launcher = ("--standalone", "--nproc-per-node", "2")
    given = {"folder": folder, "variables": {**os.environ, **own}}
    job = drive.torchrun(*launcher, str(DRIVER), str(folder), **given)
    _, said = job.communicate(timeout=120)
    files = [folder / f"2-{rank}.json" for rank in (0, 1)]
    assert all(file.exists() for file in files), said[-3000:]
    return [json.loads(file.read_text()) for file in files], folder, said


def kept_once(run, known, **settings):
    """What one process makes of it, trained once however many ranks are compared with it."""
    name = repr((run.__name__, sorted(settings.items())))
    if name not in known:
        known[name] = driver.kept(run(**settings))
    return known[name]


kept_alone = partial(kept_once, known={})


def check(found, *, tolerance=1e-10, run=driver.trained, **settings):
    alone = kept_alone(run, **settings)
    close = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(found["losses"], alone["losses"], **close)
    assert found["weights"].keys() == alone["weights"].keys()
    for name, own in alone["weights"].items():
        there, here = (torch.tensor(one, dtype=torch.float64) for one in (found["weights"][name], own))
        torch.testing.assert_close(there, here, **close)


@pytest.mark.parametrize("mesh", ["data=2", "shard=2"])
@pytest.mark.parametrize("name", driver.CASES)
def test_two_ranks_train_the_model_that_one_trains(two, mesh, name):
    for own in two[0]:
        check(own[f"{mesh} {name}"], **driver.CASES[name])


@pytest.mark.parametrize("mesh", ["data=2", "shard=2"])
def test_a_weight_that_the_loss_leaves_out_stays_what_it_is(two, mesh):
    for own in two[0]:
        check(own[f"{mesh} idle"], run=driver.with_idle)


@pytest.mark.parametrize("mesh", ["data=2", "shard=2"])
def test_single_numbers_are_trained_on_every_rank_alike(two, mesh):
    for own in two[0]:
        check(own[f"{mesh} scale"], run=driver.with_scale)


def test_single_precision_is_equal_to_rounding(two):
    check(two[0][0]["shard=2 single precision"], tolerance=1e-6, dtype=torch.float32, optimizer="adam")


def test_without_a_mesh_ranks_share_the_batch_and_blocks_change_nothing(two):
    unnamed = two[0][0]["unnamed"]
    check(unnamed)
    assert unnamed["mesh"] == "data=2"
    assert unnamed["why"].startswith("mesh data=2: weights, gradients and optimizer state take 2.2 KB of the ")
    check(two[0][0]["blocks"])
    losses = two[0][0]["made"]["losses"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_a_model_that_does_not_fit_a_rank_is_split_where_no_mesh_is_stated(two):
    for own in two[0]:
        found = own["too large"]
        check(found, optimizer="adam")
        assert found["mesh"] == "shard=2"
        assert found["why"] == (
            "mesh shard=2: weights, gradients and optimizer state take 2.2 KB of the 2.5 KB that a rank has, with "
            "shard=2 1.1 KB"
        )


def test_a_measured_mesh_is_one_that_trains_the_model_and_is_told_with_what_was_measured(two):
    for own in two[0]:
        found = own["measured"]
        check(found, optimizer="adam")
        assert found["mesh"] in (
            "data=2",
            "shard=2",
        )  # 7 units do not split along tensor, and one piece fills no stages
        assert found["why"].startswith(f"mesh {found['mesh']}, as measured: ")
        assert " times as long; a step takes " in found["why"]
        assert " ms, in one process " in found["why"]
        assert " us, beta " in found["why"]
        assert found["undrawn"]
    first, other = (own["measured"]["why"] for own in two[0])
    assert first == other


@pytest.mark.parametrize("name", driver.READ)
def test_split_matrices_are_trained_as_whole_ones_are(two, name):
    for own in two[0]:
        check(own[name], run=driver.words_read, **driver.READ[name])


@pytest.mark.parametrize("name", driver.PIPED)
def test_stages_train_the_model_that_is_trained_whole(two, name):
    for own in two[0]:
        check(own[name], **driver.PIPED[name])
        check(own["whole matrices"], **driver.WHOLE)


def test_stages_may_have_other_groups_of_weights_each(two):
    for own in two[0]:
        check(own["a group each"], **driver.GROUPED)


def test_each_rank_holds_its_part_alone(two):
    assert [own["rows of a part"] for own in two[0]] == [4, 3]
    first, last = (own["names of a stage"] for own in two[0])
    assert first == ["0.weight", "0.bias"]
    assert last == ["2.weight", "2.bias", "4.weight", "4.bias"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "soap",
            "SOAP needs each weight whole, and shard or tensor gives a rank a part of it; use sgd",
        ),
        ("prodigy", "Prodigy sums over all weights, of which a rank has a part in this mesh; use sgd"),
        (
            "batch",
            "a batch of 9 rows does not split into equal pieces over 2 ranks and accumulate=1; set batch_",
        ),
        ("mesh", "mesh shard=3 is for 3 processes, there are 2"),
        ("lanes", "train trains one model, which has no lanes to split, got mesh lane=2; leave lane out"),
        ("both", "along tensor or pipeline, not both, got mesh pipeline=2,tensor=2; leave one out"),
        (
            "few",
            "accumulate=1 makes too few microbatches for pipeline=2, with one in each stage; set accumulate to 2 or",
        ),
        ("cut", "split=['2', '4'] cuts the model into 3 stages, and pipeline=2; give 1"),
        (
            "sequence",
            "a pipeline takes a torch.nn.Sequential, whose layers follow one another, and the model is Reader",
        ),
        ("block", "the model has no submodule 'nowhere'; blocks are names out of model.named_modules()"),
        (
            "units",
            "layer 0: 7 hidden units do not split evenly over tensor=2; set tensor to 1 or 7, or hidden to",
        ),
        ("heads", "attention: 1 heads do not split evenly over tensor=2; set tensor to 1, or heads to 2"),
        ("unpaired", "split along tensor the model fails (mat1 and mat2 shapes cannot be multiplied (40x6 and 12x8)"),
        ("mixed", "split along tensor the model's outputs differ by 0."),
        ("between", "the gradient of middle.weight differs between the ranks along tensor: it works on what they have"),
        ("gpu", "device cuda:99 is not there: "),
        ("other seed", "rank 1 has seed 1, rank 0 has 0; start all ranks with the same command, data and versions"),
        ("other rate", "rank 1 has lr 1.1, rank 0 has 0.1; start all ranks"),
        ("other mesh of one", 'rank 1 has mesh "data=2", rank 0 has null; start all ranks'),
        ("other layers", "rank 1 has a model with "),
        ("other loss", 'rank 1 has loss "L1Loss", rank 0 has "MSELoss"; start all ranks'),
        ("other momentum", "rank 1 has settings of the optimizer ["),
        ("other rows", "rank 1 has the data "),
    ],
)
def test_what_ranks_cannot_do_is_said_on_all(two, name, words):
    for own in two[0]:
        assert words in own[f"refused {name}"]


def test_an_error_that_nobody_catches_is_one_line_of_rank_0_and_exit_code_2(two):
    _, folder, said = two
    lines = [line for line in said.splitlines() if line.startswith("lanewise: ")]
    assert len(lines) == 1
    assert "SOAP needs each weight whole" in lines[0]
    assert "exitcode  : 2" in said
    assert 'Traceback (most recent call last):\n  File "' + str(DRIVER) not in said
    assert not list(folder.glob("lanewise-ranks-*"))


def test_a_checkpoint_of_two_ranks_goes_on_in_one_and_in_four(two, tmp_path, drive):
    found, folder, _ = two
    assert sorted(own.name for own in (folder / "two").iterdir()) == ["step-000000005", "step-000000007"]
    for name in ("one", "two", "parts"):
        shutil.copytree(folder / "two" / "step-000000005", tmp_path / name / "step-000000005")
    for name in ("word", "words"):
        shutil.copytree(folder / "words" / "step-000000003", tmp_path / name / "step-000000003")
    for name in ("stage", "stages"):
        shutil.copytree(folder / "stages" / "step-000000005", tmp_path / name / "step-000000005")
    alone = driver.trained(optimizer="adam", checkpoint=tmp_path / "one")
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(list(alone.losses), found[0]["kept"]["losses"], **close)
    check(driver.kept(alone), optimizer="adam")
    alone = driver.words_read(**driver.READ["tensor kept"], checkpoint=tmp_path / "word")
    check(driver.kept(alone), run=driver.words_read, **driver.READ["tensor kept"])
    alone = driver.trained(**driver.PIPED["pipeline kept"], checkpoint=tmp_path / "stage")
    check(driver.kept(alone), **driver.PIPED["pipeline kept"])
    four = drive({"four": {"scenario": "train", "size": 4}}, tmp_path)["four"]
    for rank in four:
        assert rank["code"] == 0, rank["stderr"][-3000:]
        assert "Warning" not in rank["stderr"]
        assert "While redistributing" not in rank["stderr"]
        own = rank["out"]
        for name in ("again", "in four parts", "hybrid", "four"):
            check(own[name], optimizer="adam")
        for name, settings in driver.BOTH.items():
            check(own[f"shard, tensor {name}"], run=driver.words_read, **settings)
            check(own[f"shard, pipeline {name}"], accumulate=2, **settings)
        for name, settings in driver.PIPED.items():
            check(own[name], **settings)
        for name, settings in driver.READ.items():
            check(own[name], run=driver.words_read, **settings)


def test_three_axes_at_once_train_the_model_that_one_rank_trains(drive, tmp_path):
    eight = drive({"eight": {"scenario": "train along three axes", "size": 8}}, tmp_path)["eight"]
    for rank in eight:
        assert rank["code"] == 0, rank["stderr"][-3000:]
        for name, settings in driver.BOTH.items():
            check(rank["out"][f"tensor {name}"], run=driver.words_read, **settings)
            check(rank["out"][f"pipeline {name}"], accumulate=2, **settings)
