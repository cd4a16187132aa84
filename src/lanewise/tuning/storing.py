"""A tuning race as a run of the store: planned once, stopped and gone on with, recorded when it is done."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lanewise.distributed.ranks import Lone, Ranks, never
from lanewise.errors import DataError, UsageError
from lanewise.reporting.document import SCHEMA_VERSION, finite_or_null
from lanewise.reporting.report import reported
from lanewise.runs.comparing import compared
from lanewise.runs.executing import execute, remove_remains
from lanewise.runs.journal import RunJournal
from lanewise.runs.ranked import RankedStore, held, opened
from lanewise.runs.run import Run
from lanewise.storage.durable import dump_json, write_atomically
from lanewise.storage.modelfile import save_model
from lanewise.storage.strict_json import parse_json
from lanewise.training.journal import Journal, NoJournal
from lanewise.training.stopping import Stop
from lanewise.tuning.fingerprint import changed
from lanewise.tuning.result import TuneResult

KIND = "tune"
"""What the configuration and the document of such a run say that it is."""

LANES = "lanes.json"
"""Every lane of a finished race: its candidate, and what was seen of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Keeping:
    """Where a race keeps its plan and its state, and whether somebody asks it to stop; nowhere and never by default.

    All ``ranks`` race alike, and each comes to the result. ``resumed`` says that the race had begun before.
    """

    journal: Journal = field(default_factory=NoJournal)
    stop: Stop = field(default_factory=Stop)
    plan_file: Path | None = None
    ranks: Ranks = field(default_factory=Lone)
    resumed: bool = False


Raced = Callable[[Keeping], TuneResult]

Tell = Callable[[str], None] | None


def stored(
    race: Raced,
    *,
    home: Path,
    name: str | None,
    settings: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    ranks: Ranks,
) -> TuneResult:
    """A race from Python as a run in ``home``: a new one, or the unfinished one of that name.

    Raises ``UsageError`` or ``DataError`` where the unfinished one began otherwise.
    """
    with opened(ranks, home=home) as store:
        begun = None if name is None else store.newest(partial(_named, name), until=("interrupted", "running"))
        if begun is None:
            config = {"name": name, "source": None, "settings": settings, "fingerprint": fingerprint}
            return begin(store, race, command=f"lanewise.tune({settings['model']}, ...)", config=config)
        with held(begun, ranks):
            if ranks.leads:
                remove_remains(begun)
            check_unchanged(begun, fingerprint)
            before = begun.config["settings"]
            other = [key for key in {**settings, **before} if before.get(key) != settings.get(key)]
            if other:
                message = (
                    f"run {begun.id}, named {name!r}, is unfinished and began with other {', '.join(other)}; call it "
                    "as it was, or give another name"
                )
                raise UsageError(message)
            return go_on(store, begun, race)


def _named(name: str, run: Run) -> bool:
    return run.config.get("kind") == KIND and run.config.get("name") == name


def begin(
    store: RankedStore,
    race: Raced,
    *,
    command: str,
    config: Mapping[str, Any],
    plan: Path | None = None,
    tell: Tell = None,
    started: float | None = None,
) -> TuneResult:
    """Record a new run and do its race, by a ``plan`` that is there already or by one of its own.

    ``tell`` says at once that a request to stop was heard. The run's seconds count from ``started``, or from now.
    """
    run = store.create(command=command, config={"kind": KIND, **config}, started=started)
    with held(run, store.ranks):
        if plan is not None and store.ranks.leads:
            write_atomically(run.plan, plan.read_bytes())
        return _execute(store, run, race, tell)


def go_on(store: RankedStore, run: Run, race: Raced, *, tell: Tell = None, started: float | None = None) -> TuneResult:
    """Go on with a run, whose lock the caller holds; ``tell`` and ``started`` as for :func:`begin`."""
    return _execute(store, store.resume(run.id, started=started), race, tell, resumed=True)


def check_unchanged(run: Run, fingerprint: Mapping[str, Any]) -> None:
    """Raise ``DataError`` where the data, the module or the loss are not those that the run began with."""
    what = changed(run.config["fingerprint"], fingerprint)
    if what:
        message = f"{what} changed since run {run.id} began; undo that change, or start a new run"
        raise DataError(message)


def _execute(store: RankedStore, run: Run, race: Raced, tell: Tell, *, resumed: bool = False) -> TuneResult:
    ranks = store.ranks

    def work(stop: Stop, journal: RunJournal) -> TuneResult:
        found = race(Keeping(journal=journal, stop=stop, plan_file=run.plan, ranks=ranks, resumed=resumed))
        if not ranks.leads:
            return replace(told(found, ranks, stop=stop), run=run.id, folder=run.folder)
        found = _recorded(run, found)
        return replace(found, document=compared(store, run, found.document))

    found = execute(store, run, work, document=lambda found: found.document, tell=tell if ranks.leads else None)
    return told(found, ranks) if ranks.leads else found


def told(found: TuneResult, ranks: Ranks, *, stop: Callable[[], bool] = never) -> TuneResult:
    """The result with the document of rank 0; all ranks call this alike, the others wait in it for that."""
    if ranks.size == 1:
        return found
    document = ranks.broadcast(dump_json(found.document) if ranks.leads else b"", stop=stop)
    return found if ranks.leads else replace(found, document=parse_json(document, source="the document of rank 0"))


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
