import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from lanewise.errors import StoreError, UsageError
from lanewise.storage import modelfile
from lanewise.storage.durable import dump_json, load_json
from lanewise.storage.modelfile import load_manifest, load_model, save_model

MANIFEST = {"family": "mlp", "classes": ["nein", "ja"], "lr": 0.1, "nothing": None}


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"w": torch.randn(3, 4, dtype=torch.float64), "half": torch.randn(5).bfloat16(), "n": np.arange(3)}
    texts = {"booster.txt": "tree\r\nü\n", "empty.txt": ""}
    sha256 = save_model(tmp_path / "model", tensors, MANIFEST, texts, verify=True)
    model = load_model(tmp_path / "model")
    assert model.manifest == MANIFEST
    assert list(model.manifest) == list(MANIFEST)
    assert load_manifest(tmp_path / "model") == MANIFEST
    assert model.texts == texts
    assert model.sha256 == sha256
    assert model.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(model.tensors[name], torch.as_tensor(tensor))
    assert torch.equal(safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")["w"], model.tensors["w"])


def test_sha256_names_the_model(tmp_path: Path) -> None:
    tensors = {"a": np.ones(2), "b": np.zeros(3)}
    first = save_model(tmp_path / "1", tensors, {"x": 1, "y": 2}, {"t": "text"})
    assert save_model(tmp_path / "2", dict(reversed(tensors.items())), {"y": 2, "x": 1}, {"t": "text"}) == first
    others = [
        save_model(tmp_path / "3", {"a": np.ones(2), "b": np.zeros(4)}, {"x": 1, "y": 2}, {"t": "text"}),
        save_model(tmp_path / "4", tensors, {"x": 1, "y": 3}, {"t": "text"}),
        save_model(tmp_path / "5", tensors, {"x": 1, "y": 2}, {"t": "text!"}),
        save_model(tmp_path / "6", tensors, {"x": 1, "y": 2}, {"u": "text"}),
    ]
    assert len({first, *others}) == 5


def test_replacing_a_model(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"version": 1}, {"old.txt": "x"})
    save_model(tmp_path / "model", {"w": np.zeros(2)}, {"version": 2})
    model = load_model(tmp_path / "model", "numpy")
    assert (model.manifest, model.texts) == ({"version": 2}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_model_that_cannot_be_kept_leaves_the_old_one(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"version": 1})
    attempts: list[tuple[dict[str, Any], dict[str, Any], dict[str, str], str]] = [
        ({"w": np.array([None])}, {}, {}, "tensor 'w' is of type object"),
        ({}, {"score": float("nan")}, {}, "cannot write score as JSON: it is nan"),
        ({}, {}, {"t": "\ud800"}, "text 't' cannot be kept"),
        ({}, {}, {"model.json": "x"}, "a text cannot be named 'model.json'"),
    ]
    for tensors, manifest, texts, message in attempts:
        with pytest.raises(StoreError, match=message):
            save_model(tmp_path / "model", tensors, manifest, texts)
    with pytest.raises(UsageError, match=r"'\.\./t' cannot be used as a name"):
        save_model(tmp_path / "model", {}, {}, {"../t": "x"})
    assert load_model(tmp_path / "model", "numpy").manifest == {"version": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_unknown_files_are_refused_and_hidden_ones_ignored(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {})
    (tmp_path / "model" / ".DS_Store").write_bytes(b"x")
    load_model(tmp_path / "model", "numpy")
    (tmp_path / "model" / "more.txt").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"model holds files that the model does not have: more\.txt; move them"):
        load_model(tmp_path / "model", "numpy")


def test_missing_model(tmp_path: Path) -> None:
    for load in (load_model, load_manifest):
        with pytest.raises(StoreError, match=r"cannot read .*model\.json: no such file or folder"):
            load(tmp_path / "model")


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter model.json and make its checksum right again."""
    content = load_json(folder / "model.json")
    del content["sha256"]
    change(content)
    (folder / "model.json").write_bytes(dump_json({**content, "sha256": modelfile._sha256(content)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["manifest"].update(x=2), None),
        (lambda content: content.update(schema_version=9), r"newer Lanewise \(schema 9, this one reads up to 1\)"),
        (lambda content: content.update(schema_version=0), "damaged"),
        (lambda content: content.update(surprise=1), "damaged"),
        (lambda content: content.pop("files"), "damaged"),
        (lambda content: content["files"].pop("model.safetensors"), "damaged"),
        (lambda content: content["files"].update({"../../x": {"sha256": "", "size": 0}}), "damaged"),
        (lambda content: content["files"].update({"x": {"sha256": "", "size": "0"}}), "damaged"),
        (lambda content: content["files"].update({"x": {"sha256": "", "size": 0, "y": 0}}), "damaged"),
        (lambda content: content["files"]["model.safetensors"].update(size=2**50), "instead of 1,125,899,906,842,624"),
    ],
)
def test_forged_manifests_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str | None
) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"x": 1})
    forge(tmp_path / "model", change)
    if message is None:  # the forger does work
        assert load_model(tmp_path / "model", "numpy").manifest == {"x": 2}
        return
    with pytest.raises(StoreError, match=message) as caught:
        load_model(tmp_path / "model", "numpy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"sha256": 1, "sha256": 1}', b"", b'{"schema_version": "1"}'])
def test_other_json_is_refused(tmp_path: Path, data: bytes) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"x": 1})
    (tmp_path / "model" / "model.json").write_bytes(data)
    with pytest.raises(StoreError, match=r"model\.json is (damaged|not valid)"):
        load_model(tmp_path / "model", "numpy")


def test_other_spelling_of_the_same_manifest_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"x": 1})
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    with pytest.raises(StoreError, match="damaged"):
        load_model(tmp_path / "model", "numpy")


def test_replacement_while_reading_gives_one_whole_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "model", {"w": np.ones(2)}, {"version": 1})
    real = modelfile.read_verified
    replaced = []

    def slow(*arguments: Any, **options: Any) -> bytearray:
        if not replaced:
            replaced.append(save_model(tmp_path / "model", {"w": np.zeros(9)}, {"version": 2}))
        return real(*arguments, **options)

    monkeypatch.setattr(modelfile, "read_verified", slow)
    model = load_model(tmp_path / "model", "numpy")
    assert model.manifest == {"version": 2}
    assert model.tensors["w"].tolist() == [0.0] * 9
