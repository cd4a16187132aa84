"""Effects: a planted one is found, none is claimed where none was planted."""

from dataclasses import replace

import numpy as np
import pytest

from lanewise.explain.effects import effects
from lanewise.metrics import METRICS
from lanewise.search.sampling import unit_points

RMSE, R2 = METRICS["rmse"], METRICS["r2"]


def settings(rng):
    return {
        "lr": float(10 ** rng.uniform(-4, -1)),
        "dropout": float(rng.choice([0.0, 0.1, 0.2, 0.5])),
        "weight_decay": float(10 ** rng.uniform(-4, -0.5)),
        "schedule": str(rng.choice(["linear", "cosine", "constant"])),
        "layer_norm": bool(rng.integers(2)),
        "width": 128,
    }


def race(make, score, *, count=40, seed=0, optimizer=lambda n: "adamw", later=True):
    """A screen: everyone is looked at early, a quarter once more."""
    rng = np.random.default_rng(seed)
    traces = []
    for n in range(count):
        candidate = make.candidate(f"c{n}", optimizer=optimizer(n), **settings(rng))
        early = score(candidate, rng)
        again = [early - 1.0] if later and n % 4 == 0 else []
        traces.append(make.trace(candidate, [early, *again]))
    return traces


def noise(candidate, rng):
    return 5.0 + 0.1 * rng.normal()


def run(traces, metric=RMSE, **more):
    found = effects(traces, metric, model="mlp", optimizer="adamw", seed=1, **more)
    assert found is not None
    return found


def test_a_planted_effect_is_found_with_its_size(make):
    def score(candidate, rng):
        return noise(candidate, rng) + 0.5 * (candidate.settings["dropout"] == 0.5)

    found = run(race(make, score))
    first = found.effects[0]
    assert (first.hyperparameter, first.evident) == ("dropout", True)
    assert first.gain == pytest.approx(0.5, abs=0.12)
    assert [value.value for value in first.values] == ["0", "0.1", "0.2", "0.5"]
    worst = max(first.values, key=lambda value: value.score)
    assert worst.value == "0.5"
    assert all(other.high < worst.low for other in first.values if other is not worst)
    assert [one.hyperparameter for one in found.effects if one.evident] == ["dropout"]
    assert found.words.startswith(
        "Of the settings of mlp, the dropout made the largest difference to the RMSE: best at "
    )


def test_nothing_planted_is_no_difference_worth_having(make):
    claimed = 0
    for seed in range(40):
        found = run(race(make, noise, seed=seed))
        none = "candidates of mlp, no single setting made a difference that the evidence can tell from chance ("
        claimed += none not in found.words
    assert claimed <= 6  # the chance of any claim is held at 5%; more than 6 of 40 has a probability below 1%


def test_an_optimum_inside_the_range_is_found_on_the_log_scale(make):
    def score(candidate, rng):
        return noise(candidate, rng) + 0.4 * (np.log10(candidate.settings["lr"]) + 2.5) ** 2

    first = run(race(make, score)).effects[0]
    assert (first.hyperparameter, first.evident) == ("learning rate", True)
    best = min(first.values, key=lambda value: value.score)
    low, high = map(float, best.value.split(" to "))
    assert low / 1.5 < 10**-2.5 < high * 1.5  # between two groups there is a gap
    assert 3 <= len(first.values) <= 5


def test_being_trained_longer_is_not_an_effect(make):
    """Survivors look better at their own last score; at the common look they do not."""

    def score(candidate, rng):
        return noise(candidate, rng)

    traces = race(make, score)
    for trace in traces:  # survival goes with the width, the early score does not
        kept = len(trace.scores) > 1
        trace.lane = replace(
            trace.lane,
            candidate=replace(
                trace.lane.candidate, settings={**trace.lane.candidate.settings, "width": 256 if kept else 64}
            ),
        )
    found = {one.hyperparameter: one for one in run(traces).effects}
    assert not found["width"].evident
    assert found["width"].gain < 0.15


def test_a_setting_that_follows_the_optimizer_is_not_credited_with_it(make):
    def score(candidate, rng):
        return noise(candidate, rng) + (candidate.optimizer == "sgd")

    traces = race(make, score, count=60, optimizer=lambda n: "adamw" if n % 3 else "sgd")
    for trace in traces:  # batch size goes mostly, not wholly, with the optimizer
        own = trace.lane.candidate
        size = 32 if (own.optimizer == "sgd") != (int(own.id[1:]) % 7 == 0) else 256
        trace.lane = replace(trace.lane, candidate=replace(own, settings={**own.settings, "batch_size": size}))
    found = {one.hyperparameter: one for one in run(traces).effects}
    assert found["optimizer"].evident
    assert found["optimizer"].gain == pytest.approx(1.0, abs=0.1)
    assert not found["batch size"].evident


def changed(trace, **settings):
    own = trace.lane.candidate
    trace.lane = replace(trace.lane, candidate=replace(own, settings={**own.settings, **settings}))


def test_the_shape_of_a_network_is_one_choice(make):
    traces = race(make, noise)
    for n, trace in enumerate(traces):
        wide = n % 2 == 0
        changed(trace, width=256 if wide else 64, depth=1, activation="silu" if wide else "relu", layer_norm=wide)
        trace.scores[0] += 0.5 * (not wide)
    first = run(traces).effects[0]
    assert first.hyperparameter == "structure"
    assert {value.value for value in first.values} == {"256x1, silu, layer norm", "64x1, relu"}


def test_settings_that_cannot_be_told_apart_are_one_effect(make):
    def score(candidate, rng):
        return noise(candidate, rng) + 0.4 * (np.log10(candidate.settings["lr"]) + 2.5) ** 2

    traces = race(make, score)
    for trace in traces:  # as rounds follow from the rate, up to a bound
        changed(trace, rounds=int(np.clip(1 / trace.lane.candidate.settings["lr"], 20, 5000)))
    first = run(traces).effects[0]
    assert first.hyperparameter == "learning rate and rounds"
    assert all("; " in value.value for value in first.values)


def test_a_setting_that_went_along_with_the_cause_is_not_evident(make):
    """Two settings agree in four candidates of five; only one of them does anything."""
    blamed = 0
    for seed in range(20):
        traces = race(make, noise, seed=seed)
        for n, trace in enumerate(traces):
            cause = n % 2 == 0
            changed(trace, cause=cause, along=cause if n % 5 else not cause)
            trace.scores[0] += 0.5 * cause
        found = {one.hyperparameter: one for one in run(traces).effects}
        assert found["cause"].evident
        assert found["along"].gain > 0.15  # it looks the part
        blamed += found["along"].evident
    assert blamed <= 2


def test_a_real_search_blames_no_setting_that_does_nothing(make):
    """Some forty quasi-random points in many dimensions are far from orthogonal."""
    wrong = right = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        traces = []
        for n, point in enumerate(unit_points(40, 12, sampling="sobol", seed=seed)):
            values = {f"number{d}": float(10 ** (4 * u - 3)) for d, u in enumerate(point[:8].tolist())}
            choices = {f"choice{d}": int(4 * u) for d, u in enumerate(point[8:11].tolist())}
            candidate = make.candidate(f"c{n}", **values, **choices, flag=bool(point[11] > 0.5))
            score = 5.0 + 0.3 * np.log10(values["number0"]) + 0.4 * (point[11] > 0.5) + 0.15 * rng.normal()
            traces.append(make.trace(candidate, [score]))
        evident = {one.hyperparameter for one in run(traces).effects if one.evident}
        right += "number0" in evident
        wrong += bool(evident - {"number0", "flag"})
    assert right >= 8
    assert wrong <= 1


def test_divergence_counts_as_a_guess(make):
    def score(candidate, rng):
        return noise(candidate, rng)

    traces = race(make, score, later=False)
    for trace in traces:
        if trace.lane.candidate.settings["schedule"] == "constant":
            trace.scores[0], trace.fate = float("nan"), "diverged"
    first = run(traces, guess=8.0).effects[0]
    assert (first.hyperparameter, first.evident) == ("schedule", True)
    assert {value.value: round(value.score, 1) for value in first.values}["constant"] == 8.0


def test_huge_scores_do_not_drown_the_rest(make):
    def score(candidate, rng):
        return noise(candidate, rng) + 0.5 * (candidate.settings["dropout"] == 0.5)

    traces = race(make, score)
    traces[1].scores[0] = 1e9
    assert run(traces).effects[0].hyperparameter == "dropout"


def test_scores_to_be_maximised(make):
    def score(candidate, rng):
        return -noise(candidate, rng) - 0.5 * (candidate.settings["dropout"] == 0.5)

    first = run(race(make, score), R2).effects[0]
    worst = min(first.values, key=lambda value: value.score)
    assert (first.hyperparameter, worst.value) == ("dropout", "0.5")
    assert all(value.low < value.score < value.high for value in first.values)
    assert first.gain > 0


def test_too_few_candidates_and_none(make):
    found = run(race(make, noise, count=3))
    assert found.effects == ()
    assert found.words == "Too few candidates of mlp to tell what any one setting does by itself."
    assert run(race(make, noise, count=1)).words == ""
    assert effects([], RMSE, model="mlp", optimizer="adamw", seed=0) is None
    lost = [make.trace(make.candidate(f"c{n}", lr=0.1 * n), [], fate="diverged") for n in range(10)]
    assert run(lost).effects == ()


def test_only_what_varied_is_told(make):
    names = " ".join(one.hyperparameter for one in run(race(make, noise)).effects)
    assert "width" not in names
    assert "optimizer" not in names
    assert "dropout" in names


def test_effects_are_printed_as_a_table(make):
    def score(candidate, rng):
        return noise(candidate, rng) + 0.5 * (candidate.settings["dropout"] == 0.5)

    found = run(race(make, score))
    said, head, *lines = str(found).splitlines()
    assert said == found.words
    assert head.split("  ")[0] == "setting"
    assert len(lines) == sum(len(one.values) for one in found.effects)
    first = found.effects[0]
    cells = [f"{own.value}  {own.score:#.4g}" for own in first.values]
    assert [" ".join(line.split()[:3]) for line in lines[:1]] == [f"dropout {cells[0].replace('  ', ' ')}"]
    assert lines[0].split()[-2:] == [f"{first.gain:#.4g}", f"{first.p:.2g}"]
    assert [line.split()[0] for line in lines[1:4]] == ["0.1", "0.2", "0.5"]


def test_effects_of_one_candidate_say_that_nothing_varied(make):
    found = run([make.trace(make.candidate("a", lr=0.1), [3.0])])
    assert str(found) == "No setting of mlp varied: it is a single candidate."
