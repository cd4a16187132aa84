"""Commands that one process does, where torchrun has started several."""

import sys

import pytest

from lanewise.cli.main import main


@pytest.mark.parametrize("rank", [0, 1])
def test_what_only_one_process_can_do_is_refused_once(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
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
