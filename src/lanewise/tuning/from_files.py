"""Tuning races over objects that files name, ``mymodel.py:make_model``: stored, gone on with, repeated."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

from torch import nn

from lanewise.distributed.joining import joined
from lanewise.distributed.mesh import AUTO
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import Mistakes, UsageError, UserError
from lanewise.explain import usage
from lanewise.runs.executing import going_on
from lanewise.runs.ranked import RankedStore, opened
from lanewise.runs.remaining import check_plan
from lanewise.runs.run import Run
from lanewise.runs.stage_times import StageTimes
from lanewise.training.ranks.crew import fitting, mesh_of
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning.fingerprint import check_files, file_digests
from lanewise.tuning.inputs.loading import LOSSES, check_source, loss_of, named, table_of
from lanewise.tuning.lane_alone import LaneAlone, train_alone
from lanewise.tuning.posed import Posed
from lanewise.tuning.racing import race
from lanewise.tuning.result import TuneResult
from lanewise.tuning.stated import check_stated
from lanewise.tuning.storing import Tell, begin, check_unchanged, go_on
from lanewise.tuning.tune import asked

Watch = Callable[[Pulse], None] | None

NAMED = ("model", "data", "loss", "step", "groups", "candidates", "space")
"""Settings that may name an object of a file."""

TABLE = ("target", "inputs", "valid")
"""Settings of data that are a table."""


def tune_files(
    *, command: str, watch: Watch = None, tell: Tell = None, started: float | None = None, **settings: Any
) -> TuneResult:
    """Race as :func:`lanewise.tune` does, as a run of the nearest ``.lanewise`` folder.

    ``settings`` are its arguments, as text: ``model`` and ``data`` are ``FILE:NAME``, ``loss`` is a name or that,
    ``candidates`` a number or that. ``tell`` says at once that a request to stop was heard. What the run took counts
    from the start of this process at ``started``, a time of ``time.monotonic``; from now if None. Raises as it does,
    and ``Interrupted`` on Ctrl-C or SIGTERM.
    """
    clock = _clock(started)
    lasting = {name: _lasting(value) if name in NAMED else value for name, value in settings.items()}
    named_objects = {name: value for name in NAMED if _is_reference(value := lasting.get(name))}
    if settings.get("target") is not None:
        lasting |= {"data": str(Path(settings["data"]).absolute()), "valid": _absolute(settings["valid"])}
        named_objects.pop("data", None)  # a table, whatever its path has in it
    with joined() as ranks:
        posed = replace(_posed(settings, ranks), **clock)
        posed.agree(ranks)
        config = {
            "source": lasting["model"],
            "settings": lasting,
            "files": file_digests(named_objects.values()),
            "fingerprint": posed.fingerprint,
        }
        if ranks.place.job:
            config["job"] = ranks.place.job
        with opened(ranks) as store:
            before = store.begun()
            if before is not None:
                return go_on_with(store, before, watch=watch, tell=tell, started=started)
            race_it = partial(race, posed, watch)
            return begin(store, race_it, command=command, config=config, tell=tell, started=started)


def _clock(started: float | None) -> dict[str, Any]:
    """From when on a race counts its seconds, and what it has used: from the start of this process, or from now."""
    times = StageTimes.since(started)
    loaded = {} if started is None else {"cpu_seconds": 0.0}  # with what the loading of the program used
    return {"times": times, "before": replace(usage(), seconds=times.started, **loaded)}


def go_on_with(
    store: RankedStore, reference: str, *, watch: Watch = None, tell: Tell = None, started: float | None = None
) -> TuneResult:
    """Go on with a race that was stopped or killed; it ends in the same bits as if it had not been.

    ``started`` as for :func:`tune_files`.

    Raises ``StoreError`` where another process works on it, ``UsageError`` where it is done, ``DataError`` where a
    file, the data, the module or the loss is not what it was.
    """
    ranks, clock = store.ranks, _clock(started)
    with going_on(store, reference) as run:
        posed = replace(_begun(run, ranks), **clock)
        posed.agree(ranks)
        return go_on(store, run, partial(race, posed, watch), tell=tell, started=started)


def repeat(reference: str, *, watch: Watch = None, tell: Tell = None) -> TuneResult:
    """Do a finished race again by its plan, as a run of its own; its document says whether it came out the same.

    Raises ``UsageError`` where it is not finished, and as :func:`resume`.
    """
    clock = _clock(None)
    with _finished(reference) as (store, run):
        posed = replace(_begun(run), **clock)
        config = {**run.config, "repeats": run.id}
        command = f"lanewise repeat {run.id}"
        race_it = partial(race, posed, watch)
        return begin(store, race_it, command=command, config=config, plan=run.plan, tell=tell)


def repeat_lane(reference: str, lane: int) -> LaneAlone:
    """Train one lane of a finished race alone and compare; raises as :func:`repeat`, or where there is no such lane."""
    with _finished(reference) as (_, run):
        return train_alone(run, _begun(run), lane)


@contextmanager
def _finished(reference: str) -> Iterator[tuple[RankedStore, Run]]:
    with opened(Lone(), create=False) as store:
        run = store.get(reference)
        if run.status != "done":
            message = f"run {run.id} is {run.status}: only what is done can be repeated"
            hint = f"; go on with: lanewise.resume({run.id!r})" if run.status == "interrupted" else ""
            raise UsageError(message + hint)
        check_plan(run)
        yield store, run


def _begun(run: Run, ranks: Ranks | None = None) -> Posed:
    """The question of a run, from the files that it was asked with; they must be as they were."""
    if run.config.get("source") is None:
        name = run.config.get("name")
        again = f"the same arguments and name={name!r}" if name else "the same arguments, which starts anew"
        message = f"run {run.id} was started from Python, with objects in memory; call lanewise.tune again with {again}"
        raise UsageError(message)
    check_files(run.config["files"], run=run.id)
    posed = _posed(run.config["settings"], ranks, resumed=True)
    check_unchanged(run, posed.fingerprint)
    return posed


def _posed(settings: Mapping[str, Any], ranks: Ranks | None = None, *, resumed: bool = False) -> Posed:
    given = dict(settings)
    if resumed:
        size = 1 if ranks is None else ranks.size
        given["mesh"] = fitting(given.get("mesh"), size)
        if mesh_of(given["mesh"], size).data == 1 and (given["mesh"] != AUTO or size == 1):
            given.pop("payload", None)  # nobody is left to exchange gradients with
    own = _referred(given, ranks)
    source, table = given.pop("data"), {name: given.pop(name, None) for name in TABLE}
    train, valid = table_of(source, **table, folds=given.get("folds"), ranks=ranks)
    if own["loss"] is None and own["step"] is None:
        own["loss"] = loss_of(None, train)
    return asked(**own, train=train, valid=valid, **given, ranks=ranks)


def check_files_named(settings: Mapping[str, Any]) -> None:
    """Raise ``UserError`` with all that is off in what :func:`tune_files` is told, as far as no row need be read."""
    _referred(dict(settings), None)


def _referred(given: dict[str, Any], ranks: Ranks | None) -> dict[str, Any]:
    """What the names of ``given``, the settings, stand for, but for the data; they are taken out of it.

    Raises ``UserError`` with all that cannot be found and what is off among the other settings.
    """
    mistakes = Mistakes(UserError)
    own: dict[str, Any] = {"make_model": mistakes.of(named, given.pop("model"))}
    reads: dict[str, Callable[[str], Any]] = dict.fromkeys(("space", "step", "groups"), named)
    reads |= {"candidates": _listed, "loss": loss_of}
    stated = {name: given.pop(name, None) for name in reads}
    for name, read in reads.items():
        reference = stated[name]
        own[name] = None if reference is None else mistakes.of(read, reference)
    mistakes.of(check_source, given["data"], **{name: given.get(name) for name in TABLE}, folds=given.get("folds"))
    told = {name: value for name, value in given.items() if name not in ("data", *TABLE)}
    told |= {"loss": LOSSES["mse"]} if own["loss"] is None and own["step"] is None else {}
    known = {name: value for name, value in own.items() if value is not None}
    if "make_model" not in known:  # whose arguments may be settings of these
        told |= {"candidates": known.get("candidates")} if isinstance(known.get("candidates"), int) else {}
        known = {name: value for name, value in known.items() if name not in ("candidates", "space")}
    if stated["space"] is not None and "space" not in known and given.get("search") == "grid":
        told["search"] = "sobol"  # a grid is of the space
    size = 1 if ranks is None else ranks.size
    mistakes.of(check_stated, **{"make_model": nn.Identity, **known, **told}, ranks=size)
    mistakes.tell()
    return own


def _listed(candidates: str) -> Any:
    """A number, or the list that is named."""
    try:
        return int(candidates)
    except ValueError:
        if ":" in candidates:
            return named(candidates)
    message = f"candidates must be a whole number, or a list of settings as FILE:NAME, got {candidates!r}"
    raise UsageError(message)


def _is_reference(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and ":" in value


def _absolute(given: str | None) -> str | None:
    """The path of a table that judges as it is good in any working directory; a share of rows stays one."""
    try:
        return None if given is None else str(float(given))
    except ValueError:
        return str(Path(str(given)).absolute())


def _lasting(reference: str | None) -> str | None:
    """The reference as it is good in any working directory."""
    if reference is None or not _is_reference(reference):
        return reference
    file, _, name = reference.rpartition(":")
    return f"{Path(file).absolute()}:{name}"
