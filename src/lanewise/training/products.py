"""How many threads NumPy and SciPy take for one product of matrices."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread_each() -> Iterator[None]:
    """One thread for each product of NumPy and SciPy in this process, until the block or the decorated call ends.

    What a fit multiplies there is small. Several threads wait for each other at the end of every product, busily, and
    beside other work for a whole turn of the scheduler: to choose among ten candidates on 36,000 rows took 11 seconds
    of processor time with two threads, and 6 with one.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
