"""What ranks make of the one run store that rank 0 has."""

from pathlib import Path

import pytest

from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.runs.ranked import opened


def test_a_run_that_was_begun_is_found_if_any_rank_was_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = Lone(Place(job="mine", again=False))
    with opened(ranks, home=tmp_path / "home") as store:
        run = store.create(command="", config={"job": "mine"})
        assert store.begun() is None
        # The launcher of a host that has just joined has restarted nothing; those of the others have.
        monkeypatch.setattr(Lone, "gather", lambda self, own, **stop: [own, b"again"])
        assert store.begun() == run.id


def test_the_newest_run_that_is_wanted_is_looked_for_without_the_documents_of_all(tmp_path: Path) -> None:
    with opened(Lone(), home=tmp_path / "home") as store:
        left, done = (store.create(command="", config={"name": name}) for name in "ab")
        store.interrupt(left.id)
        store.finish(done.id, {"race": [1.0] * 99})
        read = []
        found = store.newest(lambda run: bool(read.append(run.document)) or run.status != "done", until=["interrupted"])
        assert found is not None
        assert (found.id, read) == (left.id, [None, None])
