"""What every search policy must do."""

from dataclasses import replace

import numpy as np

from lanewise.search.policy import Decision, Policy, Standing

COUNTS = (1, 2, 5, 30, 200)
UNITS = 60
"""Validation rows of the races that are made up."""


def check_policy(policy: Policy) -> None:
    """A policy goes through whole races that are made up, and must keep its contract at every rung.

    Rungs rise within (0, 1], and ``remaining`` has a count for each. A decision keeps the protected and the best, names
    each place once, keeps nobody without a score while it drops somebody with one, depends on the evidence only (not
    on what was asked before, on a generator, or on the order in which candidates are listed), and leaves the evidence
    as it was. Copies are made of who stays, in the place of who does not, and within a kind.

    Raises ``AssertionError`` with the name of the policy and what it broke.
    """
    for count in COUNTS:
        rungs = policy.rungs(count)
        name = type(policy).__name__
        assert all(0 < rung <= 1 for rung in rungs), f"{name}: rungs must lie in (0, 1], got {rungs}"
        assert list(rungs) == sorted(set(rungs)), f"{name}: rungs must rise, got {rungs}"
        left = policy.remaining(count)
        assert len(left) == len(rungs), f"{name}: remaining must have a count for each rung, got {left} for {rungs}"
        assert all(1 <= one <= count for one in left), f"{name}: remaining must lie in 1 to {count}, got {left}"
        _race(policy, name, count, max(len(rungs), 1))


def _race(policy: Policy, name: str, count: int, rungs: int) -> None:
    """One race from the first rung to the last, each decision checked and followed."""
    entrants = _entrants(count)
    for rung in range(rungs):
        standing = _seen(entrants, rung)
        _frozen(standing)
        decision = policy.decide(standing)
        assert decision == policy.decide(standing), f"{name} decides differently on the same evidence"
        assert decision.words, f"{name} gives no reason"
        _check_places(name, decision.keep, standing)
        _check_copies(policy, name, decision, standing)
        _check_order(policy, name, decision, standing)
        policy.decide(_seen(_entrants(count + 3), 0))
        np.random.default_rng(rung).normal(size=3)
        assert decision == policy.decide(standing), f"{name} remembers what it was asked before"
        entrants = _part(entrants, np.array(decision.keep))


def _entrants(count: int) -> Standing:
    """Candidates of three families that differ by more than their rows vary; one, or a family, has no score."""
    rng = np.random.default_rng(count)
    losses = rng.normal(size=UNITS) + 3 * rng.normal(size=(count, 1)) + 0.1 * rng.normal(size=(count, UNITS))
    families = np.arange(count) % 3
    protected = np.zeros(count, dtype=bool)
    protected[int(losses.mean(1).argmax())] = True
    if count > 2:
        losses[families == 1 if count > 10 else 1] = np.nan
    return Standing(
        rung=0,
        scores=losses.mean(1),
        losses=losses,
        families=families,
        protected=protected,
        numbers=np.arange(count),
        entrants=count,
        kinds=np.arange(count) % 2,
        named=("lr", "momentum"),
        genes=rng.normal(-4, 1, size=(count, 2)),
    )


def _seen(standing: Standing, rung: int) -> Standing:
    """The same candidates at another rung, every row a little different."""
    assert standing.losses is not None
    draw = np.random.default_rng(1000 + rung).normal(size=(standing.entrants, UNITS))[standing.numbers]
    losses = standing.losses + 0.05 * draw
    return replace(standing, rung=rung, losses=losses, scores=losses.mean(1))


def _part(standing: Standing, places: np.ndarray) -> Standing:
    assert standing.losses is not None
    assert standing.genes is not None
    return replace(
        standing,
        scores=standing.scores[places],
        losses=standing.losses[places],
        families=standing.families[places],
        protected=standing.protected[places],
        numbers=standing.numbers[places],
        kinds=standing.kinds[places],
        genes=standing.genes[places],
    )


def _frozen(standing: Standing) -> None:
    """A policy that writes to the evidence gets a ``ValueError`` of NumPy's."""
    for array in vars(standing).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False


def _check_places(name: str, keep: tuple[int, ...], standing: Standing) -> None:
    count = len(standing.scores)
    assert keep, f"{name} keeps nobody"
    assert len(set(keep)) == len(keep), f"{name} names a place twice"
    assert all(0 <= place < count for place in keep), f"{name} names a place that does not exist"
    missing = [int(place) for place in np.flatnonzero(standing.protected) if place not in keep]
    assert not missing, f"{name} drops a protected candidate"
    best = int(np.nanargmin(standing.scores))
    assert best in keep, f"{name} drops the best candidate"
    scored = ~np.isnan(standing.scores)
    dropped = [place for place in range(count) if scored[place] and place not in keep]
    lost = [place for place in keep if not scored[place] and not standing.protected[place]]
    assert not (dropped and lost), f"{name} keeps a candidate without a score and drops one that has a score"


def _check_copies(policy: Policy, name: str, decision: Decision, standing: Standing) -> None:
    assert policy.copies or not decision.copies, f"{name} asks for copies, and does not say so"
    targets = [copy.target for copy in decision.copies]
    assert len(set(targets)) == len(targets), f"{name} copies twice over one candidate"
    for copy in decision.copies:
        assert copy.source in decision.keep, f"{name} copies a candidate that it drops"
        assert 0 <= copy.target < len(standing.scores), f"{name} copies over a place that does not exist"
        assert copy.target not in decision.keep, f"{name} copies over a candidate that it keeps"
        same = standing.kinds[copy.source] == standing.kinds[copy.target]
        assert same, f"{name} copies to a candidate of another kind"
        assert 0 < copy.factor < np.inf, f"{name} multiplies a rate by {copy.factor}"
        for gene, value in copy.changes:
            assert gene == "momentum", f"{name} changes {gene}, which is no gene or is changed by the factor"
            assert np.isfinite(value), f"{name} changes {gene} to {value}"


def _check_order(policy: Policy, name: str, decision: Decision, standing: Standing) -> None:
    """Listed in another order, the same candidates go on, and the same copies are made."""
    order = np.random.default_rng(7).permutation(len(standing.scores))
    again = policy.decide(_part(standing, order))
    same = {int(order[place]) for place in again.keep} == set(decision.keep)
    moved = {(int(order[one.source]), int(order[one.target]), one.factor, one.changes) for one in again.copies}
    same = same and moved == {(one.source, one.target, one.factor, one.changes) for one in decision.copies}
    assert same, f"{name} depends on the order in which candidates are listed"
