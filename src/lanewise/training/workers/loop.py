"""What every worker process does: answer one request at a time, and end when its parent does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, NoReturn

from lanewise.training.workers.folder import remove_left
from lanewise.training.workers.frames import Arrays, FrameError, Header, read_frame, write_frame

Answer = tuple[dict[str, Any], Arrays]


def serve(
    answer: Callable[[Header, Arrays], Answer],
    folder: Path,
    *,
    prepare: Callable[[], object] = lambda: None,
    streams: tuple[BinaryIO, BinaryIO] | None = None,
) -> NoReturn:
    """Answer requests until the parent is gone; ``prepare`` runs before the first.

    ``streams`` are those of requests and answers; None: the standard ones. A request that fails is answered with
    ``error``, one line.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # to a whole group: the parent's business; it ends us
        signal.signal(number, signal.SIG_IGN)
    asked, answers = streams or (sys.stdin.buffer, _take_over_stdout())
    requests: SimpleQueue[tuple[Header, Arrays]] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked, requests, folder), daemon=True).start()
    threading.Thread(target=_watch_parent, args=(os.getppid(), folder), daemon=True).start()
    prepare()
    while True:
        write_frame(answers, *_answered(answer, *requests.get()))


def _answered(answer: Callable[[Header, Arrays], Answer], header: Header, arrays: Arrays) -> Answer:
    try:
        return answer(header, arrays)
    except MemoryError:
        return {"error": "the worker ran out of memory: train fewer lanes at once or use fewer rows"}, {}
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        return {"error": line[:2000]}, {}


def _take_over_stdout() -> BinaryIO:
    """The stream of answers. Whatever a library prints goes to the log instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _watch_parent(parent: int, folder: Path) -> None:
    """Leave when the parent dies although others, forked from it, keep our pipe open."""
    while os.getppid() == parent:
        time.sleep(1.0)
    _leave(folder)


def _listen(stream: BinaryIO, requests: "SimpleQueue[tuple[Header, Arrays]]", folder: Path) -> None:
    """Hand on requests; leave at once when the parent is gone, even in the middle of a round."""
    try:
        while True:
            requests.put(read_frame(stream))
    except (EOFError, FrameError, OSError):
        _leave(folder)


def _leave(folder: Path) -> NoReturn:
    """End now. A parent that was killed could not remove the folder, so we do."""
    remove_left(folder)
    os._exit(0)
