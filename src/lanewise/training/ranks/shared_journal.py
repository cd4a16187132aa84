"""The journal of ranks that train the same lanes: the first of them reads and writes, the others are told."""

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from lanewise.distributed.data_axis import DataAxis
from lanewise.training.journal import Journal
from lanewise.training.ranks.spread_team import pack, unpack


@final
class SharedJournal(Journal):
    """``journal`` along an ``axis``: what the first rank saved is what all of them go on from.

    Their states are the same, so that one copy does. All ranks load alike; they save whenever they like.
    """

    def __init__(self, journal: Journal, axis: DataAxis) -> None:
        self._journal, self._axis = journal, axis

    def save(self, key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        if self._axis.leads:
            self._journal.save(key, tensors, state)

    def load(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        found = self._journal.load(key) if self._axis.leads else None
        told = self._axis.send(b"" if found is None else pack(*found))
        if self._axis.leads or not told:
            return found
        return unpack(told)
