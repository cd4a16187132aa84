"""What ranks post: a rank that was stopped is named, also where it keeps the others from all that was posted."""

import os
import threading
import time
from typing import final

import pytest

from lanewise.distributed.board import SIGN, Board
from lanewise.distributed.place import speaks
from lanewise.errors import AlreadyDone, CutOffError, LanewiseError, UsageError

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


@final
class Kept:
    """A store in this process."""

    def __init__(self) -> None:
        self.posts: dict[str, bytes] = {"beat/1": b"1"}

    def set(self, key: str, value: str, /) -> None:
        self.posts[key] = value.encode()

    def get(self, key: str, /) -> bytes:
        return self.posts[key]

    def add(self, key: str, amount: int, /) -> int:
        self.posts[key] = str(int(self.posts.get(key, b"0")) + amount).encode()
        return int(self.posts[key])

    def check(self, keys: list[str], /) -> bool:
        return all(key in self.posts for key in keys)


def test_who_waits_for_a_silent_rank_names_that_one_and_not_itself():
    board = Board(Kept(), rank=0, size=2, timeout=TIMEOUT, lost=lambda error: None)
    board.busy(at_work=True)  # and no step ends, for it waits for rank 1, which has shown life once
    why = None
    for _ in range(20):
        why = why or board.awaited()
    assert str(why).startswith("rank 1 gave no sign of life for 1 s")


def test_the_rank_after_a_silent_first_one_says_so():
    store = Kept()
    store.posts["beat/0"] = b"1"
    board = Board(store, rank=1, size=2, timeout=TIMEOUT, lost=lambda error: None)
    why = None
    for _ in range(20):
        why = why or board.awaited()
    assert str(why).startswith("rank 0 gave no sign of life for 1 s")
    places = [{"RANK": str(rank), "WORLD_SIZE": "3"} for rank in range(3)]
    assert why is not None
    assert [speaks(why, place) for place in places] == [True, True, False]  # rank 0 will not: it is stuck


def test_mistakes_that_one_rank_is_told_are_told_by_all():
    store, error = Kept(), UsageError("2 settings are off:\n  a\n  b")
    error.mistakes = ("a", "b")
    boards = [Board(store, rank=rank, size=2, timeout=60.0, lost=lambda error: None) for rank in (0, 1)]
    boards[1].fail(error)
    for board in boards:
        with pytest.raises(UsageError, match="2 settings are off") as caught:
            board.raise_if_halted()
        assert caught.value.lines == 3
        board.leave(patience=0.0)


def test_that_a_run_is_done_is_told_by_all_with_its_name():
    store = Kept()
    boards = [Board(store, rank=rank, size=2, timeout=60.0, lost=lambda error: None) for rank in (0, 1)]
    boards[0].fail(AlreadyDone("run r is done", run="r"))
    for board in boards:
        with pytest.raises(AlreadyDone, match=r"^run r is done$") as caught:
            board.raise_if_halted()
        assert caught.value.run == "r"
        board.leave(patience=0.0)


def test_a_rank_that_holds_the_store_is_named_by_the_signs_of_life_that_are_missing(tmp_path):
    (tmp_path / f"{SIGN}2").touch()
    (tmp_path / f"{SIGN}1").touch()
    os.utime(tmp_path / f"{SIGN}1", (time.time() - 2, time.time() - 2))
    heard = threading.Event()
    why: list[LanewiseError] = []
    stores, boards = [Held(), Held()], list[Board]()

    def lost(error: LanewiseError) -> None:
        why.append(error)
        if len(why) == len(stores):
            heard.set()

    for store, folder in zip(stores, (tmp_path, None), strict=True):
        board = Board(store, rank=0, size=3, timeout=TIMEOUT, lost=lost, folder=folder)
        board.busy(at_work=True)
        boards.append(board)
    assert heard.wait(20.0)
    for store in stores:
        store.free.set()
    assert all(isinstance(error, CutOffError) for error in why)
    assert {board.awaited() for board in boards} == set(why)
    assert sorted(str(error).partition(";")[0] for error in why) == [
        "rank 0 reaches the others no more (no answer for 1 s)",  # over hosts nobody can tell
        "rank 1 gave no sign of life for 1 s",
    ]
