"""What differs between two runs, and what came of a repetition."""

from pathlib import Path

from lanewise.runs.comparing import compared, differences, verdict
from lanewise.runs.store import RunStore

DOCUMENT = {"run": "a", "seconds": 3.0, "winner": {"id": "sgd-00"}, "race": {"curves": [{"valid": [1.0, None]}] * 9}}


def test_only_what_is_measured_may_differ() -> None:
    assert list(differences(DOCUMENT, {**DOCUMENT, "run": "b", "seconds": 4.0, "hardware": {}})) == []
    assert list(differences(DOCUMENT, {**DOCUMENT, "winner": None, "more": 1})) == ["winner", "more"]
    shorter = {**DOCUMENT, "race": {"curves": [{"valid": [1.0]}] * 9}}
    assert len(list(differences(DOCUMENT, shorter))) == 9
    assert list(differences([1], "1")) == ["everything"]


def test_a_repetition_says_whether_it_is_the_same(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        first = store.create(command="", config={})
        store.finish(first.id, DOCUMENT)
        assert compared(store, first, DOCUMENT) is DOCUMENT
        again = store.create(command="", config={"repeats": first.id})
        same = compared(store, again, {**DOCUMENT, "run": again.id})["repeats"]
        off = {**DOCUMENT, "race": {"curves": [{"valid": (1.5, None)}] * 9}}
        other = compared(store, again, off)["repeats"]
    assert same == {"run": first.id, "same": True, "differences": []}
    assert other["differences"] == [f"race.curves.{place}.valid.0" for place in range(5)]
    assert "race.curves.4.valid.0 differ" in verdict(other, lanes=9, sha256="")
