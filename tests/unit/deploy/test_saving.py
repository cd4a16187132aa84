"""Saved predictors: the same predictions to the bit, and nothing but what was saved is accepted."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.deploy import saving
from lanewise.deploy.predictor import Interval
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.errors import StoreError
from lanewise.storage.modelfile import load_model, save_model

KINDS = ("regression", "count", "binary", "multiclass")


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_is_bitwise(trained: ModuleType, kind: str, tmp_path: Path) -> None:
    names = ("linear", "relu", "norm", "lightgbm", "tree", "margins", "few relu", "few tree", "few forest")
    more = {"count": {"interval": trained.FOLLOWING}, "regression": {"interval": trained.FLOORED}}.get(kind, {})
    before = trained.predictor(kind, *names, threshold=0.3, words="an ensemble", **more)
    sha256 = save_predictor(tmp_path / "model", before)
    after = load_predictor(tmp_path / "model")
    rows = trained.unusual(kind)
    old, new = before.predict(rows), after.predict(rows)
    np.testing.assert_array_equal(old.values, new.values)
    np.testing.assert_array_equal(old.probabilities, new.probabilities)
    np.testing.assert_array_equal(old.low, new.low)
    assert old.findings == new.findings
    assert after.sha256 == sha256
    assert (after.task, after.contract, after.layout, after.interval) == (
        before.task, before.contract, before.layout, before.interval,
    )  # fmt: skip
    assert (after.threshold, after.name, after.words) == (0.3, "small", "an ensemble")
    assert [member.weight for member in after.members] == [2**place for place in range(len(names))]
    assert [m.fitted.candidate for m in after.members] == [m.fitted.candidate for m in before.members]
    for name in ("columns", "calibration"):
        assert [getattr(m.fitted, name) for m in after.members] == [getattr(m.fitted, name) for m in before.members]
    assert save_predictor(tmp_path / "again", after) == sha256


def test_a_model_without_columns_and_calibration_reads_as_before(trained: ModuleType, tmp_path: Path) -> None:
    """Those saved by earlier versions have neither, and one width for all rows."""
    before = trained.predictor("binary", "relu", "tree")
    save_predictor(tmp_path / "model", before)
    saved = load_model(tmp_path / "model")
    manifest = json.loads(json.dumps(saved.manifest))
    for member in manifest["members"]:
        del member["columns"], member["calibration"]
    save_model(tmp_path / "model", saved.tensors, manifest, saved.texts)
    rows = trained.table("binary")
    found = load_predictor(tmp_path / "model").predict(rows).probabilities
    np.testing.assert_array_equal(found, before.predict(rows).probabilities)
    save_predictor(tmp_path / "number", trained.predictor("regression", "relu"))
    saved = load_model(tmp_path / "number")
    manifest = {**saved.manifest, "interval": {"level": 0.9, "half_width": 12.5}}
    save_model(tmp_path / "number", saved.tensors, manifest, saved.texts)
    assert load_predictor(tmp_path / "number").interval == Interval(level=0.9, half_width=12.5)
    for change, words in (
        ({"edges": [1.0], "half_widths": [1.0]}, "a width beside each edge"),
        ({"edges": [2.0, 1.0], "half_widths": [1.0, 2.0, 3.0]}, "ascend"),
        ({"edges": [1.0], "half_widths": [1.0, -2.0]}, "not negative"),
    ):
        save_model(tmp_path / "number", saved.tensors, {**manifest, "interval": {**manifest["interval"], **change}})
        with pytest.raises(StoreError, match=words):
            load_predictor(tmp_path / "number")


def test_what_reads_a_model_is_made_for_the_first_one(
    trained: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_predictor(tmp_path / "model", trained.predictor("binary", "linear"))
    load_predictor(tmp_path / "model")
    monkeypatch.setattr("pydantic.TypeAdapter", lambda of: pytest.fail(f"{of.__name__} is read by a reader made anew"))
    load_predictor(tmp_path / "model")


def test_lightgbm_is_loaded_alone_where_a_process_says_so_and_a_model_needs_it(
    trained: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(saving, "load_lightgbm", lambda: loaded.append("alone"))
    save_predictor(tmp_path / "network", trained.predictor("binary", "relu"))
    save_predictor(tmp_path / "both", trained.predictor("binary", "relu", "lightgbm"))
    load_predictor(tmp_path / "network", alone=True)
    load_predictor(tmp_path / "both")
    assert loaded == []
    load_predictor(tmp_path / "both", alone=True)
    assert loaded == ["alone"]


def test_nothing_in_the_folder_is_a_pickle(trained: ModuleType, tmp_path: Path) -> None:
    save_predictor(tmp_path / "model", trained.predictor("binary", "relu", "lightgbm"))
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"model.json", "model.safetensors", "member1.txt"}
    assert (
        json.loads((tmp_path / "model" / "model.json").read_bytes())["manifest"]["members"][1]["trees"]["kind"]
        == "lightgbm"
    )


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "member1.txt"])
def test_a_flipped_byte_is_found(trained: ModuleType, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_predictor(folder, trained.predictor("binary", "relu", "lightgbm"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(StoreError):
        load_predictor(folder)


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("extra", to=1), "extra"),
        (lambda manifest: manifest.pop("threshold"), "threshold"),
        (_set("threshold", to="0.5"), "threshold"),
        (_set("schema_version", to=2), "upgrade"),
        (_set("members", to=[]), "needs a member"),
        (_set("members", 0, "weight", to=-1.0), "weights"),
        (_set("members", 0, "more", to=1), "members.0.more"),
        (_set("members", 0, "model", to="forest"), "forest"),
        (_set("members", 0, "settings", "width", to=8), "must have shape"),
        (_set("members", 0, "columns", to=["light", "gone"]), "'gone', which its layout lacks"),
        (_set("members", 0, "calibration", to={"scale": 1.0, "offsets": [0.0, 1.0]}), "needs 1 offset"),
        (_set("members", 1, "trees", "meta", "sha256", to="0"), "digest"),
        (_set("members", 1, "trees", "meta", "numbers", to=3), "other columns"),
        (_set("members", 1, "trees", to=None), "model"),
        (_set("task", "classes", to=["no", "never"]), "different targets"),
        (_set("contract", "columns", to=[]), "lacks the column"),
        (_set("preparation", "settings", "limit", to=-1.0), "limit"),
        (_set("preparation", "layout", to="{}"), "damaged"),
        (_set("interval", to={"level": 0.9, "half_width": 1.0}), "for numbers"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_in_one_line(
    trained: ModuleType, change: Callable[[dict[str, Any]], None], words: str, tmp_path: Path
) -> None:
    """Also where the checksums are right: someone wrote the file with other software."""
    folder = tmp_path / "model"
    save_predictor(folder, trained.predictor("binary", "relu", "lightgbm"))
    saved = load_model(folder)
    manifest = json.loads(json.dumps(saved.manifest))
    change(manifest)
    save_model(folder, saved.tensors, manifest, saved.texts)
    with pytest.raises(StoreError, match=words) as caught:
        load_predictor(folder)
    assert "\n" not in str(caught.value)


def test_tensors_and_texts_beyond_the_manifest_are_refused(trained: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_predictor(folder, trained.predictor("binary", "relu", "lightgbm"))
    saved = load_model(folder)
    for tensors, texts in (
        ({**saved.tensors, "member7/weight": torch.zeros(2)}, saved.texts),
        (saved.tensors, {**saved.texts, "member7.txt": "tree"}),
        ({name: tensor for name, tensor in saved.tensors.items() if name != "member0/head.bias"}, saved.texts),
        ({name: tensor for name, tensor in saved.tensors.items() if name != "preparation/centre"}, saved.texts),
        (saved.tensors, {}),
    ):
        save_model(folder, tensors, saved.manifest, texts)
        with pytest.raises(StoreError):
            load_predictor(folder)
