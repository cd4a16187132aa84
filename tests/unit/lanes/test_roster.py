from lanewise.lanes.candidate import Candidate, Event
from lanewise.lanes.roster import Lane, Roster


def lane(id: str, optimizer: str, fold: int = 0, seed: int = 0) -> Lane:
    return Lane(candidate=Candidate(id=id, model="linear", optimizer=optimizer, settings={}), fold=fold, seed=seed)


def test_rows_are_sorted_by_group_then_optimizer() -> None:
    roster = Roster.of([lane("b", "sgd"), lane("a", "adam", fold=1), lane("c", "adam"), lane("a", "sgd")])
    assert [one.id for one in roster] == ["c.f0.s0", "a.f0.s0", "b.f0.s0", "a.f1.s0"]
    assert roster.groups == ((0, 0), (1, 0))
    assert roster.group_sizes == (3, 1)
    assert list(roster.blocks()) == [("adam", slice(0, 1)), ("sgd", slice(1, 3)), ("adam", slice(3, 4))]


def test_order_does_not_depend_on_the_order_given() -> None:
    lanes = [lane("a", "sgd", seed=1), lane("b", "adam"), lane("a", "adam", fold=2)]
    assert Roster.of(lanes) == Roster.of(lanes[::-1])


def test_keep_takes_rows_in_the_order_given() -> None:
    roster = Roster.of([lane("a", "sgd"), lane("b", "sgd"), lane("c", "sgd")])
    assert [one.candidate.id for one in roster.keep([2, 0])] == ["c", "a"]


def test_a_repaired_candidate_is_a_new_one_with_its_events() -> None:
    event = Event(fraction=0.5, restored=0.4, rate_factor=0.3, cause="diverged")
    default = Candidate(id="a", model="mlp", optimizer="sgd", settings={"lr": 1.0}, is_default=True)
    again = default.repaired(event, id="a-slower1")
    assert (again.id, again.events, again.is_default, again.settings) == ("a-slower1", (event,), False, {"lr": 1.0})
