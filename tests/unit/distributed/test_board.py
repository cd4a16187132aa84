"""What ranks post: a rank that was stopped is named, also where it keeps the others from all that was posted."""

import os
import threading
import time
from typing import final

from lanewise.distributed.board import SIGN, Board
from lanewise.errors import CutOffError, LanewiseError

TIMEOUT = 0.6


@final
class Held:
    """A store whose file another process holds: nothing that is asked of it comes to an end."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def _wait(self, *_: object) -> bytes:
        self.free.wait(20.0)
        return b""

    def set(self, key: str, value: str, /) -> None:
        self._wait()

    def get(self, key: str, /) -> bytes:
        return self._wait()

    def add(self, key: str, amount: int, /) -> int:
        return len(self._wait())

    def check(self, keys: list[str], /) -> bool:
        return bool(self._wait())


def test_a_rank_that_holds_the_store_is_named_by_the_signs_of_life_that_are_missing(tmp_path):
    (tmp_path / f"{SIGN}2").touch()
    (tmp_path / f"{SIGN}1").touch()
    os.utime(tmp_path / f"{SIGN}1", (time.time() - 2, time.time() - 2))
    heard = threading.Event()
    why: list[LanewiseError] = []
    stores = [Held(), Held()]

    def lost(error: LanewiseError) -> None:
        why.append(error)
        if len(why) == len(stores):
            heard.set()

    for store, folder in zip(stores, (tmp_path, None), strict=True):
        board = Board(store, rank=0, size=3, timeout=TIMEOUT, lost=lost, folder=folder)
        board.busy(at_work=True)
    assert heard.wait(20.0)
    for store in stores:
        store.free.set()
    assert all(isinstance(error, CutOffError) for error in why)
    assert sorted(str(error).partition(";")[0] for error in why) == [
        "rank 0 reaches the others no more (no answer for 1 s)",  # over hosts nobody can tell
        "rank 1 gave no sign of life for 1 s",
    ]
