import dataclasses
import math

import numpy as np
import pytest

from lanewise.errors import UsageError
from lanewise.search.genetic import Genetic
from lanewise.search.policy import Copy, Decision, Policy, Standing, decision_of

NAMES = ("lr", "weight_decay", "beta1")


def bred(standing: Standing, genes: np.ndarray) -> Standing:
    return dataclasses.replace(standing, named=NAMES, genes=genes)


def own_genes(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-5, 1, (count, 3))


def test_the_worst_give_way_to_children_of_those_that_stay(stand) -> None:
    decision = Genetic(share=0.3).decide(bred(stand(np.arange(10.0)), own_genes(10)))
    assert {copy.target for copy in decision.copies} == {7, 8, 9}
    assert {copy.source for copy in decision.copies} <= set(range(7))
    assert decision.keep == tuple(range(7))


def test_without_mutation_every_gene_is_that_of_a_parent(stand) -> None:
    genes = own_genes(40)
    decision = Genetic(share=0.5, mutated=0.0).decide(bred(stand(np.arange(40.0)), genes))
    foreign = 0
    for copy in decision.copies:
        own = {NAMES.index(name): value for name, value in copy.changes}
        if copy.factor != 1:
            own[0] = genes[copy.source, 0] + math.log(copy.factor)
        for gene, value in own.items():
            assert np.isclose(genes[:20, gene], value).any()
        foreign += len(own)
        assert "lr" not in dict(copy.changes)
    assert 15 < foreign < 45  # half of 60 genes, less where both parents are one


def test_mutation_moves_genes_about_as_far_as_it_says_and_into_bounds(stand) -> None:
    genes = np.tile([-5.0, -3.0, math.log(0.89)], (200, 1))
    decision = Genetic(share=0.5, mutated=1.0, sd=0.4).decide(bred(stand(np.arange(200.0)), genes))
    steps = np.array([math.log(copy.factor) for copy in decision.copies])
    assert 0.3 < steps.std() < 0.5
    assert abs(steps.mean()) < 0.15
    betas = [dict(copy.changes)["beta1"] for copy in decision.copies if "beta1" in dict(copy.changes)]
    assert max(betas) == math.log(0.9)  # a beta of at least 0.1
    assert min(betas) < math.log(0.6)


def test_a_gene_that_the_parent_lacks_stays_out(stand) -> None:
    genes = own_genes(6)
    genes[:, 2] = np.nan
    decision = Genetic().decide(bred(stand(np.arange(6.0)), genes))
    assert decision.copies
    assert all("beta1" not in dict(copy.changes) for copy in decision.copies)


def test_better_parents_have_more_children(stand) -> None:
    def sources(tournament: int) -> float:
        decision = Genetic(share=0.5, tournament=tournament).decide(stand(np.arange(100.0)))
        return float(np.mean([copy.source for copy in decision.copies]))

    assert sources(5) < sources(2) < sources(1)


def test_draws_vary_with_the_look_the_place_and_the_seed(stand) -> None:
    def drawn(rung: int, seed: int) -> tuple[Copy, ...]:
        return Genetic(seed=seed).decide(bred(stand(np.arange(40.0), rung=rung), own_genes(40))).copies

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(1, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert len({copy.factor for copy in drawn(0, 0)}) > 5


def test_kinds_do_not_mix_and_the_protected_stay(stand) -> None:
    kinds = [0] * 5 + [1] * 5 + [2]
    decision = Genetic(share=0.2).decide(stand(np.arange(11.0), (4,), kinds=kinds))
    assert [copy.target for copy in decision.copies] == [9]
    assert decision.copies[0].source in range(5, 9)
    assert set(decision.keep) == set(range(11)) - {9}
    assert "nobody had children" in Genetic().decide(stand([1.0, 2.0])).words


@pytest.mark.parametrize("settings", [{"share": 0.6}, {"mutated": 1.5}, {"sd": -0.1}, {"tournament": 0}])
def test_settings_that_cannot_be(settings) -> None:
    with pytest.raises(UsageError, match="must be"):
        Genetic(**settings)


@pytest.mark.parametrize("changes", [(("lr", 0.0),), (("gamma", 0.0),), (("beta1", math.inf),)])
def test_changes_of_what_is_no_gene_are_refused(stand, changes) -> None:
    class Own(Policy):
        copies = True

        def rungs(self, candidates: int) -> tuple[float, ...]:
            return (0.5,)

        def decide(self, standing: Standing) -> Decision:
            return Decision(keep=(0,), words="one", copies=(Copy(source=0, target=1, factor=1.0, changes=changes),))

    with pytest.raises(UsageError, match=r"Own\.decide must change genes of standing\.named but lr to finite values"):
        decision_of(Own(), bred(stand([1.0, 2.0]), own_genes(2)))
