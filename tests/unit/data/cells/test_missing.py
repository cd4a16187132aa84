"""Which markers count as missing among words."""

import polars as pl
import pytest

from lanewise.data.cells.missing import CERTAIN_MARKERS, share_matching, strip_frame, without_word_markers


def words(*cells: str | None) -> list[str | None]:
    return without_word_markers(pl.Series(cells, dtype=pl.String)).to_list()


def test_blanks_and_the_user_s_markers_are_missing_everywhere() -> None:
    frame = pl.DataFrame({"a": [" x ", " \t", "", "-200", "unknown"], "b": ["unknown ", "1", "\u00a0", "y", "-2000"]})
    stripped = strip_frame(frame, ["unknown", " -200"])
    assert stripped["a"].to_list() == ["x", None, None, None, None]
    assert stripped["b"].to_list() == [None, "1", None, "y", "-2000"]


@pytest.mark.parametrize("marker", CERTAIN_MARKERS)
def test_certain_markers(marker: str) -> None:
    assert words("red", marker, "blue") == ["red", None, "blue"]


def test_none_and_dash_are_levels_beside_few_others() -> None:
    assert words("None", "Partial", "Full") == ["None", "Partial", "Full"]
    assert words("+", "-") == ["+", "-"]
    assert words("007", "-", "None") == ["007", None, None]
    assert words(*"abcdefghijklmnopqrstuvw", "None", "-")[-2:] == [None, None]


def test_na_is_a_level_only_among_codes_of_two_capitals() -> None:
    assert words("NA", "EU", "AF") == ["NA", "EU", "AF"]
    assert words("NA", "Private", "Local") == [None, "Private", "Local"]


def test_markers_alone_are_missing() -> None:
    assert words("None", "-", "NA") == [None, None, None]


def test_lower_case_none_and_other_words_are_levels() -> None:
    assert words("none", "na", "unknown", "N.A.") == ["none", "na", "unknown", "N.A."]


def test_share_of_present_cells() -> None:
    assert share_matching(pl.Series(["a", "b", None]), "^a$") == 0.5
    assert share_matching(pl.Series([None], dtype=pl.String), "a") == 0.0
