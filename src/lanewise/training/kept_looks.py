"""Looks of a confirmation at lanes that a screen trains: kept there, so that the confirmation can go on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from lanewise.lanes.buffer import LaneBuffer
from lanewise.lanes.candidate import Notice
from lanewise.lanes.roster import Lane
from lanewise.training.copying import under
from lanewise.training.watching.guard import Guard
from lanewise.training.watching.vitals import Vitals


@dataclass(kw_only=True)
class KeptLook:
    """A look after ``taken`` steps, but for the predictions, which are made when it is asked for.

    ``judged [L, P + S]`` are what rows are judged by, ``losses [L]`` the means since the look before, and ``notices``
    what was noticed of each row.
    """

    taken: int
    judged: Tensor
    losses: Tensor
    notices: list[tuple[Notice, ...]]


@final
class KeptLooks:
    """Looks at the rows of a stack after ``steps`` of its steps, and what lies between them, beside the screen's own.

    A screen looks at lanes at other moments than a confirmation does, and each look begins means of losses anew. So
    here they are kept as a confirmation would have them. ``same [L]`` says which rows are still what training them from
    the start would make of them there: a confirmation sets back nobody whose numbers are finite, and a candidate with
    events may have gone through them in another lane.
    """

    def __init__(self, lanes: Sequence[Lane], steps: Sequence[int], *, watched: bool, device: torch.device) -> None:
        self.looks: list[KeptLook] = []
        self.same = [not lane.candidate.events for lane in lanes]
        self.vitals = Vitals()
        self._steps, self._watched = frozenset(steps), watched
        self._loss_sum = torch.zeros(len(lanes), dtype=torch.float64, device=device)
        self._loss_steps = 0

    def observe(self, losses: Tensor, taken: int) -> None:
        """Know of the ``losses [L]`` of step ``taken``."""
        self._loss_sum += losses
        self._loss_steps += 1
        if self._watched:
            self.vitals.observe(losses, taken)

    def spoil(self, rows: Collection[int]) -> None:
        """From here on ``rows`` are not what they would be in a confirmation."""
        for row in rows:
            self.same[row] = False

    def due(self, taken: int) -> bool:
        """Whether there is a look after ``taken`` steps."""
        return taken in self._steps

    def look(self, judged: Tensor, buffer: LaneBuffer, guard: Guard, *, taken: int, length: int) -> None:
        """Keep a look at rows that are ``judged [L, P + S]`` by that, before ``guard`` makes other snapshots."""
        means = self._loss_sum / max(self._loss_steps, 1)
        if self._watched:
            self.vitals.look(buffer, guard, means, taken=taken, length=length, excused=())
        notices = [self.vitals.news(row) for row in range(len(self.same))]
        self.looks.append(KeptLook(taken=taken, judged=judged.clone(), losses=means, notices=notices))
        self._loss_sum.zero_()
        self._loss_steps = 0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What :meth:`restore` needs: tensors of which the first axis is that of lanes, and lists of one entry each."""
        vitals, known = self.vitals.state()
        tensors = {"loss_sum": self._loss_sum, **{f"vitals/{name}": own for name, own in vitals.items()}}
        looked, looks = looks_state(self.looks)
        return tensors | looked, {
            "loss_steps": self._loss_steps, "same": list(self.same), "vitals": known, "looks": looks,
        }  # fmt: skip

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self._loss_sum, self._loss_steps = tensors["loss_sum"].clone(), rest["loss_steps"]
        self.same = list(rest["same"])
        self.vitals.restore(under(tensors, "vitals/"), rest["vitals"])
        self.looks = looks_of(tensors, rest["looks"])

    def keep(self, rows: Sequence[int]) -> None:
        """Compact what is known to ``rows``."""
        self._loss_sum = self._loss_sum[torch.tensor(rows, dtype=torch.int64)]
        self.same = [self.same[row] for row in rows]
        self.vitals.keep(rows)
        self.looks = [of_rows(look, rows) for look in self.looks]


def of_rows(look: KeptLook, rows: Sequence[int]) -> KeptLook:
    """The look at some of its rows."""
    index = torch.tensor(rows, dtype=torch.int64)
    notices = [look.notices[row] for row in rows]
    return KeptLook(taken=look.taken, judged=look.judged[index], losses=look.losses[index], notices=notices)


def looks_state(looks: Sequence[KeptLook]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """What :func:`looks_of` needs: tensors of which the first axis is that of lanes, and a JSON-able rest."""
    tensors: dict[str, Tensor] = {}
    for place, look in enumerate(looks):
        tensors |= {f"looks/{place}/judged": look.judged, f"looks/{place}/losses": look.losses}
    rest = [
        {"taken": look.taken, "notices": [[asdict(notice) for notice in own] for own in look.notices]} for look in looks
    ]
    return tensors, rest


def looks_of(tensors: Mapping[str, Tensor], rest: Sequence[Mapping[str, Any]]) -> list[KeptLook]:
    """The looks that :func:`looks_state` was given."""
    return [
        KeptLook(
            taken=known["taken"],
            judged=tensors[f"looks/{place}/judged"].clone(),
            losses=tensors[f"looks/{place}/losses"].clone(),
            notices=[tuple(Notice(**notice) for notice in own) for own in known["notices"]],
        )
        for place, known in enumerate(rest)
    ]
