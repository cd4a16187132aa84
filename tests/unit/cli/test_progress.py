"""Progress on stderr: plain lines, and the live line of a terminal."""

import io
import sys

import pytest

from lanewise.cli.screen import AFRESH, LEADING, NO_WINNER, WORSE, Screen
from lanewise.training.watching.pulse import Pulse


def lines_of(capsys: pytest.CaptureFixture, *phases: str, quiet: bool = False) -> list[str]:
    with Screen(quiet=quiet) as screen:
        for phase in phases:
            screen.pulse(Pulse(phase=phase, done=0.5, lanes=1, candidates=1, leader="m", score=0.25, metric="log_loss"))
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_the_scores_of_a_confirmation_that_follows_a_screen_are_said_to_begin_anew(capsys) -> None:
    lines = lines_of(capsys, "screen", "confirm", "refit")
    assert [line.split()[0] for line in lines] == ["screen", "confirm:", "confirm", "refit"]
    assert lines[1] == AFRESH
    assert "leading at validation log loss 0.25: m" in lines[2]
    assert "leading" not in lines[3]
    assert all("1 lane " in line for line in (lines[0], *lines[2:]))
    assert max(map(len, lines)) <= 80


def test_without_a_screen_nothing_begins_anew(capsys) -> None:
    assert AFRESH not in lines_of(capsys, "confirm", "refit")


def test_large_scores_are_written_out(capsys) -> None:
    with Screen(quiet=False) as screen:
        lead = {"leader": "m", "score": 12345.6, "spread": 251.0, "metric": "rmse"}
        screen.pulse(Pulse(phase="screen", done=0.5, lanes=9, candidates=3, **lead))
    assert "leading at validation RMSE 12,346 ± 251: m" in capsys.readouterr().err


def test_that_who_leads_need_not_win_is_said_once_where_several_are_confirmed(capsys) -> None:
    with Screen(quiet=False) as screen:
        for candidates in (3, 3):
            screen.pulse(Pulse(phase="confirm", done=0.5, lanes=9, candidates=candidates, leader="m", score=0.5))
    assert capsys.readouterr().err.splitlines()[0] == NO_WINNER
    assert NO_WINNER not in lines_of(capsys, "screen", "confirm"), "of one candidate nobody expects another"


def test_why_the_best_score_got_worse_is_said_once_and_where_both_were_shown(capsys, monkeypatch) -> None:
    scores = (("screen", 0.9), ("screen", 0.8))
    with Screen(quiet=False) as screen:  # a line each time that the phase is another, or some seconds have passed
        for phase, score in scores:
            screen.pulse(Pulse(phase=phase, done=0.5, lanes=9, candidates=3, leader="m", score=score, sign=-1.0))
    assert WORSE not in capsys.readouterr().err
    monkeypatch.setattr("lanewise.cli.screen.PLAIN_EVERY_SECONDS", -1.0)
    with Screen(quiet=False) as screen:
        for phase, score in (("screen", 0.9), ("screen", 0.8), ("screen", 0.8), ("screen", 0.7), ("confirm", 0.1)):
            screen.pulse(Pulse(phase=phase, done=0.5, lanes=9, candidates=3, leader="m", score=score, sign=-1.0))
    assert capsys.readouterr().err.splitlines().count(WORSE) == 1
    with Screen(quiet=False) as screen:
        for phase, score in (("screen", float("nan")), ("screen", 0.8), ("screen", 0.9), ("confirm", 0.1)):
            screen.pulse(Pulse(phase=phase, done=0.5, lanes=9, candidates=3, leader="m", score=score, sign=-1.0))
    assert WORSE not in capsys.readouterr().err


def test_quiet_is_quiet(capsys) -> None:
    assert lines_of(capsys, "screen", "confirm", quiet=True) == []


def test_the_speed_is_that_of_the_phase(capsys, monkeypatch) -> None:
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("lanewise.cli.screen.time.monotonic", lambda: next(clock))
    with Screen(quiet=False) as screen:
        for phase, trained in (("screen", 5.0), ("screen", 25.0), ("confirm", 2.0)):
            screen.pulse(Pulse(phase=phase, done=0.5, lanes=9, candidates=3, trained=trained))
    first, second, *_, confirm = capsys.readouterr().err.splitlines()
    assert "120 lanes/min" in second
    assert "lanes/min" not in first + confirm


def test_the_time_left_is_what_the_rest_of_the_phase_takes_at_its_pace(capsys, monkeypatch) -> None:
    clock = iter([0.0, 10.0, 100.0, 110.0, 140.0])
    monkeypatch.setattr("lanewise.cli.screen.time.monotonic", lambda: next(clock))
    with Screen(quiet=False) as screen:
        for phase, done in (("screen", 0.1), ("screen", 0.2), ("confirm", 0.0), ("confirm", 0.1), ("confirm", 1.0)):
            screen.pulse(Pulse(phase=phase, done=done, lanes=9, candidates=3))
    first, second, _, _, third, fourth, last = capsys.readouterr().err.splitlines()
    assert "20%  01:20 left" in second
    assert "10%  01:30 left" in fourth
    assert "left" not in first + third + last


def test_a_confirmation_that_goes_on_with_more_folds_has_the_pace_of_those(capsys, monkeypatch) -> None:
    clock = iter([0.0, 90.0, 100.0, 104.0])
    monkeypatch.setattr("lanewise.cli.screen.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("lanewise.cli.screen.PLAIN_EVERY_SECONDS", -1.0)
    with Screen(quiet=False) as screen:
        for done, trained in ((0.1, 1.0), (1.0, 10.0), (0.2, 12.0), (0.6, 16.0)):
            screen.pulse(Pulse(phase="confirm", done=done, lanes=9, candidates=3, trained=trained))
    *_, anew, last = capsys.readouterr().err.splitlines()
    assert "left" not in anew
    assert "60%  00:04 left  60 lanes/min" in last


def test_what_was_done_before_a_resume_says_nothing_of_the_pace(capsys, monkeypatch) -> None:
    clock = iter([0.0, 0.1, 10.1])
    monkeypatch.setattr("lanewise.cli.screen.time.monotonic", lambda: next(clock))
    with Screen(quiet=False) as screen:
        for done, kept in ((0.1, 0.1), (0.6, 0.6), (0.7, 0.6)):
            screen.pulse(Pulse(phase="screen", done=done, kept=kept, lanes=9, candidates=3))
    first, *between, last = capsys.readouterr().err.splitlines()
    assert "left" not in first + "".join(between)
    assert "70%  00:30 left" in last


def test_a_live_line_of_80_columns_has_the_best_score_and_who_leads_and_the_metric_is_told_once(monkeypatch) -> None:
    for name, value in (("CI", ""), ("TERM", "xterm"), ("COLUMNS", "80"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(Screen, "_speed", lambda *_: "14,541 lanes/min")
    monkeypatch.setattr(Screen, "_left", lambda *_: "00:12 left")
    best = {"leader": "linear, lbfgs", "score": 1.0522, "spread": 0.18, "metric": "rmse"}
    with Screen(quiet=False) as screen:
        for phase in ("screen", "confirm"):
            screen.pulse(Pulse(phase=phase, done=0.6, lanes=140, candidates=14, **best))
        screen._live.refresh()
    assert "00:12 left 14,541 lanes/min leading 1.052 ± 0.18: lin" in shown.getvalue()
    assert shown.getvalue().count(LEADING.format(metric="RMSE")) == 1
