import math

import numpy as np

from lanewise.lanes.candidate import Candidate, Event
from lanewise.training.copying import copy_of
from lanewise.training.genes import GENES, genes_of, settings_from


def test_genes_are_those_of_now_every_change_included() -> None:
    own = Candidate(id="a", model="m", optimizer="adamw", settings={"lr": 0.1, "beta1": 0.9, "weight_decay": 0.0})
    again = copy_of(own, fraction=0.5, factor=0.5, id="b", changes=(("beta1", 0.75),))
    now, before = (dict(zip(GENES, genes_of([again], taken)[0], strict=True)) for taken in (0.5, 0.4))
    assert np.isclose(now["lr"], math.log(0.05))
    assert np.isclose(now["beta1"], math.log(0.25))
    assert np.isclose(before["lr"], math.log(0.1))
    assert np.isclose(before["beta1"], math.log(0.1))
    assert math.isnan(now["weight_decay"])  # zero has no logarithm, and stays zero
    assert math.isnan(now["momentum"])
    assert dict(settings_from([("beta1", now["beta1"])]))["beta1"] == 0.75


def test_a_candidate_has_its_changes_from_their_step_on() -> None:
    event = Event(fraction=0.5, restored=0.5, rate_factor=1.0, cause="", changes=[["beta1", 0.5]])  # type: ignore[arg-type]  # as JSON has it
    own = Candidate(id="a", model="m", optimizer="adam", settings={"beta1": 0.9}, events=(event,))
    assert event.changes == (("beta1", 0.5),)
    assert own.at(4, 10).number("beta1") == 0.9
    assert own.at(5, 10).number("beta1") == 0.5
