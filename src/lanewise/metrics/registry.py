"""The metrics by name."""

from collections.abc import Mapping
from types import MappingProxyType

from numpy.typing import ArrayLike

from lanewise.errors import UsageError, suggestion
from lanewise.metrics.classification import CLASSIFICATION_METRICS
from lanewise.metrics.metric import Metric
from lanewise.metrics.ranking import RANKING_METRICS
from lanewise.metrics.regression import REGRESSION_METRICS
from lanewise.task import Task, TaskKind

METRICS: Mapping[str, Metric] = MappingProxyType(
    {m.name: m for m in (*CLASSIFICATION_METRICS, *RANKING_METRICS, *REGRESSION_METRICS)}
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "acc": "accuracy",
        "auc": "roc_auc",
        "auroc": "roc_auc",
        "rocauc": "roc_auc",
        "auprc": "pr_auc",
        "prauc": "pr_auc",
        "ap": "pr_auc",
        "average_precision": "pr_auc",
        "logloss": "log_loss",
        "cross_entropy": "log_loss",
        "nll": "log_loss",
        "brier_score": "brier",
        "macro_f1": "f1_macro",
        "weighted_f1": "f1_weighted",
        "balanced_acc": "balanced_accuracy",
        "sensitivity": "recall",
        "root_mean_squared_error": "rmse",
        "mean_absolute_error": "mae",
        "median_absolute_error": "median_ae",
        "r_squared": "r2",
        "mean_absolute_percentage_error": "mape",
        "poisson": "poisson_deviance",
        "deviance": "poisson_deviance",
    }
)


def metric_names(kind: TaskKind) -> tuple[str, ...]:
    """Names of the metrics that can score a kind of task."""
    return tuple(name for name, metric in METRICS.items() if kind in metric.kinds)


def known_metric(name: str) -> Metric | None:
    """The metric of that name, for whatever kind of task; case, dashes and common aliases are understood.

    >>> known_metric("AUC").name, known_metric("acuracy")
    ('roc_auc', None)
    """
    plain = _plain(name)
    return METRICS.get(ALIASES.get(plain, plain))


def is_metric(name: str) -> bool:
    """Whether there is a metric of that name, for whatever kind of task.

    >>> is_metric("F1-macro"), is_metric("AUC"), is_metric("acuracy")
    (True, True, False)
    """
    return known_metric(name) is not None


def unknown_metrics(stated: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """For each setting of ``stated`` that is a text and names no metric, the names there are.

    >>> list(unknown_metrics({"metric": "AUC", "threshold": "f3"}))
    ['threshold']
    """
    return {name: tuple(METRICS) for name, one in stated.items() if isinstance(one, str) and not is_metric(one)}


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").replace("_", " ").split())


def resolve_metric(name: str, kind: TaskKind) -> Metric:
    """The metric of that name for a kind of task; case, dashes and common aliases are understood.

    Raises:
        UsageError: no such metric, or one that cannot score this kind; names the allowed ones.

    >>> resolve_metric("F1-macro", "multiclass").name, resolve_metric("auc", "binary").name
    ('f1_macro', 'roc_auc')
    """
    metric = known_metric(name)
    allowed = metric_names(kind)
    if metric is not None and kind in metric.kinds:
        return metric
    if metric is not None:
        message = f"metric may be {', '.join(allowed)} for a {kind} target, got {name}"
        raise UsageError(message)
    hint = suggestion(
        _plain(name), allowed, place=f"lanewise.metrics.metric_names({kind!r})", noun=f"a {kind} target has"
    )
    message = f"no metric is called {name!r}; {hint}"
    raise UsageError(message)


def score_all(
    task: Task, y: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Every metric that fits the task, the deciding one first; NaN where one is not defined.

    Arguments as in :meth:`Metric.score`.
    """
    deciding = resolve_metric(task.metric, task.kind).name
    names = (deciding, *(name for name in metric_names(task.kind) if name != deciding))
    return {name: METRICS[name].score(y, prediction, weight, threshold=threshold) for name in names}
