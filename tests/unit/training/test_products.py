"""Products of a fit take one thread each: several wait for each other, for long where a machine is busy."""

from threadpoolctl import threadpool_info

import lanewise.metrics  # noqa: F401  # which loads NumPy, whose products are meant
from lanewise.training.products import one_thread_each


def threads() -> list[int]:
    return [int(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"]


def test_products_take_one_thread_and_then_as_many_as_before() -> None:
    before = threads()
    with one_thread_each():
        assert set(threads()) == {1}
    assert threads() == before
    assert before
    assert one_thread_each()(threads)() == [1] * len(before)
