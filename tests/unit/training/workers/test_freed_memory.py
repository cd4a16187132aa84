"""Whether memory that was given back is brought in anew."""

import ctypes
import os
import platform
import resource

import pytest
import torch

from lanewise.training.workers.freed_memory import keep_freed_memory

ROUNDS, BLOCKS, BYTES = 20, 6, 4 * 2**20


def faults_of_steps() -> int:
    """Pages that come in while blocks are filled and given back, over and over."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        blocks = [torch.empty(BYTES, dtype=torch.uint8).fill_(1) for _ in range(BLOCKS)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def fill_the_heap() -> list[torch.Tensor]:
    """Blocks that take what lies free there, from whatever was made before: the next one needs memory of its own."""
    end = ctypes.CDLL(None).sbrk
    end.argtypes, end.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    taken: list[torch.Tensor] = []  # none of them is written to: they cost no page
    while not taken or taken[-1].data_ptr() < end(0):
        taken.append(torch.empty(BYTES, dtype=torch.uint8))
    return taken


def forked_faults(*, kept: bool) -> int:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        for option in (-1, -3):  # as glibc starts, whatever the tests before made it learn
            ctypes.CDLL(None).mallopt(option, 128 * 1024)
        taken = fill_the_heap()
        if kept:
            keep_freed_memory()
        os.write(writing, str(faults_of_steps()).encode())
        del taken
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return int(said)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from Python 3.12, of a fork beside threads
def test_pages_stay() -> None:
    pages = BLOCKS * BYTES / resource.getpagesize()
    assert forked_faults(kept=True) < 5 * pages
    assert forked_faults(kept=False) > 10 * pages
