"""The kernels of attention are those that were asked for, whoever else is in, and afterwards those of before."""

import threading
import time

import pytest
import torch
from torch import nn

from lanewise.models.attention_kernels import attends, attention_kernels


def switches() -> tuple[bool, bool, bool]:
    cuda = torch.backends.cuda
    return torch.backends.mha.get_fastpath_enabled(), cuda.flash_sdp_enabled(), cuda.math_sdp_enabled()


def test_whoever_leaves_first_the_switches_are_as_they_were() -> None:
    before = switches()
    assert before == (True, True, True)
    inside, leave = threading.Event(), threading.Event()
    seen: list[tuple[bool, bool, bool]] = []

    def second() -> None:
        with attention_kernels(plain=True):
            inside.set()
            leave.wait(10)
            seen.append(switches())

    thread = threading.Thread(target=second)
    with attention_kernels(plain=True):
        thread.start()
        assert inside.wait(10), "two that want the same need not wait"
    leave.set()
    thread.join()
    assert seen == [(False, False, True)]
    assert switches() == before


def test_who_wants_others_waits() -> None:
    for mine in (True, False):
        inside = threading.Event()

        def second(plain: bool = not mine, entered: threading.Event = inside) -> None:
            with attention_kernels(plain=plain):
                entered.set()

        thread = threading.Thread(target=second)
        with attention_kernels(plain=mine):
            thread.start()
            assert not inside.wait(0.1)
        assert inside.wait(10)
        thread.join()
    assert switches() == (True, True, True)


def test_whoever_comes_while_another_waits_comes_after_it() -> None:
    order: list[bool] = []
    inside, leave = threading.Event(), threading.Event()

    def a_pass(plain: bool) -> None:
        with attention_kernels(plain=plain):
            order.append(plain)

    def first() -> None:
        with attention_kernels(plain=False):
            inside.set()
            leave.wait(10)

    def queued(count: int) -> None:
        while sum(attention_kernels._waiting.values()) < count:
            pass

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert inside.wait(10)
    for count, plain in enumerate((True, False, True, False), 1):
        threads.append(threading.Thread(target=a_pass, args=(plain,)))
        threads[-1].start()
        queued(count)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == [True, True, False, False]
    assert switches() == (True, True, True)


def test_a_thread_that_passes_again_and_again_lets_others_in() -> None:
    entered = threading.Event()

    def other() -> None:
        with attention_kernels(plain=True):
            entered.set()

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(100_000):
        if entered.is_set():
            break
        with attention_kernels(plain=False):
            time.sleep(0)
    assert entered.is_set()
    thread.join()


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()), False),
        (nn.Sequential(nn.Linear(4, 4), nn.TransformerEncoderLayer(4, 2)), True),
        (nn.MultiheadAttention(4, 2), True),
        (type("Own", (nn.Module,), {})(), True),
    ],
)
def test_only_of_torchs_own_layers_is_it_known_that_they_do_not_attend(module: nn.Module, found: bool) -> None:
    assert attends(module) is found


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    try:
        with attention_kernels(plain=True):
            raise MemoryError
    except MemoryError:
        pass
    assert switches() == (True, True, True)
