"""What a candidate decides beside its model and optimizer, and when two of them decide it differently."""

from collections.abc import Sequence
from dataclasses import dataclass

from lanewise.lanes.candidate import Candidate, Value

SAME_WITHIN = 1.5
"""Two numbers within this factor of each other are not asked about: no race tells them apart."""

NAMES = {
    "lr": "learning rate",
    "l1": "L1",
    "l2": "L2",
    "clip_norm": "gradient clipping",
    "clip_value": "gradient clipping by value",
    "clip_adaptive": "adaptive gradient clipping",
    "skip_nonfinite": "skipping of non-finite updates",
    "sam_rho": "sharpness-aware minimization",
    "lambda_l1": "L1",
    "lambda_l2": "L2",
    "num_leaves": "leaves",
    "max_depth": "depth",
    "min_child_samples": "rows per leaf",
    "min_samples_leaf": "rows per leaf",
    "ccp_alpha": "pruning",
    "forest": "kind of forest",
    "max_features": "share of the columns tried",
    "features": "columns",
    "feature_share": "share of the columns",
}

WAYS = {"l1-path": "by their L1 path", "permutation": "by permutation"}
"""Values in words, of settings whose own words do not speak for themselves."""


READ = frozenset({"features", "feature_share"})
"""Settings that say together which columns a candidate reads."""


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """A choice that one or several settings make up: ``name`` in words, and the ``settings``."""

    name: str
    settings: tuple[str, ...]

    def differs(self, one: Candidate, other: Candidate) -> bool:
        """Whether two candidates made another choice here; numbers must differ by a factor of 1.5."""
        return any(_differ(one.settings[name], other.settings[name]) for name in self._shared(one, other))

    def apart(self, one: Candidate, other: Candidate) -> tuple[str, ...]:
        """Its settings that are written differently for two candidates, by however little."""
        pairs = {name: (one.settings[name], other.settings[name]) for name in self._shared(one, other)}
        return tuple(name for name, (mine, its) in pairs.items() if value_words(mine) != value_words(its))

    def _shared(self, one: Candidate, other: Candidate) -> list[str]:
        return [name for name in self.settings if name in one.settings and name in other.settings]


ASPECTS = (
    Aspect(name="learning rate", settings=("lr", "learning_rate")),
    Aspect(name="schedule", settings=("schedule", "warmup")),
    Aspect(name="batch size", settings=("batch_size",)),
    Aspect(
        name="structure",
        settings=(
            "width",
            "depth",
            "activation",
            "layer_norm",
            "num_leaves",
            "max_depth",
            "forest",
            "max_features",
        ),
    ),
    Aspect(name="columns", settings=("features", "feature_share")),
    Aspect(name="loss", settings=("loss", "tree_loss")),
    Aspect(
        name="regularization",
        settings=(
            "dropout",
            "weight_decay",
            "l1",
            "l2",
            "label_smoothing",
            "lambda_l1",
            "lambda_l2",
            "min_child_samples",
            "min_samples_leaf",
            "ccp_alpha",
            "leaf_smoothing",
        ),
    ),
)


def differing(one: Candidate, other: Candidate) -> tuple[Aspect, ...]:
    """The aspects in which two candidates differ, by however little; a setting of none of them is one by itself."""
    known = {name for aspect in ASPECTS for name in aspect.settings}
    rest = (Aspect(name=setting_name(name), settings=(name,)) for name in one.settings if name not in known)
    return tuple(aspect for aspect in (*ASPECTS, *rest) if aspect.apart(one, other))


def chosen_words(aspects: Sequence[Aspect], one: Candidate, other: Candidate) -> str:
    """What ``one`` chose where it differs from ``other``: the value alone where the question names the setting."""
    names = [name for aspect in aspects for name in aspect.apart(one, other)]
    read = [_columns_read(one)] if READ.issubset(names) else []
    if read:
        names = [name for name in names if name not in READ]
    if len(names) == 1 and not read:
        value = one.settings[names[0]]
        if isinstance(value, str) or setting_name(names[0]) in [aspect.name for aspect in aspects]:
            return _shown(names[0], value)
    return ", ".join([*read, *(f"{setting_name(name)} {_shown(name, one.settings[name])}" for name in names)])


def _columns_read(one: Candidate) -> str:
    """Which columns a candidate reads, of its two settings together."""
    if one.settings["features"] == "all":
        return "all columns"
    return f"{one.number('feature_share', 1.0):.0%} of the columns {value_words(one.settings['features'])}"


def setting_name(name: str) -> str:
    """A setting's name in words.

    >>> setting_name("weight_decay"), setting_name("lr")
    ('weight decay', 'learning rate')
    """
    return NAMES.get(name, name.replace("_", " "))


def value_words(value: Value) -> str:
    """A setting's value in words.

    >>> value_words(0.0031623), value_words(True), value_words("cosine"), value_words(128), value_words(0.999)
    ('0.0032', 'yes', 'cosine', '128', '0.999')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        # What is below 1, as a decay rate must be, is not rounded to it.
        shown = (f"{value:.{digits}g}" for digits in range(2, 18))
        return next((text for text in shown if not value < 1 <= float(text)), f"{value:g}")
    return WAYS.get(str(value), str(value)).replace("_", " ")


def _shown(name: str, value: Value) -> str:
    """A value in words, of a setting in which 0 has a meaning of its own."""
    return "unlimited" if name == "max_depth" and value == 0 else value_words(value)


def first_listed(words: Sequence[str], most: int = 3) -> str:
    """The first few words as a phrase, with how many more there are.

    >>> first_listed(["width", "depth", "dropout", "schedule", "beta1"])
    'width, depth, dropout and 2 more'
    """
    more = len(words) - most
    return listed([*words[:most], f"{more} more"] if more > 1 else words)


def listed(words: Sequence[str]) -> str:
    """Words as a phrase.

    >>> listed(["dropout"]), listed(["width", "depth", "dropout"])
    ('dropout', 'width, depth and dropout')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _differ(one: Value, other: Value) -> bool:
    if isinstance(one, bool | str) or isinstance(other, bool | str):
        return one != other
    low, high = sorted((abs(one), abs(other)))
    return one * other < 0 or high > SAME_WITHIN * low
