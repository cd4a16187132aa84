import pytest

from lanewise.errors import UsageError
from lanewise.optim.registry import RULES
from lanewise.task import Task, TaskKind
from lanewise.training.proposals import MODELS, SOLVER, Field, propose, usual_batch


def field(kind: TaskKind = "binary", *, optimizers: tuple[str, ...] = (), seed: int = 0) -> Field:
    classes = {"binary": ("a", "b"), "multiclass": ("a", "b", "c")}.get(kind, ())
    task = Task(target="y", kind=kind, metric="log_loss" if classes else "rmse", classes=classes)
    return Field(task=task, rows=5000, seed=seed, optimizers=optimizers)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["regression", "count", "binary", "multiclass"])
def test_candidates_differ_and_repeat_with_the_seed(model: str, kind: TaskKind) -> None:
    found = propose(model, 16, field(kind))
    assert len({candidate.id for candidate in found}) == len(found)
    assert len({(candidate.optimizer, *sorted(candidate.settings.items())) for candidate in found}) == len(found)
    assert [candidate.settings for candidate in found] == [c.settings for c in propose(model, 16, field(kind))]
    assert found[0].id.endswith("000")


def test_the_first_candidate_is_the_same_whatever_the_count_and_seed() -> None:
    for model in MODELS:
        assert propose(model, 1, field())[0].settings == propose(model, 20, field(seed=9))[0].settings


def test_a_race_of_networks_mixes_optimizers_from_the_start() -> None:
    optimizers = {candidate.optimizer for candidate in propose("mlp", 30, field())[:14]}
    assert {"adamw", "nesterov"} <= optimizers


def test_only_the_optimizers_asked_for_take_part() -> None:
    found = propose("mlp", 20, field(optimizers=("sgd", "adam")))
    assert {candidate.optimizer for candidate in found} == {"sgd", "adam"}
    assert found[0].optimizer == "sgd"


def test_a_family_that_no_stated_optimizer_can_train_stays_away() -> None:
    assert propose("mlp", 20, field(optimizers=("lbfgs",))) == []
    assert {candidate.optimizer for candidate in propose("linear", 5, field(optimizers=("lbfgs",)))} == {"lbfgs"}


def test_settings_name_what_the_rule_reads() -> None:
    for candidate in (*propose("mlp", 30, field()), *propose("linear", 30, field())):
        if candidate.optimizer == SOLVER:
            continue
        declared = {hyper.name for hyper in RULES[candidate.optimizer].hypers}
        assert declared - set(candidate.settings) <= {"eps"}, candidate.label


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_rules_that_need_no_schedule_get_a_constant_one(model: str) -> None:
    unscheduled = {name for name, rule in RULES.items() if not rule.scheduled}
    assert unscheduled >= {"schedule_free_sgd", "schedule_free_adamw", "dog", "prodigy"}
    for name in RULES:
        schedules = {candidate.settings.get("schedule") for candidate in propose(model, 24, field(optimizers=(name,)))}
        if name in unscheduled:
            assert schedules == {"constant"}, name
        else:
            assert {"linear", "cosine"} <= schedules, name


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no model 'forest'.*lightgbm, mlp, linear, tree"):
        propose("forest", 3, field())


@pytest.mark.parametrize(("rows", "batch"), [(1, 32), (500, 32), (5_000, 128), (30_000, 256), (10**7, 256)])
def test_batches_are_powers_of_two_that_leave_some_forty_in_an_epoch(rows: int, batch: int) -> None:
    assert usual_batch(rows) == batch
