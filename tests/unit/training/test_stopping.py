"""The first request to stop is noted or raised, the second Ctrl-C is a KeyboardInterrupt."""

import os
import signal
import threading
from collections.abc import Callable

import pytest

from lanewise.errors import Interrupted
from lanewise.training.stopping import STOPPING, Stop, stop_on_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals to itself")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_request_is_raised_where_nobody_asks(number: int) -> None:
    with stop_on_signals() as stop:
        with pytest.raises(Interrupted, match="stopped on request"):
            send(number)
        assert stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_request_is_noted_while_somebody_asks_and_raised_if_nobody_acted(number: int) -> None:
    seen: list[str] = []

    def work(stop: Stop) -> None:
        with stop.polled():
            send(number)
            assert stop()
            seen.append("went on")

    with stop_on_signals() as stop, pytest.raises(Interrupted):
        work(stop)
    assert seen == ["went on"]


def test_request_is_only_noted_while_it_is_held() -> None:
    with stop_on_signals() as stop:
        with stop.held():
            send(signal.SIGTERM)
        assert stop()


def test_second_ctrl_c_is_at_once_and_a_second_sigterm_is_nothing() -> None:
    with stop_on_signals() as stop, stop.held():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_request_is_answered_at_once_and_once() -> None:
    heard: list[str] = []

    def in_the_middle_of_a_print(text: str) -> None:
        heard.append(text)
        raise RuntimeError

    with stop_on_signals(in_the_middle_of_a_print) as stop, stop.held():
        send(signal.SIGINT)
        assert heard == [STOPPING]
        send(signal.SIGTERM)
    assert heard == [STOPPING]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) != before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_get_no_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work(ask: Callable[[], object]) -> None:
        with stop_on_signals() as stop:
            seen.extend([stop(), ask()])

    thread = threading.Thread(target=work, args=(lambda: signal.getsignal(signal.SIGINT),))
    thread.start()
    thread.join()
    assert seen == [False, before]
