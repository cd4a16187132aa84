"""Candidates: as listed by the user, or drawn from a space."""

import pytest

from lanewise.errors import UsageError
from lanewise.optim.registry import RULES
from lanewise.tuning.drop_ins import RACED
from lanewise.tuning.proposing import OPTIMIZERS, drawn, listed


def draw(space, count=12, seed=0):
    return drawn(space, count, model="m", batch_size=32, seed=seed)


def test_listed_candidates_are_exactly_those_and_the_first_is_the_default() -> None:
    found = listed([{"lr": 1e-3}, {"optimizer": "sgd", "lr": 0.1, "batch_size": 8}], model="m", batch_size=32)
    assert [own.optimizer for own in found] == ["adamw", "sgd"]
    assert [own.is_default for own in found] == [True, False]
    assert [own.settings["batch_size"] for own in found] == [32, 8]
    assert found[0].settings["weight_decay"] == RULES["adamw"].hypers[-1].default


def test_the_default_of_each_optimizer_comes_first() -> None:
    found = draw({})
    assert [own.optimizer for own in found[: len(OPTIMIZERS)]] == list(OPTIMIZERS)
    for own in found[: len(OPTIMIZERS)]:
        for hyper in RULES[own.optimizer].hypers:
            assert own.settings[hyper.name] == hyper.default


def test_a_rule_that_averages_or_finds_its_rate_keeps_it() -> None:
    found = draw({"optimizer": ["schedule_free_adamw", "prodigy", "adamw"]}, count=6)
    assert [own.settings["schedule"] for own in found] == 2 * ["constant", "constant", "linear"]


def test_every_optimizer_that_is_offered_can_be_drawn() -> None:
    found = draw({"optimizer": list(RACED)}, count=2 * len(RACED))
    assert {own.optimizer for own in found} == set(RACED)


def test_points_lie_in_the_ranges_and_cover_them() -> None:
    found = draw({"optimizer": "adamw", "lr": (1e-4, 1e-1), "batch_size": [16, 64], "beta1": 0.7}, count=33)
    rates = [float(own.settings["lr"]) for own in found]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert min(rates) < 3e-4
    assert max(rates) > 3e-2
    assert {own.settings["batch_size"] for own in found} == {16, 64}
    assert {own.settings["beta1"] for own in found} == {0.7}
    assert len({own.id for own in found}) == 33


def test_the_same_seed_draws_the_same_points() -> None:
    assert draw({}, seed=3) == draw({}, seed=3)
    assert draw({}, seed=3) != draw({}, seed=4)


MISTAKES = [
    ({"optimizer": "adamx"}, "there is no optimizer 'adamx' to tune with; did you mean adam"),
    (
        {"optimizer": "gd"},
        r"there is no optimizer 'gd' to tune with; did you mean sgd or asgd\? All \d+: docs/tune-race.md$",
    ),
    ({"optimizer": "zzz"}, "there is no optimizer 'zzz' to tune with; there are sgd, momentum, .*, soap$"),
    ({"learning_rate": (0.1, 0.2)}, r"there is no setting 'learning_rate'; did you mean lr\?"),
    (
        {"momentun": [0.9]},
        r"did you mean momentum .*\? Adamw, nesterov, adam and sgd, which race as no optimizer is named, take average_",
    ),
    ({"optimizer": "sgd", "betaz": [0.9]}, r"there is no setting 'betaz'; .*sgd takes average_every, "),
    ({"lr": (0.2, 0.1)}, r"space\['lr'\] must be a range \(low, high\) above zero"),
    ({"lr": (0, 0.1)}, "above zero"),
    ({"lr": []}, "is an empty list"),
    ({"schedule": ["sine"]}, "schedule must be one of constant, linear, cosine.* got 'sine'"),
    ({"lr": -1.0}, "lr must be a number that is finite and not negative, got -1.0"),
    ({"batch_size": 2.5}, "batch_size must be a whole number"),
    ({"warmup": 2}, "warmup is a share"),
]


@pytest.mark.parametrize(("space", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_mistakes_in_a_space(space, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draw(space)


def test_a_list_without_candidates_and_a_candidate_that_is_none() -> None:
    with pytest.raises(UsageError, match="candidates is empty"):
        listed([], model="m", batch_size=1)
    with pytest.raises(UsageError, match="a candidate is a dict"):
        listed(["adamw"], model="m", batch_size=1)  # pyright: ignore[reportArgumentType]  # the mistake
