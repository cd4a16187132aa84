"""The table that a fit is given, and the one beside it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lanewise.data import streaming
from lanewise.data.examples import EXAMPLES, example
from lanewise.data.reading import read_like
from lanewise.errors import DataError, UsageError
from lanewise.fitting.fit_data import dataset_of, problem_of
from lanewise.settings.fit import FitSettings


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


def test_a_table_that_is_packed_to_exhaust_a_machine_is_streamed_only_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.parquet"
    pl.select(pl.repeat(0, 200_000).alias("y"), x=pl.repeat("a", 200_000)).write_parquet(bomb)
    monkeypatch.setattr(streaming, "free_bytes", lambda: 100_000)
    with pytest.raises(
        DataError, match=r"bomb.parquet unpacks to 3 MB, \d,?\d+ times its size of \d+ kB: .* --stream always"
    ):
        dataset_of(str(bomb), stream="auto")
    assert dataset_of(str(bomb), stream="always").rest is not None
    normal = tmp_path / "normal.parquet"
    pl.DataFrame({"x": np.random.default_rng(0).normal(size=9_000)}).write_parquet(normal)
    told = list[str]()
    assert dataset_of(str(normal), stream="auto", tell=told.append).rest is not None
    assert "are free: rows are streamed from disk" in told[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_as_it_is(name: str) -> None:
    known = example(name)
    for found in (dataset_of(f"example:{name}"), read_like(f"example:{name}", known.kinds)):
        assert found.frame.equals(known.frame)
        assert (found.kinds, found.findings, found.source) == (known.kinds, (), known.source)


def test_an_example_cannot_be_streamed() -> None:
    with pytest.raises(UsageError, match="only Parquet and Arrow files can be streamed from disk, which example:iris"):
        dataset_of("example:iris", stream="always")
