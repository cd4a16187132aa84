"""What is left of a finished run whose files were removed or damaged, and how to have its model again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lanewise.errors import AlreadyDone, StoreError, UnavailableError, UsageError
from lanewise.runs.run import Run
from lanewise.storage.modelfile import gone

DAMAGED = ("from a backup", "save the model again")
"""How a message ends of a file that is not what was written."""


def lost_model(run: Run) -> str:
    """What of the model of a finished run is no longer there, in words, and how to have it again; empty if nothing."""
    lost = gone(run.model)
    return _lost(run, lost) if lost else ""


def _lost(run: Run, names: Sequence[str]) -> str:
    what = f"{run.model} has lost {' and '.join(names)}" if run.model.is_dir() else f"{run.model} is gone"
    return f"run {run.id} has no model any more: {what}; {how_again(run)}"


@contextmanager
def reading_model(run: Run) -> Iterator[None]:
    """The block reads the model of a finished run; where that cannot be, the error says how to train it again.

    Raises ``UnavailableError`` where files of it are gone; a ``StoreError`` of the block goes on with more words.
    """
    lost = lost_model(run)
    if lost:
        raise UnavailableError(lost)
    try:
        yield
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # one beside those that every model has
            raise UnavailableError(_lost(run, [Path(error.__cause__.filename).name])) from error
        if str(error).endswith(DAMAGED):
            error.args = (f"{error}, or {how_again(run)}",)
        raise


def check_plan(run: Run) -> None:
    """``UsageError`` where the plan of a finished run, by which it is repeated, is gone."""
    if not run.plan.is_file():
        message = f"run {run.id} cannot be repeated: its plan, {run.plan}, is gone; {how_again(run)}"
        raise UsageError(message)


def check_unfinished(run: Run) -> None:
    """``AlreadyDone`` where a run is done."""
    if run.status == "done":
        message = f"run {run.id} is done; there is nothing to resume"
        raise AlreadyDone(message, run=run.id)


def how_again(run: Run) -> str:
    """What to do so that a finished run is trained once more; by its plan, if that is there, to the same weights."""
    if run.kind == "tune" and run.config.get("source") is None:  # its objects were in memory
        return "call lanewise.tune again as it was called"
    if run.plan.is_file():
        return f"train the same one again with: lanewise.repeat({run.id!r})"
    return f"start it anew with: {run.command}"
