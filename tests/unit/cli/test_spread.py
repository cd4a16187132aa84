"""Commands that one process does, where torchrun has started several."""

import sys
import time

import pytest

from lanewise.cli.main import main
from lanewise.distributed import joining
from lanewise.distributed.place import HEARD_SECONDS


@pytest.mark.parametrize("given", [["runs"], ["fit", "--budgt", "20s"]])
def test_a_rank_that_does_not_speak_stays_until_the_one_that_does_has_spoken(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A launcher ends all ranks as soon as one has left, and rank 0 may have been started last.
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(sys, "argv", ["lanewise", *given])
    for rank in (0, 1):
        for name, value in {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert waits == [HEARD_SECONDS] * rank


@pytest.mark.parametrize("rank", [0, 1])
def test_what_only_one_process_can_do_is_refused_once(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(sys.modules[main.__module__], "HEARD_SECONDS", 0.0)
    monkeypatch.setattr(sys, "argv", ["lanewise", "runs"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = "lanewise: runs runs in one process, not under torchrun; fit, tune, resume can spread\n"
    assert capsys.readouterr() == ("", "" if rank else said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--work", "parameters=1,batch=1"], "--work proposes a mesh by what ranks reach"),
        (["--mesh", "--work", "rows=1e6"], "parameters is missing in --work; write it as parameters=1e6,batch=256"),
    ],
)
def test_work_is_checked_before_anything_is_measured(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lanewise", "doctor", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"lanewise: {said}")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_file_that_one_rank_does_not_find_is_told_to_those_that_wait_for_it(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    told: list[str] = []
    monkeypatch.setattr(joining, "tell_others", lambda error: told.append(str(error)))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "argv", ["lanewise", "fit", "nowhere.csv", "--target", "y"])
    with pytest.raises(SystemExit):
        main()
    assert told == ["no file nowhere.csv: check the path"] * rank
