"""What several ranks cannot do is said before anything is read."""

import pytest

from lanewise.agreement import check_ranks
from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Lone
from lanewise.errors import UsageError
from lanewise.settings import FitSettings


@pytest.mark.parametrize(
    ("source", "device", "said"),
    [("-", "cpu", "standard input reaches one process only"), ("a.csv", "cuda:0", "train on processors only, got dev")],
)
def test_refused_on_two_ranks_and_allowed_on_one(source, device, said):
    wanted = FitSettings(target="y", device=device)
    with pytest.raises(UsageError, match=said):
        check_ranks(Lone(Place(size=2)), source, wanted, begins=True)
    check_ranks(Lone(Place()), source, wanted, begins=True)
