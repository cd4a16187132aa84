"""The journal on disk: the newest state that verifies, or the one before, and a word about damage."""

from pathlib import Path

import pytest
import torch

from lanewise.errors import StoreError
from lanewise.runs.journal import RunJournal
from lanewise.storage.checkpoints import Checkpoints


def saved(folder: Path, count: int) -> None:
    journal = RunJournal(folder)
    for number in range(count):
        journal.save("screen-0.1111-0", {"w": torch.full((3,), float(number))}, {"number": number})


def damage(checkpoint: Path) -> None:
    tensors = next(path for path in checkpoint.iterdir() if path.suffix == ".safetensors")
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)


def test_newest_state_by_key(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    RunJournal(tmp_path).save("confirm-0.1000-1", {}, {"taken": 7})
    journal = RunJournal(tmp_path)
    tensors, state = journal.load("screen-0.1111-0") or pytest.fail("nothing was kept")
    assert tensors["w"].tolist() == [2.0, 2.0, 2.0]
    assert state == {"number": 2}
    assert journal.load("confirm-0.1000-1") == ({}, {"taken": 7})
    assert journal.load("refit1.0-1.0000-0") is None


def test_saving_goes_on_after_what_is_there(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    saved(tmp_path, 1)
    _, state = RunJournal(tmp_path).load("screen-0.1111-0") or pytest.fail("nothing was kept")
    assert state == {"number": 0}


def test_damaged_checkpoint_is_told_and_the_one_before_is_used(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    damage(max((tmp_path / "screen-0.1111-0").iterdir()))
    told: list[tuple[str, str]] = []
    journal = RunJournal(tmp_path, passed_over=lambda key, why: told.append((key, why)))
    _, state = journal.load("screen-0.1111-0") or pytest.fail("nothing was kept")
    assert state == {"number": 1}
    ((key, why),) = told
    assert key == "screen-0.1111-0"
    assert "checksum" in why
    journal.save("screen-0.1111-0", {}, {"number": 9})
    _, state = RunJournal(tmp_path).load("screen-0.1111-0") or pytest.fail("nothing was kept")
    assert state == {"number": 9}


def test_team_of_another_version_starts_again_and_that_is_told(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "screen-0.1111-0").save(7, {"values": torch.zeros(3)}, {"number": 0})
    told: list[tuple[str, str]] = []
    journal = RunJournal(tmp_path, passed_over=lambda key, why: told.append((key, why)))
    assert journal.load("screen-0.1111-0") is None
    ((key, why),) = told
    assert key == "screen-0.1111-0"
    assert why.endswith("screen-0.1111-0 was written by another version of Lanewise: its lanes are trained again")
    journal.save("screen-0.1111-0", {}, {"number": 1})
    assert RunJournal(tmp_path).load("screen-0.1111-0") == ({}, {"number": 1})


def test_team_without_a_good_checkpoint_starts_again(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    for checkpoint in (tmp_path / "screen-0.1111-0").iterdir():
        damage(checkpoint)
    told: list[tuple[str, str]] = []
    journal = RunJournal(tmp_path, passed_over=lambda key, why: told.append((key, why)))
    assert journal.load("screen-0.1111-0") is None
    assert len(told) == 1
    journal.save("screen-0.1111-0", {}, {"number": 0})
    assert RunJournal(tmp_path).load("screen-0.1111-0") == ({}, {"number": 0})


def test_clear_removes_everything(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    RunJournal(folder).clear()
    saved(folder, 1)
    RunJournal(folder).clear()
    assert not folder.exists()


def test_folder_that_cannot_be_cleared_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "checkpoints", 1)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lanewise.runs.journal.remove_tree", refuse)
    with pytest.raises(StoreError, match="permission denied"):
        RunJournal(tmp_path / "checkpoints").clear()
