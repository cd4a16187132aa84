"""Predictors as files, to load and predict with, bit for bit as before; nothing is pickled.

The folder is that of `lanewise.storage.modelfile`: tensors ``member0/weight``, ``preparation/centre``, ...; the text of
trees as ``member1.txt``; the rest, as `lanewise.deploy.records` lists it, in the manifest.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from lanewise.data.contract import DataContract
from lanewise.data.wording import counted
from lanewise.deploy.predictor import Interval, Member, Predictor
from lanewise.deploy.records import SCHEMA_VERSION, MemberRecord, PredictorRecord, predictor_record
from lanewise.errors import StoreError, UserError
from lanewise.features.preparation import Preparation
from lanewise.lanes.candidate import Candidate, Event
from lanewise.models.loaded_alone import load_lightgbm
from lanewise.models.registry import STACKED, build
from lanewise.models.saved_trees import SavedTrees
from lanewise.storage.modelfile import SavedModel, load_model, save_model
from lanewise.task import Task
from lanewise.training.calibration import Calibration
from lanewise.training.fitted import Fitted, describe


def save_predictor(folder: Path, predictor: Predictor) -> str:
    """Write a predictor durably to ``folder``, in place of any that was there; returns the SHA-256 that names it.

    Raises ``StoreError`` where the disk is full or may not be written.
    """
    state, text = predictor.preparation.state()
    tensors = {f"preparation/{name}": tensor for name, tensor in state.items()}
    texts: dict[str, str] = {}
    members: list[dict[str, Any]] = []
    for place, member in enumerate(predictor.members):
        fitted = member.fitted
        tensors |= {f"member{place}/{name}": tensor for name, tensor in (fitted.tensors or {}).items()}
        if fitted.trees is not None:
            texts[f"member{place}.txt"] = fitted.trees.text
        members.append({"weight": member.weight, **describe(fitted)})
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "task": asdict(predictor.task),
        "contract": json.loads(predictor.contract.to_json()),
        "preparation": json.loads(text),
        "members": members,
        "threshold": predictor.threshold,
        "interval": None if predictor.interval is None else _interval(predictor.interval),
        "name": predictor.name,
        "words": predictor.words,
    }
    predictor_record(manifest, source=str(folder))
    return save_model(folder, tensors, manifest, texts)


def _interval(interval: Interval) -> dict[str, Any]:
    """Its fields, without a floor where it has none: so it was written before there were any, and has the same sum."""
    return {name: value for name, value in asdict(interval).items() if value is not None}


def load_predictor(folder: Path, *, alone: bool = False) -> Predictor:
    """The predictor that `save_predictor` wrote.

    ``alone`` says that this process runs nobody else's code, so that LightGBM may be loaded without its estimators.

    Raises ``StoreError`` where a file is missing, damaged, of a newer version, or holds anything unknown.
    """
    saved = load_model(folder)
    record = predictor_record(saved.manifest, source=str(folder))
    if alone and any(member.trees is not None and member.trees.kind == "lightgbm" for member in record.members):
        load_lightgbm()
    try:
        predictor = Predictor(
            task=Task(**asdict(record.task)),
            contract=DataContract.from_json(json.dumps(record.contract)),
            preparation=Preparation.from_state(_part(saved.tensors, "preparation/"), json.dumps(record.preparation)),
            members=tuple(_member(place, fields, saved) for place, fields in enumerate(record.members)),
            threshold=record.threshold,
            interval=None if record.interval is None else Interval(**asdict(record.interval)),
            name=record.name,
            words=record.words,
            sha256=saved.sha256,
        )
    except (UserError, AssertionError) as error:
        raise _unusable(folder, str(error)) from error
    _check(predictor, record, saved, folder)
    predictor.load()
    return predictor


def _member(place: int, record: MemberRecord, saved: SavedModel[Tensor]) -> Member:
    name = f"member{place}"
    trees = None
    if record.trees is not None:
        text = saved.texts.get(f"{name}.txt", "")  # an absent text fails the comparison of digests
        trees = SavedTrees(kind=record.trees.kind, text=text, meta=asdict(record.trees.meta))
    candidate = Candidate(
        id=record.id,
        model=record.model,
        optimizer=record.optimizer,
        settings=record.settings,
        events=tuple(Event(**asdict(event)) for event in record.events),
    )
    fitted = Fitted(
        candidate=candidate,
        seed=record.seed,
        stop=record.stop,
        loss=record.loss,
        center=record.center,
        scale=record.scale,
        tensors=_part(saved.tensors, f"{name}/") if trees is None else None,
        trees=trees,
        columns=record.columns,
        calibration=None if record.calibration is None else Calibration(**asdict(record.calibration)),
    )
    return Member(fitted=fitted, weight=record.weight)


def _check(predictor: Predictor, record: PredictorRecord, saved: SavedModel[Tensor], folder: Path) -> None:
    """The parts must fit together: each is sound by itself."""
    task, layout, contract = predictor.task, predictor.layout, predictor.contract
    if (contract.target, contract.kind, contract.classes) != (task.target, task.kind, task.classes):
        raise _unusable(folder, "its contract and its task are of different targets")
    absent = {column.name for column in layout.columns} - {column.name for column in contract.columns}
    if absent:
        raise _unusable(folder, f"its contract lacks the column {min(absent)!r}")
    expected = {f"preparation/{name}" for name in predictor.preparation.state()[0]}
    texts: set[str] = set()
    for place, member in enumerate(predictor.members):
        fitted = member.fitted
        unread = set(fitted.columns or ()) - {column.name for column in layout.columns}
        if unread:
            raise _unusable(folder, f"member {place} reads the column {min(unread)!r}, which its layout lacks")
        if fitted.calibration is not None and len(fitted.calibration.offsets) != predictor.task.outputs:
            raise _unusable(
                folder, f"the calibration of member {place} needs {counted(predictor.task.outputs, 'offset')}"
            )
        if fitted.trees is not None:
            texts.add(f"member{place}.txt")
            _check_trees(predictor, fitted.trees, folder)
            continue
        if fitted.candidate.model not in STACKED:
            raise _unusable(folder, f"member {place} is of the unknown model {fitted.candidate.model!r}")
        for parameter in build([fitted.candidate], predictor.width).layout.parameters:
            name = f"member{place}/{parameter.name}"
            expected.add(name)
            found = saved.tensors.get(name)
            if found is None or tuple(found.shape) != parameter.shape or not found.is_floating_point():
                raise _unusable(folder, f"the tensor {name} must have shape {parameter.shape}")
    unknown = (saved.tensors.keys() - expected) | (saved.texts.keys() ^ texts)
    if unknown:
        raise _unusable(folder, f"{min(unknown)} and its manifest do not fit together")


def _check_trees(predictor: Predictor, trees: SavedTrees, folder: Path) -> None:
    layout, meta = predictor.layout, trees.meta
    widths = len(layout.numbers), len(layout.categories), layout.tokens_width
    if (meta["numbers"], meta["codes"], meta["tokens"]) != widths or meta["task"] != predictor.task.kind:
        raise _unusable(folder, f"its trees were grown on other columns than its {sum(widths)}")
    if predictor.task.is_classification and meta["classes"] != len(predictor.task.classes):
        raise _unusable(folder, f"its trees tell {meta['classes']} classes, the task {len(predictor.task.classes)}")


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _unusable(folder: Path, reason: str) -> StoreError:
    return StoreError(f"{folder} is not a usable model: {reason}; save the model again")
