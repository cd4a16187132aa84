"""What nobody caught: said by the first rank alone, also where stderr is held back, as PyTorch's own hook does."""

import atexit
import io
import os
from contextlib import redirect_stderr

import pytest

from lanewise.distributed import joining
from lanewise.errors import UsageError


@pytest.mark.parametrize(("rank", "said"), [("0", "lanewise: give a number\n"), ("1", "")])
def test_first_rank_says_what_nobody_caught(
    rank: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(joining, "HEARD_SECONDS", 0.0)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    held_back = io.StringIO()
    with redirect_stderr(held_back):
        joining._one_line(UsageError, UsageError("give a number"), None)
    assert capfd.readouterr().err == said
    assert held_back.getvalue() == ""
    assert codes == [2]


def test_ctrl_c_while_the_first_rank_is_heard_ends_as_it_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    codes: list[int] = []
    monkeypatch.setattr(joining.time, "sleep", interrupted)
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    joining._one_line(UsageError, UsageError("give a number"), None)
    assert codes == [2]
