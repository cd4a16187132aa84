"""The worker process of stacked and solved lanes: ``python -m lanewise.training.workers.team_worker FOLDER``.

Teams of small models spend most of a step in Python, which lets one thread of a process run at a time; so teams
train side by side in processes. A worker holds one team at a time and answers one request at a time.

========== ======================================== =====================================================
request    header and arrays                        answer
========== ======================================== =====================================================
start                                               ready
data       the name of a folder                     (the data are mapped; those before are let go)
open       lanes, which of them are left, lengths,  the fraction reached
           precision; state if there is one
advance    fraction, seconds                        whether it is reached; after ``seconds`` not yet
look                                                evidence with notices, repairs, lanes lost, notes
keep       lanes: all others leave
export     a lane                                   the trained lane
state                                               the state of the team
close
========== ======================================== =====================================================
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.roster import Lane
from lanewise.training.data import TrainingData
from lanewise.training.planning.plan import Lengths, candidate_of
from lanewise.training.team import Team, never
from lanewise.training.teams import DTYPES, TeamBuilder
from lanewise.training.workers.frames import Arrays, Header
from lanewise.training.workers.loop import Answer, serve
from lanewise.training.workers.shared_data import narrowed, read_data

STATE = "state/"

IDLE_THREADS = ("jemalloc_bg_thd", "polars-")
"""Of polars, which reads tables: modules above load it, and no worker calls it."""


class _SliceIsOver(Exception):  # not an error: it ends a slice between two steps
    pass


class Worker:
    """The team of this process and the answers to requests about it.

    ``build`` makes a team of lanes over ``data``, where this process knows both from its start; None: a
    :class:`TeamBuilder` does, as the request says. To ``notes`` it adds sentences for the user, which a look brings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        data: TrainingData | None = None,
        build: Callable[[Sequence[Lane], TrainingData], Team] | None = None,
        notes: list[str] | None = None,
    ) -> None:
        self._folder = folder
        self._data = data
        self._build = build
        self._notes = [] if notes is None else notes
        self._team: Team | None = None

    def answer(self, header: Header, arrays: Arrays) -> Answer:
        """The answer to one request."""
        requests = {
            "start": self._start,
            "data": self._map,
            "open": self._open,
            "advance": self._advance,
            "look": self._look,
            "keep": self._keep,
            "export": self._export,
            "state": self._state,
            "close": self._close,
        }
        return requests[header["op"]](header, arrays)

    def _start(self, header: Header, _: Arrays) -> Answer:
        torch.set_num_threads(1)
        return {"ready": True}, {}

    def _map(self, header: Header, _: Arrays) -> Answer:
        self._team = self._data = None
        self._data = read_data(self._folder / header["folder"])
        return {}, {}

    def _open(self, header: Header, arrays: Arrays) -> Answer:
        assert self._data is not None
        build = self._build or self._builder(self._data, header).team
        candidates = {item["id"]: candidate_of(item) for item in header["candidates"]}
        lanes = [Lane(candidate=candidates[name], fold=fold, seed=seed) for name, fold, seed in header["lanes"]]
        said = {name: header[name] for name in ("shows", "answers")}
        data = replace(narrowed(self._data, header["kept"], arrays), **said)
        team = build(lanes, data)
        team.keep(header["left"])
        if header["state"] is not None:
            state = {name.removeprefix(STATE): array for name, array in arrays.items() if name.startswith(STATE)}
            team.restore({name: torch.from_numpy(array) for name, array in state.items()}, header["state"])
        self._team = team
        return {"fraction": team.fraction}, {}

    @staticmethod
    def _builder(data: TrainingData, header: Header) -> TeamBuilder:
        return TeamBuilder(
            data=data,
            lengths=Lengths(**header["lengths"]),
            workers=1,
            stop=never,
            dtype=DTYPES[header["dtype"]],
            compute=None if header["compute"] is None else DTYPES[header["compute"]],
        )

    def _advance(self, header: Header, _: Arrays) -> Answer:
        until = time.monotonic() + header["seconds"]

        def between() -> None:
            if time.monotonic() >= until:
                raise _SliceIsOver

        try:
            self._opened.advance(header["fraction"], between)
        except _SliceIsOver:
            return {"reached": False}, {}
        return {"reached": True}, {}

    def _look(self, header: Header, _: Arrays) -> Answer:
        evidence = self._opened.evidence()
        repairs = {lane: [asdict(event) for event in events] for lane, events in self._opened.repairs().items()}
        arrays = {f"valid/{place}": np.ascontiguousarray(item.valid) for place, item in enumerate(evidence)}
        arrays |= {
            f"train/{place}": np.ascontiguousarray(item.train)
            for place, item in enumerate(evidence)
            if item.train is not None
        }
        arrays["train_loss"] = np.array([item.train_loss for item in evidence])
        header = {
            "lanes": [item.lane.id for item in evidence],
            "notices": [[asdict(notice) for notice in item.notices] for item in evidence],
            "repairs": repairs,
            "lost": {lane: asdict(failure) for lane, failure in self._opened.lost().items()},
            "notes": list(self._notes),
        }
        self._notes.clear()
        return header, arrays

    def _keep(self, header: Header, _: Arrays) -> Answer:
        self._opened.keep(header["lanes"])
        return {}, {}

    def _export(self, header: Header, _: Arrays) -> Answer:
        fitted = self._opened.export(header["lane"])
        known = {name: getattr(fitted, name) for name in ("stop", "loss", "center", "scale", "columns")}
        return known, arrays_of(dict(fitted.tensors or {}))

    def _state(self, header: Header, _: Arrays) -> Answer:
        tensors, rest = self._opened.state()
        return {"state": rest, "fraction": self._opened.fraction}, arrays_of(tensors)

    def _close(self, header: Header, _: Arrays) -> Answer:
        self._team = None
        return {}, {}

    @property
    def _opened(self) -> Team:
        assert self._team is not None
        return self._team


def arrays_of(tensors: dict[str, Tensor]) -> Arrays:
    """Tensors as the arrays of a message."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def load(part: str) -> None:
    """Load a part of what this module needs; there is none that it has not loaded itself."""
    del part


def main(folder: Path) -> NoReturn:
    """Answer requests until the parent is gone."""
    serve(Worker(folder).answer, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
