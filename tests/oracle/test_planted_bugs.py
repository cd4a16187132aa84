"""The oracle has teeth: a bug planted in the implementation makes at least one of its checks fail."""

from collections.abc import Callable, Mapping

import planted_in_passes
import planted_in_rules
import planted_in_updates
import pytest
from planting import Bug
from quick_checks import (
    CHECKS,
    full_batches,
    fused_kernels,
    leaving_lanes,
    predictions,
    rectified_networks,
    repaired_lanes,
    resumed_lanes,
    rules_beyond_torch,
    starts_of_lanes,
)

Check = Callable[[], None]
BUGS = [*planted_in_passes.BUGS, *planted_in_updates.BUGS, *planted_in_rules.BUGS]
LIKELY: Mapping[str, Check] = {
    **{bug.__name__: rules_beyond_torch for bug in planted_in_rules.BUGS},
    "start_is_drawn_by_place": starts_of_lanes,
    "full_batch_is_an_ordinary_batch": full_batches,
    "relu_lets_every_gradient_through": rectified_networks,
    "fused_kernel_counts_from_zero": fused_kernels,
    "state_stays_behind_when_rows_leave": leaving_lanes,
    "dropout_rates_stay_behind_when_rows_leave": leaving_lanes,
    "lower_rate_is_lost_when_rows_leave": repaired_lanes,
    "snapshot_of_the_neighbour_is_restored": repaired_lanes,
    "repair_leaves_the_optimizer_as_it_is": repaired_lanes,
    "resumed_count_of_steps_is_one_short": resumed_lanes,
    "resumed_optimizer_starts_anew": resumed_lanes,
    "center_of_the_target_is_lost": predictions,
    "unit_of_the_target_is_that_of_another_fold": predictions,
    "predictions_are_of_other_rows": predictions,
}
"""The check to ask before the others, which saves their time: most of them do not look at what the bug spoils."""


def caught_by(bug: Bug) -> str | None:
    """Name of the first check that finds the implementation different from the truth."""
    likely = [LIKELY[bug.__name__]] if bug.__name__ in LIKELY else []
    for check in (*likely, *(check for check in CHECKS if check not in likely)):
        try:
            check()
        except AssertionError:
            return check.__name__
    return None


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_implementation_passes(check: Check) -> None:
    check()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    check = caught_by(bug)
    # Shown by pytest -rA or -s: which bug is caught by which check.
    print(f"{bug.__name__}: {check}")
    assert check is not None


def test_there_are_bugs_enough() -> None:
    assert len({bug.__name__ for bug in BUGS}) == len(BUGS) >= 30
    assert set(LIKELY) <= {bug.__name__ for bug in BUGS}
