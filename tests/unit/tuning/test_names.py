"""What candidates of a tuning race may be called, and where it is written."""

from pathlib import Path

import pytest

from lanewise.errors import UsageError
from lanewise.tuning.drop_ins import RACED
from lanewise.tuning.names import CALLED, LISTED, LOOP, known_rule, known_setting

DOCS = Path(__file__).parents[3] / LISTED


def test_the_page_that_messages_name_lists_all_optimizers() -> None:
    text = DOCS.read_text(encoding="utf-8")
    listed = next(line for line in text.splitlines() if line.startswith("Optimizers are "))
    assert [part for part in listed.split("`") if part in RACED] == list(RACED)


def test_a_slip_is_told_its_neighbours_and_a_strange_word_all_there_are() -> None:
    with pytest.raises(UsageError, match=rf"'adamm' to tune with; did you mean adam, .*\? All {len(RACED)}: {LISTED}$"):
        known_rule("adamm")
    with pytest.raises(UsageError, match=f"there are {', '.join(RACED)}$"):
        known_rule("zzz")


@pytest.mark.parametrize("name", ["learning_rate", "Learning-Rate", "batchsize", "wd", "scheduler", "max_grad_norm"])
def test_names_from_elsewhere_are_understood(name: str) -> None:
    wanted = CALLED[name.lower().replace("-", "_")]
    with pytest.raises(UsageError, match=rf"there is no setting '{name}'; did you mean {wanted}\b"):
        known_setting(name, ["lr", "weight_decay", *LOOP])


@pytest.mark.parametrize("name", ["epochs", "num_epochs", "Max-Steps"])
def test_the_length_of_a_training_is_the_budget(name: str) -> None:
    with pytest.raises(UsageError, match=rf"no setting '{name}': budget says how long .* such as budget='2000steps'"):
        known_setting(name, ["lr", "eps", *LOOP])
