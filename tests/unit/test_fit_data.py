"""The table that a fit is given, and the one beside it."""

from pathlib import Path

import numpy as np

from lanewise.fit_data import dataset_of, problem_of
from lanewise.settings import FitSettings


def lines(rows: int, *, last: int) -> str:
    draw = np.random.default_rng(rows)
    values = draw.normal(size=(rows, last)).round(3)
    return "".join(f"{at % 2} 1:{one[0]} {last}:{one[-1]}\n" for at, one in enumerate(values))


def test_a_test_set_may_leave_out_features_that_are_zero_in_all_its_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.svm").write_text("1 0:3.5\n" + lines(79, last=5))
    (tmp_path / "test.svm").write_text(lines(30, last=3))
    (tmp_path / "more.svm").write_text(lines(30, last=9))
    for name in ("test", "more"):
        settings = FitSettings(target="target", task="binary", test=str(tmp_path / f"{name}.svm"))
        problem = problem_of(dataset_of(str(tmp_path / "rows.svm")), settings)
        held = problem.dataset.frame[80:]
        assert held.columns[1:] == ["f0", "f1", "f5"]
        assert held["f0"].sum() == held["f5"].sum() == 0
