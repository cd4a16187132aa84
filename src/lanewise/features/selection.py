"""Which source columns to keep: a setting that candidates may try, decided on the training rows of one fold."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from lanewise.errors import UsageError
from lanewise.features.layout import Layout
from lanewise.task import Task

# A ranking needs no more rows, and no more buckets of one text, than these.
MOST_ROWS = 10_000
MOST_FEATURES_OF_A_COLUMN = 64
_PATH_LENGTH = 50
_PATH_END = 1e-3
_TOGETHER = 500_000
"""Cells of a table, times steps of the path or columns to shuffle, that one call may look at: it cannot be stopped."""
_ENCODING_PARTS = 5
_ENCODING_PRIOR_ROWS = 10.0
_FEWEST_ROWS = 10
_WIDE, _PROBED = 20_000, 50
"""From so many dense features on, every so manieth is tried first to tell how long all of them take."""


class SlowRanking(Exception):
    """A ranking was given up: it would take longer than it may."""


@dataclass(frozen=True, kw_only=True)
class FeatureMask:
    """Columns kept, most important first, and what that means for features: ``dense [D]``, ``codes [Ke]`` bool.

    ``importance`` holds a figure for every column, in the order of the layout: where on the path it entered, or
    the loss it saved. Multiplying the dense features by ``dense`` keeps widths equal, so lanes with different masks
    share a stack.
    """

    columns: tuple[str, ...]
    dense: np.ndarray
    codes: np.ndarray
    importance: tuple[float, ...]


def mask_columns(layout: Layout, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Masks ``dense [D]`` and ``codes [Ke]`` that keep ``columns`` alone."""
    kept = set(columns)
    dense = np.array([name in kept for name in layout.feature_columns], dtype=bool)
    return dense, np.array([name in kept for name in layout.embedded_names], dtype=bool)


def l1_path_mask(
    layout: Layout,
    dense: np.ndarray,
    codes: np.ndarray,
    target: np.ndarray,
    rows: np.ndarray,
    *,
    task: Task,
    keep_fraction: float,
    seed: int,
    most_seconds: float = inf,
) -> FeatureMask:
    """The columns that enter an L1-penalised linear model first, as the penalty falls.

    ``min_W  ||Y - X W||^2 / (2 n) + a sum_j ||W_j||_2``, ``a`` falling to 1/1000 of where all is zero; a column
    enters with the first of its features, and columns that enter together rank by ``||W_j||`` at the end.

    ``dense [N, D]`` and ``codes [N, Ke]`` as the preparation of one fold gives them; ``target [N]`` numbers, or
    class numbers; ``rows`` the training rows of that fold, the only ones that are read (at most 10,000, drawn by
    ``seed``). ``Y`` is the standardised target (its logarithm for counts), or one indicator per class. An embedded
    category stands as the cross-fitted mean of ``Y`` per level; of a text, the 64 buckets that correlate most.
    Raises ``SlowRanking`` where it is not done within ``most_seconds``.

    Source: Tibshirani (1996), Regression shrinkage and selection via the lasso; Yuan and Lin (2006) for groups;
    Fan and Lv (2008), Sure independence screening, for the texts.
    """
    check = _within(most_seconds)
    chosen = _draw_rows(rows, keep_fraction, seed)
    response = _standardise(_response(target[chosen], task))
    features, columns = _path_features(layout, dense[chosen], codes[chosen], response, seed)
    entry, size = _entry_on_path(features, response, check)
    count = len(layout.columns)
    entered, final = np.zeros(count), np.zeros(count)
    np.maximum.at(entered, columns, entry)
    np.maximum.at(final, columns, size)
    ranking = np.lexsort((np.arange(count), -final, -entered))
    return _keep(layout, ranking, entered, keep_fraction)


def permutation_mask(
    layout: Layout,
    dense: np.ndarray,
    codes: np.ndarray,
    target: np.ndarray,
    rows: np.ndarray,
    *,
    task: Task,
    keep_fraction: float,
    seed: int,
    repeats: int = 3,
    most_seconds: float = inf,
) -> FeatureMask:
    """The columns whose shuffling hurts a quick model most, on rows that it did not see.

    A small LightGBM model learns three quarters of ``rows`` (of at most 10,000, drawn by ``seed``) and predicts the
    rest, once as they are and ``repeats`` times with all features of one column shuffled together; the importance
    is the mean rise of its loss (squared error, Poisson deviance or log loss). Columns that carry the same
    information share it, so each of them looks less important than both. Arguments and errors as for `l1_path_mask`.

    Source: Breiman (2001), Random forests; Fisher, Rudin and Dominici (2019), All models are wrong.
    """
    if repeats < 1:
        message = f"repeats must be 1 or more, got {repeats}"
        raise UsageError(message)
    check = _within(most_seconds)
    chosen = _draw_rows(rows, keep_fraction, seed)
    inputs = np.concatenate([dense[chosen], codes[chosen]], axis=1).astype(np.float64)
    learned, held = np.split(np.random.default_rng([seed, 1]).permutation(len(chosen)), [len(chosen) * 3 // 4])
    predict, read = _quick_model(
        inputs[learned], target[chosen][learned], task, dense_width=dense.shape[1], seed=seed, check=check
    )
    truth, held_inputs = target[chosen][held], inputs[held]
    base = _loss(predict(held_inputs), truth, task)
    places = {column.name: place for place, column in enumerate(layout.columns)}
    owner = np.array([places[name] for name in (*layout.feature_columns, *layout.embedded_names)], dtype=np.int64)
    importance = np.zeros(len(layout.columns))
    truths, rows = np.tile(truth, repeats), np.tile(held_inputs, (repeats, 1))
    # Of a column that the model does not read no shuffling would change a prediction.
    columns = [(place, mine) for place, mine in enumerate(_by_owner(owner, len(importance))) if read[mine].any()]
    # On few rows a call of LightGBM takes longer than its trees, so it gets several columns at once.
    together = max(1, _TOGETHER // rows.size)
    for start in range(0, len(columns), together):
        check(0.0)
        part = columns[start : start + together]
        shuffled = np.tile(rows, (len(part), 1, 1))
        for table, (place, mine) in zip(shuffled, part, strict=True):
            draw = np.random.default_rng([seed, 1, place])
            order = np.concatenate([draw.permutation(len(held)) for _ in range(repeats)])
            table[:, mine] = held_inputs[np.ix_(order, mine)]
        predicted = np.split(predict(shuffled.reshape(-1, rows.shape[1])), len(part))
        for (place, _), own in zip(part, predicted, strict=True):
            importance[place] = _loss(own, truths, task) - base
    ranking = np.lexsort((np.arange(len(importance)), -importance))
    return _keep(layout, ranking, importance, keep_fraction)


def _within(most_seconds: float) -> Callable[[float], None]:
    """A check that raises ``SlowRanking`` once ``most_seconds`` from now have passed, or will have by what is ahead."""
    started = time.perf_counter()

    def check(ahead: float) -> None:
        if time.perf_counter() - started + ahead > most_seconds:
            raise SlowRanking

    return check


def _by_owner(owner: np.ndarray, count: int) -> list[np.ndarray]:
    """The places at which ``owner`` is 0, 1, ... ``count - 1``, each ascending.

    >>> [places.tolist() for places in _by_owner(np.array([1, 0, 1]), 3)]
    [[1], [0, 2], []]
    """
    return np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner, minlength=count))[:-1])


def _keep(layout: Layout, ranking: np.ndarray, importance: np.ndarray, fraction: float) -> FeatureMask:
    names = [column.name for column in layout.columns]
    kept = tuple(names[place] for place in ranking[: max(1, int(np.ceil(fraction * len(names))))])
    dense, codes = mask_columns(layout, kept)
    return FeatureMask(columns=kept, dense=dense, codes=codes, importance=tuple(float(x) for x in importance))


def _draw_rows(rows: np.ndarray, keep_fraction: float, seed: int) -> np.ndarray:
    if not 0 < keep_fraction <= 1:
        message = f"keep_fraction must be above 0 and at most 1, got {keep_fraction}"
        raise UsageError(message)
    if len(rows) < _FEWEST_ROWS:
        message = f"feature selection needs at least {_FEWEST_ROWS} training rows, got {len(rows)}; switch it off"
        raise UsageError(message)
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng([seed, 0]).choice(rows, MOST_ROWS, replace=False))


def _response(target: np.ndarray, task: Task) -> np.ndarray:
    """The columns to explain: ``[n, 1]``, or one indicator per class ``[n, C]``."""
    if task.kind == "multiclass":
        return (target[:, None] == np.arange(len(task.classes))).astype(np.float64)
    values = np.log1p(target) if task.kind == "count" else target
    return values.astype(np.float64)[:, None]


def _standardise(values: np.ndarray) -> np.ndarray:
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def _path_features(
    layout: Layout, dense: np.ndarray, codes: np.ndarray, response: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features and the place of the column of each."""
    places = {column.name: place for place, column in enumerate(layout.columns)}
    owner = np.array([places[name] for name in layout.feature_columns], dtype=np.int64)
    features = _standardise(dense.astype(np.float64))
    strength = np.abs(features.T @ response).max(axis=1) if features.shape[1] else np.zeros(0)
    kept = [
        np.sort(mine[np.argsort(-strength[mine], kind="stable")[:MOST_FEATURES_OF_A_COLUMN]])
        for mine in _by_owner(owner, len(layout.columns))
    ]
    chosen = np.concatenate(kept).astype(np.int64)
    parts, owners = [features[:, chosen]], [owner[chosen]]
    for place, name in enumerate(layout.embedded_names):
        encoded = _standardise(_cross_fitted_means(codes[:, place], response, seed))
        parts.append(encoded)
        owners.append(np.full(encoded.shape[1], places[name]))
    return np.concatenate(parts, axis=1), np.concatenate(owners)


def _cross_fitted_means(codes: np.ndarray, response: np.ndarray, seed: int) -> np.ndarray:
    """Mean response of each row's level ``[n, R]`` over the other fifths of the rows, drawn towards the mean of all."""
    part = np.random.default_rng([seed, 2]).permutation(len(codes)) % _ENCODING_PARTS
    encoded = np.zeros(response.shape)
    for held in range(_ENCODING_PARTS):
        inside = part != held
        width = int(codes.max()) + 1
        rows = np.bincount(codes[inside], minlength=width)[:, None]
        sums = np.stack(
            [np.bincount(codes[inside], weights=column, minlength=width) for column in response[inside].T], axis=1
        )
        mean = response[inside].mean(axis=0)
        encoded[~inside] = ((sums + _ENCODING_PRIOR_ROWS * mean) / (rows + _ENCODING_PRIOR_ROWS))[codes[~inside]]
    return encoded


def _entry_on_path(
    features: np.ndarray, response: np.ndarray, check: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Penalty at which each feature ``[D]`` enters, as a part of the largest, and its weight at the end."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    joint = np.linalg.norm(features.T @ response, axis=1) / len(features)
    if joint.size == 0 or joint.max() < np.finfo(np.float64).eps:
        return np.zeros(features.shape[1]), np.zeros(features.shape[1])
    shares = np.geomspace(1, _PATH_END, _PATH_LENGTH)
    single = response.shape[1] == 1
    features, response = np.asfortranarray(features), np.asfortranarray(response[:, 0] if single else response)
    # All is in the order and of the type that the solver takes, and scikit-learn checks it for as long as it solves.
    given: dict[str, Any] = {"check_input": False, "precompute": False}
    if single and len(features) > features.shape[1]:
        given |= {"precompute": features.T @ features, "Xy": features.T @ response}
    entry, sizes, weights = np.zeros(features.shape[1]), np.zeros(features.shape[1]), None
    with warnings.catch_warnings():
        # The end of the path may be cut short: only the order of entry is read.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # On a small table a call takes longer than a step, so it gets many at once.
        together = max(1, _TOGETHER // features.size)
        for start in range(0, len(shares), together):  # each call begins where the one before it has ended
            check(0.0)
            part = shares[start : start + together]
            given["alphas"] = part * joint.max()
            _, path, _ = enet_path(
                features,
                response,
                l1_ratio=1.0,
                coef_init=weights,
                copy_X=False,
                max_iter=200,
                tol=1e-3,
                **given,
            )
            weights = path[..., -1]
            sizes = np.abs(path) if single else np.linalg.norm(path, axis=0)
            first = np.where((sizes > 0).any(axis=1), part[(sizes > 0).argmax(axis=1)], 0.0)
            entry, sizes = np.where(entry == 0, first, entry), sizes[:, -1]
    return entry, sizes


def _quick_model(
    inputs: np.ndarray, target: np.ndarray, task: Task, *, dense_width: int, seed: int, check: Callable[[float], None]
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """A small boosted model of the task, as a function of inputs, and which of them it reads ``[D + Ke]``."""
    import lightgbm

    objective = {"regression": "regression", "count": "poisson", "binary": "binary", "multiclass": "multiclass"}
    small = len(inputs) < MOST_ROWS // 10
    parameters = {
        "objective": objective[task.kind],
        "num_leaves": 15,
        "learning_rate": 0.1,
        "min_data_in_leaf": 5 if small else 20,
        # LightGBM's defaults of 100 and 10 rows pass over the levels of small tables.
        "min_data_per_group": 5,
        "cat_smooth": 1.0 if small else 10.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    if task.kind == "multiclass":
        parameters["num_class"] = len(task.classes)
    if dense_width >= _WIDE:  # bins are made in one call, which nothing can stop: some of them tell how long it takes
        started = time.perf_counter()
        lightgbm.Dataset(inputs[:, :dense_width:_PROBED], label=target, params=parameters).construct()
        check(_PROBED * (time.perf_counter() - started))
    categorical = list(range(dense_width, inputs.shape[1]))
    data = lightgbm.Dataset(inputs, label=target, categorical_feature=categorical, free_raw_data=False)
    model = lightgbm.train(parameters, data, num_boost_round=60, callbacks=[lambda _: check(0.0)])

    def predict(rows: np.ndarray) -> np.ndarray:
        found = model.predict(rows)
        assert isinstance(found, np.ndarray)
        return found

    return predict, model.feature_importance("split") > 0


def _loss(prediction: np.ndarray, truth: np.ndarray, task: Task) -> float:
    """Mean loss of predicted values, rates or probabilities."""
    least = 1e-12
    if task.kind == "regression":
        return float(np.mean((prediction - truth) ** 2))
    if task.kind == "count":
        rate = np.maximum(prediction, least)
        return float(np.mean(rate - truth * np.log(rate)))
    if task.kind == "binary":
        prediction = np.stack([1 - prediction, prediction], axis=1)
    probability = prediction[np.arange(len(truth)), truth.astype(np.int64)]
    return float(-np.mean(np.log(np.maximum(probability, least))))
