"""Charts drawn from plain numbers."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.reporting.charts import calibration, fit, heat, race, scatter, sensitivity, svg
from lanewise.reporting.charts.frame import Axis, beside
from lanewise.reporting.charts.scale import Scale
from lanewise.reporting.charts.whisker import bar, ruler, whisker


def parsed(markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup))


def lane(status="confirmed", x=(0.0, 0.5, 1.0), valid=(1.0, 0.5, 0.4), **more):
    return {"lane": 0, "status": status, "x": list(x), "valid": list(valid), "optimizer": "adamw", "label": "m", **more}


@given(st.text(max_size=30))
@settings(deadline=None)
def test_text_and_attributes_cannot_break_out(text):
    found = parsed(svg.element("text", text, aria_label=text))
    assert list(found) == []
    assert set(found.attrib) == {"aria-label"}


def test_a_curve_is_written_in_relative_steps():
    assert svg.line_data([(0, 0), (0.5, 0.5), (0.5, 0.5), (1, 0)]) == "M0 1000l500 -500 500 500"
    assert svg.line_data([(0.2, 1)]) == "M200 0l0 0"


def test_a_whisker_stands_where_its_numbers_are():
    cell = parsed(whisker(scale=Scale(low=0.0, high=2.0), value=1.0, low=0.5, high=1.5, label="x"))
    circle = cell.find("circle")
    reach = cell.find("line[@class='range']")
    assert circle is not None
    assert reach is not None
    assert (circle.get("cx"), reach.get("x1"), reach.get("x2")) == ("50%", "25%", "75%")


def test_a_missing_value_draws_no_dot():
    cell = parsed(whisker(scale=Scale(low=0.0, high=2.0), value=None, low=None, high=float("nan"), label="x"))
    assert cell.find("circle") is None
    assert cell.find("line[@class='range']") is None


def test_a_negative_bar_goes_left_from_zero():
    box = parsed(bar(scale=Scale(low=-1.0, high=1.0), value=-0.5, label="x")).find("rect")
    assert box is not None
    assert (box.get("x"), box.get("width")) == ("25%", "25%")


def test_the_winner_is_drawn_last_and_null_points_are_left_out():
    lanes = race.lanes_of(
        [
            lane("winner"),
            lane("pruned", x=(0.1, 0.2), valid=(0.9, None)),
            lane("default"),
            lane("diverged", x=(0.1,), valid=(float("nan"),)),
        ]
    )
    assert [one.status for one in lanes] == ["pruned", "default", "winner"]
    assert lanes[0].points == ((0.1, 0.9),)
    chart = str(race.race(lanes, metric="log_loss", metric_label="log loss", minimise=True))
    assert chart.count("data-words=") == 3
    assert 'class="lane winner"' in chart
    assert 'class="drops"' in chart


def test_hundreds_of_lanes_stay_a_small_file():
    x = [step / 500 for step in range(501)]
    curves = [lane(x=x, valid=[1 / (1 + at * number) for at in x]) for number in range(320)]
    chart = str(race.race(race.lanes_of(curves), metric="rmse", metric_label="RMSE", minimise=True))
    assert len(chart) < 250_000


def test_thinning_keeps_both_ends():
    points = [(float(x), 0.0) for x in range(100)]
    kept = race.thin(points, 7)
    assert len(kept) == 7
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@pytest.mark.parametrize("minimise", [True, False])
def test_wide_losses_get_a_log_axis_only_where_it_is_possible(minimise):
    curves = [lane("winner", valid=(100.0, 10.0, 0.1)), lane(valid=(100.0, 10.0, 0.2))]
    chart = str(race.race(race.lanes_of(curves), metric="rmse", metric_label="RMSE", minimise=minimise))
    assert ("log scale" in chart) == minimise


def test_sensitivity_marks_the_best_rate_and_those_that_diverged():
    points = [{"lr": 10.0**-step, "score": score} for step, score in ((1, None), (2, 0.3), (3, 0.5))]
    series = sensitivity.series_of([{"optimizer": "sgd", "model": "mlp", "points": points}, {"points": []}])
    assert len(series) == 1
    assert series[0].lost == (0.1,)
    assert series[0].best(minimise=True)[0] == pytest.approx(0.01)
    assert series[0].best(minimise=False)[0] == pytest.approx(0.001)
    (panel,) = sensitivity.panels(series, metric="rmse", metric_label="RMSE", minimise=True)
    assert panel.count('class="best"') == 1
    assert panel.count('class="lost"') == 1


@pytest.mark.parametrize(("rate", "marked"), [(0.001, 1), (0.01, 0), (0.1, 0), (None, 0)])
def test_the_winner_s_rate_has_a_mark_of_its_own_where_another_was_better(rate, marked):
    points = [{"lr": 10.0**-step, "score": score} for step, score in ((1, None), (2, 0.3), (3, 0.5))]
    (series,) = sensitivity.series_of([{"optimizer": "sgd", "model": "mlp", "points": points}])
    won = replace(series, rate=rate)
    (panel,) = sensitivity.panels([won], metric="rmse", metric_label="RMSE", minimise=True)
    assert panel.count('class="own"') == marked


def test_the_mean_curve_is_the_mean():
    one = {"x": [0.0, 1.0], "train": [0.0, 2.0], "valid": [None, None]}
    other = {"x": [0.0, 0.5, 1.0], "train": [2.0, 2.0, 4.0], "valid": [1.0, 1.0, 1.0]}
    train, valid = fit.mean_curves([one, other])
    assert train[0] == (0.0, 1.0)
    assert train[-1] == (1.0, 3.0)
    assert {y for _, y in valid} == {1.0}
    assert fit.mean_curves([]) == ([], [])


def test_the_heat_map_has_a_square_for_each_pair_that_occurs():
    chart = heat.heat([[5, 0, 1], [0, 4, 0], [2, 0, 3]], ["a", "b", "c"])
    assert len(re.findall(r"M\d+ \d+h1v1h-1z", str(chart))) == 5


def test_a_perfect_prediction_has_flat_residuals():
    pairs = [(float(value), float(value)) for value in range(5)]
    parsed(scatter.against_actual(pairs)[0])
    heights = re.findall(r"M\d+ (\d+)h0", str(scatter.residuals(pairs)[0]))
    assert set(heights) == {"500"}


def test_a_few_rows_far_out_do_not_squeeze_the_others_into_a_corner():
    pairs = [(float(value), value + 1.0) for value in range(100)] + [(900.0, 40.0), (50.0, -700.0)]
    chart, outside = scatter.against_actual(pairs)
    assert outside == 2
    assert len(parsed(chart).findall(".//circle[@class='beyond']")) == 2
    across = [int(x) for x in re.findall(r"M(\d+) \d+h0", str(chart))]
    assert max(across) - min(across) > 900
    assert "2 of them outside of the axes" in str(chart)


def test_several_rows_of_one_number_far_out_go_together():
    pairs = [(float(value), value + 1.0) for value in range(150)] + [(9999.0, 40.0)] * 3
    assert scatter.against_actual(pairs)[1] == scatter.residuals(pairs)[1] == 3


def test_rows_that_are_merely_spread_all_stay_inside():
    pairs = [(1.1**value, 1.1**value + 1) for value in range(100)]
    assert scatter.against_actual(pairs)[1] == scatter.residuals(pairs)[1] == 0


def test_a_dot_of_one_row_is_said_to_be_of_one_row():
    assert (
        calibration.bins_words([{"predicted": p, "observed": p, "count": 1} for p in (0.1, 0.9)])
        == "Each dot stands for 1 row"
    )
    assert calibration.bins_words([{"predicted": 0.1, "observed": 0.1, "count": n} for n in (0, None)]) == ""


def test_dots_of_the_calibration_are_as_large_as_their_bins_are_full():
    bins = [{"predicted": 0.1, "observed": 0.1, "count": 100}, {"predicted": 0.9, "observed": 0.8, "count": 25}]
    radii = [float(dot.get("r")) for dot in parsed(calibration.calibration(bins)).findall(".//circle")]
    assert radii[0] == 2 * radii[1]
    low, high = calibration.wilson(0.0, 10)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(0.2775, abs=1e-4)
    assert calibration.bins_words(bins) == "The area of a dot is its number of rows, from 25 to 100"
    assert calibration.bins_words(bins[:1]) == "Each dot stands for 100 rows"


@pytest.mark.parametrize(
    ("bins", "labels", "rows"),
    [
        (
            [(1e-6, 0, 20), (1e-5, 0, 20), (4e-4, 0.1, 40), (0.5, 0.4, 80), (0.9, 1, 80)],
            ["<0.1%", "50%", "90%"],
            80,
        ),
        ([(1e-6, 0, 9), (2e-5, 0, 9), (4e-4, 0.001, 9), (9e-4, 0, 9)], ["0.0001%", "0.002%", "0.04%", "0.09%"], 9),
    ],
)
def test_bins_that_would_lie_upon_each_other_are_one_dot_and_no_two_have_one_label(bins, labels, rows):
    known = [{"predicted": said, "observed": seen, "count": n} for said, seen, n in bins]
    told = [one.text or "" for one in parsed(calibration.calibration(known)).iter("title")]
    assert [re.search("Said (.*?),", one)[1] for one in told] == labels
    assert f"{rows} rows" in told[0]
    words = {80: "Each dot stands for 80 rows", 9: "Each dot stands for 9 rows"}
    assert calibration.bins_words(known) == words[rows]


def test_several_lanes_of_the_winner_stand_out_by_their_mean():
    curves = [
        {**lane("winner", x=(0.5, 1.0), valid=(2.0, 1.0)), "candidate": "w"},
        {**lane("winner", x=(0.5, 1.0), valid=(4.0, 3.0)), "candidate": "w"},
        {**lane("winner", x=(0.2,), valid=(9.0,)), "candidate": "w"},
        {**lane("winner", x=(0.5, 1.0), valid=(9.0, 9.0)), "candidate": "w", "phase": "screen"},
        {**lane("default", x=(0.5, 1.0), valid=(4.0, 4.0)), "candidate": "d"},
    ]
    (mean,) = race.means_of(race.lanes_of(curves))
    assert (mean.points[0], mean.points[-1]) == ((0.5, 3.0), (1.0, 2.0))
    assert "mean of its 2 lanes" in mean.words
    chart = str(race.race(race.lanes_of(curves), metric="rmse", metric_label="RMSE", minimise=True))
    assert chart.count("winner faint") == 4
    assert chart.count('"lane winner"') == 1


SCALES: dict = {"metric": "rmse", "metric_label": "RMSE", "minimise": True}


def judged_race(**more):
    winner = [{**lane("winner", x=(0.0, 0.5, 1.0), valid=(4.0, 1.0 + n, 3.0)), "candidate": "w"} for n in (0.0, 1.0)]
    default = [{**lane("default", x=(0.0, 1.0), valid=(4.0, 2.0)), "candidate": "d"} for _ in range(2)]
    lanes = race.lanes_of([*winner, *default])
    curves = [
        {"candidate": "w", "x": [0.0, 0.5, 1.0], "valid": [4.0, 1.4, 3.0]},
        {"candidate": "d", "x": [0.0, 1.0], "valid": [4.0, 2.0]},
    ]
    wholes = race.wholes_of(curves, lanes)
    verdicts = {
        "w": race.Verdict(stop=0.5, score=1.4, words="1.40"),
        "d": race.Verdict(stop=1.0, score=2.0, words="2.00"),
    }
    return parsed(race.race(lanes, **SCALES, wholes=wholes, verdicts=verdicts, **more))


def test_a_ring_marks_where_the_winner_was_judged_and_its_strong_line_ends_there():
    chart = judged_race()
    rings = {one.get("class"): one for one in chart.findall(".//circle")}
    assert rings["ring winner"].get("cx") == "50%"
    assert rings["ring default"].get("cx") == "100%"
    strong = [one.get("d", "") for one in chart.findall(".//path") if one.get("class") == "lane winner"]
    assert len(strong) == 1
    start, *steps = re.findall(r"-?\d+", strong[0].replace("M", " ").replace("l", " "))[::2]
    assert int(start) + sum(map(int, steps)) == 500
    beyond = [one.get("data-words", "") for one in chart.findall(".//path") if one.get("class") == "lane winner faint"]
    assert any("beyond where it was stopped" in words for words in beyond)


def test_a_candidate_that_was_best_at_its_first_look_has_a_ring_and_no_strong_line():
    lanes = race.lanes_of([{**lane("winner", x=(0.1, 1.0), valid=(1.0, 2.0)), "candidate": "w"}])
    wholes = race.wholes_of([{"candidate": "w", "x": [0.1, 1.0], "valid": [1.0, 2.0]}], lanes)
    verdicts = {"w": race.Verdict(stop=0.1, score=1.0, words="1.0")}
    chart = parsed(race.race(lanes, **SCALES, wholes=wholes, verdicts=verdicts))
    assert {one.get("class") for one in chart.findall(".//path")} == {"lane winner faint"}
    assert [one.get("class") for one in chart.findall(".//circle")] == ["ring winner"]


def test_a_name_beside_the_race_stands_at_the_score_of_the_leaderboard():
    chart = judged_race()
    height = float(next(one for one in chart.findall(".//text") if one.get("class") == "name winner").get("y", ""))
    ring = next(one for one in chart.findall(".//circle") if one.get("class") == "ring winner")
    assert height == pytest.approx(race.HEIGHT * float(ring.get("cy", "").rstrip("%")) / 100, abs=0.1)
    scores = {one.get("class"): one.text for one in chart.findall(".//text") if "score" in one.get("class", "")}
    assert scores == {"score winner": "1.40", "score default": "2.00"}
    levels = [one for one in chart.findall(".//line") if "level" in one.get("class", "")]
    assert [(one.get("class"), one.get("x1"), one.get("x2")) for one in levels] == [("level winner", "50%", "100%")]


def test_an_ensemble_is_a_level_of_its_own_and_not_the_mean_of_its_members():
    members = [
        {**lane("member", x=(0.0, 1.0), valid=(4.0, end)), "candidate": id} for id, end in (("a", 2.0), ("b", 3.0))
    ]
    lanes = race.lanes_of(members)
    wholes = race.wholes_of(
        [{"candidate": one["candidate"], "x": one["x"], "valid": one["valid"]} for one in members], lanes
    )
    verdicts = {
        "a": race.Verdict(stop=1.0, score=2.0, words="2.0"),
        "b": race.Verdict(stop=1.0, score=3.0, words="3.0"),
    }
    mixed = race.Verdict(stop=1.0, score=1.5, words="1.5")
    chart = parsed(race.race(lanes, **SCALES, wholes=wholes, verdicts=verdicts, ensemble=mixed))
    (level,) = [one for one in chart.findall(".//line") if "level" in one.get("class", "")]
    assert (level.get("class"), level.get("x1")) == ("level member", "0%")
    assert [one.text for one in chart.findall(".//text") if one.get("class") == "score member"] == ["1.5"]


def test_names_that_have_a_score_below_them_are_pushed_farther_apart():
    drawn = beside([(0.5, "A", "a"), (0.5, "B", "b")], height=100, below={"a": "1", "b": "2"})
    words = parsed(f"<g>{drawn}</g>")
    heights = [float(one.get("y", "")) for one in words.findall("text")]
    assert sorted(heights) == heights
    assert min(later - one for one, later in pairwise(heights)) >= 16
    assert heights[-1] <= 100


def test_a_lane_of_next_to_no_loss_does_not_take_most_of_a_log_axis():
    good = [{**lane("winner", x=(0.5, 1.0), valid=(5.0, 0.1 + n / 100)), "candidate": "w"} for n in range(20)]
    odd = {**lane("winner", x=(0.5, 1.0), valid=(5.0, 1e-12)), "candidate": "w"}
    lanes = race.lanes_of([*good, odd])
    chart = str(race.race(lanes, metric="log_loss", metric_label="log loss", minimise=True))
    assert "log scale" in chart
    assert "e\N{MINUS SIGN}" not in chart  # no tick of a tiny power of ten


def test_learning_rates_are_dots_and_no_curve():
    points = [{"lr": 10.0**-step, "score": 0.1 * step, "low": 0.0, "high": 1.0} for step in (1, 2, 3)]
    items = [
        {"optimizer": name, "model": "mlp", "points": points, "look": look} for name, look in (("a", "x"), ("b", "y"))
    ]
    panel, _ = sensitivity.panels(sensitivity.series_of(items), metric="rmse", metric_label="RMSE", minimise=True)
    assert panel.count('class="front dots"') == 1
    assert panel.count('class="spread"') == 3
    assert 'class="behind' not in panel  # the other was read after another share of the training


def test_ticks_of_a_narrow_column_do_not_run_into_each_other():
    drawn = ruler(Axis(scale=Scale(low=0, high=4e7), count=4), room=28)
    assert re.findall(r"<text[^>]*>([^<]*)<", drawn) == ["0", "20,000,000", "40,000,000"]


@pytest.mark.parametrize(
    ("bins", "ticks"),
    [
        ([(0.001, 0.0), (0.01, 0.012), (0.24, 0.22)], ["0%", "10%", "20%"]),
        ([(0.05, 0.1), (0.9, 0.8)], ["0%", "20%", "40%", "60%", "80%", "100%"]),
        ([(0.9, 0.91), (0.99, 1.0)], ["90%", "92.5%", "95%", "97.5%", "100%"]),
    ],
)
def test_axes_of_a_calibration_end_where_the_bins_do(bins, ticks):
    chart = calibration.calibration([{"predicted": p, "observed": o, "count": 50} for p, o in bins])
    found = parsed(chart)
    shown = [one.text for one in found.iter("text") if one.get("class") == "tick"]
    assert shown == ticks * 2, "both axes are the same"
    last = list(found.iter("circle"))[-1]
    right, up = float((last.get("cx") or "").rstrip("%")), 100 - float((last.get("cy") or "").rstrip("%"))
    assert (right > up) == (bins[-1][0] > bins[-1][1]), "below the diagonal it was said too often"
    assert max(right, up) > 75


def test_a_class_is_named_as_it_is_and_not_as_a_number():
    chart = parsed(heat.heat([[3.0, 1.0], [0.0, 2.0]], ["-1", "1"]))
    assert {one.text for one in chart.iter("text")} == {"-1", "1"}


def test_errors_that_fall_far_get_a_log_axis_and_a_gap_of_next_to_nothing_does_not_fill_the_chart():
    deep = fit.fit(train=[(0.1, 0.5), (1.0, 0.01)], valid=[(0.1, 0.6), (1.0, 0.1)], **SCALES)
    assert "RMSE, log scale" in deep
    flat = parsed(fit.fit(train=[(0.1, 52.9), (1.0, 52.9)], valid=[(0.1, 53.1), (1.0, 53.1)], **SCALES))
    heights = {
        one.get("class"): float(re.split("[lL]", one.get("d", "").split()[1])[0]) for one in flat.findall(".//path")
    }
    assert heights["lane training"] - heights["lane winner"] < 60  # of 1,000


def test_the_axis_of_a_share_stays_linear():
    chart = fit.fit(train=[(0.1, 0.2), (1.0, 0.9)], valid=[(0.1, 0.1), (1.0, 0.8)], **{**SCALES, "minimise": False})
    assert "log scale" not in chart
