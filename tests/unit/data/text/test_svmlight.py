"""LIBSVM / svmlight text against scikit-learn's reader, and its malformed lines."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from lanewise.data.auditing import audit
from lanewise.data.dataset import Dataset
from lanewise.data.reading import ReadOptions, read, read_like
from lanewise.errors import DataError


def read_text(folder: Path, text: str, **options) -> Dataset:
    path = folder / "t.svm"
    path.write_text(text)
    return read(path, options=ReadOptions(**options))


def test_dense_columns(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, "# about\n+1 1:0.5 3:1e-3 # note\n\n-1 qid:7 2:-4\n1\n")
    assert dataset.frame.columns == ["target", "qid", "f1", "f2", "f3"]
    assert dataset.frame.rows() == [(1, None, 0.5, 0.0, 0.001), (-1, 7, 0.0, -4.0, 0.0), (1, None, 0.0, 0.0, 0.0)]
    assert set(dataset.kinds.values()) == {"number"}


def test_queries_are_no_feature_and_may_be_the_group(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, "".join(f"{n % 2} qid:{n // 10} 1:{n % 7} 2:{n % 3}\n" for n in range(60)))
    assert "60 lines with a query (qid), which is the column 'qid'" in [found.message for found in dataset.findings]
    found = audit(dataset, target="target")
    assert found.features == ("f1", "f2")
    assert "--group qid" in found.set_aside["qid"]
    assert [finding.severity for finding in found.findings if finding.code == "query_ids"] == ["warning"]
    grouped = audit(dataset, target="target", group="qid")
    assert grouped.features == ("f1", "f2")
    assert not [finding for finding in grouped.findings if finding.code == "query_ids"]
    assert "qid" in audit(dataset, target="target", keep=["qid"]).features
    ordinary = read({"target": [0, 1] * 30, "qid": [n // 10 for n in range(60)], "f": [n % 7 for n in range(60)]})
    assert audit(ordinary, target="target").features == ("qid", "f")


def test_index_zero(tmp_path: Path) -> None:
    assert read_text(tmp_path, "1 0:2 1:3\n2 1:4\n").frame.rows() == [(1, 2.0, 3.0), (2, 0.0, 4.0)]


@pytest.mark.parametrize("name", ["heart_scale", "a9a.t.gz"])
def test_equals_scikit_learn(shared_data: Path, name: str) -> None:
    from sklearn.datasets import load_svmlight_file

    path = shared_data / "libsvm" / name
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    rows, labels = load_svmlight_file(io.BytesIO(content))
    frame = read(path).frame
    assert np.array_equal(frame["target"].to_numpy(), labels)
    assert np.array_equal(frame.drop("target").to_numpy(), rows.toarray())


def test_a_model_s_last_features_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.svm"
    path.write_text("1 1:2\n")
    assert read_like(path, {"f1": "number", "f3": "number"}).frame.row(0) == (1, 2.0, 0.0, 0.0)


def test_malformed_lines(tmp_path: Path) -> None:
    dataset = read_text(tmp_path, "1 1:2\n" * 40 + "1 1:x\n")
    assert dataset.rows == 40
    assert dataset.findings[0].message == "1 malformed line of 41 set aside: line 41"
    with pytest.raises(DataError, match=r"2 of 3 lines that are not 'label index:value \.\.\.', first line 2"):
        read_text(tmp_path, "1 1:2\n1 1:\nx 1:2\n")
    with pytest.raises(DataError, match="gives index 2 twice in line 2"):
        read_text(tmp_path, "1 1:2\n1 2:1 2:3\n")


def test_sparse_bomb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 rows and 999,999,999 columns, more than is allowed"):
        read_text(tmp_path, "1 999999999:1\n")
    with pytest.raises(DataError, match=r"more than is allowed \(100 bytes"):
        read_text(tmp_path, "1 5:1\n" * 10, max_bytes=100)
    with pytest.raises(DataError, match="1 rows and 12,345,678,901 columns, more than is allowed"):
        read_text(tmp_path, "1 12345678901:1\n")


def test_whole_numbers_that_are_rounded_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.svm"
    path.write_text("".join(f"{row} 1:{2**63 + row} 2:{2**53} 3:1{'0' * 400}\n" for row in range(4)))
    (finding,) = [one for one in read(path).findings if one.code == "rounded_decimals"]
    assert (finding.count, finding.severity) == (3, "warning")
    assert "as 9223372036854775809 to 9223372036854775808" in finding.message


def test_lines_may_end_in_carriage_returns_alone(tmp_path: Path) -> None:
    (tmp_path / "t.svm").write_bytes(b"1 1:2 2:3\r0 2:5\r")
    assert read(tmp_path / "t.svm").frame.rows() == [(1, 2.0, 3.0), (0, 0.0, 5.0)]
    (tmp_path / "t.txt").write_bytes(b"1 1:2 2:3\r0 2:5\r")
    assert read(tmp_path / "t.txt").frame.rows() == [(1, 2.0, 3.0), (0, 0.0, 5.0)]
