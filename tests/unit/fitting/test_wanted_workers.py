"""Worker processes are prepared for as soon as it is known that a fit will want them, and only then."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.fitting import experiment, wanted_workers
from lanewise.models.registry import STACKED
from lanewise.models.trees import TREE_KINDS
from lanewise.settings.fit import FitSettings
from lanewise.training.workers.kinds import TEAM_WORKER, WorkerKind, tree_worker

BOOSTERS, TREES = tree_worker(threads=1, single_trees=False), tree_worker(threads=1, single_trees=True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [TREES, TEAM_WORKER]),
        ({"models": "lightgbm,linear"}, [BOOSTERS, TEAM_WORKER]),
        ({"models": "linear"}, [TEAM_WORKER]),
        ({"models": "forest", "budget": "1s"}, [TREES]),
        ({"budget": "5s"}, []),
        ({"budget": "15s"}, [TREES]),
        ({"budget": "10steps"}, [TREES]),
        ({"budget": "500steps"}, [TREES, TEAM_WORKER]),
        ({"workers": 1}, [TREES]),
        ({"mesh": "lane=1,data=2"}, [TREES]),
        ({"stream": "always"}, [TREES]),
    ],
    ids=str,
)
def test_settings_tell_which_workers_a_fit_will_start(settings: dict[str, Any], expected: list[WorkerKind]) -> None:
    assert wanted_workers.wanted(FitSettings(target="y", **settings), loads=False) == expected


def test_every_family_has_its_kind_of_worker() -> None:
    assert TREE_KINDS.keys() == wanted_workers.TREES  # written twice, as the table of families loads torch
    assert set(STACKED) == wanted_workers.STACKS
    assert wanted_workers.TREES - {"lightgbm"} == wanted_workers.SINGLE_TREES


def test_stacks_need_less_of_a_budget_where_torch_is_loaded_beside_them() -> None:
    for budget, expected in (("9s", []), ("10s", [TREES, TEAM_WORKER])):
        assert wanted_workers.wanted(FitSettings(target="y", budget=budget), loads=True) == expected


@pytest.mark.parametrize(
    ("cores", "ranks", "expected"), [(1, 1, []), (2, 1, [(2, 1)]), (8, 1, [(2, 7)]), (2, 2, []), (4, 2, [(2, 1)])]
)
def test_they_are_prepared_on_the_cores_that_are_left(
    monkeypatch: pytest.MonkeyPatch, cores: int, ranks: int, expected: list[tuple[int, int]]
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(wanted_workers, "idle_cores", lambda: cores)
    monkeypatch.setattr(wanted_workers, "place_of", lambda: SimpleNamespace(local_size=ranks))
    monkeypatch.setattr(wanted_workers, "prepare", lambda kinds, at_once: found.append((len(kinds), at_once)))
    wanted_workers.prepare_workers(FitSettings(target="y"))
    assert found == expected


def test_where_no_worker_will_be_wanted_nobody_looks_for_idle_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_workers, "idle_cores", lambda: pytest.fail("it takes 20 ms"))
    wanted_workers.prepare_workers(FitSettings(target="y", budget="1s"))


@pytest.mark.parametrize(
    ("models", "left", "expected"),
    [("tree,linear", 18.0, (6.0, 2.25)), ("tree,linear", -4.0, (0.0, 0.0)), ("tree", 4.0, (None, 0.5))],
)
def test_what_a_race_can_do_without_is_waited_for_as_the_budget_allows(
    monkeypatch: pytest.MonkeyPatch, models: str, left: float, expected: tuple[float | None, ...]
) -> None:
    waited: list[tuple[str, float | None]] = []

    def settle(kind: WorkerKind, within: float | None) -> bool:
        waited.append((kind.module, within))
        return kind == TEAM_WORKER

    monkeypatch.setattr(wanted_workers, "settle", settle)
    assert not wanted_workers.settle_workers(FitSettings(target="y", models=models), left=left)  # pyright: ignore[reportArgumentType]  # words are split
    assert waited == [(TREES.module, expected[0]), (TEAM_WORKER.module, expected[1])]


@pytest.mark.parametrize(
    ("prepared", "left", "pace", "worth"),
    [
        (False, 5.9, 1.0, False),
        (False, 6.0, 1.0, True),
        (False, 30.0, 0.15, False),
        (False, 41.0, 0.15, True),
        (True, 3.0, 0.15, True),
        (True, 2.9, 1.0, False),
    ],
)
def test_trees_race_where_their_libraries_are_loaded_or_soon_will_be(
    monkeypatch: pytest.MonkeyPatch, left: float, pace: float, *, prepared: bool, worth: bool
) -> None:
    """A machine that others keep busy loads them for as many times longer."""
    loads: list[Any] = []
    monkeypatch.setattr(wanted_workers, "is_prepared", lambda kind: prepared)
    monkeypatch.setattr(wanted_workers, "prepare", lambda kinds, at_once: loads.extend(kinds))
    monkeypatch.setattr(wanted_workers, "settle", lambda kind, within: within <= left / 3)
    settings = FitSettings(target="y", models="tree,linear")  # pyright: ignore[reportArgumentType]  # words are split
    assert wanted_workers.load_trees(settings, left=left, pace=pace) == worth
    assert loads == ([TREES] if worth and not prepared else [])


def test_libraries_that_load_for_too_long_after_all_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_workers, "is_prepared", lambda kind: False)
    monkeypatch.setattr(wanted_workers, "prepare", lambda kinds, at_once: None)
    monkeypatch.setattr(wanted_workers, "settle", lambda kind, within: False)
    assert not wanted_workers.load_trees(FitSettings(target="y"), left=60.0, pace=1.0)


def test_a_fit_prepares_before_it_reads_its_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))
    done: list[str] = []
    monkeypatch.setattr(experiment, "prepare_workers", lambda settings: done.append(settings.budget))

    def read(*arguments: object, **more: object) -> None:
        done.append("read")
        raise InterruptedError

    monkeypatch.setattr(experiment, "dataset_of", read)
    with pytest.raises(InterruptedError):
        experiment.fit("example:iris", budget="7s")
    assert done == ["7s", "read"]


def test_the_command_prepares_before_it_loads_torch(tmp_path: Any) -> None:
    (tmp_path / "table.csv").write_text("a,y\n" + "1,0\n2,1\n" * 20)
    code = (
        "import sys\nfrom lanewise.fitting import wanted_workers\n"
        "def prepare(settings, loads):\n    print(settings.budget, 'torch' in sys.modules)\n    sys.exit(0)\n"
        "wanted_workers.prepare_workers = prepare\n"
        "from lanewise.cli import main\nmain()"
    )
    command = [sys.executable, "-c", code, "fit", "table.csv", "--target", "y", "--budget", "7s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "7s False\n"
