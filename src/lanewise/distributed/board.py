"""What ranks post where all of them see it, without waiting: who is here, who is alive, why the run ends.

It lies in the store that the processes met through. Nothing here waits for another rank for long, so that a signal or
a failure elsewhere is heard wherever this rank is.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, final

from lanewise import errors
from lanewise.errors import AlreadyDone, CutOffError, Interrupted, LanewiseError, LeaderLostError, TrainingError

SOONEST, LATEST = 0.002, 0.05
"""Seconds between two looks at whether the others are here: more and more while one waits."""

BEATS = 10
"""Signs of life within the time after which a rank counts as stuck."""

GO_ON = "go on with: lanewise resume, or the same call"

SIGN = "alive-"
"""How the names of the files begin that ranks of one host touch."""


class Store(Protocol):
    """The part of a store of ``torch.distributed`` that is used."""

    def set(self, key: str, value: str, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...
    def add(self, key: str, amount: int, /) -> int: ...
    def check(self, keys: list[str], /) -> bool: ...


@final
class Board:
    """The posts of ``rank`` of ``size``; one store serves all threads, one at a time.

    After ``timeout`` seconds without a beat of its own thread, or without a step while it trains, a rank is stuck.
    ``lost`` is called from that thread when this process has to end without the main thread, which does not hear.
    Ranks of one host have a ``folder``, in which each shows that it lives: one that was stopped while it held the file
    of their store keeps the others from the store, and could not be told from a store that is gone.
    """

    def __init__(
        self,
        store: Store,
        *,
        rank: int,
        size: int,
        timeout: float,
        lost: Callable[[LanewiseError], None],
        folder: Path | None = None,
    ) -> None:
        self._store, self._rank, self._size, self._timeout, self._lost = store, rank, size, timeout, lost
        self._folder, self._lock = folder, threading.Lock()
        self._noticing = min(5.0, timeout / BEATS) + 1.0  # seconds more until a silent rank is noticed by everybody
        self._asked: float | None = None
        self._silent: set[int] = set()
        self._meetings = 0
        self._why: LanewiseError | None = None
        self._ended, self._left = threading.Event(), threading.Event()
        self._step, self._busy = time.monotonic(), False
        self._watched = {other: (b"", time.monotonic()) for other in (range(1, size) if rank == 0 else (0,))}
        self._thread = threading.Thread(target=self._watch, name="ranks", daemon=True)
        self._thread.start()
        threading.Thread(target=self._guard, name="store of ranks", daemon=True).start()

    def meet(self, stop: Callable[[], bool]) -> None:
        """Wait until all ranks have called this as often; raises what ended the run meanwhile."""
        self._meetings += 1
        key = f"meeting/{self._meetings}"
        pause = SOONEST
        if self._ask(lambda store: store.add(key, 1)) == self._size:
            self._ask(lambda store: store.set(f"{key}/all", ""))
            return
        while not self._ask(lambda store: store.check([f"{key}/all"])):
            self.raise_if_halted()
            if stop():
                message = "stopped on request"
                raise Interrupted(message)
            time.sleep(pause)
            pause = min(1.3 * pause, LATEST)

    def alive(self) -> None:
        self._step = time.monotonic()

    def busy(self, *, at_work: bool) -> None:
        self._step, self._busy = time.monotonic(), at_work

    def halted(self) -> bool:
        return self._why is not None

    def raise_if_halted(self) -> None:
        self._look()
        if self._why is not None:
            raise self._why

    def awaited(self) -> LanewiseError | None:
        """What ended the run: waits as long as it may take to notice that a rank is silent; None: nothing has."""
        until = time.monotonic() + self._noticing
        while self._why is None and time.monotonic() < until:
            time.sleep(LATEST)
        return self._why

    def fail(self, error: BaseException) -> None:
        """Post why the run ends, unless that is known already."""
        what = {"rank": self._rank, **_told(error)}
        if self._why is None and self._ask(lambda store: store.add("halts", 1)) == 1:
            self._ask(lambda store: store.set("halt", json.dumps(what)))

    def leave(self, *, patience: float) -> None:
        """Say goodbye; rank 0 waits a little for those alive to do so, for the store may go along with it."""
        self._ended.set()
        if isinstance(self._why, CutOffError):  # nobody would hear it
            self._left.set()
            return
        self._thread.join(timeout=1.0)
        gone = self._ask(lambda store: store.add("left", 1))
        until, alive = time.monotonic() + patience, self._size - len(self._silent)
        while self._rank == 0 and gone < alive and time.monotonic() < until:
            time.sleep(LATEST)
            gone = self._ask(lambda store: store.add("left", 0))
        self._left.set()

    def _ask(self, question: Callable[[Store], Any]) -> Any:
        try:
            with self._lock:
                self._asked = time.monotonic()
                try:
                    return question(self._store)
                finally:
                    self._asked = None
        except RuntimeError as error:
            self._why = self._why or self._cut_off(_line(error))
            raise self._why from error

    def _cut_off(self, why: str) -> CutOffError:
        return CutOffError(f"rank {self._rank} reaches the others no more ({why}); {GO_ON}")

    def _look(self) -> None:
        if self._why is None and self._ask(lambda store: store.check(["halt"])):
            said = json.loads(self._ask(lambda store: store.get("halt")))
            own = said["rank"] == self._rank or said["kind"] == AlreadyDone.__name__  # which is no failure of a rank
            words = said["words"] if own else f"rank {said['rank']}: {said['words']}"
            why = getattr(errors, said["kind"])(words)
            why.mistakes = tuple(said.get("mistakes", ()))
            if isinstance(why, AlreadyDone):
                why.run = said["run"]
            self._why = why

    # -- the thread -------------------------------------------------------------------------------

    def _watch(self) -> None:
        heard: float | None = None
        beats = 0
        period = min(5.0, self._timeout / BEATS)
        next_beat = 0.0
        while not self._ended.wait(min(0.2, period)):
            try:
                self._look()
                if self._stuck():
                    self.fail(TrainingError(f"no step ended within {self._timeout:.0f} s; {GO_ON}"))
                if time.monotonic() >= next_beat:
                    beats, next_beat = beats + 1, time.monotonic() + period
                    self._ask(lambda store, beat=beats: store.set(f"beat/{self._rank}", str(beat)))
                    self._look_for_the_silent()
            except LanewiseError:
                pass  # it is in self._why
            if self._why is not None:
                heard = heard or time.monotonic()
                if time.monotonic() - heard > self._grace():
                    self._lost(self._why)
                    return

    def _guard(self) -> None:
        """End this process where the store neither answers nor fails, as behind a link that was cut."""
        while not self._left.wait(min(0.2, self._timeout / BEATS)):
            asked = self._asked
            with suppress(OSError):
                if self._folder is not None:
                    (self._folder / f"{SIGN}{self._rank}").touch()
            if asked is not None and time.monotonic() - asked > self._timeout:
                stopped = self._stopped()
                words = f"no answer for {self._timeout:.0f} s"
                why = self._cut_off(words) if stopped is None else self._no_sign_of(stopped, kind=CutOffError)
                self._why = self._why or why
                if not self._left.wait(self._grace()):
                    self._lost(why)
                return

    def _stopped(self) -> int | None:
        """The rank of this host that has shown no life for longest; None where all have, or nobody can tell."""
        if self._folder is None:
            return None
        ages = {}
        with suppress(OSError):
            for path in self._folder.glob(f"{SIGN}*"):
                ages[int(path.name.removeprefix(SIGN))] = time.time() - path.stat().st_mtime
        oldest = max(ages, key=lambda rank: ages[rank], default=self._rank)
        return oldest if oldest != self._rank and ages[oldest] > self._timeout / 2 else None

    def _grace(self) -> float:
        """Seconds for the main thread to end: where it trains it saves first."""
        return min(60.0, self._timeout) if self._busy else 6.0

    def _stuck(self) -> bool:
        # Who waits for a rank that is silent ends no step either, and is not the one to be named.
        return self._busy and time.monotonic() - self._step > self._timeout + self._noticing

    def _look_for_the_silent(self) -> None:
        now = time.monotonic()
        for other, (last, at) in self._watched.items():
            key = f"beat/{other}"
            found = self._ask(lambda store, key=key: store.get(key) if store.check([key]) else b"")
            if found != last:
                self._watched[other] = found, now
            elif now - at > self._timeout:
                self._silent.add(other)
                self.fail(self._no_sign_of(other, kind=TrainingError))

    def _no_sign_of(self, other: int, *, kind: type[TrainingError]) -> TrainingError:
        message = (
            f"rank {other} gave no sign of life for {self._timeout:.0f} s; look at its host and its memory, "
            f"then {GO_ON}"
        )
        return (kind if other else LeaderLostError)(message)


def _told(error: BaseException) -> dict[str, Any]:
    """The class and the words of an error, as another rank is to raise it."""
    name = type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return {"kind": "Interrupted", "words": "stopped"}
    if isinstance(error, LanewiseError) and hasattr(errors, name):
        run = {"run": error.run} if isinstance(error, AlreadyDone) else {}
        return {"kind": name, "words": str(error), "mistakes": error.mistakes, **run}
    return {"kind": "TrainingError", "words": f"{name}: {_line(error)}"}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
