"""Which of two classes is the positive one, and when that is worth a note."""

import numpy as np
import pytest

from lanewise.data.positive_class import class_named, frequent_positive, positive_mistakes, with_positive
from lanewise.task import Task

WARES = Task(target="ware", kind="binary", metric="f1", classes=("bad", "good"))


@pytest.mark.parametrize(
    ("asked", "classes"), [(None, ("bad", "good")), ("good", ("bad", "good")), ("bad", ("good", "bad"))]
)
def test_the_positive_class_is_the_last(asked, classes):
    task = with_positive(WARES, asked)
    assert (task.classes, task.positive) == (classes, classes[1])
    assert list(positive_mistakes(WARES, asked)) == []


@pytest.mark.parametrize(
    ("asked", "classes", "named"),
    [
        ("1.0", ("1", "2.5"), "1"),
        ("2.50", ("1", "2.5"), "2.5"),
        ("1e0", ("1", "2.5"), "1"),
        ("-0.0", ("0", "1"), "0"),
        ("1.0", ("1", "1.0"), "1.0"),
        ("1", ("01", "02"), None),
        ("1", ("1.0", "x"), None),
        ("1.5", ("1", "2"), None),
        ("9007199254740993.0", ("9007199254740992", "1"), None),
        ("1e999", ("inf", "1"), None),
        ("True", ("False", "True"), "True"),
        ("False", ("FALSE", "TRUE"), "FALSE"),
        ("True", ("false", "true"), "true"),
        ("True", ("TRUE", "true"), None),
        ("yes", ("No", "Yes"), None),
    ],
)
def test_a_number_or_a_truth_value_names_its_class_and_text_only_itself(asked, classes, named):
    assert class_named(asked, classes) == named
    task = Task(target="y", kind="binary", metric="f1", classes=classes)
    assert (list(positive_mistakes(task, asked)) == []) == (named is not None)
    if named is not None:
        assert with_positive(task, asked).positive == named


def test_a_class_that_there_is_not_is_told_with_those_there_are():
    assert list(positive_mistakes(WARES, "xyz")) == [
        "positive names 'xyz', no class of 'ware': the classes are 'bad', 'good'"
    ]


@pytest.mark.parametrize(("kind", "classes"), [("multiclass", ("a", "b", "c")), ("regression", ()), ("count", ())])
def test_a_task_of_other_than_two_classes_has_no_positive_one(kind, classes):
    task = Task(target="ware", kind=kind, metric="mae", classes=classes)
    assert task.positive is None
    assert list(positive_mistakes(task, "a")) == [
        f"positive is for two classes, got 'a', and 'ware' is a {kind} target; leave it out"
    ]
    assert list(positive_mistakes(task, None)) == []
    assert frequent_positive(np.ones(10), task) == ()


@pytest.mark.parametrize(("ones", "told"), [(0, 0), (4, 0), (5, 0), (6, 1), (9, 1)])
def test_a_positive_class_that_is_the_frequent_one_is_noted(ones, told):
    found = frequent_positive(np.arange(10) < ones, WARES)
    assert len(found) == told
    assert all((one.severity, one.figure) == ("info", ones / 10) for one in found)
    assert frequent_positive(np.zeros(0, dtype=np.int64), WARES) == ()


def test_the_note_can_be_copied_into_a_shell():
    task = Task(target="ware", kind="binary", metric="f1", classes=("a fault", "fine"))
    (found,) = frequent_positive(np.ones(4), task)
    assert found.message == (
        "precision, recall, F1 and PR AUC are of 'fine', which 100.0% of the rows are; "
        "--positive 'a fault' makes them of 'a fault'"
    )
