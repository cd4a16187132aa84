"""Flipped bits and truncations: refused by checksum, or answered with the previous checkpoint; never other weights."""

import logging
import random
import shutil
from pathlib import Path
from unittest import TestCase

import numpy as np
import pytest

from lanewise.errors import StoreError
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.modelfile import load_manifest, load_model, save_model

FLIPS = 500
TRUNCATIONS = 200


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    tensors = {
        "w": rng.normal(size=(7, 5)),
        "steps": np.arange(3),
        "mask": np.array([True, False]),
        "none": np.empty(0),
    }
    save_model(tmp_path / "model", tensors, {"classes": ["nein", "ja"], "lr": 0.1}, {"booster.txt": "tree\n" * 20})
    return tmp_path / "model"


def damaged(content: bytes, rng: random.Random, *, truncate: bool) -> bytes:
    if truncate:
        return content[: rng.randrange(len(content))]
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


@pytest.mark.parametrize(("truncate", "rounds"), [(False, FLIPS), (True, TRUNCATIONS)])
def test_damaged_model_is_refused(model: Path, truncate: bool, rounds: int) -> None:
    files = sorted(model.iterdir())
    assert [file.name for file in files] == ["booster.txt", "model.json", "model.safetensors"]
    whole = {file: file.read_bytes() for file in files}
    for seed in range(rounds):
        rng = random.Random(seed)
        file = rng.choice(files)
        file.write_bytes(damaged(whole[file], rng, truncate=truncate))
        with pytest.raises(StoreError) as caught:
            load_model(model, "numpy")
        assert "\n" not in str(caught.value)
        assert file.name in str(caught.value)
        if file.name == "model.json":
            with pytest.raises(StoreError):
                load_manifest(model)
        file.write_bytes(whole[file])
    load_model(model, "numpy")


@pytest.mark.parametrize("name", ["booster.txt", "model.json", "model.safetensors"])
def test_missing_file_is_refused(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(StoreError, match=rf"cannot read .*{name}: no such file"):
        load_model(model, "numpy")


def test_file_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other", {"w": np.ones((7, 5))}, {})
    shutil.copy(tmp_path / "other" / "model.safetensors", model / "model.safetensors")
    with pytest.raises(StoreError, match=r"model\.safetensors is damaged"):
        load_model(model, "numpy")


@pytest.mark.parametrize(("truncate", "rounds"), [(False, FLIPS), (True, TRUNCATIONS)])
def test_damaged_checkpoint_is_answered_with_the_previous(tmp_path: Path, truncate: bool, rounds: int) -> None:
    checkpoints = Checkpoints(tmp_path)
    weights = {step: np.random.default_rng(step).normal(size=20) for step in (10, 20)}
    for step, value in weights.items():
        checkpoints.save(step, {"w": value}, {"step": step})
    files = sorted((tmp_path / "step-000000000020").iterdir())
    whole = {file: file.read_bytes() for file in files}
    for seed in range(rounds):
        rng = random.Random(seed)
        file = rng.choice(files)
        file.write_bytes(damaged(whole[file], rng, truncate=truncate))
        with TestCase().assertLogs(level=logging.WARNING) as told:
            latest = Checkpoints(tmp_path).latest()
        assert latest is not None
        assert (latest.step, latest.state) == (10, {"step": 10})
        assert latest.tensors["w"].numpy().tobytes() == weights[10].tobytes()
        assert len(latest.skipped) == 1
        assert file.name in latest.skipped[0]
        assert "checkpoint of step 20 passed over" in told.output[0]
        file.write_bytes(whole[file])
    latest = Checkpoints(tmp_path).latest()
    assert latest is not None
    assert (latest.step, latest.skipped) == (20, ())
    assert latest.tensors["w"].numpy().tobytes() == weights[20].tobytes()
