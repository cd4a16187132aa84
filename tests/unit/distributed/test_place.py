"""Which process this is, by the variables of the launcher."""

import pytest

from lanewise.distributed.place import Place, place_of
from lanewise.errors import UsageError


def test_alone_without_a_launcher():
    assert place_of({}) == Place()
    assert place_of({"RANK": "1"}).size == 1
    assert place_of({"LANEWISE_JOB": "a"}) == Place(job="a", again=True)


def test_torchrun_says_where_and_whether_again():
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}
    place = place_of(said)
    assert (place.rank, place.size, place.local_rank, place.local_size) == (5, 8, 1, 4)
    assert (place.job, place.again, place.leads, place.one_host) == ("x", False, False, False)
    assert place_of({**said, "TORCHELASTIC_RESTART_COUNT": "1"}).again
    assert place_of({**said, "LANEWISE_JOB": "slurm-7"}).job == "slurm-7"
    assert place_of({**said, "TORCHELASTIC_RUN_ID": "none"}).job


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2 of WORLD_SIZE 2 .* is no place in a job; start all processes"),
        ({"RANK": "a", "WORLD_SIZE": "2"}, "RANK must be a whole number, got 'a'"),
        ({"RANK": "0", "WORLD_SIZE": "-1"}, "WORLD_SIZE must be a whole number, got '-1'"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "4"}, "LOCAL_WORLD_SIZE 4"),
        ({"LANEWISE_RANK_TIMEOUT": "soon"}, "must be from 1 to 1000000 seconds, got 'soon'"),
        ({"LANEWISE_RANK_TIMEOUT": "nan"}, "must be from 1 to 1000000 seconds, got 'nan'"),
    ],
)
def test_what_contradicts_itself_is_refused(said, words):
    with pytest.raises(UsageError, match=words):
        place_of(said)
