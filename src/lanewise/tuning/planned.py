"""All that is decided before the first step of a tuning race, and how that is kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lanewise.errors import StoreError
from lanewise.storage.durable import dump_json, load_json, write_atomically
from lanewise.training.modules.teams import Form, Way
from lanewise.training.planning.plan import Plan
from lanewise.tuning.posing import Ways


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan, how lanes are run, and whether they are shared out among all workers however few they are.

    ``shared_out`` is None in a plan of an earlier version. At ``kept_looks`` of their length the screen keeps its
    lanes, for the confirmation to go on with them; none: that trains everybody from the start.
    """

    plan: Plan
    ways: Ways
    shared_out: bool | None
    kept_looks: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        ways = [
            {"form": form, "batch": batch, "way": asdict(way)}
            for form, own in self.ways.items()
            for batch, way in own.items()
        ]
        return {"plan": self.plan.to_json(), "ways": ways, "shared_out": self.shared_out, "kept_looks": self.kept_looks}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Planned":
        ways: dict[Form, dict[int, Way]] = {}
        for kept in content["ways"]:
            form = tuple((name, value) for name, value in kept["form"])
            ways.setdefault(form, {})[kept["batch"]] = Way(**kept["way"])
        known = {"shared_out": content.get("shared_out"), "kept_looks": tuple(content.get("kept_looks", ()))}
        return cls(plan=Plan.from_json(content["plan"]), ways=ways, **known)

    def write(self, path: Path) -> None:
        write_atomically(path, dump_json(self.to_json()))

    @classmethod
    def read(cls, path: Path) -> "Planned":
        """What :meth:`write` kept; raises ``StoreError`` where the file is missing or damaged."""
        content = load_json(path)
        try:
            return cls.from_json(content)
        except (KeyError, TypeError, ValueError) as error:
            message = f"{path} is not the plan of a tuning race ({type(error).__name__}: {error}); start a new run"
            raise StoreError(message) from error
