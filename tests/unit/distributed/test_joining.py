"""What a rank ends with where torch says no more than that some message did not get through."""

from typing import Any, cast

import pytest

from lanewise.distributed import joining
from lanewise.distributed.joining import _closed, tell_others
from lanewise.errors import DataError, LanewiseError, TrainingError

NAMED = TrainingError("rank 1 gave no sign of life for 5 s")


class Parting:
    """Ranks of which one knows who is silent; what they were told, and whether they have parted."""

    def __init__(self) -> None:
        self.told: list[BaseException] = []

    def named(self, error: BaseException) -> LanewiseError:
        assert "Timed out" in str(error)
        return NAMED

    def fail(self, error: BaseException) -> None:
        self.told.append(error)

    def close(self, *, patience: float) -> None:
        assert patience > 0
        self.told.append(SystemExit())


@pytest.mark.parametrize(
    ("raised", "heard"),
    [
        (RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:129] Timed out waiting 5000ms for send"), NAMED),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x5 and 4x1)"), None),
        (TrainingError("the loss was nan at step 3"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_a_message_that_did_not_get_through_is_told_as_the_rank_that_is_silent(
    raised: BaseException, heard: BaseException | None
) -> None:
    ranks = Parting()
    with pytest.raises(BaseException) as caught, _closed(cast("Any", ranks)):  # noqa: PT011  # told apart below
        raise raised
    assert caught.value is (heard or raised)
    assert ranks.told[0] is (heard or raised)
    assert isinstance(ranks.told[1], SystemExit)


class Interrupting(Parting):
    """Ranks with which nobody has the patience to be told, nor to part."""

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        raise KeyboardInterrupt

    def close(self, *, patience: float) -> None:
        super().close(patience=patience)
        raise KeyboardInterrupt


def test_ctrl_c_while_a_failure_is_told_leaves_it_the_failure() -> None:
    ranks, error = Interrupting(), DataError("no file t.csv")
    with pytest.raises(DataError) as caught, _closed(cast("Any", ranks)):
        raise error
    assert caught.value is error
    assert [type(one) for one in ranks.told] == [DataError, SystemExit]


@pytest.mark.parametrize("met", [False, True])
def test_what_a_rank_fails_with_before_it_has_met_the_others_is_told_to_them(
    met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks, error = Parting(), DataError("no file t.csv")
    monkeypatch.setattr(joining._Joined, "meetings", int(met))
    monkeypatch.setattr(joining._Joined, "__new__", lambda kind, place: ranks)
    tell_others(error)
    assert ranks.told[:1] == ([] if met else [error])
