"""``fit``: from a table to an evaluated, explained and saved model.

It reads as the way of the data does: source -> problem -> plan -> race -> selection -> refit ->
evaluation -> document, report and model. Each stage takes and returns a small frozen result.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.agreement import check_agreement
from lanewise.composing import Stage, compose
from lanewise.data.dataset import Dataset
from lanewise.data.examples import EXAMPLES, example
from lanewise.data.reading import read
from lanewise.deploy.files import read_rows
from lanewise.deploy.predictor import Prediction, Predictor
from lanewise.deploy.saving import load_predictor, save_predictor
from lanewise.errors import DataError, Interrupted, LanewiseError, UsageError, suggestion
from lanewise.explain import usage
from lanewise.reporting.document import finite_or_null
from lanewise.reporting.report import render
from lanewise.runs.journal import RunJournal
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore
from lanewise.search.policy import Policy
from lanewise.settings import FitSettings, checked
from lanewise.stages import Silent, Watcher, train
from lanewise.storage.durable import remove_leftovers, remove_tree, write_atomically
from lanewise.storage.filesystem import explained
from lanewise.training.problem import Problem, Request, pose
from lanewise.training.stopping import Stop, stop_on_signals
from lanewise.training.worker_loop import FOLDER_PREFIX

KEPT_DATA = "data.parquet"
"""A table that was not read from a file, kept in the run's folder to resume from."""

FRAME_HEIGHT = 640
"""Pixels of a report within a notebook."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A finished fit: the run, the document that describes it, and the model.

    ``document`` is what ``lanewise show --json`` prints, ``folder`` holds the files of the run. A notebook shows the
    report.
    """

    run: str
    folder: Path
    document: Mapping[str, Any]
    predictor: Predictor

    @property
    def report(self) -> Path:
        """The report, one HTML file that needs no network."""
        return self.folder / "report.html"

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in the order of the columns of :meth:`predict_proba`; empty for numbers."""
        return self.predictor.task.classes

    def predict(self, source: object) -> np.ndarray:
        """Labels, means or counts ``[N]`` for the rows of a table; ``source`` as in :func:`fit`.

        Raises ``DataError`` where a column that the model needs is absent or of another kind.
        """
        return self._prediction(source).values

    def predict_proba(self, source: object) -> np.ndarray:
        """Probabilities ``[N, K]`` of the classes for the rows of a table, in the order of ``classes``.

        Raises ``DataError`` as :meth:`predict`, and ``UsageError`` where the target is a number.
        """
        if not self.predictor.task.is_classification:
            message = f"{self.predictor.task.target!r} is a {self.predictor.task.kind} target; use predict"
            raise UsageError(message)
        probabilities = self._prediction(source).probabilities
        assert probabilities is not None
        return probabilities

    def _prediction(self, source: object) -> Prediction:
        return self.predictor.predict(read_rows(self.predictor.contract, source))

    def _repr_html_(self) -> str:
        # The report is a document of its own: in a frame, its styles and names cannot reach those of the notebook.
        return (
            f'<iframe srcdoc="{escape(render(self.document))}" sandbox="allow-scripts" title="Lanewise report" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def fit(
    source: object,
    *,
    policy: str | Policy | None = None,
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> Fit:
    """Race optimizers and models on a table and keep the one that wins.

    ``source`` is a path, ``"-"``, ``"example:NAME"``, or a table of polars, pandas or NumPy; ``settings``
    are those of :class:`lanewise.settings.FitSettings`, ``target`` at least (an example knows its own). ``policy``
    drops losers on the way: a name, or an instance of a :class:`lanewise.search.policy.Policy` of yours.

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
        settings.setdefault("target", _example(source).target)
    own = policy if isinstance(policy, Policy) else None
    if own is None and policy is not None:
        settings["policy"] = policy
    wanted = checked(settings)
    watcher = watcher or Silent()
    command = command or _call(source, settings if own is None else {**settings, "policy": own})
    with RunStore.open() as store:
        config: dict[str, Any] = {"source": _lasting(source), "settings": wanted.model_dump(mode="json")}
        config["settings"]["test"] = _lasting(wanted.test)
        if own is not None:
            config["policy"] = type(own).__name__
        dataset = _dataset(source)
        config["rows"] = _fingerprint(dataset)
        # Before a run is recorded: a mistyped column leaves no failed run that would then be the last one.
        problem = _problem(dataset, wanted)
        run = store.create(command=command, config=config)
        with run.acquire():
            if not isinstance(source, str) or source == "-":
                write_atomically(run.folder / KEPT_DATA, dataset.frame.write_parquet)
            return _execute(store, run, problem, wanted, watcher=watcher, policy=own)


def _call(source: object, settings: Mapping[str, Any]) -> str:
    """The call that repeats a fit; a table in memory is called ``table``.

    >>> _call("houses.csv", {"target": "price", "budget": "60s"}), _call({"a": [1]}, {"target": "a"})
    ("lanewise.fit('houses.csv', target='price', budget='60s')", "lanewise.fit(table, target='a')")
    """
    table = repr(str(source)) if isinstance(source, (str, Path)) else "table"
    return f"lanewise.fit({', '.join([table, *(f'{name}={value!r}' for name, value in settings.items())])})"


def resume(reference: str, *, policy: Policy | None = None, watcher: Watcher | None = None) -> Fit:
    """Go on with a run that was stopped or killed; it ends in the same bits as if it had not been.

    A run under a policy of your own needs the same ``policy`` again.

    Raises ``StoreError`` where another process works on it, ``UsageError`` where it is done, its data are gone, or
    the policy is not the one that it had.
    """
    with RunStore.open(create=False) as store, store.get(reference).acquire():
        run = store.get(reference)  # again: until the lock was ours another process may have finished it
        _clean(run)
        if run.status == "done":
            RunJournal(run.checkpoints).clear()
            message = f"run {run.id} is done; there is nothing to resume"
            raise UsageError(message)
        wanted = checked(run.config["settings"])
        _check_policy(run, policy)
        kept = run.folder / KEPT_DATA
        source = kept if kept.exists() else run.config["source"]
        if source in (None, "-"):
            message = f"run {run.id} was killed before its data were kept; start it anew"
            raise UsageError(message)
        dataset = _dataset(source)
        if _fingerprint(dataset) != run.config["rows"]:
            message = f"{source} has changed since run {run.id} began; restore it, or start a new run"
            raise DataError(message)
        problem = _problem(dataset, wanted)
        return _execute(store, store.resume(run.id), problem, wanted, watcher=watcher or Silent(), policy=policy)


def _check_policy(run: Run, policy: Policy | None) -> None:
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


def _clean(run: Run) -> None:
    """Remove what a killed process left in the run's folder."""
    remove_leftovers(run.folder)
    with explained("clean", run.folder):
        for left in run.folder.glob(f"{FOLDER_PREFIX}*"):
            remove_tree(left)


def load(reference: str = "last") -> Fit:
    """A finished run, ready to predict, by its id, the beginning of one, its last four letters, or ``last``.

    Raises ``UsageError`` where no run is meant or it is not done, ``StoreError`` where its files are damaged.
    """
    with RunStore.open(create=False) as store:
        run = store.get(reference)
    document = run.document
    if run.status != "done" or document is None:
        hint = f": {run.error}" if run.error else f"; go on with: lanewise.resume({run.id!r})"
        message = f"run {run.id} is {run.status} and has no model{hint}"
        raise UsageError(message)
    return Fit(run=run.id, folder=run.folder, document=document, predictor=load_predictor(run.model))


def _example(source: str) -> Any:
    name = source.removeprefix("example:")
    if name not in EXAMPLES:
        message = f"there is no example {name!r}; {suggestion(name, EXAMPLES)}"
        raise UsageError(message)
    return EXAMPLES[name]


def _lasting(source: object) -> str | None:
    """The name of a source that is good in any working directory; None for a table in memory."""
    if not isinstance(source, str):
        return None
    return source if source == "-" or source.startswith("example:") else str(Path(source).absolute())


def _dataset(source: object) -> Dataset:
    if isinstance(source, str) and source.startswith("example:"):
        _example(source)
        return example(source.removeprefix("example:"))
    return read(source)


def _fingerprint(dataset: Dataset) -> str:
    """SHA-256 of the rows as read, to tell whether a run is resumed on the table that it began with."""
    return hashlib.sha256(dataset.frame.hash_rows().to_numpy().tobytes()).hexdigest()


def _execute(
    store: RunStore, run: Run, problem: Problem, settings: FitSettings, *, watcher: Watcher, policy: Policy | None
) -> Fit:
    """Run all stages; the caller holds the run's lock. Whatever happens, the store says how it ended."""
    with stop_on_signals() as stop:
        try:
            journal = RunJournal(
                run.checkpoints,
                passed_over=lambda key, why: _passed_over(store, run, key, why),
            )
            fitted = _stages(run, problem, settings, watcher=watcher, stop=stop, journal=journal, policy=policy)
        except Interrupted:
            store.interrupt(run.id)
            message = f"stopped; go on with: lanewise.resume({run.id!r})"
            raise Interrupted(message) from None
        except LanewiseError as error:
            store.fail(run.id, str(error))
            raise
        except Exception as error:
            store.fail(run.id, f"{type(error).__name__}: {error}")
            raise
        with stop.held():
            store.finish(run.id, fitted.document)
            journal.clear()
        return fitted


def _passed_over(store: RunStore, run: Run, key: str, why: str) -> None:
    store.record_event(run.id, "checkpoint_passed_over", {"team": key, "why": why})


def _stages(
    run: Run,
    problem: Problem,
    settings: FitSettings,
    *,
    watcher: Watcher,
    stop: Stop,
    journal: RunJournal,
    policy: Policy | None,
) -> Fit:
    started, before = time.monotonic(), usage()
    trained = train(
        problem,
        settings,
        watcher=watcher,
        stop=stop,
        started=started,
        journal=journal,
        plan_file=run.plan,
        folder=run.folder,
        policy=policy,
    )
    sha256 = save_predictor(run.model, trained.predictor)
    stage = Stage(
        run=run,
        settings=settings,
        problem=problem,
        plan=trained.plan,
        result=trained.result,
        choice=trained.choice,
        refitted=trained.refitted,
        predictor=trained.predictor,
        cutoff=trained.cutoff,
        race_cost=trained.race_cost,
        sha256=sha256,
        seconds=time.monotonic() - started,
        before=before,
    )
    document = _reported(run, finite_or_null(compose(stage)))
    return Fit(run=run.id, folder=run.folder, document=document, predictor=trained.predictor)


def _reported(run: Run, document: dict[str, Any]) -> dict[str, Any]:
    """The document, its report drawn; with a warning where it could not be: the model is sound all the same."""
    try:
        page = render(document)
    except Exception as error:
        said = f"the report could not be drawn ({type(error).__name__}: {error}); lanewise report tries again"
        return {**document, "warnings": [*document["warnings"], said]}
    write_atomically(run.report, page.encode())
    return document


def _problem(dataset: Dataset, settings: FitSettings) -> Problem:
    """The question that the settings ask of the table; raises ``UserError`` where they do not fit it."""
    problem = pose(dataset, _request(settings), test=read(settings.test) if settings.test else None)
    check_agreement(problem, settings)
    return problem


def _request(settings: FitSettings) -> Request:
    return Request(
        target=settings.target,
        kind=settings.task,
        metric=settings.metric,
        drop=settings.drop,
        weight=settings.weight,
        class_weights=settings.class_weights,
        group=settings.group,
        time=settings.time,
        folds=settings.folds,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
    )
