"""The names that a candidate of a tuning race may use, and what is said about others."""

from collections.abc import Iterable, Sequence

from lanewise.errors import FEW, UsageError, closest, suggestion
from lanewise.lanes.candidate import Value
from lanewise.reporting.words import listing
from lanewise.tuning.averaging import USUAL as AVERAGING
from lanewise.tuning.drop_ins import RACED

LOOP = ("batch_size", "schedule", "warmup", "clip_norm", *AVERAGING)
"""Settings of the loop rather than of a rule."""

UNSTATED: dict[str, Value] = {"warmup": 0.0, "clip_norm": 0.0, **AVERAGING}
"""Settings of the loop that a candidate need not have, and what they are then."""

LOGARITHMIC = ("lr", "weight_decay", "eps", "clip_norm", "batch_size", "average_every", "outer_lr")
"""Settings that a search varies on a log scale, whatever the rule declares."""


LISTED = "docs/tune-race.md"
"""Where all optimizers of a tuning race are listed; to who is near one of them they need not be."""

CALLED: dict[str, str] = {
    **dict.fromkeys(("learning_rate", "learningrate", "learnrate", "learn_rate", "rate", "eta"), "lr"),
    **dict.fromkeys(("wd", "l2", "decay"), "weight_decay"),
    **dict.fromkeys(("batch", "batchsize", "bs"), "batch_size"),
    **dict.fromkeys(("opt", "optim", "rule", "algorithm"), "optimizer"),
    **dict.fromkeys(("scheduler", "lr_schedule", "lr_scheduler"), "schedule"),
    **dict.fromkeys(("clip", "grad_clip", "gradient_clip", "max_norm", "max_grad_norm"), "clip_norm"),
    **dict.fromkeys(("warm_up", "warmup_steps", "warmup_ratio"), "warmup"),
    "epsilon": "eps",
}
"""What settings are called elsewhere, too unlike their names here to be found by their letters."""


LENGTHS = frozenset(
    f"{most}{what}"
    for what in ("epoch", "epochs", "step", "steps", "iteration", "iterations", "iters")
    for most in ("", "n_", "num_", "max_")
)
"""What the length of a training is called elsewhere, which is no setting here."""


def known_rule(name: object) -> None:
    """``UsageError`` where ``name`` is no optimizer that a tuning race offers."""
    if name not in RACED:
        most = FEW if closest(name, RACED) else len(RACED)
        message = f"there is no optimizer {name!r} to tune with; {suggestion(name, RACED, place=LISTED, most=most)}"
        raise UsageError(message)


def known_setting(name: str, allowed: Iterable[str], *, takers: str = "there are") -> None:
    """``UsageError`` where ``name`` is none of the ``allowed`` settings, which ``takers`` have (:func:`takers_of`)."""
    known = sorted(allowed)
    if name not in known:
        check_no_other(name)
        message = f"there is no setting {name!r}; {suggestion(as_called(name, known), known, noun=takers)}"
        raise UsageError(message)


def check_no_other(name: str) -> None:
    """``UsageError`` where a setting is called as something else is here.

    That is an optimizer, for torch's SGD has momentum among its settings, or the length of a training.
    """
    if name in RACED:
        message = f"there is no setting {name!r} here; it is an optimizer of its own: give 'optimizer': {name!r}"
        raise UsageError(message)
    if str(name).strip().lower().replace("-", "_") in LENGTHS:
        message = (
            f"there is no setting {name!r}: budget says how long candidates train, such as budget='2000steps' or "
            "'10min', and the worse ones end earlier; an epoch is as many steps as there are batches in the training "
            "rows"
        )
        raise UsageError(message)


def takers_of(optimizers: Sequence[str], *, stated: bool = True) -> str:
    """Whose settings a list has that follows; ``stated`` says whether whoever gave them named optimizers.

    >>> takers_of(["sgd"]), takers_of(["adamw", "sgd"], stated=False)
    ('sgd takes', 'adamw and sgd, which race as no optimizer is named, take')
    """
    one = len(optimizers) == 1
    why = "" if stated else f", which {'races' if one else 'race'} as no optimizer is named,"
    return f"{listing(list(optimizers))}{why} {'takes' if one else 'take'}"


def as_called(name: object, known: Sequence[str]) -> str:
    """The one of ``known`` that is called ``name`` elsewhere, else the name as it is.

    >>> as_called("Learning-Rate", ["beta1", "lr"]), as_called("beta", ["beta1", "lr"])
    ('lr', 'beta')
    """
    called = CALLED.get(str(name).strip().lower().replace("-", "_"), "")
    return called if called in known else str(name)
