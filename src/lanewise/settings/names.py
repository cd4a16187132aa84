"""The names and numbers by which settings say what may race; to know them nothing of weight is loaded."""

from typing import Literal

Loss = Literal["squared", "huber", "poisson", "logistic", "softmax", "hinge", "squared_hinge"]
"""The losses of linear models and networks; which of them fit depends on the target."""

Schedule = Literal[
    "constant",
    "linear",
    "cosine",
    "exponential",
    "step",
    "polynomial",
    "inverse_square_root",
    "one_cycle",
    "warm_restarts",
    "stable_decay",
    "plateau",
]
"""How the learning rate of a gradient rule may go."""

Activation = Literal["relu", "silu", "gelu", "tanh"]

Scaling = Literal["auto", "standard", "robust", "quantile"]
"""How numbers are scaled for linear models and networks."""

OPTIMIZERS = (
    "lbfgs",
    "adamw",
    "adam",
    "rmsprop",
    "nesterov",
    "momentum",
    "sgd",
    "gd",
    "lion",
    "muon",
    "schedule_free_adamw",
    "dog",
    "amsgrad",
    "amsgradw",
    "nadam",
    "nadamw",
    "radam",
    "radamw",
    "adamax",
    "adagrad",
    "adadelta",
    "rmsprop_momentum",
    "centred_rmsprop",
    "centred_rmsprop_momentum",
    "dampened_momentum",
    "rprop",
    "asgd",
    "polyak",
    "schedule_free_sgd",
    "ademamix",
    "prodigy",
    "adafactor",
    "sgld",
    "shampoo",
    "soap",
)
"""The rules and the solver that may race, first those in use the most."""

SOLVER = "lbfgs"
"""The solver among them: it trains linear models, all rows at a time, by line searches."""

UNSCHEDULED = frozenset({"schedule_free_adamw", "schedule_free_sgd", "asgd", "dog", "polyak", "prodigy"})
"""The rules that a race gives no schedule: they average, or find their rate."""

UNSMOOTH = frozenset({"hinge"})
"""The losses that no solver may minimize."""

WIDEST, DEEPEST = 1024, 16
"""Units of a hidden layer, and hidden layers, that networks of a race may have: many are in memory at once."""

LISTS = ("models", "optimizers", "losses", "schedules", "widths", "depths", "activations")
"""Settings that list what may race."""

MEANT: dict[str, dict[str, tuple[str, ...]]] = {
    "task": {
        **dict.fromkeys(("classification", "classify", "classifier", "class", "classes"), ("binary", "multiclass")),
        **dict.fromkeys(("bool", "boolean", "two_classes", "logistic"), ("binary",)),
        **dict.fromkeys(("multilabel", "multi_class", "categorical", "softmax"), ("multiclass",)),
        **dict.fromkeys(("regressor", "numeric", "number", "numbers", "continuous", "forecasting"), ("regression",)),
        **dict.fromkeys(("poisson", "counts", "integer"), ("count",)),
    },
    "models": {
        **dict.fromkeys(
            ("xgboost", "xgb", "catboost", "lgbm", "gbm", "gbdt", "gbt", "gradient_boosting", "boosting", "adaboost"),
            ("lightgbm",),
        ),
        **dict.fromkeys(("nn", "dnn", "ann", "net", "network", "neural_network", "neural_net", "deep"), ("mlp",)),
        **dict.fromkeys(("ridge", "lasso", "elasticnet", "elastic_net", "logistic", "svm", "ols", "glm"), ("linear",)),
        **dict.fromkeys(("rf", "random_forest", "randomforest", "extra_trees", "bagging"), ("forest",)),
        **dict.fromkeys(("cart", "decision_tree", "decisiontree", "dt"), ("tree",)),
    },
}
"""By setting, what is called so elsewhere, too unlike the names here to be found by their letters."""
