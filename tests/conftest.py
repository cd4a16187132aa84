"""Fixtures that every test may use, and in which order tests are collected and run."""

import gc
import os
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest
from hypothesis import settings

# The command of the README finds the same examples every time; new ones are looked for with
# `pytest --hypothesis-profile explore`, and what they find becomes an `@example`.
# No example has a deadline: on a busy machine any of them may take long once.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("repeatable")

LONGEST = (
    "property/test_no_leakage.py",
    "distributed/test_ranks.py",
    "distributed/test_train.py",
    "distributed/test_torchrun.py",
    "unit/test_docs_blocks.py",
    "distributed/test_data_axis.py",
    "distributed/test_tune_ranks.py",
    "e2e/test_cli_fit.py",
    "oracle/test_stacked_equals_solo.py",
    "unit/test_estimators.py",
    "fault/test_streamed_fit.py",
    "fault/test_resume_kills.py",
    "unit/training/test_teams.py",
    "unit/deploy/test_prediction_batches.py",
    "oracle/test_more_garbow_hillstrom.py",
    "oracle/test_rules_beyond_torch.py",
    "oracle/test_modules_equal_solo.py",
    "unit/training/test_race.py",
    "unit/training/modules/test_module_seats.py",
    "unit/training/test_selecting.py",
    "unit/solvers/test_kinked_constraints.py",
    "unit/deploy/test_onnx_export.py",
    "e2e/test_cli_streams.py",
    "property/test_reading_fuzz.py",
    "unit/training/test_blow_ups.py",
    "e2e/test_report_browser.py",
    "fault/test_tune_kills.py",
    "unit/training/planning/test_fitting.py",
    "unit/training/workers/test_remote_team.py",
    "unit/deploy/test_onnx_trees.py",
    "fault/test_tree_worker_faults.py",
    "fault/test_resume_full_disk.py",
)
"""Files that take long (15 to 100 processor seconds), longest first but for some that start many processes each."""

# Thousands of tests, and all that they import, are there to stay: looking through them for garbage again and again
# takes a sixth of the time of collecting them.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)  # a fit makes hundreds of objects a step, hardly any of them in a circle
    gc.enable()


WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""``gw0``, ``gw1`` and so on in the processes of pytest-xdist, of which each collects all tests."""


class Backwards(pytest.Dir):
    """A folder whose last file is collected first."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        return reversed(list(super().collect()))


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Every second process begins at the other end: pytest compiles a file once, and a process finds what another has.

    That is two fifths of collecting on a fresh machine; side by side they would compile each file at the same time.
    """
    return Backwards.from_parent(parent, path=path) if WORKER[-1:] in tuple("13579") else None


SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Long files come first: under ``--dist loadfile`` a process that begins one last would work on alone."""
    if WORKER:  # in one order, before they are shuffled
        items.sort(key=lambda item: item.nodeid)
    yield
    here = Path(__file__).parent
    turns = {here / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets (../shared/data) are not beside this checkout")
    return SHARED.resolve()
