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
