"""Options are checked where they are made."""

import pytest

from lanewise.data.read_options import ReadOptions, memory_bytes
from lanewise.errors import UsageError


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": "a"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "§"},
        {"decimal": ";"},
        {"encoding": "nonsense"},
        {"encoding": "base64"},
        {"kinds": {"a": "integer"}},
        {"max_bytes": 0},
        {"max_columns": -1},
    ],
)
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(UsageError) as caught:
        ReadOptions(**options)
    assert "got" in str(caught.value) or "unknown" in str(caught.value)


def test_byte_limit_is_a_share_of_memory_unless_given() -> None:
    assert ReadOptions().byte_limit == memory_bytes() // 8
    assert ReadOptions(max_bytes=5).byte_limit == 5
