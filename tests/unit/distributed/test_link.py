"""Alpha and beta from measured exchanges, and what collectives cost by them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.distributed.link import Exchange, Link, fit_link
from lanewise.errors import UsageError

SIZES = [4_096 * 4**power for power in range(8)]


def exchanges(link, *, ranks=(2, 4), noise=lambda _: 1.0):
    return [
        Exchange(ranks=n, size=size, seconds=link.all_reduce(size, n) * noise(place))
        for n in ranks
        for place, size in enumerate(SIZES)
    ]


def test_ring_formulas():
    link = Link(alpha=1.0, beta=10.0)
    assert link.all_reduce(40.0, 4) == pytest.approx(2 * 3 * 1.0 + 2 * 3 / 4 * 4.0)
    assert link.all_gather(40.0, 4) == pytest.approx(3 * 1.0 + 3 / 4 * 4.0)
    assert link.send(40.0) == pytest.approx(5.0)
    assert link.all_reduce(40.0, 1) == 0.0


@given(st.floats(1e-7, 1e-3), st.floats(1e8, 1e12))
@settings(deadline=None, max_examples=40)
def test_a_link_is_found_again(alpha, beta):
    found = fit_link(exchanges(Link(alpha=alpha, beta=beta)))
    for size in (10_000, 100_000_000):
        assert found.all_reduce(size, 3) == pytest.approx(Link(alpha=alpha, beta=beta).all_reduce(size, 3), rel=1e-6)


def test_no_size_outweighs_the_others():
    """A fifth more or less at each size leaves a fit that is off by no more anywhere; absolute errors would not."""
    link = Link(alpha=1e-4, beta=1e9)
    found = fit_link(exchanges(link, noise=lambda place: 1.2 if place % 2 else 0.8))
    for size in SIZES:
        assert found.all_reduce(size, 2) == pytest.approx(link.all_reduce(size, 2), rel=0.2)


def test_a_start_is_never_negative():
    bent = [Exchange(ranks=2, size=size, seconds=size**1.1 * 1e-10) for size in SIZES]
    assert fit_link(bent).alpha == 0.0


def test_what_tells_no_speed_is_refused():
    with pytest.raises(UsageError, match="two sizes or more must be measured to tell start from speed, got 2 exch"):
        fit_link([Exchange(ranks=2, size=4, seconds=1.0)] * 2)
    with pytest.raises(UsageError, match="larger exchanges took no longer than small ones"):
        fit_link([Exchange(ranks=2, size=size, seconds=1 / size) for size in SIZES])
    with pytest.raises(UsageError, match="alpha must be at least 0 and beta positive, got alpha -1 and beta 1"):
        Link(alpha=-1, beta=1)
