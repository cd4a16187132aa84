"""Which lanes have blown up though their numbers are finite, by the course of their losses: few, and only for good."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.training.watching.course import NoCourse, Seen
from lanewise.training.watching.guard import CHECK_EVERY

STILL = torch.ones(1, 4)


def found(losses: np.ndarray, *, length: int = 400, size: Callable[[int], float] = lambda step: 1.0) -> dict[int, str]:
    """What is said of a lane of these ``losses [T]``, by step; its weights are ``size`` times as large as at first."""
    course, said = Seen(STILL, length=length), {}
    for step, loss in enumerate(losses, start=1):
        course.observe(torch.tensor([loss]), step, None)
        if step % CHECK_EVERY == 0:
            for words in course.judge(STILL * size(step), step).values():
                said.setdefault(step, words)
    return said


def both(course: Seen, losses: np.ndarray, first: int) -> list[dict[int, str]]:
    """What is said of the lanes of ``losses [T, L]``, which begin with step ``first``, at the end of each stretch."""
    said = []
    for step, own in enumerate(losses, start=first):
        course.observe(torch.tensor(own), step, None)
        if step % CHECK_EVERY == 0:
            said.append(course.judge(STILL.expand(len(own), 4), step))
    return said


def learned(steps: int = 400, *, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Losses that fall from 2 to about 0.2."""
    draw = np.random.default_rng(seed)
    return (0.2 + 1.8 * np.exp(-np.arange(steps) / 60)) * (1 + noise * draw.normal(size=steps))


def spiked(height: float, *, at: int = 200, steps: int = 400) -> np.ndarray:
    losses = learned()
    losses[at : at + steps] += height
    return losses


def test_a_loss_that_rises_far_above_its_start_and_stays_has_blown_up() -> None:
    (first, words), *_ = found(spiked(1000.0)).items()
    # It takes three stretches to be sure, of which the first is the one whose losses are nearly all high.
    assert first == 275
    assert words.startswith("spiked by step 275 and lost what it had learned (a loss of 1e+03, from ")
    assert words.endswith(" at best)")


def test_a_spike_that_comes_back_within_three_stretches_is_none() -> None:
    assert found(spiked(1000.0, steps=70)) == {}


def test_in_a_long_training_a_loss_must_stay_for_a_twentieth_of_it() -> None:
    losses = np.concatenate([learned(800), learned(1200) + 1000.0])
    assert min(found(losses, length=400)) == 875
    assert min(found(losses, length=2000)) == 900
    assert min(found(losses, length=20_000)) == 1800


def test_a_lane_that_has_lost_all_it_had_learned_has_blown_up_and_one_that_lost_half_has_not() -> None:
    assert min(found(spiked(2.0))) == 275
    assert found(spiked(1.0)) == {}


def test_what_learned_slowly_and_got_a_little_worse_has_not_blown_up() -> None:
    draw = np.random.default_rng(0)
    losses = 0.7 + 0.1 * draw.normal(size=400)
    losses[200:] += 0.3
    assert found(losses) == {}


def test_rounding_is_no_rise() -> None:
    losses = np.full(400, np.log(2), dtype=np.float32)
    losses[200:] *= 1 + 1e-5
    assert found(losses) == {}


def test_weights_that_exploded_under_a_loss_that_never_was_as_low_again_have_diverged() -> None:
    losses = 500 + 300 * np.random.default_rng(0).random(400)
    losses[0] = 2.3
    said = found(losses, size=lambda step: 40.0)
    assert min(said) == 75
    assert said[75].startswith("diverged by step 75 (a loss of ")
    assert said[75].endswith(", from 2.3, and weights 40 times as large)")


def test_weights_that_grow_while_the_loss_falls_below_the_first_are_well() -> None:
    assert found(learned(), size=lambda step: 1.0 + step) == {}


def test_a_high_loss_without_large_weights_from_the_start_on_is_left_to_its_score() -> None:
    losses = np.full(400, 50.0)
    losses[0] = 2.3
    assert found(losses, size=lambda step: 3.0) == {}


def drawn(kind: str, seed: int, steps: int = 1000) -> np.ndarray:
    """Losses of a lane that learns nothing, however they are distributed."""
    draw = np.random.default_rng(seed)
    return {
        "normal": lambda: draw.normal(size=steps),
        "square": lambda: draw.normal(size=steps) ** 2,
        "cauchy": lambda: np.abs(draw.standard_cauchy(size=steps)),
        "lognormal": lambda: np.exp(3 * draw.normal(size=steps)),
        "right or wrong": lambda: 1000.0 * (draw.random(steps) < 0.5),
        "mostly right": lambda: 1000.0 * (draw.random(steps) < 0.1),
        "mostly wrong": lambda: 1000.0 * (draw.random(steps) < 0.9),
    }[kind]()


@pytest.mark.parametrize(
    "kind", ["normal", "square", "cauchy", "lognormal", "right or wrong", "mostly right", "mostly wrong"]
)
@pytest.mark.parametrize("rises", [False, True])
def test_noise_is_never_taken_for_it(kind: str, rises: bool) -> None:
    losses = np.stack([drawn(kind, seed) for seed in range(20)], 1)
    # The noise may grow, as that of a lane does whose rate has warmed up.
    losses = losses * np.linspace(1, 2, len(losses))[:, None] if rises else losses
    assert not any(both(Seen(STILL.expand(20, 4), length=500), losses, 1))


def test_noise_that_was_small_at_first_is_none_either() -> None:
    """As of a classifier, whose losses are all the same before it has learned, with batches of one row."""
    losses = np.stack([2.3 + np.random.default_rng(seed).normal(size=1000) for seed in range(20)], 1)
    losses[:30] = 2.3 + 0.01 * losses[:30]
    assert not any(both(Seen(STILL.expand(20, 4), length=500), losses, 1))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.sampled_from([0.0, 3.0, 30.0, 300.0]),
    at=st.integers(30, 250),
    scale=st.sampled_from([2.0**-30, 0.125, 1.0, 1024.0, 2.0**40]),
    shift=st.sampled_from([-8.0, 0.0, -2.0, 5.0]),
)
def test_the_verdict_is_the_same_for_losses_of_any_scale_and_level(
    seed: int, height: float, at: int, scale: float, shift: float
) -> None:
    losses = learned(seed=seed)
    losses[at:] += height
    assert found(losses).keys() == found(scale * (losses + shift)).keys()


def test_it_goes_on_from_a_checkpoint_at_any_step_and_when_others_leave() -> None:
    losses = np.stack([learned(seed=1), spiked(1000.0), learned(seed=2)], 1)
    whole = both(Seen(STILL.expand(3, 4), length=400), losses, 1)
    for cut in (1, 24, 25, 210, 249):
        course = Seen(STILL.expand(3, 4), length=400)
        before = both(course, losses[:cut], 1)
        again = Seen(STILL.expand(3, 4), length=400)
        again.restore(course.state())
        again.keep([1, 2])
        after = both(again, losses[cut:, 1:], cut + 1)
        assert [{row + 1: words for row, words in own.items()} for own in after] == whole[len(before) :]
    assert any(whole)


def test_a_lane_that_takes_over_is_known_as_its_source_is() -> None:
    losses = np.stack([learned(seed=1), spiked(1000.0)], 1)
    course = Seen(STILL.expand(2, 4), length=400)
    both(course, losses[:240], 1)
    course.take_over(0, course.held(1))
    said = both(course, losses[240:, [1, 1]], 241)
    assert any(said)
    assert all(own.get(0) == own.get(1) for own in said)


def test_who_was_set_back_is_judged_anew_by_what_it_could() -> None:
    course = Seen(STILL, length=400)
    assert both(course, spiked(1000.0)[:275, None], 1)[-1].keys() == {0}
    course.forget(0, since=200)
    assert both(course, np.full((75, 1), 1000.0), 276) == [
        {},
        {},
        {0: next(iter(found(spiked(1000.0)).values())).replace("275", "350")},
    ]


def test_who_was_set_back_to_the_start_begins_anew() -> None:
    course = Seen(STILL, length=400)
    both(course, spiked(1000.0)[:275, None], 1)
    course.forget(0, since=20)
    assert not any(both(course, np.full((100, 1), 1000.0), 276))
    assert not any(both(course, learned()[:100, None], 376))
    assert any(both(course, np.full((100, 1), 2000.0), 476))


def test_updates_that_are_left_out_say_nothing() -> None:
    course, step = Seen(STILL, length=400), 0
    losses = spiked(1000.0)
    for step, loss in enumerate(losses, start=1):
        skipped = torch.tensor([step % 3 == 0])  # whose loss counts as zero
        course.observe(torch.tensor([0.0 if skipped else loss]), step, skipped)
        if step % CHECK_EVERY == 0 and course.judge(STILL, step):
            break
    assert step == 275


def test_a_lane_whose_first_update_was_left_out_is_judged_by_the_others() -> None:
    course, step = Seen(STILL, length=400), 0
    for step, loss in enumerate(spiked(1000.0), start=1):
        course.observe(torch.tensor([loss]), step, torch.tensor([step == 1]))
        if step % CHECK_EVERY == 0 and course.judge(STILL, step):
            break
    assert step == 275


def test_a_place_that_is_worse_than_the_start_is_not_gone_back_to() -> None:
    losses = spiked(6.0)
    course = Seen(STILL, length=400)
    both(course, losses[:200, None], 1)
    assert course.sound(STILL).tolist() == [True]
    both(course, losses[200:212, None], 201)
    assert course.sound(STILL).tolist() == [False]
    both(course, losses[212:225, None], 213)
    assert course.sound(STILL).tolist() == [False]  # by the stretch that has ended
    both(course, learned()[225:240, None], 226)
    assert course.sound(STILL).tolist() == [True]


def test_who_is_not_to_be_answered_is_not_judged() -> None:
    course = NoCourse()
    course.observe(torch.tensor([1e9]), 25, None)
    assert course.judge(STILL, 25) == {}
    assert course.sound(STILL) is None
    course.restore(course.state())
    course.take_over(0, course.held(0))
    course.keep([0])
    course.forget(0, since=0)
