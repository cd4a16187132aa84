"""Which lane sits in which row of a stack."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lanewise.lanes.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One training of a candidate, on the training rows of a fold, with a seed.

    ``fold`` counts from 0; the fold that holds nothing out (a refit) is -1.
    """

    candidate: Candidate
    fold: int
    seed: int

    @property
    def id(self) -> str:
        fold = "all" if self.fold < 0 else str(self.fold)
        return f"{self.candidate.id}.f{fold}.s{self.seed}"

    @property
    def group(self) -> tuple[int, int]:
        """Lanes of one group are shown the same batches."""
        return (self.fold, self.seed)


def grid_of(candidates: Iterable[Candidate], folds: Sequence[int], seeds: Sequence[int]) -> list[Lane]:
    """A lane of each candidate for every fold and seed, candidate after candidate."""
    return [Lane(candidate=one, fold=fold, seed=seed) for one in candidates for fold in folds for seed in seeds]


@dataclass(frozen=True)
class Roster:
    """The lanes of a stack in the order of their rows.

    Rows are sorted by group, then by optimizer, so that a batch is shared by a contiguous
    block of rows, and so that within a group each rule owns one contiguous block.
    """

    lanes: tuple[Lane, ...]

    @classmethod
    def of(cls, lanes: Sequence[Lane]) -> "Roster":
        return cls(tuple(sorted(lanes, key=lambda lane: (*lane.group, lane.candidate.optimizer, lane.candidate.id))))

    def at(self, taken: int, length: int) -> "Roster":
        """The same lanes with the settings that their candidates have after ``taken`` of ``length`` steps."""
        return Roster(tuple(replace(lane, candidate=lane.candidate.at(taken, length)) for lane in self.lanes))

    def __len__(self) -> int:
        return len(self.lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.lanes)

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """The (fold, seed) pairs present, in the order of their rows."""
        return tuple(dict.fromkeys(lane.group for lane in self.lanes))

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """How many consecutive rows each group has."""
        counts = dict.fromkeys(self.groups, 0)
        for lane in self.lanes:
            counts[lane.group] += 1
        return tuple(counts.values())

    def blocks(self) -> Iterator[tuple[str, slice]]:
        """Maximal runs of consecutive rows with the same optimizer."""
        start = 0
        for row in range(1, len(self.lanes) + 1):
            name = self.lanes[start].candidate.optimizer
            if row == len(self.lanes) or self.lanes[row].candidate.optimizer != name:
                yield name, slice(start, row)
                start = row

    def keep(self, rows: Sequence[int]) -> "Roster":
        return Roster(tuple(self.lanes[row] for row in rows))
