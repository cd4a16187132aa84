"""What the document of a tuning race says of the ranks that raced."""

import json
from typing import Any

from lanewise.distributed.ranks import Ranks
from lanewise.training.modules.teams import ModuleTeams
from lanewise.training.planning.plan import Plan
from lanewise.training.ranks.choosing import mesh_words
from lanewise.training.ranks.crew import Crew
from lanewise.training.ranks.planning import why_lanes


def notes_of(teams: ModuleTeams, ranks: Ranks) -> list[str]:
    """What the teams of all ranks have to say; all of them call this alike."""
    return [note for told in ranks.gather(json.dumps(teams.notes).encode()) for note in json.loads(told)]


def ranks_of(crew: Crew, plan: Plan, stated: str | None, *, gpus: bool) -> dict[str, Any]:
    """How many ranks raced, on which mesh, and why on that one; nothing where one process did."""
    size, chosen = crew.ranks.size, mesh_words(plan, crew)
    said: dict[str, Any] = {"mesh_why": chosen} if chosen else {}
    if size == 1:
        return said
    if stated is None:
        said["mesh_why"] = why_lanes(plan, size, gpus=gpus)
    return {"ranks": size, "mesh": str(crew.mesh), **said, **crew.exchanged}
