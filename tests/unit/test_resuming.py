"""Which run is gone on with where none is named."""

from pathlib import Path
from typing import Any

import pytest

from lanewise import resuming
from lanewise.errors import UsageError
from lanewise.fitting import experiment
from lanewise.fitting.watcher import Silent
from lanewise.runs.store import RunStore
from lanewise.search.halving import Halving
from lanewise.tuning import from_files


class Told(Silent):
    """Keeps what is announced."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def announce(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "home"))
    for module in (experiment, from_files):
        monkeypatch.setattr(module, "go_on_with", lambda store, reference, **given: reference)
    return RunStore.open()


def recorded(store: RunStore, status: str, **config: Any) -> str:
    """The id of a run that ended so."""
    run = store.create(command="lanewise fit", config={"settings": {}, **config})
    if status == "done":
        store.finish(run.id, {})
    elif status == "failed":
        store.fail(run.id, "all lanes diverged")
    elif status == "interrupted":
        store.interrupt(run.id)
    return run.id


def test_without_a_name_the_newest_run_that_was_left_unfinished_goes_on_and_is_named(store: RunStore) -> None:
    first = recorded(store, "interrupted")
    wanted = recorded(store, "interrupted", kind="tune", source="mine.py:make_model")
    recorded(store, "interrupted", kind="tune", source=None)  # from Python, with objects that are gone
    recorded(store, "interrupted", policy="BetterHalf")
    recorded(store, "failed")
    recorded(store, "done")
    watcher = Told()
    assert resuming.resume(watcher=watcher) == wanted
    assert watcher.lines == [f"going on with run {wanted}"]
    assert resuming.resume(first, watcher=watcher) == first, "who names a run means that one"
    assert len(watcher.lines) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("done", "is done"),
        ("failed", r"is failed \(all lanes diverged; lanewise.resume\('{run}'\) tries it again\)"),
        ("interrupted", "was started from Python, and only the same call can go on with it"),
    ],
)
def test_where_no_run_was_left_unfinished_the_last_one_is_told_of(store: RunStore, status: str, words: str) -> None:
    run = recorded(store, status, kind="tune", source=None)
    with pytest.raises(UsageError, match=f"^no run was left unfinished: the last one, {run}, {words.format(run=run)}$"):
        resuming.resume()


def test_a_run_that_did_not_go_by_the_policy_that_is_given_is_told_of(store: RunStore) -> None:
    run = recorded(store, "interrupted")
    with pytest.raises(UsageError, match=f"the last one, {run}, is not under a policy Halving; leave policy out$"):
        resuming.resume(policy=Halving())


def test_a_run_that_is_done_is_refused_at_once_unless_its_checkpoints_are_still_to_be_removed(store: RunStore) -> None:
    run = recorded(store, "done")
    with pytest.raises(UsageError, match=f"^run {run} is done; there is nothing to resume$"):
        resuming.resume(run)
    store.get(run).checkpoints.mkdir()
    assert resuming.resume(run) == run, "left to what removes them"
