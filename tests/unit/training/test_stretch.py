"""A stretch that is stopped at any place saves what it has, and goes on from there."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from lanewise.errors import Interrupted
from lanewise.training.stretch import Stretch
from lanewise.training.team import Team, never


def stretch(team: Team, journal: Any) -> Stretch:
    """Two looks; nothing is saved between steps."""
    return Stretch(
        team=team,
        fractions=(0.5, 1.0),
        key="key",
        journal=journal,
        save_every=1e9,
        halted=never,
        abandoned=never,
        score=lambda item: 0.0,
        train_score=lambda item: 0.0,
    )


@pytest.mark.parametrize("look", [0, 1])
def test_a_look_that_is_stopped_leaves_a_state_to_go_on_from(small: ModuleType, look: int) -> None:
    own = small.lanes([small.candidate("adam"), small.candidate("sgd", optimizer="sgd")])
    steps = small.LENGTH * (look + 1) // 2
    journal, stacks = small.MemoryJournal(), []

    def stop() -> bool:
        return bool(stacks) and stacks[0].optimizer.taken == steps

    stacks.append(small.stack(own, stop=stop))
    with pytest.raises(Interrupted, match="stopped on request"):
        stretch(stacks[0], journal).run(lambda look: None)
    assert journal.kept["key"][1]["team"]["taken"] == steps
    assert len(journal.kept["key"][1]["looks"]) == look
    found = stretch(small.stack(own), journal).run(lambda look: None)
    truth = stretch(small.stack(own), small.MemoryJournal()).run(lambda look: None)
    assert [(item.lane.id, item.fraction, item.valid.tobytes(), item.train_loss) for item in found] == [
        (item.lane.id, item.fraction, item.valid.tobytes(), item.train_loss) for item in truth
    ]


def test_only_what_is_trained_now_counts_as_fresh(small: ModuleType) -> None:
    own = small.lanes([small.candidate("adam")])
    journal, stacks, shown = small.MemoryJournal(), [], []
    between = small.LENGTH * 4 // 5

    def stop() -> bool:
        return bool(stacks) and stacks[0].optimizer.taken == between

    stacks.append(small.stack(own, stop=stop))
    with pytest.raises(Interrupted):
        stretch(stacks[0], journal).run(lambda look: shown.append(look.fresh))
    assert shown == [1.0]
    stretch(small.stack(own), journal).run(lambda look: shown.append(look.fresh))
    assert shown[1:] == [0.0, pytest.approx(0.4)]
    told = replace(stretch(small.stack(own), journal), told=True)
    told.run(lambda look: shown.append(look.fresh))
    assert shown[3:] == [1.0, 1.0], "another rank has trained it meanwhile"


def test_who_goes_on_knows_how_much_was_trained_before_it_was_begun(small: ModuleType) -> None:
    own = small.lanes([small.candidate("adam")])
    journal, screened = small.MemoryJournal(), small.stack(own)
    screened.advance(0.25)
    begun = stretch(screened, journal)
    begun.run(lambda look: None)
    again = stretch(small.stack(own), journal)  # as ranks make it, which do not hand on what a screen has trained
    again.run(lambda look: None)
    assert (begun.begun, again.begun) == (0.25, 0.25)
