"""What is said of a name that there is not; errors that are made again."""

import copy

import pytest

from lanewise import errors
from lanewise.errors import FEW, AlreadyDone, LanewiseError, closest, suggestion
from lanewise.metrics import METRICS
from lanewise.optim.registry import RULES
from lanewise.solvers.methods import METHODS

MANY = [f"name{place}" for place in range(FEW + 1)]


def test_the_nearest_names_come_first_whatever_their_case():
    assert closest("ADAMM", ["sgd", "nadam", "Adam"]) == ["Adam", "nadam"]
    assert closest("zzz", ["sgd"]) == []
    assert closest("adam", ["adam", "adamw", "nadam", "adamax", "radam"], most=2) == ["adam", "adamw"]


def test_few_names_are_all_listed_and_of_many_the_place_that_lists_them():
    assert suggestion("zzz", MANY[1:]) == f"there are {', '.join(MANY[1:])}"
    assert suggestion("zzz", MANY, place="over there") == f"all {len(MANY)}: over there"
    assert suggestion("zzz", MANY).endswith(" and 1 more")
    assert suggestion("zzz", ["a"], noun="it has") == "it has a"


def test_what_was_probably_meant_comes_before_the_list():
    assert suggestion("name00", [*MANY[:1], "other"]) == "did you mean name0? There are name0, other"
    found = suggestion("nam", MANY, place="over there")
    assert found.startswith("did you mean name")
    assert found.count("name") == 3
    assert " or name" in found
    assert found.endswith(f"? All {len(MANY)}: over there")


@pytest.mark.parametrize("known", [RULES, METHODS, METRICS], ids=["optimizers", "methods", "metrics"])
def test_every_slip_of_one_letter_is_answered_with_the_name_that_was_meant(known):
    for name in known:
        slip = name[:-2] + name[-1] + name[-2] if len(name) > 3 else name
        assert name in closest(slip, known)
        assert len(suggestion(slip, known, place="the help")) < 120


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LanewiseError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_can_be_made_of_its_words_as_another_rank_does(kind: type[LanewiseError]):
    error = kind("why")
    error.mistakes = ("a", "b")
    again = copy.copy(error)
    assert (type(again), str(again), again.mistakes) == (kind, "why", ("a", "b"))


def test_which_run_is_done_is_copied_along():
    assert copy.copy(AlreadyDone("run r is done", run="r")).run == "r"
