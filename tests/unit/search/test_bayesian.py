import numpy as np
import pytest

from lanewise.errors import UsageError
from lanewise.search import bayesian
from lanewise.search.bayesian import Axis, Point, Told, propose

RATE, KIND = Axis(name="lr"), Axis(name="kind", choices=("a", "b"))


def bowl(count: int) -> list[Told]:
    """A valley at 0.8 that is deeper where the kind is b."""
    draw = np.random.default_rng(0)
    found = []
    for place in range(count):
        u, kind = float(draw.random()), "ab"[place % 2]
        found.append(Told(branch="sgd", point={"lr": u, "kind": kind}, loss=(u - 0.8) ** 2 + (kind == "a")))
    return found


def test_points_are_proposed_where_the_loss_is_low() -> None:
    found = propose({"sgd": [RATE, KIND]}, bowl(20), 12, seed=0)
    assert {branch for branch, _ in found} == {"sgd"}
    rates = np.array([float(point["lr"]) for _, point in found])
    assert abs(np.median(rates) - 0.8) < 0.15
    assert [point["kind"] for _, point in found].count("b") >= 9
    assert len(set(rates)) == 12


def test_the_same_evidence_and_seed_give_the_same_points_and_others_do_not() -> None:
    told = bowl(10)
    one = propose({"sgd": [RATE, KIND]}, told, 4, seed=3)
    assert one == propose({"sgd": [RATE, KIND]}, told, 4, seed=3)
    assert one != propose({"sgd": [RATE, KIND]}, told, 4, seed=4)
    assert one != propose({"sgd": [RATE, KIND]}, bowl(11), 4, seed=3)


def test_the_better_branch_gets_more_points_with_its_own_axes() -> None:
    axes = {"good": [RATE, Axis(name="good.beta")], "bad": [RATE]}
    told = [Told(branch="good", point={"lr": u / 8, "good.beta": 0.5}, loss=u / 100) for u in range(8)]
    told += [Told(branch="bad", point={"lr": u / 8}, loss=1 + u) for u in range(8)]
    found = propose(axes, told, 12, seed=0)
    assert sum(branch == "good" for branch, _ in found) >= 8
    assert all(set(point) == ({"lr", "good.beta"} if branch == "good" else {"lr"}) for branch, point in found)


def test_what_failed_is_avoided() -> None:
    told = [Told(branch="sgd", point={"lr": u / 20}, loss=0.1 * (u % 3) if u < 10 else float("nan")) for u in range(20)]
    rates = [float(point["lr"]) for _, point in propose({"sgd": [RATE]}, told, 12, seed=0)]
    assert np.mean([rate < 0.5 for rate in rates]) >= 0.75


def test_where_everything_failed_points_are_still_proposed() -> None:
    told = [Told(branch="sgd", point={"lr": u / 5}, loss=float("nan")) for u in range(5)]
    assert len(propose({"sgd": [RATE]}, told, 3, seed=0)) == 3


def test_points_that_cannot_be_used_are_replaced_until_there_are_no_more() -> None:
    def usable(branch: str, point: Point) -> bool:
        return float(point["lr"]) < 0.5

    found = propose({"sgd": [RATE, KIND]}, bowl(10), 5, seed=0, usable=usable)
    assert len(found) == 5
    assert all(usable(*one) for one in found)
    assert propose({"sgd": [RATE, KIND]}, bowl(10), 2, seed=0, usable=lambda branch, point: False) == []


def test_nothing_of_optuna_is_changed(capfd) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    propose({"sgd": [RATE]}, [], 2, seed=0)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(bayesian, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'lanewise\[optuna\]'; or search='sobol'"):
        propose({"sgd": [RATE]}, [], 1, seed=0)
