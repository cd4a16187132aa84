"""Settings that do well on many tables: they enter a race before any point of the search."""

from lanewise.lanes.candidate import Value

BOOSTED_ANCHORS: tuple[dict[str, Value], ...] = (
    {"learning_rate": 0.05, "num_leaves": 31, "feature_fraction": 0.8, "bagging_fraction": 0.8, "lambda_l2": 1.0},
    {"learning_rate": 0.05, "num_leaves": 12, "feature_fraction": 0.7, "bagging_fraction": 0.9, "lambda_l2": 0.1},
    {"learning_rate": 0.05, "num_leaves": 80, "feature_fraction": 0.6, "bagging_fraction": 0.8, "lambda_l2": 5.0},
    {"learning_rate": 0.08, "num_leaves": 63, "feature_fraction": 0.8, "lambda_l2": 1.0, "extra_trees": True},
)
"""Settings of boosted trees that do well on many tables: they enter before any point of the search."""

NETWORK_ANCHORS: tuple[dict[str, Value], ...] = (
    {"lr": 3e-3, "weight_decay": 0.01, "dropout": 0.1},
    {"lr": 1e-3, "weight_decay": 0.05, "dropout": 0.35, "warmup": 0.05},
    {"lr": 8e-3, "weight_decay": 0.03, "dropout": 0.2},
)
"""The same for AdamW on networks."""

FORESTS: dict[bool, tuple[dict[str, Value], ...]] = {
    True: (
        {"forest": "extra", "max_features": 0.5, "min_samples_leaf": 2},
        {"forest": "random", "max_features": 0.3, "min_samples_leaf": 5},
        {"forest": "extra", "max_features": 0.7, "min_samples_leaf": 1},
        {"forest": "extra", "max_features": 0.6, "min_samples_leaf": 5},
        {"forest": "random", "max_features": 0.3, "min_samples_leaf": 15},
        {"forest": "extra", "max_features": 0.25, "min_samples_leaf": 2},
        {"forest": "random", "max_features": 0.6, "min_samples_leaf": 2},
    ),
    False: (
        {"forest": "random", "max_features": 0.6, "min_samples_leaf": 1},
        {"forest": "extra", "max_features": 0.9, "min_samples_leaf": 1},
        {"forest": "random", "max_features": 0.35, "min_samples_leaf": 4},
        {"forest": "extra", "max_features": 0.4, "min_samples_leaf": 1},
        {"forest": "random", "max_features": 1.0, "min_samples_leaf": 1},
        {"forest": "extra", "max_features": 0.9, "min_samples_leaf": 4},
    ),
}
"""Forests for classes (True) and numbers that enter before any point of the search, the default first."""
