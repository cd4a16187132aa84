"""What the settings ask for and the table allows, found out before anything is trained."""

import numpy as np
import pytest

from lanewise import agreement
from lanewise.agreement import check_agreement
from lanewise.data.reading import read
from lanewise.errors import DataError
from lanewise.settings import checked
from lanewise.training.problem import Request, pose


def test_a_table_that_does_not_fit_into_memory_is_refused_with_the_figures(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 20))
    table = read({**{f"x{n}": values[:, n] for n in range(20)}, "y": values.sum(axis=1)})
    problem = pose(table, Request(target="y", folds=5))
    settings = checked({"target": "y"})
    check_agreement(problem, settings)
    needed = 4 * 50 * problem.width.dense * 5
    monkeypatch.setattr(agreement, "memory_bytes", lambda: needed)
    with pytest.raises(DataError, match=r"does not fit: 50 rows of \d+ features, .* 5 folds, .*fewer folds"):
        check_agreement(problem, settings)
    monkeypatch.setattr(agreement, "memory_bytes", lambda: 2 * needed)
    check_agreement(problem, settings)
