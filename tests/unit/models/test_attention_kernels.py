"""The kernels of attention are those that were asked for, whoever else is in, and afterwards those of before."""

import threading

import torch

from lanewise.models.attention_kernels import attention_kernels


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


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    try:
        with attention_kernels(plain=True):
            raise MemoryError
    except MemoryError:
        pass
    assert switches() == (True, True, True)
