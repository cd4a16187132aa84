"""Other searches, as their users write them: Optuna and Ray Tune around a plain loop, skorch in a halving search."""

import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPOCHS = 9
BATCH = 128
Settings = Mapping[str, Any]
Pair = tuple[Tensor, Tensor]


def optimizer_of(settings: Settings, weights: Any) -> torch.optim.Optimizer:
    """The optimizer of a candidate, as torch has it."""
    if settings["optimizer"] == "adamw":
        return torch.optim.AdamW(weights, lr=settings["lr"], weight_decay=settings["weight_decay"], fused=True)
    return torch.optim.SGD(
        weights,
        lr=settings["lr"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
        nesterov=True,
        fused=True,
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One problem with its rows in memory; all trainings of all sides start from the weights of one ``seed``."""

    make: Callable[[], nn.Module]
    train: Pair
    valid: Pair
    candidates: Sequence[Settings]
    cores: int
    seed: int = 0
    device: str = "cpu"

    @property
    def steps(self) -> int:
        return EPOCHS * len(self.train[0]) // BATCH


def trained(case: Case, settings: Settings) -> Iterator[float]:
    """The validation loss after each epoch of a plain loop."""
    torch.manual_seed(case.seed)
    net = case.make().to(case.device)
    optimizer = optimizer_of(settings, net.parameters())
    (x, y), (x_valid, y_valid) = [[rows.to(case.device) for rows in own] for own in (case.train, case.valid)]
    per_epoch, done = case.steps // EPOCHS, 0
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(x)).to(case.device).split(BATCH)[:per_epoch]:
            for group in optimizer.param_groups:
                group["lr"] = settings["lr"] * (1 - done / case.steps)
            loss = F.cross_entropy(net(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
        net.eval()
        with torch.no_grad():
            value = float(F.cross_entropy(net(x_valid), y_valid))
        yield value if math.isfinite(value) else 1e9


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search ended with: its best loss, the seconds it took, and when each better loss was seen."""

    loss: float
    seconds: float
    seen: tuple[tuple[float, float], ...] = ()

    def reached(self, loss: float) -> float:
        """Seconds until a loss of at most ``loss`` was seen; infinite if it never was."""
        return min((second for second, own in self.seen if own <= loss), default=math.inf)


def in_a_process(search: Callable[[Case], Outcome], case: Case) -> Outcome:
    """A search in a forked process: a GPU that was used by this one could not be used by others that it forks."""
    receives, sends = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sends.send(search(case)))
    child.start()
    sends.close()
    outcome = receives.recv()
    child.join()
    return outcome


def with_optuna(pruner: str) -> Callable[[Case], Outcome]:
    """Optuna around the plain loop: a process per core, which take the candidates from one queue."""
    return lambda case: _optuna(case, pruner)


def _optuna(case: Case, pruner: str) -> Outcome:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    processes = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        path = str(Path(folder) / "journal")
        _study(path, pruner, new=True)
        places: Any = processes.SimpleQueue()
        for place in [*range(len(case.candidates)), *[None] * case.cores]:
            places.put(place)
        workers = [
            processes.Process(target=_optuna_worker, args=(case, path, pruner, places)) for _ in range(case.cores)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = _study(path, pruner).best_value
        return Outcome(loss=best, seconds=time.perf_counter() - started)


def _study(path: str, pruner: str, *, new: bool = False) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    made = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3),
    }[pruner]()
    storage = optuna.storages.JournalStorage(JournalFileBackend(path))
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(storage=storage, study_name="race", pruner=made, sampler=sampler, load_if_exists=not new)


def _optuna_worker(case: Case, path: str, pruner: str, places: Any) -> None:
    import optuna

    torch.set_num_threads(1)
    study = _study(path, pruner)
    while (place := places.get()) is not None:
        trial = study.ask()
        loss = math.inf
        for epoch, loss in enumerate(trained(case, case.candidates[place]), start=1):
            trial.report(loss, epoch)
            if epoch < EPOCHS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, loss)


STORE = 300 * 2**20
"""Bytes that Ray may keep objects in, the rows of a case among them."""


def with_ray(case: Case) -> Outcome:
    """Ray Tune with ASHA around the plain loop: a process per core, reused; Ray itself has started before."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    def train(settings: dict[str, Any], case: Case) -> None:
        torch.set_num_threads(1)
        for loss in trained(case, case.candidates[settings["candidate"]]):
            tune.report({"loss": loss})

    ray.init(
        num_cpus=case.cores, include_dashboard=False, object_store_memory=STORE, log_to_driver=False, logging_level=40
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            tuner = tune.Tuner(
                tune.with_resources(tune.with_parameters(train, case=case), {"cpu": 1}),
                param_space={"candidate": tune.grid_search(list(range(len(case.candidates))))},
                tune_config=tune.TuneConfig(
                    metric="loss",
                    mode="min",
                    scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3),
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            )
            found = tuner.fit()
            seconds = time.perf_counter() - started
            frames = [own.metrics for own in found if own.metrics]
            ended = [own["loss"] for own in frames if own["training_iteration"] == EPOCHS]
            return Outcome(loss=min(ended), seconds=seconds)
    finally:
        ray.shutdown()


def with_skorch(case: Case) -> Outcome:
    """skorch nets in scikit-learn's ``HalvingRandomSearchCV``, whose job processes have started before."""
    import joblib
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # makes the next import possible
    from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit

    (x, y), (x_valid, y_valid) = case.train, case.valid
    joblib.Parallel(n_jobs=case.cores)(joblib.delayed(_warm)() for _ in range(2 * case.cores))
    net = _raced_net(case)
    made: Any = HalvingRandomSearchCV  # its annotations are guessed from defaults
    search = made(
        net,
        {"candidate": list(range(len(case.candidates)))},
        n_candidates=len(case.candidates),
        factor=3,
        resource="max_epochs",
        min_resources=1,
        max_resources=EPOCHS,
        cv=PredefinedSplit([-1] * len(x) + [0] * len(x_valid)),
        scoring=_score,
        refit=False,
        n_jobs=case.cores,
        random_state=0,
        error_score=-1e9,
    )
    started = time.perf_counter()
    search.fit(torch.cat([x, x_valid]).numpy(), torch.cat([y, y_valid]).numpy())
    last = search.cv_results_["iter"] == search.cv_results_["iter"].max()
    best = -float(search.cv_results_["mean_test_score"][last].max())
    return Outcome(loss=best, seconds=time.perf_counter() - started)


def _score(net: Any, x: np.ndarray, y: np.ndarray) -> float:
    """scikit-learn's "neg_log_loss", which refuses rows among which a class is missing."""
    from sklearn.metrics import log_loss

    probabilities = net.predict_proba(x)
    return -float(log_loss(y, probabilities, labels=np.arange(probabilities.shape[1])))


class Made(nn.Module):
    """What a function makes, as the class that skorch wants."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.net = make()

    def forward(self, rows: Tensor) -> Tensor:
        return self.net(rows)


def _raced_net(case: Case) -> Any:
    """A net whose optimizer is that of its parameter ``candidate``."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import LRScheduler
    from torch.optim.lr_scheduler import LambdaLR

    candidates, steps, seed = list(case.candidates), case.steps, case.seed

    class RacedNet(NeuralNetClassifier):
        def __init__(self, *args: Any, candidate: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.candidate = candidate

        def initialize_module(self) -> "RacedNet":
            torch.manual_seed(seed)
            return super().initialize_module()

        def initialize_optimizer(self, *_: Any, **__: Any) -> "RacedNet":
            self.optimizer_ = optimizer_of(candidates[self.candidate], self.module_.parameters())
            return self

    made: Any = LRScheduler  # its annotations are guessed from defaults
    linear = made(policy=LambdaLR, lr_lambda=lambda step: max(0.0, 1 - step / steps), step_every="batch")
    return RacedNet(
        Made,
        module__make=case.make,
        criterion=nn.CrossEntropyLoss,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=len(case.valid[0]),
        train_split=None,
        callbacks=[("schedule", linear)],
        verbose=0,
    )


def _warm() -> None:
    import skorch  # noqa: F401  # it takes seconds

    torch.set_num_threads(1)
