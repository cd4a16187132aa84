"""When a run cannot be resumed it says why in one line; what a killed process left in its folder goes."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lanewise.errors import DataError, Interrupted, StoreError, UsageError
from lanewise.fitting import experiment
from lanewise.fitting.experiment import fit
from lanewise.resuming import resume
from lanewise.runs.run import Run
from lanewise.runs.store import RunStore


class StagesRanError(Exception):
    """The stages were reached: the run is really resumed."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, in which every fit is stopped before its first stage."""
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "home"))

    def stopped(*given: Any, **named: Any) -> None:
        raise Interrupted

    monkeypatch.setattr(experiment, "_stages", stopped)
    return tmp_path / "home"


def begun(source: object) -> Run:
    with pytest.raises(Interrupted, match=r"stopped; go on with: lanewise.resume\('"):
        fit(source, target="y")
    with RunStore.open() as store:
        return store.get("last")


def go_on(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What resumed stages are given."""
    given: list[Any] = []

    def stages(run: Run, problem: Any, *others: Any, **named: Any) -> None:
        given.append(problem.dataset.frame)
        raise StagesRanError

    monkeypatch.setattr(experiment, "_stages", stages)
    with pytest.raises(StagesRanError):
        resume("last")
    return given


def table(rows: int = 30) -> pl.DataFrame:
    return pl.DataFrame({"x": [place**2 % 17 / 4 for place in range(rows)], "y": [place % 2 for place in range(rows)]})


def test_changed_file_is_refused_and_the_same_file_is_not(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    table().write_csv(path)
    begun(str(path))
    table(31).write_csv(path)
    with pytest.raises(DataError, match=r"table\.csv has changed since run .* began; restore it, or start a new run"):
        resume("last")
    with RunStore.open() as store:
        assert store.get("last").status == "interrupted"
    table().write_csv(path)
    assert len(go_on(monkeypatch)) == 1


def test_table_in_memory_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(table())
    (frame,) = go_on(monkeypatch)
    assert frame["x"].to_list() == table()["x"].to_list()


def test_run_whose_table_was_never_kept(home: Path) -> None:
    run = begun(table())
    (run.folder / "data.parquet").unlink()
    with pytest.raises(UsageError, match="was killed before its data were kept; start it anew"):
        resume("last")


def test_leftovers_are_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(table())
    (run.folder / "lanewise-workers-abc").mkdir()
    (run.folder / "lanewise-workers-abc" / "numbers.npy").write_bytes(b"0")
    (run.folder / ".plan.json.0123abcd.part").write_bytes(b"{")
    (run.folder / ".model.0123abcd.part").mkdir()
    go_on(monkeypatch)
    assert sorted(path.name for path in run.folder.iterdir()) == ["data.parquet", "lock"]


def test_run_of_another_process_is_refused(home: Path) -> None:
    run = begun(table())
    with run.acquire(), pytest.raises(StoreError, match=r"is in use by process \d+ on host"):
        resume("last")


def test_finished_run_is_cleared_of_checkpoints(home: Path) -> None:
    run = begun(table())
    (run.checkpoints / "screen-0.1111-0").mkdir(parents=True)
    with RunStore.open() as store:
        store.finish(run.id, {})
    with pytest.raises(UsageError, match="is done; there is nothing to resume"):
        resume("last")
    assert not run.checkpoints.exists()
