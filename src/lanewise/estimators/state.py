"""A fitted model as bytes: what a pickle of an estimator holds of it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from lanewise.deploy.predictor import Predictor
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.storage.durable import confine


def packed(predictor: Predictor) -> dict[str, bytes]:
    """The files of a saved model by name: bytes are all that a pickle of an estimator holds of its model."""
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder:
        model = Path(folder) / "model"
        save_predictor(model, predictor)
        return {file.name: file.read_bytes() for file in model.iterdir()}


def unpacked(files: Mapping[str, bytes]) -> Predictor:
    """The predictor of saved files; ``StoreError`` where they are damaged."""
    with tempfile.TemporaryDirectory(prefix="lanewise-") as folder:
        model = Path(folder) / "model"
        model.mkdir()
        for name, content in files.items():
            confine(model, name).write_bytes(content)
        return load_predictor(model)
