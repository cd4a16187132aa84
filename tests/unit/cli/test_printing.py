"""One document on stdout that any terminal may show and any encoding can carry."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanewise.cli.paths import check_output
from lanewise.cli.screen import document_text
from lanewise.errors import UsageError


@given(st.dictionaries(st.text(), st.text()), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
@settings(deadline=None)
def test_documents_read_back_and_cannot_steer_the_terminal(document, encoding):
    text = document_text(document, encoding=encoding)
    assert json.loads(text.encode(encoding).decode(encoding)) == document
    assert not {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


def test_letters_stay_readable_where_they_can():
    assert "größe 🎯" in document_text({"a": "größe 🎯"}, encoding="utf-8")


def test_outputs_are_refused_before_any_work(tmp_path):
    check_output(tmp_path / "new.html")
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(UsageError, match="create it"):
        check_output(tmp_path / "none" / "new.html")
