"""What all unit tests run under."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_core() -> Iterator[None]:
    """Fits train in one thread where a test states no workers.

    Steps of a few small products are mostly Python: a second thread takes the interpreter's lock from the first, and
    a fit takes a quarter more processor time. Another test process has the other core anyway.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        yield
