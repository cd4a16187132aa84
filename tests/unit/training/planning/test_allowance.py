"""What measuring may cost is cut off in time, by a clock that the tests wind."""

from lanewise.training.planning.allowance import Allowance
from lanewise.training.planning.making import MEASURING_SHARE, UNTIL, _Time
from lanewise.training.planning.reserve import explaining_seconds, reserved_seconds


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def measured(allowance: Allowance, clock: Clock, seconds: list[float], *, until: float = 1.0, least: int = 0) -> int:
    """How many measurements of these lengths are made."""
    count = 0
    for own in allowance.within(seconds, until=until, least=least):
        clock.now += own
        count += 1
    return count


def test_nothing_begins_that_would_not_end_in_time() -> None:
    clock = Clock()
    allowance = Allowance(10.0, clock=clock)
    assert (
        measured(allowance, clock, [3.0, 4.0, 4.0, 1.0]) == 2
    )  # the third is thought to take 4 of the 3 that are left
    assert allowance.left() == 3.0


def test_what_must_be_measured_is() -> None:
    clock = Clock()
    allowance = Allowance(1.0, clock=clock)
    clock.now += 5.0
    assert measured(allowance, clock, [1.0] * 4, least=2) == 2
    assert measured(allowance, clock, [1.0] * 4) == 0


def test_one_part_leaves_the_next_its_own() -> None:
    clock = Clock()
    allowance = Allowance(10.0, clock=clock)
    assert measured(allowance, clock, [1.0] * 20, until=0.45) == 4
    assert measured(allowance, clock, [1.0] * 20, until=0.5) == 1
    assert measured(allowance, clock, [1.0] * 20) == 4
    assert list(UNTIL.values()) == sorted(UNTIL.values())


def test_measuring_takes_a_share_of_the_budget_and_less_of_what_is_nearly_gone() -> None:
    clock = Clock()
    whole = _Time(seconds=60.0, reserved=8.0, spent=3.0, started=clock(), clock=clock)
    assert whole.allowance().seconds == MEASURING_SHARE * 60.0
    assert whole.overdrawn() == 0.0
    assert whole.processor_left(2, but=8.0) == 2 * 49.0 - 8.0
    late = _Time(seconds=60.0, reserved=8.0, spent=45.0, started=clock(), clock=clock)
    assert 0 < late.allowance().seconds < 0.4 * 15.0
    clock.now += 600.0
    assert late.overdrawn() == 45.0 + 600.0 + 8.0 - 60.0
    assert 0 < late.left() < 0.1  # a race is planned for, however late: the least
    assert 0 < late.processor_left(2, but=8.0) < 0.1


def test_the_reserve_leaves_most_of_any_budget() -> None:
    for budget in (1.0, 10.0, 60.0, 600.0, 7200.0):
        reserved = [reserved_seconds(budget, rows) for rows in (10, 3000, 10_000_000)]
        assert explaining_seconds(budget) <= reserved[0]
        assert reserved == sorted(reserved)
        assert reserved[-1] <= 0.5 * budget
    assert reserved_seconds(600.0, 10_000_000) < 0.12 * 600.0


def test_what_follows_a_race_takes_longer_where_the_machine_is_busy() -> None:
    free, busy = reserved_seconds(60.0, 3000), reserved_seconds(60.0, 3000, pace=0.25)
    assert busy - free == 3 * 1.5  # choosing, scoring and the report; what explains is reckoned in work
    assert reserved_seconds(60.0, 3000, preparing=2.0) == free + 2.0
    assert reserved_seconds(5.0, 3000, pace=0.25) == 2.5
