"""Fixtures that every test may use."""

from pathlib import Path

import pytest
from hypothesis import settings

# The command of the README finds the same examples every time; new ones are looked for with
# `pytest --hypothesis-profile explore`, and what they find becomes an `@example`.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False, print_blob=True)
settings.load_profile("repeatable")

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets beside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets (../shared/data) are not beside this checkout")
    return SHARED.resolve()
