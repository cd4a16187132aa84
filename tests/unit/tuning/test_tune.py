"""``lanewise.tune`` from data to a trained module, and back into a loop of the user's own."""

import copy
import pickle  # noqa: TID251  # whoever sends a result to another process does that
import signal
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import lanewise
from lanewise.errors import TrainingError
from lanewise.training.watching.pulse import Pulse
from lanewise.tuning import Schedule, TuneResult, tune

RATES = [
    {"optimizer": "sgd", "lr": 1e-3},
    {"optimizer": "sgd", "lr": 0.3},
    {"optimizer": "adamw", "lr": 0.03, "betas": (0.8, 0.95), "schedule": "cosine", "warmup": 0.1},
    {"optimizer": "momentum", "lr": 0.1, "batch_size": 64},
]


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(count, 5, generator=draw)
    return X, (X[:, 0] - X[:, 1] + 0.3 * torch.randn(count, generator=draw) > 0).long()


TRAIN, VALID = rows(240, 0), rows(120, 1)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


def race(**settings: Any) -> TuneResult:
    usual: dict[str, Any] = {"loss": nn.CrossEntropyLoss(), "candidates": RATES, "budget": "60steps", "policy": "never"}
    given: dict[str, Any] = {**usual, **settings}
    return tune(network, train=TRAIN, valid=VALID, **given)


@pytest.fixture(scope="module")
def found():
    return race()


def test_it_is_public() -> None:
    assert lanewise.tune is tune


def test_the_model_is_the_one_that_was_scored(found) -> None:
    with torch.no_grad():
        loss = nn.functional.cross_entropy(found.model(VALID[0]), VALID[1])
    assert float(loss) == pytest.approx(found.score, abs=1e-5)
    assert not found.model.training
    assert found.winner.id != found.plan.candidates[0].id
    assert found.score < 0.5 < found.selection.standing(found.plan.candidates[0].id).score


def test_the_winner_trains_in_an_ordinary_loop(found) -> None:
    torch.manual_seed(5)
    model = network()
    optimizer = found.optimizer(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, found.schedule)
    peak = found.settings["lr"]
    for step in range(found.steps):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(peak * found.schedule(step))
        at = torch.arange(step * found.batch_size, (step + 1) * found.batch_size) % 240
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(TRAIN[0][at]), TRAIN[1][at]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model.eval()(VALID[0]), VALID[1])
    assert float(loss) == pytest.approx(found.score, abs=0.1)


def test_the_winner_is_compiled_whole_and_trains_on(found) -> None:
    """Nothing of the race clings to the module, at which the compiler would leave off, or that it would lose."""
    plain, given = copy.deepcopy(found.model), copy.deepcopy(found.model)
    counter = CompileCounterWithBackend("aot_eager")
    compiled: Any = torch.compile(given, backend=counter, fullgraph=True)
    for model in (plain, compiled):
        torch.manual_seed(5)
        optimizer = found.optimizer(model.train().parameters())
        for at in torch.arange(192).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(TRAIN[0][at]), TRAIN[1][at]).backward()
            optimizer.step()
    assert counter.frame_count == 1
    before = found.model.state_dict()
    for name, tensor in given.state_dict().items():
        assert torch.allclose(tensor, plain.state_dict()[name], atol=1e-6)
        assert not torch.equal(tensor, before[name])


@pytest.mark.parametrize("settings", RATES, ids=lambda one: f"{one['optimizer']} {one['lr']}")
def test_every_candidate_becomes_a_drop_in(settings) -> None:
    alone = race(candidates=[settings], budget="20steps")
    group = alone.optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert group["lr"] == settings["lr"]
    assert group.get("betas") == settings.get("betas")
    assert alone.schedule == Schedule(
        name=settings.get("schedule", "linear"), steps=alone.steps, warmup=settings.get("warmup", 0.0)
    )


def test_another_batch_size_sees_as_many_rows(found) -> None:
    steps = dict(found.table.select("candidate", "steps").iter_rows())
    assert steps["sgd-00"] == 60
    assert steps["momentum-03"] == 20  # the least: 60 x 16 rows are 15 batches of 64


def test_the_table_has_a_row_and_a_curve_for_each_candidate(found) -> None:
    table = found.table
    assert table["rank"].to_list() == [1, 2, 3, 4]
    assert set(table["candidate"]) == {own.id for own in found.plan.candidates}
    assert all(len(curve) == 10 for curve in table["scores"])
    assert table.filter(table["fate"] == "winner")["candidate"].to_list() == [found.winner.id]
    for row in table.to_dicts():  # every candidate was confirmed here
        behind = found.selection.standing(row["candidate"]).behind_winner
        assert (row["behind_low"], row["behind_high"]) == (behind.low, behind.high)
        assert row["behind_low"] <= row["behind"] <= row["behind_high"]
    assert set(table.filter(table["tied"])["candidate"]) == set(found.selection.ties)


def test_the_table_begins_with_the_score_and_ends_with_what_was_tried(found) -> None:
    columns = found.table.columns  # the middle ones are left out where it is printed
    assert columns[:3] == ["candidate", "rank", "score"]
    assert columns[-2:] == ["optimizer", "lr"]


def test_every_part_of_a_result_can_be_read_where_it_is_printed(found) -> None:
    parts = [found.plan, found.selection, found.pareto, found.race, found.sensitivity, found.effects]
    plan, selection, pareto, raced, sensitivity, effects = map(str, parts)
    assert plan.splitlines() == ["Plan", *(f"  {line}" for line in found.plan.words)]
    assert selection.splitlines()[0].startswith(f"{found.winner.id} wins. It is better than the default, sgd-00 (")
    table = [line.split() for line in selection.splitlines()[2:]]
    assert [row[:3] for row in table] == [
        [str(own.rank), own.id, f"{own.score:#.4g}"] for own in found.selection.standings
    ]
    assert [line.split()[0] for line in pareto.splitlines()] == [
        "candidate",
        *(one.candidate.id for one in found.pareto),
    ]
    assert raced == "Result: 4 candidates in 4 trainings, 4 confirmed"
    assert "sgd        0.3" in sensitivity
    assert effects == found.effects.words  # of so few candidates there is no table
    assert max(len(line) for part in parts for line in str(part).splitlines()) < 200


def test_a_result_can_be_pickled(found) -> None:
    sent = pickle.loads(pickle.dumps(found))
    assert str(sent) == str(found)
    assert sent.table.equals(found.table)
    assert all(torch.equal(one, sent.model.state_dict()[name]) for name, one in found.model.state_dict().items())


def test_the_report_is_one_file_with_the_race_in_it(found, tmp_path) -> None:
    page = found.report(tmp_path / "race.html").read_text()
    assert 'id="race"' in page
    assert 'id="leaderboard"' in page
    assert "network" in page
    assert found._repr_html_().startswith("<iframe")
    board = found.document["race"]["leaderboard"]
    assert [row["id"] for row in board] == list(found.selection.ranking)
    assert all(row["low"] < row["score"] < row["high"] for row in board)
    assert f"{found.winner.optimizer} wins" in repr(found)


def test_the_same_call_gives_the_same_bits_and_disturbs_no_generator(found) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = race()
    assert torch.equal(before, torch.get_rng_state())
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert again.selection == found.selection


def test_halving_drops_the_slow_and_keeps_the_default() -> None:
    rates = [{"optimizer": "sgd", "lr": lr} for lr in (0.1, *(1e-5 * n for n in range(1, 10)), 0.3, 0.2, 0.05)]
    found = race(candidates=rates, policy="halving", budget="90steps")
    fates = dict(found.table.select("candidate", "fate").iter_rows())
    assert fates["sgd-01"] == "pruned"
    assert fates["sgd-00"] in ("confirmed", "winner")
    assert found.winner.number("lr") >= 0.05


def test_batches_larger_than_what_there_is_to_train_on_are_told() -> None:
    found = race(batch_size=500, candidates=2, budget="20steps")
    assert found.warnings[0].startswith("batches of 500 rows are more than the 240 that train")
    assert "240 is a full batch" in found.document["warnings"][0]


def test_seeds_are_averaged() -> None:
    found = race(candidates=RATES[:2], seeds=(3, 4))
    assert {trace.lane.seed for trace in found.race.traces} == {3, 4}
    scores = [trace.scores[-1] for trace in found.race.traces if trace.lane.candidate.id == found.winner.id]
    assert found.score == pytest.approx(np.mean(scores))


def test_a_metric_of_ones_own_decides_in_its_direction() -> None:
    def hits(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets).float()

    by_name, by_function = race(metric="accuracy"), race(metric=(hits, "max"))
    assert by_name.selection.metric == "accuracy"
    assert by_function.selection.metric == "hits"
    assert by_name.score == by_function.score
    with torch.no_grad():
        right = (by_name.model(VALID[0]).argmax(1) == VALID[1]).double().mean()
    assert by_name.score == pytest.approx(float(right))
    assert by_name.score > 0.8


def test_a_budget_in_seconds_is_measured_and_planned() -> None:
    found = race(budget="3s", candidates=RATES[:2])
    assert found.steps >= 20
    assert any("measured" in line for line in found.plan.words)
    assert 0 < found.plan.predicted_seconds <= 3


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.lstm(rows.unsqueeze(-1))[0][:, -1])


def test_what_cannot_be_stacked_is_looped_and_says_why() -> None:
    found = tune(
        Recurrent,
        train=TRAIN,
        valid=VALID,
        loss=nn.CrossEntropyLoss(),
        candidates=[{"lr": 1e-2}, {"lr": 1e-3}],
        budget="20steps",
    )
    (why,) = [line for line in found.plan.words if "one by one" in line]
    assert "aten::lstm" in why
    assert "\n" not in why


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout1d(0.2), nn.Flatten(),
        nn.Linear(12, 2),
    )  # fmt: skip


def test_threads_change_no_bit_of_what_a_module_draws() -> None:
    given: dict[str, Any] = {"train": TRAIN, "valid": VALID, "loss": nn.CrossEntropyLoss(), "budget": "30steps"}
    found = [tune(convolution, candidates=RATES, workers=workers, **given) for workers in (1, 3)]
    assert any("convolutions" in line for line in found[0].plan.words)
    assert found[0].selection == found[1].selection
    for one, other in zip(*(own.model.state_dict().values() for own in found), strict=True):
        assert torch.equal(one, other)


def test_numpy_arrays_of_doubles_train_a_module_of_floats() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = X @ np.array([[1.0], [2.0], [0.0]])
    found = tune(
        lambda: nn.Linear(3, 1),
        train=(X[:40], y[:40]),
        valid=(X[40:], y[40:]),
        loss=nn.functional.mse_loss,
        candidates=[{"optimizer": "sgd", "lr": 0.1}],
        budget="80steps",
    )
    assert found.score < 0.1
    assert found.winner.model == "module"


def test_all_diverging_is_one_clear_error() -> None:
    with pytest.raises(TrainingError, match="every candidate failed"):
        race(candidates=[{"optimizer": "sgd", "lr": 1e30}])


def test_ctrl_c_ends_a_race_that_is_kept_nowhere() -> None:
    """It used to run to its end, whose result was thrown away; that takes several looks here."""
    looks: list[Pulse] = []

    def watch(pulse: Pulse) -> None:
        looks.append(pulse)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # which waits for the race

    with pytest.raises(KeyboardInterrupt):
        tune(
            lambda: nn.Linear(3, 1),
            train=(torch.randn(64, 3), torch.randn(64, 1)),
            valid=0.25,
            loss=nn.MSELoss(),
            candidates=[{"lr": 0.01}, {"lr": 0.02}],
            budget="4000steps",
            watch=watch,
            workers=1,
        )
    assert len(looks) == 1
