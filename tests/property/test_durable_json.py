"""Strict JSON: what is written is read back equal, and nothing else gets through or escapes as another error."""

import json
import math
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lanewise.errors import StoreError
from lanewise.storage.durable import dump_json, parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def equal(left: object, right: object) -> bool:
    """Equality that keeps -0.0, 1 and 1.0 and True apart."""
    return repr(left) == repr(right)


@given(VALUES)
@settings(deadline=None)
def test_round_trip(value: object) -> None:
    data = dump_json(value)
    assert equal(parse_json(data, source="test"), value)
    assert dump_json(parse_json(data, source="test")) == data
    assert json.loads(data) == value  # any other reader understands it


@given(st.dictionaries(TEXT, VALUES, min_size=2, max_size=5), st.randoms())
@settings(deadline=None)
def test_sorted_keys_forget_the_order(value: dict[str, object], random: "object") -> None:
    items = list(value.items())
    getattr(random, "shuffle")(items)  # noqa: B009 - the type of st.randoms() is not known to the checker
    assert dump_json(dict(items), sort_keys=True) == dump_json(value, sort_keys=True)


@given(st.binary(max_size=200) | VALUES.map(lambda value: repr(value).encode()))
@example(b'{"a": 1, "a": 1}')
@example(b'{"x": {"a": 1, "b": 2, "a": 3}}')
@example(b"[1e999]")
@example(b"[-Infinity]")
@example(b"NaN")
@example(b"[" * 100_000)
@example(b'"\\ud800"')
@example(b"1" * 5000)
@example(b"\xef\xbb\xbf{}")
@settings(deadline=None)
def test_any_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        value = parse_json(data, source="plan.json")
    except StoreError as error:
        assert str(error).startswith("plan.json is not valid: ")  # noqa: PT017 - either outcome is allowed
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is allowed
    else:
        with suppress(StoreError):  # a lone surrogate can be read, not written
            assert equal(parse_json(dump_json(value), source="again"), value)


@pytest.mark.parametrize("data", [b'{"a": 1, "a": 1}', b'[{"x": {"a": 1, "b": 2, "a": 3}}]'])
def test_duplicate_keys_are_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match="the key 'a' occurs twice"):
        parse_json(data, source="plan.json")


@given(VALUES, st.sampled_from([math.nan, math.inf, -math.inf, 1j, b"bytes", {1: 2}, {"a", "b"}, object()]))
@settings(deadline=None)
def test_what_json_has_not_is_named_by_its_place(value: object, bad: object) -> None:
    with pytest.raises(StoreError, match=r"cannot write runs\[1\]\.score"):
        dump_json({"runs": [value, {"score": bad}]})
