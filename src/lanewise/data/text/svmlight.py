"""LIBSVM / svmlight text: ``label index:value index:value ... # comment`` on each line.

The label becomes the column ``target``, index *i* the column ``f<i>``; an index that a line leaves out is zero there.
The queries that lines of a ranking belong to (``qid:7``) become the column ``qid``.
Format: https://www.csie.ntu.edu.tw/~cjlin/libsvm and SVM-light of T. Joachims.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from lanewise.data.findings import Finding
from lanewise.data.wording import counted
from lanewise.errors import DataError

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_LINE = rf"^{_NUMBER}(?: +qid:[0-9]+)?(?: +[0-9]{{1,18}}:{_NUMBER})*$"
_LONG = r"^[+-]?[0-9]{16,300}$"
"""A whole number that 53 bits may not hold; a longer one is infinite, which is told of elsewhere."""

QUERY_IDS = "query_ids"
"""Code of the finding about the queries of lines."""

_SUFFIXES = (".svm", ".svmlight", ".libsvm")
_SAMPLE_LINES = 50
_MAX_BAD_SHARE = 0.05
_BYTES_PER_CELL = 8


def is_svmlight(text: bytes, suffix: str) -> bool:
    """Whether the first lines are labels with ``index:value`` pairs of rising indexes."""
    if suffix in _SUFFIXES:
        return True
    lines = [line for line in map(_bare, text[: 2**20].split(b"\n")[:_SAMPLE_LINES]) if line]
    if not lines or not all(re.match(_LINE, line) for line in lines):
        return False
    pairs = [[int(index) for index in re.findall(r" ([0-9]+):", line)] for line in lines]
    rising = all(a < b for indexes in pairs for a, b in pairwise(indexes))
    return rising and 2 * sum(map(bool, pairs)) > len(pairs)


def _bare(line: bytes) -> str:
    return line.decode(errors="replace").partition("#")[0].replace("\t", " ").strip()


def parse_svmlight(
    text: bytes, *, name: str, max_bytes: int, max_columns: int, known: Sequence[int] = ()
) -> tuple[pl.DataFrame, list[Finding]]:
    """A dense table of numbers ``target``, ``qid`` if there are queries, and ``f1`` ... up to the highest index here or
    among those ``known`` to exist.

    The first is ``f0`` where index 0 is one of them.

    Raises ``DataError`` if more than one line in twenty is malformed, or the dense table too large.
    """
    lines = pl.Series("line", text.decode().split("\n")).str.replace("#.*", "").str.replace_all("[\t\r]", " ")
    lines = lines.str.strip_chars()
    table = pl.DataFrame({"line": lines}).with_row_index("number", offset=1).filter(pl.col("line") != "")
    table = table.with_columns(good=pl.col("line").str.contains(_LINE))
    findings = _set_aside(table, name)
    table = table.filter("good").with_row_index("row")
    labels = table["line"].str.extract(f"^({_NUMBER})")
    pairs = (
        table.select("row", pl.col("line").str.extract_all(rf" [0-9]{{1,18}}:{_NUMBER}"))
        .explode("line")
        .drop_nulls()
        .select("row", pl.col("line").str.strip_chars().str.split_exact(":", 1).struct.unnest())
    )
    rows = pairs["row"].to_numpy()
    indexes = pairs["field_0"].cast(pl.Int64).to_numpy()
    values = pairs["field_1"].str.strip_prefix("+").cast(pl.Float64).to_numpy()
    first = min(1, int(indexes.min(initial=1)), *known)
    last = max(0, int(indexes.max(initial=0)), *known)
    width = last - first + 1
    if width + 1 > max_columns or table.height * width * _BYTES_PER_CELL > max_bytes:
        message = (
            f"{name} makes a table of {table.height:,} rows and {width:,} columns, more than is allowed "
            f"({max_bytes:,} bytes, {max_columns:,} columns): leave out rare features"
        )
        raise DataError(message)
    _refuse_repeated(table, rows, indexes, name)
    dense = np.zeros((table.height, width), order="F")
    dense[rows, indexes - first] = values
    columns = {f"f{first + place}": dense[:, place] for place in range(width)}
    queries, found = _queries(table["line"])
    found += _rounded([labels, pairs["field_1"]])
    return pl.DataFrame({"target": _whole_if_possible(labels), **queries, **columns}), [*findings, *found]


def _rounded(tokens: Sequence[pl.Series]) -> list[Finding]:
    """That whole numbers have more digits than the numbers of 64 bits that labels and values become."""
    long = pl.concat([own.filter(own.str.contains(_LONG)).rename("long") for own in tokens])
    lost = [token for token in long if int(float(token)) != int(token)]
    if not lost:
        return []
    message = (
        f"{counted(len(lost), 'whole number')} with more digits than 64 bits hold in svmlight text, which "
        f"{'was' if len(lost) == 1 else 'were'} rounded, as {lost[0]} to {int(float(lost[0]))}; numbers that "
        "name something belong into a format with words"
    )
    return [Finding(code="rounded_decimals", severity="warning", count=len(lost), message=message)]


def _queries(lines: pl.Series) -> tuple[dict[str, pl.Series], list[Finding]]:
    """The column of queries, if lines name them."""
    queries = lines.str.extract(r" qid:([0-9]+)").cast(pl.Int64, strict=False)
    count = queries.count()
    if not count:
        return {}, []
    message = f"{counted(count, 'line')} with a query (qid), which is the column 'qid'"
    return {"qid": queries}, [Finding(code=QUERY_IDS, column="qid", count=count, message=message)]


def _set_aside(table: pl.DataFrame, name: str) -> list[Finding]:
    bad = table.filter(~pl.col("good"))["number"].to_list()
    if table.height == 0 or len(bad) > _MAX_BAD_SHARE * table.height:
        first = f", first line {bad[0]}" if bad else ""
        message = (
            f"{name} has {len(bad)} of {table.height} lines that are not 'label index:value ...'{first}: mend them"
        )
        raise DataError(message)
    if not bad:
        return []
    message = (
        f"{counted(len(bad), 'malformed line')} of {table.height:,} set aside: line {', '.join(map(str, bad[:3]))}"
    )
    return [Finding(code="ragged_rows", severity="warning", count=len(bad), message=message)]


def _refuse_repeated(table: pl.DataFrame, rows: np.ndarray, indexes: np.ndarray, name: str) -> None:
    order = np.lexsort((indexes, rows))
    same = (np.diff(rows[order]) == 0) & (np.diff(indexes[order]) == 0)
    if same.any():
        place = order[int(same.argmax())]
        line = table["number"][int(rows[place])]
        message = f"{name} gives index {indexes[place]} twice in line {line}: mend the file"
        raise DataError(message)


def _whole_if_possible(labels: pl.Series) -> pl.Series:
    numbers = labels.str.strip_prefix("+").cast(pl.Float64)
    whole = (numbers == numbers.floor()).all() and (numbers.abs() < 2.0**53).all()
    return numbers.cast(pl.Int64) if whole else numbers
