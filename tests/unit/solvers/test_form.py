"""Points as rows and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lanewise.errors import UsageError
from lanewise.solvers.form import Form, describe

numbers = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), elements=st.floats(-9, 9, width=64)
)
trees = st.recursive(
    numbers,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


def same(left, right) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and all(map(same, left, right))
    return left.shape == right.shape and bool((left == right).all())


@given(trees)
def test_a_tree_comes_back_as_it_was(tree) -> None:
    form, row = Form.of(tree)
    assert row.shape == (form.width,)
    assert same(form.arrays(row), tree)
    tensors = form.tensors(row)
    again, row_again = Form.of(tensors)
    assert again.torch
    assert torch.equal(row, row_again)


def test_what_is_shown_has_the_form_of_what_was_given() -> None:
    for given_point, expected in ((3, float), ([1, 2], np.ndarray), (torch.ones(2), torch.Tensor)):
        form, row = Form.of(given_point)
        assert isinstance(form.shown(row), expected)
    form, row = Form.of({"a": torch.ones(2, 3), "b": [torch.tensor(4), (torch.zeros(1),)]})
    shown = form.shown(row)
    assert shown["a"].shape == (2, 3)
    assert shown["b"][0].item() == 4
    assert shown["b"][1][0].dtype == torch.float64
    assert describe(form.tree) == "{a: [2, 3], b: ([], ([1]))}"


@pytest.mark.parametrize("wrong", ["abc", None, object(), [1, "x"], torch.ones(2, dtype=torch.complex64)])
def test_other_things_are_refused(wrong) -> None:
    with pytest.raises(UsageError, match="x0 must"):
        Form.of(wrong)


def test_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one number, got none"):
        Form.of([])


def test_another_shape_is_told() -> None:
    form, _ = Form.of({"a": [1.0, 2.0], "b": 0.0})
    assert form.row([1, 2, 3], "low").tolist() == [1, 2, 3]
    assert form.row({"a": [1, 2], "b": 3}, "low").tolist() == [1, 2, 3]
    with pytest.raises(UsageError, match=r"low must have the shape of x0, \{a: \[2\], b: \[\]\}; got \[2\]"):
        form.row([1, 2], "low")
