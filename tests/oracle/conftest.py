"""What all tests of the oracle share: the import path of its plain modules, and one thread."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test folders are no packages (--import-mode=importlib), so that siblings are found by name here.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices of this size gain nothing from a second thread and lose much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
