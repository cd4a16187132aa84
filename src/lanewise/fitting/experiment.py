"""``fit``: from a table to an evaluated, explained and saved model.

It reads as the way of the data does: source -> problem -> plan -> race -> selection -> refit ->
evaluation -> document, report and model. Each stage takes and returns a small frozen result.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lanewise.data.conventions import Convention
from lanewise.data.examples import known_example
from lanewise.data.read_options import ReadOptions, read_options
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.distributed.joining import joined
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import DataError, UsageError, unrecorded
from lanewise.explain import gathered, spent, usage
from lanewise.fitting.agreement import check_ranks, known_names
from lanewise.fitting.documenting import documented
from lanewise.fitting.finished import Fit
from lanewise.fitting.fit_data import agreed_on, dataset_of, fingerprint, lasting, problem_of
from lanewise.fitting.stages import train
from lanewise.fitting.wanted_workers import prepare_workers
from lanewise.fitting.watcher import Silent, Watcher
from lanewise.runs.comparing import compared
from lanewise.runs.executing import execute, going_on
from lanewise.runs.journal import RunJournal
from lanewise.runs.ranked import RankedStore, Store, held, opened
from lanewise.runs.remaining import check_plan
from lanewise.runs.run import Run
from lanewise.runs.stage_times import StageTimes
from lanewise.runs.store import RunStore
from lanewise.search.policy import Policy
from lanewise.settings.fit import FitSettings, checked
from lanewise.storage.durable import write_atomically
from lanewise.storage.strict_json import dump_json, parse_json
from lanewise.training.device import device_of
from lanewise.training.problem import Problem
from lanewise.training.stopping import Stop

KEPT_DATA = "data.parquet"
"""A table that was not read from a file, kept in the run's folder to resume from."""


def fit(
    source: object,
    *,
    policy: str | Policy | None = None,
    watcher: Watcher | None = None,
    command: str = "",
    started: float | None = None,
    **settings: Any,
) -> Fit:
    """Race optimizers and models on a table and keep the one that wins.

    ``source`` is a path, ``"-"``, ``"example:NAME"``, or a table of polars, pandas or NumPy; ``settings``
    are those of :class:`lanewise.settings.fit.FitSettings`, ``target`` at least (an example knows its own). ``policy``
    drops losers on the way: a name, or a :class:`lanewise.search.policy.Policy` of yours. The budget counts from
    ``started``, a time of ``time.monotonic``; from now if None.

    Raises ``UserError`` for anything given that is not usable, ``TrainingError`` when no candidate could be
    trained, ``Interrupted`` on Ctrl-C or SIGTERM; what there was is kept.

    The run is recorded in the nearest folder ``.lanewise``, or the one that ``LANEWISE_HOME`` names.

    >>> import os, tempfile
    >>> home = tempfile.TemporaryDirectory()
    >>> os.environ["LANEWISE_HOME"] = home.name
    >>> found = fit("example:iris", budget="20steps", models="linear", candidates=2, folds=3, seeds=1)
    >>> found.document["task"], found.classes
    ('multiclass', ('setosa', 'versicolor', 'virginica'))
    >>> row = {"sepal_length_cm": [5.0], "sepal_width_cm": [3.4], "petal_length_cm": [1.5], "petal_width_cm": [0.2]}
    >>> found.predict(row).tolist()
    ['setosa']
    >>> del os.environ["LANEWISE_HOME"]
    >>> home.cleanup()
    """
    if isinstance(source, str) and source.startswith("example:"):
        settings.setdefault("target", known_example(source).target)
    source = str(source) if isinstance(source, Path) else source
    times = StageTimes.since(started)
    own = policy if isinstance(policy, Policy) else None
    if own is None and policy is not None:
        settings["policy"] = policy
    wanted = checked(settings, known=known_names(settings))
    device_of(wanted.device)  # before anything is read or recorded
    watcher = watcher or Silent()
    command = command or _call(source, settings if own is None else {**settings, "policy": own})
    with joined() as ranks, opened(ranks) as store:
        check_ranks(ranks, source, wanted, begins=True)
        prepare_workers(wanted)
        config: dict[str, Any] = {"source": lasting(source), "settings": wanted.model_dump(mode="json")}
        config["settings"]["test"] = lasting(wanted.test)
        if own is not None:
            config["policy"] = type(own).__name__
        if ranks.place.job:
            config["job"] = ranks.place.job
        with unrecorded():
            tell = watcher.announce if ranks.leads else str
            dataset = dataset_of(source, read_options(wanted), stream=wanted.stream, tell=tell, ranks=ranks)
        # A run that goes on, on another machine perhaps, does as it did.
        config["settings"]["stream"] = "never" if dataset.rest is None else "always"
        config["rows"] = fingerprint(dataset)
        # What is kept of it has types, and is no text any more.
        if isinstance(source, str) and source == "-" and dataset.conventions:
            config["conventions"] = {name: asdict(own) for name, own in dataset.conventions.items()}
        # Before a run is recorded: a mistyped column leaves no failed run that would then be the last one.
        with unrecorded():
            problem = problem_of(dataset, wanted)
        ranks.agree(agreed_on(config))
        before = store.begun()
        if before is not None:
            return go_on_with(store, before, policy=own, watcher=watcher, times=times)
        run = store.create(command=command, config=config, started=times.started)
        with held(run, ranks):
            if (not isinstance(source, str) or source == "-") and ranks.leads:
                write_atomically(run.folder / KEPT_DATA, dataset.frame.write_parquet)
            return _execute(store, run, problem, wanted, watcher=watcher, policy=own, times=times, ranks=ranks)


def _call(source: object, settings: Mapping[str, Any]) -> str:
    """The call that repeats a fit; a table in memory is called ``table``.

    >>> _call("houses.csv", {"target": "price", "budget": "60s"}), _call({"a": [1]}, {"target": "a"})
    ("lanewise.fit('houses.csv', target='price', budget='60s')", "lanewise.fit(table, target='a')")
    """
    table = repr(str(source)) if isinstance(source, (str, Path)) else "table"
    return f"lanewise.fit({', '.join([table, *(f'{name}={value!r}' for name, value in settings.items())])})"


def go_on_with(
    store: RankedStore, reference: str, *, policy: Policy | None, watcher: Watcher, times: StageTimes
) -> Fit:
    """Go on with a run as :func:`lanewise.resume` does, in a store that is open; ``times`` began when it was asked for.

    Raises ``StoreError`` where another process works on it, ``UsageError`` where it is done, its data are gone, or
    the policy is not the one that it had.
    """
    ranks = store.ranks
    with going_on(store, reference) as run:
        _check_policy(run, policy)
        problem, wanted = _begun(run, tell=watcher.announce if ranks.leads else str)
        check_ranks(ranks, None, wanted, begins=False)
        ranks.agree(agreed_on(run.config))
        again = store.resume(run.id, started=times.started)
        return _execute(
            store, again, problem, wanted, watcher=watcher, policy=policy, times=times, ranks=ranks, resumed=True
        )


def repeat(reference: str, *, policy: Policy | None = None, watcher: Watcher | None = None) -> Fit:
    """Do a finished run again by its plan, as a run of its own; its document says whether it came out the same.

    A run under a policy of your own needs the same ``policy`` again.

    Raises ``UsageError`` where it is not done, its data are gone or the policy is another, ``DataError`` where the data
    have changed.
    """
    times = StageTimes(time.monotonic())
    with RunStore.open(create=False) as store:
        original = store.get(reference)
        if original.status != "done":
            message = f"run {original.id} is {original.status}: only what is done can be repeated"
            raise UsageError(message)
        check_plan(original)
        _check_policy(original, policy)
        watcher, ranks = watcher or Silent(), Lone()
        problem, wanted = _begun(original, tell=watcher.announce)
        config = {**original.config, "repeats": original.id}
        command = f"lanewise repeat {original.id}"
        run = store.create(command=command, config=config, started=times.started)
        with run.acquire():
            kept = original.folder / KEPT_DATA
            for file in (original.plan, *([kept] if kept.exists() else [])):
                write_atomically(run.folder / file.name, file.read_bytes())
            return _execute(store, run, problem, wanted, watcher=watcher, policy=policy, times=times, ranks=ranks)


def _check_policy(run: Run, policy: Policy | None) -> None:
    if run.config.get("kind") == "tune":
        message = f"run {run.id} is a tune; go on with it by: lanewise.resume({run.id!r})"
        raise UsageError(message)
    had = run.config.get("policy")
    given = None if policy is None else type(policy).__name__
    if had is None and given is not None:
        message = f"run {run.id} was raced under policy {run.config['settings']['policy']}; resume it without policy"
        raise UsageError(message)
    if had != given:
        message = (
            f"run {run.id} was raced under a policy of your own, {had}; "
            f"go on from Python with: lanewise.resume({run.id!r}, policy={had}())"
        )
        raise UsageError(message)


def _begun(run: Run, *, tell: Callable[[str], object]) -> tuple[Problem, FitSettings]:
    """What a run was asked, of the table that it began with; raises ``UserError`` where that is gone or has changed."""
    settings = run.config["settings"]
    wanted = checked(settings, known=known_names(settings))
    prepare_workers(wanted)
    kept = run.folder / KEPT_DATA
    source = kept if kept.exists() else run.config["source"]
    if source in (None, "-"):
        message = f"run {run.id} was killed before its data were kept; start it anew"
        raise UsageError(message)
    options = ReadOptions(max_bytes=wanted.max_bytes) if kept.exists() else read_options(wanted)
    dataset = dataset_of(source, options, stream=wanted.stream, tell=tell)
    if fingerprint(dataset) != run.config["rows"]:
        message = f"{source} has changed since run {run.id} began; restore it, or start a new run"
        raise DataError(message)
    written = run.config.get("conventions", {})
    if kept.exists() and written:
        dataset = replace(dataset, conventions={name: Convention(**fields) for name, fields in written.items()})
    return problem_of(dataset, wanted), wanted


def _execute(
    store: Store,
    run: Run,
    problem: Problem,
    settings: FitSettings,
    *,
    watcher: Watcher,
    policy: Policy | None,
    times: StageTimes,
    ranks: Ranks,
    resumed: bool = False,
) -> Fit:
    """Run all stages; the caller holds the run's lock. Whatever happens, the store says how it ended.

    ``times`` began before the table was read.
    """

    def work(stop: Stop, journal: RunJournal) -> Fit:
        fitted = _stages(
            run,
            problem,
            settings,
            watcher=watcher,
            stop=stop,
            journal=journal,
            policy=policy,
            times=times,
            ranks=ranks,
            resumed=resumed,
        )
        return replace(fitted, document=compared(store, run, fitted.document))

    fitted = execute(store, run, work, document=lambda fitted: fitted.document, timed=True, tell=watcher.announce)
    if ranks.leads:
        ranks.broadcast(dump_json(fitted.document))
    return fitted


def _followed(run: Run, ranks: Ranks, stop: Stop) -> Fit:
    """What rank 0 has made of a run that all ranks have trained."""
    text = ranks.broadcast(stop=stop)
    document = parse_json(text, source=f"the document of run {run.id}")
    return Fit(run=run.id, folder=run.folder, document=document, predictor=load_predictor(run.model))


def _stages(
    run: Run,
    problem: Problem,
    settings: FitSettings,
    *,
    watcher: Watcher,
    stop: Stop,
    journal: RunJournal,
    policy: Policy | None,
    times: StageTimes,
    ranks: Ranks,
    resumed: bool,
) -> Fit:
    before = usage(prepared=False)
    if "start" in times.seconds:  # the process began with the run: loading and reading were for it too
        before = replace(before, seconds=times.started, cpu_seconds=0.0)
    trained = train(
        problem,
        settings,
        watcher=watcher,
        stop=stop,
        times=times,
        journal=journal,
        plan_file=run.plan,
        folder=run.folder,
        policy=policy,
        ranks=ranks,
        resumed=resumed or "repeats" in run.config,
    )
    costs = gathered(ranks, spent(before, usage()))
    if not ranks.leads:
        return _followed(run, ranks, stop)
    sha256 = save_predictor(run.model, trained.predictor)
    times.end("save")
    document = documented(
        run,
        problem,
        settings,
        trained,
        sha256=sha256,
        times=times,
        before=before,
        elsewhere=tuple(costs[1:]),
        resumed=resumed,
    )
    return Fit(run=run.id, folder=run.folder, document=document, predictor=trained.predictor)
