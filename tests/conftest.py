"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets (../shared/data) are not beside this checkout")
    return SHARED.resolve()
