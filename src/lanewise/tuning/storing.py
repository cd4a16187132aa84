"""A tuning race as a run of the store: planned once, stopped and gone on with, recorded when it is done."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lanewise.errors import DataError, StoreError, UsageError
from lanewise.reporting.document import SCHEMA_VERSION, finite_or_null
from lanewise.reporting.report import reported
from lanewise.runs.comparing import compared
from lanewise.runs.executing import execute, remove_remains
from lanewise.runs.journal import RunJournal
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore
from lanewise.storage.durable import dump_json, load_json, write_atomically
from lanewise.storage.modelfile import save_model
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.modules.teams import Form, Way
from lanewise.training.planning.plan import Plan
from lanewise.training.stopping import Stop
from lanewise.tuning.fingerprint import changed
from lanewise.tuning.posing import Ways
from lanewise.tuning.result import TuneResult

KIND = "tune"
"""What the configuration and the document of such a run say that it is."""

LANES = "lanes.json"
"""Every lane of a finished race: its candidate, and what was seen of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Keeping:
    """Where a race keeps its plan and its state, and whether somebody asks it to stop; nowhere and never by default."""

    journal: Journal = field(default_factory=NoJournal)
    stop: Stop = field(default_factory=Stop)
    plan_file: Path | None = None


Raced = Callable[[Keeping], TuneResult]


def write_plan(path: Path, plan: Plan, ways: Ways) -> None:
    """Keep all that was decided before the first step: the plan, and how lanes are run."""
    kept = [
        {"form": form, "batch": batch, "way": asdict(way)} for form, own in ways.items() for batch, way in own.items()
    ]
    write_atomically(path, dump_json({"plan": plan.to_json(), "ways": kept}))


def read_plan(path: Path) -> tuple[Plan, Ways]:
    """What :func:`write_plan` kept; raises ``StoreError`` where the file is missing or damaged."""
    content = load_json(path)
    ways: dict[Form, dict[int, Way]] = {}
    try:
        for kept in content["ways"]:
            form = tuple((name, value) for name, value in kept["form"])
            ways.setdefault(form, {})[kept["batch"]] = Way(**kept["way"])
        return Plan.from_json(content["plan"]), ways
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path} is not the plan of a tuning race ({type(error).__name__}: {error}); start a new run"
        raise StoreError(message) from error


def stored(
    race: Raced, *, home: Path, name: str | None, settings: Mapping[str, Any], fingerprint: Mapping[str, Any]
) -> TuneResult:
    """A race from Python as a run in ``home``: a new one, or the unfinished one of that name.

    Raises ``UsageError`` or ``DataError`` where the unfinished one began otherwise.
    """
    with RunStore(home) as store:
        begun = None if name is None else _unfinished(store, name)
        if begun is None:
            config = {"name": name, "source": None, "settings": settings, "fingerprint": fingerprint}
            return begin(store, race, command=f"lanewise.tune({settings['model']}, ...)", config=config)
        with begun.acquire():
            remove_remains(begun)
            check_unchanged(begun, fingerprint)
            other = [key for key, value in settings.items() if begun.config["settings"].get(key) != value]
            if other:
                message = (
                    f"run {begun.id}, named {name!r}, is unfinished and began with other {', '.join(other)}; call it "
                    "as it was, or give another name"
                )
                raise UsageError(message)
            return go_on(store, begun, race)


def _unfinished(store: RunStore, name: str) -> Run | None:
    """The newest tuning race of that name, if it was stopped or killed, or is at work."""
    for run in store.list(limit=10_000):
        if run.config.get("kind") == KIND and run.config.get("name") == name:
            return run if run.status in ("interrupted", "running") else None
    return None


def begin(
    store: RunStore, race: Raced, *, command: str, config: Mapping[str, Any], plan: Path | None = None
) -> TuneResult:
    """Record a new run and do its race, by a ``plan`` that is there already or by one of its own."""
    run = store.create(command=command, config={"kind": KIND, **config})
    with run.acquire():
        if plan is not None:
            write_atomically(run.plan, plan.read_bytes())
        return _execute(store, run, race)


def go_on(store: RunStore, run: Run, race: Raced) -> TuneResult:
    """Go on with a run, whose lock the caller holds."""
    return _execute(store, store.resume(run.id), race)


def check_unchanged(run: Run, fingerprint: Mapping[str, Any]) -> None:
    """Raise ``DataError`` where the data, the module or the loss are not those that the run began with."""
    what = changed(run.config["fingerprint"], fingerprint)
    if what:
        message = f"{what} has changed since run {run.id} began; restore it, or start a new run"
        raise DataError(message.replace("the data has", "the data have"))


def _execute(store: RunStore, run: Run, race: Raced) -> TuneResult:
    def work(stop: Stop, journal: RunJournal) -> TuneResult:
        found = _recorded(run, race(Keeping(journal=journal, stop=stop, plan_file=run.plan)))
        return replace(found, document=compared(store, run, found.document))

    return execute(store, run, work, document=lambda found: found.document)


def _recorded(run: Run, found: TuneResult) -> TuneResult:
    """The result with the weights, the lanes and the report in the run's folder, and a document that says so."""
    manifest = {
        "kind": KIND,
        "model": found.winner.model,
        "settings": dict(found.settings),
        "steps": found.steps,
        "events": [asdict(event) for event in found.winner.events],
    }
    sha256 = save_model(run.model, found.model.state_dict(), manifest)
    write_atomically(run.folder / LANES, dump_json(finite_or_null({"lanes": _lanes(found)})))
    header = {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "run": run.id,
        "name": run.config.get("name"),
        "created": run.created,
        "command": run.command,
        "source": run.config.get("source"),
        "words": list(found.words),
    }
    document = {**header, **found.document, "model_sha256": sha256}
    document = reported(document, run.report)
    return replace(found, document=document, run=run.id, folder=run.folder)


def _lanes(found: TuneResult) -> list[dict[str, Any]]:
    curves = found.document["race"]["curves"]
    return [
        {
            "candidate": asdict(trace.lane.candidate),
            "fold": trace.lane.fold,
            "seed": trace.lane.seed,
            "phase": trace.phase,
            "fractions": trace.fractions,
            "scores": trace.scores,
            "train_losses": trace.train_losses,
            "weights_sha256": curve["weights_sha256"],
        }
        for trace, curve in zip(found.race.traces, curves, strict=True)
    ]
