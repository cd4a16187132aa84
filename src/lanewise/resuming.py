"""Go on with a run, or do it again, whatever made it: ``fit`` or ``tune``."""

from typing import TYPE_CHECKING

from lanewise.distributed.joining import joined
from lanewise.errors import AlreadyDone, UsageError
from lanewise.runs.ranked import RankedStore, opened
from lanewise.runs.remaining import check_unfinished
from lanewise.runs.run import Run
from lanewise.runs.stage_times import StageTimes
from lanewise.runs.store import RunStore
from lanewise.search.policy import Policy

if TYPE_CHECKING:  # what trains takes seconds to load; that there is nothing to do is told before
    from lanewise.fitting.finished import Fit
    from lanewise.fitting.watcher import Watcher
    from lanewise.tuning import TuneResult
    from lanewise.tuning.lane_alone import LaneAlone

TUNE = "tune"


def resume(
    reference: str | None = None,
    *,
    policy: Policy | None = None,
    watcher: "Watcher | None" = None,
    started: float | None = None,
) -> "Fit | TuneResult":
    """Go on with a run that was stopped or killed; it ends in the same bits as if it had not been.

    Without a ``reference`` it is the newest that can be gone on with, and the ``watcher`` is told which. A fit under a
    policy of your own needs the same ``policy`` again. Seconds count from ``started``, a time of ``time.monotonic``, or
    from now if None.

    Raises ``StoreError`` where another process works on it, ``AlreadyDone`` (a ``UsageError``) where it is done, or
    where none was left and the last one is done, ``UsageError`` where what it needs is gone or no run can be gone on
    with, ``DataError`` where the data have changed, or a file that they come from.
    """
    times = StageTimes.since(started)
    with joined() as ranks, opened(ranks, create=False) as store:
        if reference is None:
            reference = _newest_unfinished(store, policy)
            if ranks.leads and watcher is not None:
                watcher.announce(f"going on with run {reference}")
        run = store.get(reference)
        if not run.checkpoints.exists():  # else those of a run that is done are removed first
            check_unfinished(run)
        if run.config.get("kind") == TUNE:
            from lanewise.tuning import from_files

            if policy is not None:
                message = f"run {reference} is a tune, which knows its policy by name; leave policy out"
                raise UsageError(message)
            watch, tell = (None, None) if watcher is None else (watcher.pulse, watcher.announce)
            return from_files.go_on_with(store, reference, watch=watch, tell=tell, started=started)
        from lanewise.fitting import experiment
        from lanewise.fitting.watcher import Silent

        return experiment.go_on_with(store, reference, policy=policy, watcher=watcher or Silent(), times=times)


def _newest_unfinished(store: RankedStore, policy: Policy | None) -> str:
    """The id of the newest run that was stopped or killed; of those from Python only what the call can go on with.

    Raises ``UsageError`` with what became of the last run where there is none.
    """

    def can_go_on(run: Run) -> bool:
        if run.status != "interrupted":
            return False
        if run.config.get("kind") == TUNE:  # one from Python has its objects in memory
            return policy is None and run.config.get("source") is not None
        return run.config.get("policy") == (None if policy is None else type(policy).__name__)

    found = store.newest(can_go_on, until=("interrupted",))
    if found is not None:
        return found.id
    last = store.get("last")
    other = "was started from Python, and only the same call can go on with it"
    if policy is not None:
        other = f"is not under a policy {type(policy).__name__}; leave policy out"
    became = {"running": "is at work", "interrupted": other}.get(last.status, f"is {last.status}")
    failed = last.status == "failed" and last.error
    why = f" ({last.error}; lanewise.resume({last.id!r}) tries it again)" if failed else ""
    message = f"no run was left unfinished: the last one, {last.id}, {became}{why}"
    raise AlreadyDone(message, run=last.id) if last.status == "done" else UsageError(message)


def repeat(
    reference: str = "last", *, policy: Policy | None = None, watcher: "Watcher | None" = None
) -> "Fit | TuneResult":
    """Do a finished run again by its plan, as a run of its own; a ``policy`` is given as to :func:`resume`.

    ``document["repeats"]`` of the result says whether every decision, score and weight is the ``same``, and which
    ``differences`` there are. Nothing is measured again: a budget in seconds was turned into a plan once.

    Raises ``UsageError`` where the run is not done or what it needs is gone, ``DataError`` where that has changed.
    """
    if _is_tune(reference):
        from lanewise.tuning import from_files

        if policy is not None:
            message = f"run {reference} is a tune, which knows its policy by name; leave policy out"
            raise UsageError(message)
        watch, tell = (None, None) if watcher is None else (watcher.pulse, watcher.announce)
        return from_files.repeat(reference, watch=watch, tell=tell)
    from lanewise.fitting import experiment

    return experiment.repeat(reference, policy=policy, watcher=watcher)


def repeat_lane(reference: str, lane: int) -> "LaneAlone":
    """Train one lane of a finished ``tune`` alone and compare it with what it was in the race.

    ``lane`` counts ``race.curves`` of the run's document from 0. Raises ``UsageError`` where there is no such lane, or
    the run is a ``fit``, and as :func:`repeat`.
    """
    if not _is_tune(reference):
        message = f"run {reference} is not a tune: single lanes of a fit cannot be repeated; repeat the run"
        raise UsageError(message)
    from lanewise.tuning import from_files

    return from_files.repeat_lane(reference, lane)


def _is_tune(reference: str) -> bool:
    with RunStore.open(create=False) as store:
        return store.get(reference).config.get("kind") == TUNE
