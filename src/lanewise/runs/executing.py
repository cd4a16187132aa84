"""Work on a recorded run: it can be stopped and gone on with, and however it ends, the store says so."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from lanewise.errors import Interrupted, LanewiseError, StoreError
from lanewise.runs.journal import RunJournal
from lanewise.runs.ranked import RankedStore, Store, held
from lanewise.runs.remaining import check_unfinished
from lanewise.runs.run import Run
from lanewise.storage.durable import remove_leftovers, remove_tree
from lanewise.storage.filesystem import explained, is_full
from lanewise.training.stopping import Stop, stop_on_signals
from lanewise.training.workers.folder import FOLDER_PREFIX

T = TypeVar("T")

PHASES = {"confirm": "confirmation", "refit": "training on all rows"}
"""What phases are called, where it is not by the name that their checkpoints have."""


def execute(
    store: Store,
    run: Run,
    work: Callable[[Stop, RunJournal], T],
    *,
    document: Callable[[T], Mapping[str, Any]],
    timed: bool = False,
    tell: Callable[[str], None] | None = None,
) -> T:
    """Do the work of ``run``, whose lock the caller holds, and record its end: ``document`` describes the result.

    A ``timed`` document says under ``seconds`` what the run took, and the store then says the same. ``tell`` says at
    once that a request to stop was heard, and where checkpoints of before cannot be used.

    Raises what the work raises, a full disk with the command that goes on; ``Interrupted`` with that command where
    somebody stopped it.
    """

    named: set[str] = set()

    def passed_over(key: str, why: str) -> None:
        store.record_event(run.id, "checkpoint_passed_over", {"team": key, "why": why})
        phase = key.partition("-")[0].rstrip("0123456789.")
        if phase not in named and tell is not None:  # a screen may have dozens, all for one reason
            named.add(phase)
            tell(f"checkpoints of the {PHASES.get(phase, phase)} are passed over, the first of them as {why}")

    with stop_on_signals(tell) as stop:
        try:
            journal = RunJournal(run.checkpoints, passed_over=passed_over)
            result = work(stop, journal)
        except Interrupted:
            store.interrupt(run.id)
            message = f"stopped; go on with: lanewise.resume({run.id!r})"
            raise Interrupted(message) from None
        except StoreError as error:
            if not is_full(error):
                store.fail(run.id, str(error))
                raise
            with suppress(StoreError):  # the disk has no room for this either; a run without a process is the same
                store.interrupt(run.id, error=str(error))
            raise _with_the_way_on(error, run) from error
        except LanewiseError as error:
            store.fail(run.id, str(error))
            raise
        except Exception as error:
            store.fail(run.id, f"{type(error).__name__}: {error}")
            raise
        with stop.held():
            said = document(result)
            store.finish(run.id, said, seconds=said["seconds"] if timed else None)
            journal.clear()
        return result


def _with_the_way_on(error: StoreError, run: Run) -> StoreError:
    """A full disk, with what to do about this run."""
    what = str(error).partition(";")[0]
    return StoreError(
        f"{what}; free some space and go on with: lanewise.resume({run.id!r}), or let LANEWISE_HOME name a folder on "
        "another disk and start again"
    )


@contextmanager
def going_on(store: RankedStore, reference: str) -> Iterator[Run]:
    """The run to go on with, whose lock the block has; what a killed process left in its folder is removed.

    Raises ``StoreError`` where another process works on it, ``UsageError`` where it is done.
    """
    ranks = store.ranks
    with held(store.get(reference), ranks):
        run = store.get(reference)  # again: until the lock was ours another process may have finished it
        if ranks.leads:
            remove_remains(run)
            if run.status == "done":
                RunJournal(run.checkpoints).clear()
        check_unfinished(run)
        yield run


def remove_remains(run: Run) -> None:
    """Remove what a killed process left in the run's folder; checkpoints stay."""
    remove_leftovers(run.folder)
    with explained("clean", run.folder):
        for left in run.folder.glob(f"{FOLDER_PREFIX}*"):
            remove_tree(left)
