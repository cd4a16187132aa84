"""Runs tasks in threads, side by side: when one fails the others are asked to stop, and nothing is left running."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar, final

import torch

from lanewise.errors import Interrupted

T = TypeVar("T")


@final
class SideBySide:
    """Threads for the teams of a race.

    ``halted`` turns true when a task has failed: the others are to save what they have and raise
    Interrupted. ``abandoned`` turns true when this process leaves at once, on a second Ctrl-C: the tasks
    must not save any more, for whoever resumes may own the journal in a moment.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._halted = threading.Event()
        self._abandoned = threading.Event()

    def halted(self) -> bool:
        return self._halted.is_set()

    def abandoned(self) -> bool:
        return self._abandoned.is_set()

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results in the order of ``tasks``; the first failure is raised once all have ended."""
        # One thread inside each product and teams side by side: measured better than the reverse.
        with threads_per_product(1):
            threads = ThreadPoolExecutor(self._workers)
            futures = [threads.submit(task) for task in tasks]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                if _failures(futures):
                    self._halted.set()
                threads.shutdown(cancel_futures=True)
            except BaseException:
                self._abandoned.set()
                self._halted.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        failures = _failures(futures)
        if failures:
            # Those that were asked to stop because of another failure are not its cause.
            raise next((error for error in failures if not isinstance(error, Interrupted)), failures[0])
        return [future.result() for future in futures]


def _failures(futures: Sequence[Future[T]]) -> list[BaseException]:
    ended = [future for future in futures if future.done() and not future.cancelled()]
    return [error for error in (future.exception() for future in ended) if error is not None]


@contextmanager
def threads_per_product(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside one operation, in this thread and those started in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
