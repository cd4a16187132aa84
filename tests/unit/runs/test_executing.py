"""Work on a run: what is said of it while it is under way."""

import errno
from pathlib import Path

import pytest
import torch

from lanewise.errors import StoreError
from lanewise.runs.executing import execute
from lanewise.runs.journal import RunJournal
from lanewise.runs.store import RunStore
from lanewise.storage.checkpoints import Checkpoints
from lanewise.storage.filesystem import store_error
from lanewise.training.stopping import Stop


def test_checkpoints_that_are_passed_over_are_told_once_for_each_phase(tmp_path: Path) -> None:
    told: list[str] = []
    teams = ("screen-0.1111-0", "screen-0.1111-1", "confirm-0.1000-0", "refit1.0-1.0000-0")
    with RunStore(tmp_path) as store:
        run = store.create(command="fit", config={})
        for team in teams:
            Checkpoints(run.checkpoints / team).save(7, {"values": torch.zeros(3)}, {"number": 0})

        def work(stop: Stop, journal: RunJournal) -> int:
            del stop
            assert [journal.load(team) for team in teams] == [None] * len(teams)
            return 0

        execute(store, run, work, document=lambda _: {}, tell=told.append)
        assert [event.payload["team"] for event in store.events(run.id)] == list(teams)
    assert [line.partition(" are passed over, the first of them as ")[0] for line in told] == [
        "checkpoints of the screen",
        "checkpoints of the confirmation",
        "checkpoints of the training on all rows",
    ]
    assert told[0].endswith("screen-0.1111-0 was written by another version of Lanewise: its lanes are trained again")


@pytest.mark.parametrize(("code", "status"), [(errno.ENOSPC, "interrupted"), (errno.EACCES, "failed")])
def test_a_run_that_a_full_disk_stopped_is_one_to_go_on_with(code: int, status: str, tmp_path: Path) -> None:
    why = OSError(code, "no")

    def work(stop: Stop, journal: RunJournal) -> int:
        del stop, journal
        raise store_error(why, action="write", path=tmp_path / "model.json") from why

    with RunStore(tmp_path) as store:
        run = store.create(command="fit", config={})
        with run.acquire(), pytest.raises(StoreError) as caught:
            execute(store, run, work, document=lambda _: {})
        found = store.get(run.id)
    assert (found.status, found.error) == (status, str(store_error(why, action="write", path=tmp_path / "model.json")))
    assert ("go on with: lanewise.resume" in str(caught.value)) == (status == "interrupted")
