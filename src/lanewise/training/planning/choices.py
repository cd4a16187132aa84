"""What the user lets the candidates of a race choose from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The values that may race, the one of the default first; an empty list leaves a setting to the race.

    ``losses`` are those of linear models and networks.
    """

    losses: tuple[str, ...] = ()


ANY = Choices()
"""Nothing is stated."""
