"""What the tests of a GPU share: they skip where there is none, and find the plain loops of the oracle."""

import sys
from pathlib import Path

import pytest
import torch

# Test folders are no packages (--import-mode=importlib), so that siblings are found by name here.
sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no GPU here: PyTorch sees no CUDA device")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(skip)


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", 0)
