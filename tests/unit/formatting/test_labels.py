"""Candidates of one label are told apart by what differs between them."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lanewise.composing.document import winner_and_default
from lanewise.formatting.labels import MOST_NAMED, counted_once, told_apart
from lanewise.lanes.candidate import Candidate


def test_only_what_differs_is_added_and_only_where_labels_are_the_same():
    cards = [
        ("mlp, lr 0.01", {"lr": 0.0101, "dropout": 0.1, "l2": 0}),
        ("tree", {"max_depth": 3}),
        ("mlp, lr 0.01", {"lr": 0.0101, "dropout": 0.2, "l2": 0}),
    ]
    assert told_apart(cards) == ["mlp, lr 0.01, dropout 0.1", "tree", "mlp, lr 0.01, dropout 0.2"]


def test_settings_are_added_until_all_are_told_apart():
    cards = [("mlp", {"a": 1, "b": 1, "c": 0}), ("mlp", {"a": 1, "b": 2, "c": 0}), ("mlp", {"a": 2, "b": 2, "c": 0})]
    assert told_apart(cards) == ["mlp, a 1, b 1", "mlp, a 1, b 2", "mlp, a 2, b 2"]


def test_absent_and_yes_or_no_settings_are_said_in_words():
    cards = [("mlp", {"layer_norm": True}), ("mlp", {"layer_norm": False})]
    assert told_apart(cards) == ["mlp, layer norm", "mlp, no layer norm"]
    assert told_apart([("mlp", {"warmup": 0.05}), ("mlp", {})]) == ["mlp, warmup 0.05", "mlp, no warmup"]


def test_what_no_setting_tells_apart_is_counted():
    assert told_apart([("tree", {"depth": 3})] * 2) == ["tree", "tree"]
    assert counted_once(["tree", "mlp", "tree", "tree"]) == ["tree (3 of them)", "mlp"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2)))))
def test_labels_keep_their_order_and_their_beginning(cards):
    found = told_apart(cards)
    assert len(found) == len(cards)
    for (label, settings), words in zip(cards, found, strict=True):
        assert words.split(", ")[0] == label
        assert len(words.split(", ")) <= 1 + MOST_NAMED
        twins = [other for name, other in cards if name == label]
        if all(set(one) == set(settings) for one in twins) and twins.count(settings) == 1:
            assert found.count(words) == 1  # three settings of whole numbers tell every difference


def test_the_winner_is_told_from_a_default_of_the_same_label():
    def candidate(**settings: Any) -> Candidate:
        return Candidate(id="c", model="mlp", optimizer="adamw", settings={"width": 64, "depth": 2, **settings})

    stage: Any = SimpleNamespace(
        choice=SimpleNamespace(is_ensemble=False, weights={"a": 0.5, "b": 0.5}),
        winner=candidate(activation="silu", loss="huber"),
        default=candidate(activation="relu", loss="squared"),
    )
    assert winner_and_default(stage) == ("mlp 64x2, adamw, activation silu", "mlp 64x2, adamw, activation relu")
    stage.default = stage.winner
    assert winner_and_default(stage) == ("mlp 64x2, adamw", "mlp 64x2, adamw")
    stage.choice.is_ensemble = True
    assert winner_and_default(stage) == ("ensemble of 2 candidates", "mlp 64x2, adamw")
