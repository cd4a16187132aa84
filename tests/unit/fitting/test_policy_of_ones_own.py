"""``lanewise.fit`` under a policy that somebody else wrote, and under those of the package by name."""

from typing import Any

import pytest

import lanewise
from lanewise.errors import Interrupted, UsageError
from lanewise.fitting import experiment
from lanewise.search.policy import Decision, Policy, Standing, ranked
from lanewise.storage.durable import load_json

QUICK: dict[str, Any] = {"models": "linear", "budget": "20steps", "candidates": 6, "folds": 2, "seeds": 1, "workers": 1}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path))


class OnlyThePick(Policy):
    """Everybody leaves at half of the length but the best and the protected."""

    def rungs(self, candidates: int) -> tuple[float, ...]:
        return (0.5,)

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.scores)
        keep = [order[0], *(place for place in order[1:] if standing.protected[place])]
        return Decision(keep=tuple(keep), words="the best and the protected")


def confirmed(found: lanewise.Fit) -> set[str]:
    return {row["id"] for row in found.document["race"]["leaderboard"]}


def test_a_policy_of_ones_own_decides_who_is_confirmed() -> None:
    found = lanewise.fit("example:iris", policy=OnlyThePick(), **QUICK)
    assert load_json(found.folder / "plan.json")["rungs"] == [0.5]
    assert len(confirmed(found)) <= 2
    assert found.document["default"]["id"] in confirmed(found)
    assert "policy=" in found.document["command"]


@pytest.mark.parametrize(("policy", "rungs"), [("hyperband", 3), ("racing", 2)])
def test_policies_by_name(policy: str, rungs: int) -> None:
    found = lanewise.fit("example:iris", policy=policy, **QUICK)
    assert len(load_json(found.folder / "plan.json")["rungs"]) == rungs
    assert confirmed(found)


def test_never_fits_a_budget_of_seconds() -> None:
    found = lanewise.fit("example:iris", policy="never", **{**QUICK, "budget": "10s", "candidates": None})
    plan = load_json(found.folder / "plan.json")
    assert plan["rungs"] == []
    assert plan["predicted_seconds"] <= 10
    assert sum(plan["confirm"].values()) == len(plan["candidates"])


def test_racing_wants_a_metric_with_a_loss_per_row() -> None:
    with pytest.raises(UsageError, match="policy racing compares the losses of single rows, and roc_auc has none"):
        lanewise.fit("example:iris", policy="racing", metric="roc_auc", **QUICK)


@pytest.mark.parametrize(
    ("policy", "words"),
    [("asha", "policy must be halving, hyperband, racing or never, got 'asha'"), (OnlyThePick, "policy must be")],
)
def test_what_is_no_policy_is_refused(policy: Any, words: str) -> None:
    with pytest.raises(lanewise.ConfigError, match=words):
        lanewise.fit("example:iris", policy=policy, **QUICK)


class _Stops:
    """Follows a fit and stops it at the first sign of the race."""

    def announce(self, text: str) -> None:
        del text

    def pulse(self, pulse: object) -> None:
        message = "stopped by the test"
        raise Interrupted(message)


def test_a_run_is_resumed_with_the_policy_that_it_had() -> None:
    with pytest.raises(Interrupted):
        lanewise.fit("example:iris", policy=OnlyThePick(), watcher=_Stops(), **QUICK)
    with pytest.raises(UsageError, match=r"under a policy of your own, OnlyThePick; go on from Python with"):
        lanewise.resume("last")

    class Another(OnlyThePick):
        def rungs(self, candidates: int) -> tuple[float, ...]:
            return (0.25,)

    Another.__name__ = "OnlyThePick"
    with pytest.raises(UsageError, match="planned for rungs that OnlyThePick does not have"):
        lanewise.resume("last", policy=Another())
    found = lanewise.resume("last", policy=OnlyThePick())
    whole = lanewise.fit("example:iris", policy=OnlyThePick(), **QUICK)
    assert found.document["model_sha256"] == whole.document["model_sha256"]


def test_a_run_under_a_policy_by_name_is_resumed_without_one() -> None:
    with pytest.raises(Interrupted):
        experiment.fit("example:iris", policy="hyperband", watcher=_Stops(), **QUICK)
    with pytest.raises(UsageError, match="was raced under policy hyperband; resume it without policy"):
        lanewise.resume("last", policy=OnlyThePick())
    assert confirmed(lanewise.resume("last"))


def test_estimators_take_policies() -> None:
    from sklearn.base import clone
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    settings = {name: value for name, value in QUICK.items() if name != "candidates"}
    model = lanewise.LanewiseClassifier(policy=OnlyThePick(), candidates=4, **settings)
    fitted = clone(model).fit(X, y)
    assert fitted.score(X, y) > 0.8
    assert len(fitted.document_["race"]["leaderboard"]) <= 2
