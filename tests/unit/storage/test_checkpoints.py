import logging
from pathlib import Path
from unittest import TestCase

import numpy as np
import pytest
import torch

from lanewise.errors import StoreError, UsageError
from lanewise.storage.checkpoints import Checkpoint, Checkpoints


def latest_of(folder: Path) -> Checkpoint:
    """What a new process finds."""
    latest = Checkpoints(folder).latest()
    assert latest is not None
    return latest


def damage(folder: Path, step: int) -> None:
    path = folder / f"step-{step:012d}" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_nothing_yet(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "checkpoints").latest() is None
    assert not (tmp_path / "checkpoints").exists()
    (tmp_path / "checkpoints").mkdir()
    assert Checkpoints(tmp_path / "checkpoints").latest() is None


def test_every_type_bit_for_bit(tmp_path: Path) -> None:
    nan = torch.tensor([0x7FF8000000000001, 0x7FF0000000000000]).view(torch.float64)  # a marked NaN, an infinity
    tensors = {
        "bfloat16": torch.randn(7).bfloat16(),
        "float64": nan,
        "int64": torch.tensor([2**62, -1]),
        "bool": torch.tensor([[True], [False]]),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(0.5, requires_grad=True),
        "negative_zero": torch.tensor([-0.0]),
        "numpy": np.arange(3, dtype=np.uint8),
    }
    state = {"epoch": 3, "generators": [[1, 2], [3]], "losses": [0.1, None], "name": "Größe"}
    sha256 = Checkpoints(tmp_path / "a" / "b").save(7, tensors, state)
    latest = latest_of(tmp_path / "a" / "b")
    assert (latest.step, latest.state, latest.skipped, latest.sha256) == (7, state, (), sha256)
    assert latest.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        found, expected = latest.tensors[name], torch.as_tensor(tensor).detach()
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.reshape(-1).view(torch.uint8).tolist() == expected.reshape(-1).view(torch.uint8).tolist()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in range(0, 60, 10):
        checkpoints.save(step, {"w": torch.tensor(step)})
    assert checkpoints.steps() == (30, 40, 50)
    assert len(list(tmp_path.iterdir())) == 3
    Checkpoints(tmp_path, keep=1).save(60, {"w": torch.tensor(60)})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000060"]


def test_same_step_may_be_saved_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, {"w": torch.tensor(1)})
    checkpoints.save(5, {"w": torch.tensor(2)})
    assert latest_of(tmp_path).tensors["w"].item() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000005"]


def test_earlier_step_than_a_good_one_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(10, {})
    with pytest.raises(StoreError, match=r"has a checkpoint of step 10, after step 6; resume from the latest one"):
        Checkpoints(tmp_path).save(6, {})
    assert latest_of(tmp_path).step == 10


def test_damaged_ones_do_not_push_out_good_ones(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (10, 20, 30):
        checkpoints.save(step, {"w": torch.tensor(step)})
    damage(tmp_path, 20)
    damage(tmp_path, 30)
    resumed = Checkpoints(tmp_path, keep=3)
    with TestCase().assertLogs(level=logging.WARNING) as told:
        latest = resumed.latest()
    assert latest is not None
    assert (latest.step, latest.tensors["w"].item()) == (10, 10)
    assert len(latest.skipped) == len(told.records) == 2
    assert "step-000000000030" in latest.skipped[0]
    resumed.save(12, {"w": torch.tensor(12)})
    assert resumed.steps() == (10, 12)
    assert (latest_of(tmp_path).step, latest_of(tmp_path).skipped) == (12, ())


def test_damaged_step_is_saved_anew(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(10, {"w": torch.tensor(1)})
    Checkpoints(tmp_path).save(20, {"w": torch.tensor(2)})
    damage(tmp_path, 20)
    resumed = Checkpoints(tmp_path)
    assert resumed.latest() is not None
    resumed.save(20, {"w": torch.tensor(3)})
    assert resumed.steps() == (10, 20)
    assert latest_of(tmp_path).tensors["w"].item() == 3


def test_all_damaged_is_an_error_and_never_a_fresh_start(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(10, {"w": torch.tensor(1)})
    damage(tmp_path, 10)
    with pytest.raises(StoreError, match=r"no checkpoint can be used; start the run anew, or restore .*damaged"):
        Checkpoints(tmp_path).latest()


def test_checkpoint_under_a_wrong_name_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, {"w": torch.tensor(1)})
    checkpoints.save(20, {"w": torch.tensor(2)})
    (tmp_path / "step-000000000020").rename(tmp_path / "step-000000000030")
    latest = latest_of(tmp_path)
    assert latest.step == 10
    assert "is not the checkpoint of step 30" in latest.skipped[0]


def test_leftovers_of_a_killed_process_go_with_the_first_save(tmp_path: Path) -> None:
    (tmp_path / ".step-000000000003.0123abcd.part").mkdir()
    Checkpoints(tmp_path).save(4, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000004"]


def test_state_that_is_not_json_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"w": torch.tensor(1)})
    with pytest.raises(StoreError, match=r"cannot write state\.loss as JSON: it is nan"):
        checkpoints.save(2, {"w": torch.tensor(2)}, {"loss": float("nan")})
    assert checkpoints.steps() == (1,)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", [-1, 10**12])
def test_steps_out_of_range(tmp_path: Path, step: int) -> None:
    with pytest.raises(UsageError, match="step must be from 0 to 999,999,999,999, got"):
        Checkpoints(tmp_path).save(step, {})


def test_keep_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep must be at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)
