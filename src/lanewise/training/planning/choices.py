"""What the user lets the candidates of a race choose from, and the shapes of networks that follow."""

import itertools
import math
from dataclasses import dataclass

Structure = tuple[int, int, str, bool, float]
"""Width, depth, activation, layer norm, share of the usual batch."""

STRUCTURES: tuple[Structure, ...] = (
    (128, 2, "relu", False, 1.0),
    (256, 2, "silu", True, 1.0),
    (64, 2, "relu", False, 0.5),
    (256, 3, "relu", True, 2.0),
    (32, 1, "relu", False, 1.0),
    (256, 1, "silu", False, 0.5),
)
"""Network shapes in the order they enter.

A race stacks the lanes of one shape, so it tries few shapes with many settings of the rest.
"""

LANES_PER_STRUCTURE = 12

LANES_PER_STATED = 4
"""The same for what varies beside the shapes that the user states: all of those are to race."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The values that may race, the one of the default first; an empty list leaves a setting to the race.

    ``losses`` and ``schedules`` are those of linear models and networks, the others of networks.
    """

    losses: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    activations: tuple[str, ...] = ()

    @property
    def shaped(self) -> bool:
        """Whether anything is stated about the shape of networks."""
        return bool(self.widths or self.depths or self.activations)

    def structures(self, count: int) -> tuple[Structure, ...]:
        """The shapes for ``count`` networks: every stated one once, before what is not stated varies.

        >>> Choices(widths=(512, 64), depths=(4,)).structures(8)
        ((512, 4, 'relu', False, 1.0), (64, 4, 'relu', False, 1.0))
        """
        if not self.shaped:
            return STRUCTURES[: max(1, count // LANES_PER_STRUCTURE)]
        found: dict[tuple[int, int, str, bool], Structure] = {}
        for width, depth, activation, layer_norm, batch in STRUCTURES:
            stated = itertools.product(
                self.widths or (width,), self.depths or (depth,), self.activations or (activation,)
            )
            for shape in stated:
                found.setdefault((*shape, layer_norm), (*shape, layer_norm, batch))
        combinations = math.prod(max(len(own), 1) for own in (self.widths, self.depths, self.activations))
        return tuple(found.values())[: max(1, min(combinations, count), count // LANES_PER_STATED)]


ANY = Choices()
"""Nothing is stated."""
