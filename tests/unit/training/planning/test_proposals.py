import pytest

from lanewise.errors import UsageError
from lanewise.optim.registry import RULES
from lanewise.task import Task, TaskKind
from lanewise.training.planning.choices import ANY, Choices
from lanewise.training.planning.proposals import (
    BOOSTED_ANCHORS,
    MODELS,
    RACED_RATES,
    SOLVER,
    Field,
    propose,
    usual_batch,
)


def field(
    kind: TaskKind = "binary",
    *,
    optimizers: tuple[str, ...] = (),
    choices: Choices = ANY,
    seed: int = 0,
    columns: int = 0,
    rows: int = 5000,
) -> Field:
    classes = {"binary": ("a", "b"), "multiclass": ("a", "b", "c")}.get(kind, ())
    task = Task(target="y", kind=kind, metric="log_loss" if classes else "rmse", classes=classes)
    return Field(task=task, rows=rows, seed=seed, optimizers=optimizers, choices=choices, columns=columns)


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


@pytest.mark.parametrize("model", MODELS)
def test_another_seed_draws_other_points(model: str) -> None:
    def settings(seed: int) -> list[object]:
        return [candidate.settings for candidate in propose(model, 16, field(seed=seed))]

    assert settings(0) != settings(1)


def test_a_race_of_networks_mixes_optimizers_from_the_start() -> None:
    optimizers = {candidate.optimizer for candidate in propose("mlp", 30, field())[:14]}
    assert {"adamw", "nesterov"} <= optimizers


@pytest.mark.parametrize("name", RACED_RATES)
def test_a_race_tries_rates_that_short_trainings_can_use(name: str) -> None:
    low, high = RACED_RATES[name]
    rates = [float(one.settings["lr"]) for one in propose("mlp", 24, field(optimizers=(name,)))[1:]]
    assert low <= min(rates) < 3 * low
    assert high / 3 < max(rates) <= high


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
    assert unscheduled >= {"schedule_free_sgd", "schedule_free_adamw", "dog", "prodigy", "polyak", "asgd"}
    for name in RULES:
        schedules = {candidate.settings.get("schedule") for candidate in propose(model, 24, field(optimizers=(name,)))}
        if name in unscheduled:
            assert schedules == {"constant"}, name
        else:
            assert {"linear", "cosine"} <= schedules, name


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no model 'svm'.*lightgbm, mlp, linear, forest, tree"):
        propose("svm", 3, field())


@pytest.mark.parametrize(("rows", "batch"), [(1, 32), (500, 32), (5_000, 128), (30_000, 256), (10**7, 256)])
def test_batches_are_powers_of_two_that_leave_some_forty_in_an_epoch(rows: int, batch: int) -> None:
    assert usual_batch(rows) == batch


@pytest.mark.parametrize("model", MODELS)
def test_a_few_candidates_read_some_of_the_columns_and_are_the_anchor_in_all_else(model: str) -> None:
    found = propose(model, 16, field(columns=30))
    read = {"features", "feature_share"}
    chosen = [one for one in found if one.settings["features"] != "all"]
    assert 1 <= len(chosen) <= 3
    assert all(one.settings["feature_share"] == 1.0 for one in found if one not in chosen)
    others = [{k: v for k, v in one.settings.items() if k not in read} for one in found if one not in chosen]
    for one in chosen:
        assert {k: v for k, v in one.settings.items() if k not in read} in others
        assert 0 < float(one.settings["feature_share"]) < 1
    assert found[0].settings["features"] == "all"


@pytest.mark.parametrize("model", MODELS)
def test_selecting_candidates_join_the_field_and_drop_none_of_a_larger_one(model: str) -> None:
    plain = [one.settings for one in propose(model, 10, field())]
    more = propose(model, 14, field(columns=30))
    kept = [{k: v for k, v in one.settings.items() if k not in ("features", "feature_share")} for one in more]
    assert all(settings in kept for settings in plain)


@pytest.mark.parametrize("few", [{"columns": 7}, {"columns": 30, "rows": 99}])
def test_a_table_with_few_columns_or_rows_has_no_selecting_candidates(few: dict[str, int]) -> None:
    for model in MODELS:
        assert all("features" not in one.settings for one in propose(model, 16, field(**few)))


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_hinge_is_stepped_by_rules_and_never_given_to_a_solver(kind: TaskKind) -> None:
    found = [one for one in propose("linear", 14, field(kind)) if one.settings["loss"] == "hinge"]
    assert found
    assert all(one.optimizer in RULES for one in found)
    assert all(one.settings["loss"] != "hinge" for one in propose("linear", 14, field("regression")))


@pytest.mark.parametrize(
    ("kind", "metric", "losses"),
    [
        ("regression", "mae", ["squared", "absolute", "squared", "absolute", "squared"]),
        ("regression", "median_ae", ["squared", "absolute", "squared", "absolute", "squared"]),
        ("regression", "rmse", ["squared"] * 5),
        ("count", "mae", [None] * 5),
    ],
)
def test_boosted_trees_fit_absolute_errors_where_those_are_judged(
    kind: TaskKind, metric: str, losses: list[str | None]
) -> None:
    task = Task(target="y", kind=kind, metric=metric)
    found = propose("lightgbm", 1 + len(BOOSTED_ANCHORS), Field(task=task, rows=5000, seed=0))
    assert [one.settings.get("tree_loss") for one in found] == losses


@pytest.mark.parametrize("kind", ["regression", "count"])
def test_with_extreme_targets_all_but_the_default_fit_a_robust_loss(kind: TaskKind) -> None:
    task = Task(target="y", kind=kind, metric="rmse")
    extreme = Field(task=task, rows=5000, seed=0, extreme=True)
    usual = Field(task=task, rows=5000, seed=0)
    boosted, linear, networks = (propose(model, 16, extreme) for model in ("lightgbm", "linear", "mlp"))
    assert boosted[0] == propose("lightgbm", 16, usual)[0]
    robust = kind == "regression"
    assert {one.settings.get("tree_loss") for one in boosted[1:]} == {"absolute" if robust else None}
    assert {one.settings["loss"] for one in linear + networks} == {"huber" if robust else "poisson"}
    assert len(boosted) == len(linear) == len(networks) == 16


def test_only_the_losses_asked_for_take_part_and_the_default_has_the_first() -> None:
    hinge = propose("linear", 14, field(optimizers=("sgd",), choices=Choices(losses=("hinge",))))
    assert {(one.optimizer, one.settings["loss"]) for one in hinge} == {("sgd", "hinge")}
    assert len(hinge) == 14
    for model in ("linear", "mlp"):
        both = propose(model, 14, field(choices=Choices(losses=("squared_hinge", "hinge"))))
        assert both[0].settings["loss"] == "squared_hinge"
        assert {one.settings["loss"] for one in both} == {"hinge", "squared_hinge"}
    numbers = field("regression", optimizers=("adam",), choices=Choices(losses=("squared", "huber")))
    stepped = propose("linear", 14, numbers)
    assert {one.settings["loss"] for one in stepped} == {"squared", "huber"}


def test_a_solver_takes_the_smooth_losses_and_a_rule_the_default_where_its_loss_is_none() -> None:
    found = propose("linear", 14, field(choices=Choices(losses=("hinge", "squared_hinge"))))
    assert (found[0].optimizer, found[0].settings["loss"]) == ("adam", "hinge")
    assert {one.settings["loss"] for one in found if one.optimizer == SOLVER} == {"squared_hinge"}
    alone = propose("linear", 5, field(optimizers=(SOLVER,), choices=Choices(losses=("hinge", "squared_hinge"))))
    assert {(one.optimizer, one.settings["loss"]) for one in alone} == {(SOLVER, "squared_hinge")}
    assert propose("linear", 5, field(optimizers=(SOLVER,), choices=Choices(losses=("hinge",)))) == []


def test_a_stated_loss_holds_with_extreme_targets_too() -> None:
    task = Task(target="y", kind="regression", metric="rmse")
    extreme = Field(task=task, rows=5000, seed=0, extreme=True, choices=Choices(losses=("squared",)))
    assert {one.settings["loss"] for one in propose("linear", 9, extreme) + propose("mlp", 9, extreme)} == {"squared"}


def test_labels_are_smoothed_for_losses_of_probabilities_only() -> None:
    found = propose("mlp", 24, field(choices=Choices(losses=("logistic", "hinge"))))
    assert any(one.settings.get("label_smoothing") for one in found if one.settings["loss"] == "logistic")
    assert not any(one.settings.get("label_smoothing") for one in found if one.settings["loss"] == "hinge")


def test_every_stated_shape_races_and_the_default_has_the_first() -> None:
    found = propose("mlp", 24, field(choices=Choices(widths=(48, 512), depths=(4,), activations=("tanh", "gelu"))))
    shapes = [(one.settings["width"], one.settings["depth"], one.settings["activation"]) for one in found]
    assert shapes[0] == (48, 4, "tanh")
    assert set(shapes) == {(48, 4, "tanh"), (48, 4, "gelu"), (512, 4, "tanh"), (512, 4, "gelu")}
    assert set(shapes[:4]) == set(shapes)  # a short race sees them too
    assert len(found) == 24
    few = propose("mlp", 8, field(choices=Choices(widths=(48, 512))))
    assert {one.settings["width"] for one in few} == {48, 512}


def test_what_is_not_stated_of_a_shape_still_varies() -> None:
    found = propose("mlp", 60, field(choices=Choices(widths=(48,))))
    assert {one.settings["width"] for one in found} == {48}
    assert {one.settings["depth"] for one in found} == {1, 2, 3}


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_only_the_stated_schedules_race_and_rules_without_one_stay_constant(model: str) -> None:
    choices = Choices(schedules=("cosine", "one_cycle"))
    found = propose(model, 24, field(optimizers=("sgd",), choices=choices))
    assert found[0].settings["schedule"] == "cosine"
    assert {one.settings["schedule"] for one in found} == {"cosine", "one_cycle"}
    free = propose(model, 24, field(optimizers=("dog",), choices=choices))
    assert {one.settings["schedule"] for one in free} == {"constant"}


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_gradient_rules_race_with_an_l1_penalty_too_where_a_proximal_step_goes_with_them(kind: TaskKind) -> None:
    """Each loss with and without one, in a short field too; the default of a race has none."""
    found = [one for one in propose("linear", 14, field(kind)) if one.optimizer != SOLVER]
    assert {one.settings["l1"] > 0 for one in found} == {True, False}
    alone = propose("linear", 9, field(kind, optimizers=("adam",)))
    assert alone[0].settings["l1"] == 0
    for loss in {one.settings["loss"] for one in alone}:
        assert len({one.settings["l1"] for one in alone if one.settings["loss"] == loss}) >= 2
    assert {one.settings["l1"] for one in propose("linear", 9, field(kind, optimizers=("muon",)))} == {0.0}


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_forests_of_both_kinds_enter_before_any_point_of_the_search(kind: TaskKind) -> None:
    found = propose("forest", 12, field(kind))
    assert len(found) == 12
    assert {one.settings["forest"] for one in found[:2]} == {"extra", "random"}
    assert {one.settings["trees"] for one in found} == {300}
    many = propose("forest", 3, field(kind, rows=500_000))
    assert {one.settings["trees"] for one in many} == {100}
    assert [one.label for one in found[:2]] == [
        {"extra": "extra-trees forest", "random": "random forest"}[str(one.settings["forest"])] for one in found[:2]
    ]
