"""The worker process of boosted trees, forests and single trees: ``python -m lanewise.training.trees.worker FOLDER``.

It answers one request at a time over its standard streams (``frames``), holds its lanes alive
between rungs, and loads numpy, LightGBM and, where it is needed, scikit-learn, but never torch, whose
OpenMP runtime must not share a process with theirs. It ends at once when its parent closes the pipe or dies.

========== ======================================= =========================================
request    header and arrays                       answer
========== ======================================= =========================================
start      task, classes, threads, single_trees,   ready
           stored (rows on disk) or null
open       lane, fold, seed, spec, keeps, windows, (the arrays only for a fold not yet known, masks
           trains; train, valid, numbers,          only where columns are left out, shown where
           categories, tokens; shown               training rows will be asked for; with windows
                                                   those of the rows on disk train)
advance    lane, rounds, predict_at                predictions ``[checkpoints, n, ...]``
predict    lane, rounds; rows                      predictions
train      lane; places                            predictions of the training rows, or of some
digest     lane                                    digest of what it has grown
export     lane, rounds                            kind, meta; text
settle     lane                                    (it grows no more)
drop       lane                                    whether its fold is gone too
========== ======================================= =========================================

A request that fails is answered with ``error``, one line (``worker_loop``).
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from lanewise.models.loaded_alone import load_lightgbm, load_trees
from lanewise.models.trees import TreeSpec
from lanewise.training.trees.data import MASKS, TreeData
from lanewise.training.trees.fold import Fold, TreeTask
from lanewise.training.trees.kinds import open_lane
from lanewise.training.trees.lanes import TreeLane
from lanewise.training.trees.stored import StoredPart, StoredTable
from lanewise.training.workers.frames import Arrays, Header
from lanewise.training.workers.kinds import LIGHTGBM, SINGLE_TREES
from lanewise.training.workers.loop import Answer, serve

IDLE_THREADS = ()
"""None is begun by what is loaded here."""


class Worker:
    """The lanes of this process and the answers to requests about them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folds: dict[str, Fold] = {}
        self._lanes: dict[str, tuple[TreeLane, str]] = {}
        self._requests: dict[str, Callable[[Header, Arrays], Answer]] = {
            "start": self._start,
            "open": self._open,
            "advance": self._advance,
            "predict": self._predict,
            "train": self._train,
            "digest": self._digest,
            "export": self._export,
            "settle": self._settle,
            "drop": self._drop,
        }

    def answer(self, header: Header, arrays: Arrays) -> Answer:
        """The answer to one request."""
        return self._requests[header["op"]](header, arrays)

    def _start(self, header: Header, _: Arrays) -> Answer:
        self._task = TreeTask(kind=header["task"], classes=int(header["classes"]))
        self._threads = int(header["threads"])
        self._data = TreeData.read(self._folder)
        self._stored = None if header["stored"] is None else StoredTable.from_json(header["stored"])
        if header["single_trees"]:  # what is measured later is not this import
            load(SINGLE_TREES)
        return {"ready": True}, {}

    def _open(self, header: Header, arrays: Arrays) -> Answer:
        key = header["fold"]
        if key not in self._folds:
            kept = {name: arrays[name] for name in MASKS if name in arrays}
            rows, stored = (arrays["train"], arrays["valid"]), None
            if header["windows"] and self._stored is not None:
                stored = StoredPart(table=self._stored, windows=header["windows"], trains=tuple(header["trains"]))
            self._folds[key] = Fold(self._data, self._task, *rows, threads=self._threads, kept=kept, stored=stored)
        spec = TreeSpec(**header["spec"])
        lane = open_lane(self._folds[key], spec, header["seed"], keeps=header["keeps"], shown=arrays.get("shown"))
        self._lanes[header["lane"]] = lane, key
        return {}, {}

    def _advance(self, header: Header, _: Arrays) -> Answer:
        predictions = self._lane(header).advance(header["rounds"], header["predict_at"])
        return {}, {"predictions": np.stack(predictions)} if predictions else {}

    def _predict(self, header: Header, arrays: Arrays) -> Answer:
        return {}, {"predictions": self._lane(header).predict(arrays["rows"], header["rounds"])}

    def _train(self, header: Header, arrays: Arrays) -> Answer:
        return {}, {"predictions": self._lane(header).train_predictions(arrays.get("places"))}

    def _digest(self, header: Header, _: Arrays) -> Answer:
        return {"digest": self._lane(header).digest()}, {}

    def _export(self, header: Header, _: Arrays) -> Answer:
        saved = self._lane(header).saved(header["rounds"])
        text = np.frombuffer(saved.text.encode(), dtype=np.uint8)
        return {"kind": saved.kind, "meta": dict(saved.meta)}, {"text": text}

    def _settle(self, header: Header, _: Arrays) -> Answer:
        self._lane(header).settle()
        return {}, {}

    def _drop(self, header: Header, _: Arrays) -> Answer:
        key = self._lanes[header["lane"]][1]
        del self._lanes[header["lane"]]
        gone = all(used != key for _, used in self._lanes.values())
        if gone:
            del self._folds[key]
        return {"fold_gone": gone}, {}

    def _lane(self, header: Header) -> TreeLane:
        return self._lanes[header["lane"]][0]


def load(part: str) -> None:
    """Load what some workers need beside this module; nothing, where it is there."""
    if part == LIGHTGBM:
        load_lightgbm()
    if part == SINGLE_TREES:
        load_trees()


def main(folder: Path) -> NoReturn:
    """Answer requests until the parent is gone."""
    # The import is best done while the parent is busy elsewhere.
    serve(Worker(folder).answer, folder, prepare=partial(load, LIGHTGBM))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
