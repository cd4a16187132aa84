"""The question that a table sets, and what is noticed about it."""

import numpy as np

from lanewise.data.reading import read
from lanewise.training.problem import Request, pose


def test_a_test_set_of_training_rows_is_noticed_when_the_problem_is_posed() -> None:
    values = np.random.default_rng(0).normal(size=(80, 3))
    table = read({"a": values[:, 0], "b": values[:, 1], "y": values[:, 2]})
    tested = read({"y": values[50:, 2], "b": values[50:, 1], "a": np.r_[values[50:70, 0], np.zeros(10)]})
    found = [one for one in pose(table, Request(target="y"), test=tested).findings if "training rows" in one.message]
    assert [(one.severity, one.count) for one in found] == [("warning", 20)]
    other = read({"y": values[50:, 2] + 1, "b": values[50:, 1], "a": values[50:, 0]})
    posed = pose(table, Request(target="y"), test=other)
    assert all("training rows" not in one.message for one in posed.findings)
