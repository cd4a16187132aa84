"""One row as Python's own numbers: the same decisions, to the last bit, as over many rows."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from lanewise.solvers.line_search import COLUMNS, Bracket, LineSearch, Trial
from lanewise.solvers.rows import Rows, alike, clamp, divide, finite, lesser, negate, root, table

NUMBERS = (0.0, -0.0, 1.0, -3.7, 1e-300, 1e300, math.inf, -math.inf, math.nan, 1 / 3)


def same(one: object, of_many: Tensor) -> bool:
    """Whether a number equals the only entry of a tensor, nan being equal to nan."""
    return torch.equal(torch.tensor([one], dtype=torch.float64).nan_to_num(1e9), of_many.double().nan_to_num(1e9))


@pytest.mark.parametrize("function", [divide, lesser])
def test_functions_of_two_numbers(function) -> None:
    for a, b in itertools.product(NUMBERS, NUMBERS):
        expected = function(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
        assert same(function(a, b), expected), (a, b)


def test_functions_of_one_number() -> None:
    for a in NUMBERS:
        tensor = torch.tensor([a], dtype=torch.float64)
        for function in (finite, root, lambda x: clamp(x, -1.0, 2.0), lambda x: alike(x, 7.0), lambda x: negate(x > 0)):
            assert same(function(a), function(tensor)), a


def test_searches_of_one_row_equal_those_of_many() -> None:
    draw = torch.Generator().manual_seed(0)
    brackets = torch.randn(400, len(COLUMNS), generator=draw, dtype=torch.float64)
    places = {name: place for place, name in enumerate(COLUMNS)}
    brackets[:, places["trials"]] = torch.randint(0, 21, (400,), generator=draw).double()
    brackets[::3, places["high"]] = brackets[::3, places["high_value"]] = torch.inf
    brackets[1::7, places["high_slope"]] = torch.nan
    trials = torch.randn(400, 4, generator=draw, dtype=torch.float64)
    trials[::5, 3], trials[2::11, 2] = torch.nan, torch.inf
    search = LineSearch()
    base, promise, value, slope = trials.unbind(1)
    many = Bracket.of(brackets.unbind(1)), Trial(base=base, promise=promise, value=value, slope=slope)
    taken, narrowed, spent = search.accepts(*many), search.narrow(*many).pack(), search.exhausted(many[0])
    for row in range(400):
        bracket = Bracket.of(tuple(brackets[row].tolist()))
        base, promise, value, slope = trials[row].tolist()
        trial = Trial(base=base, promise=promise, value=value, slope=slope)
        assert same(search.accepts(bracket, trial), taken[row : row + 1])
        assert same(search.exhausted(bracket), spent[row : row + 1])
        own = search.narrow(bracket, trial).pack()
        assert torch.equal(own.nan_to_num(1e9), narrowed[row : row + 1].nan_to_num(1e9))


@pytest.mark.parametrize("numbers", [[1], [2, 0]])
def test_rows_read_and_write_a_state(numbers: list[int]) -> None:
    values = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)
    counts = torch.zeros(3, dtype=torch.int64)
    rows = Rows.of(torch.tensor(numbers), values)
    assert rows.apart == (len(numbers) == 1)
    assert same(0.0, torch.as_tensor(rows.read(values)).reshape(-1)[:1] - values[numbers[:1]])
    assert torch.equal(rows.take(values), values[numbers])
    rows.count(counts)
    assert counts.tolist() == [int(row in numbers) for row in range(3)]
    values[rows.at] = rows.read(values) + 1
    assert values.tolist() == [5.0 + row + (row in numbers) for row in range(3)]
    both = table(rows.read(values), rows.read(values) * 2)
    assert both.tolist() == [[values[row].item(), 2 * values[row].item()] for row in numbers]
    found = rows.among(rows.read(values) > 7.5)
    chosen = [row for row in numbers if values[row] > 7.5]
    assert (found is None) == (not chosen)
    assert found is None or found[1].numbers.tolist() == chosen
    assert rows.among(rows.read(values) > 100) is None


def test_only_a_row_of_float64_stands_apart() -> None:
    assert not Rows.of(torch.tensor([0]), torch.zeros(3)).apart
