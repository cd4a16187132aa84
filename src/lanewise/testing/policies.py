"""What every search policy must do."""

import numpy as np

from lanewise.search.policy import Policy, Standing

COUNTS = (1, 2, 5, 30, 200)


def check_policy(policy: Policy) -> None:
    """A policy's rungs rise within (0, 1]; its decisions keep the protected, name each place once and repeat.

    Raises ``AssertionError`` with the name of the policy and what it broke.
    """
    name = type(policy).__name__
    for count in COUNTS:
        rungs = policy.rungs(count)
        assert all(0 < rung <= 1 for rung in rungs), f"{name}: rungs must lie in (0, 1], got {rungs}"
        assert list(rungs) == sorted(set(rungs)), f"{name}: rungs must rise, got {rungs}"
        standing = _standing(count)
        decision = policy.decide(standing)
        assert decision == policy.decide(standing), f"{name} decides differently on the same evidence"
        _check_places(name, decision.keep, standing)
        assert decision.words, f"{name} gives no reason"


def _standing(count: int) -> Standing:
    rng = np.random.default_rng(count)
    scores = rng.normal(size=count)
    if count > 2:
        scores[1] = np.nan
    protected = np.zeros(count, dtype=bool)
    protected[int(np.nanargmax(scores))] = True
    return Standing(rung=0, scores=scores, losses=None, families=np.arange(count) % 3, protected=protected)


def _check_places(name: str, keep: tuple[int, ...], standing: Standing) -> None:
    count = len(standing.scores)
    assert keep, f"{name} keeps nobody"
    assert len(set(keep)) == len(keep), f"{name} names a place twice"
    assert all(0 <= place < count for place in keep), f"{name} names a place that does not exist"
    missing = [int(place) for place in np.flatnonzero(standing.protected) if place not in keep]
    assert not missing, f"{name} drops a protected candidate"
    best = int(np.nanargmin(standing.scores))
    assert best in keep, f"{name} drops the best candidate"
