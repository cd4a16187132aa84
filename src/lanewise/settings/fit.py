"""Everything that a fit can be told, checked at once."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from lanewise.errors import FEW, ConfigError, UsageError, all_of, closest, suggestion
from lanewise.settings.budget import parse_budget
from lanewise.settings.conflicts import conflicts, roles_twice
from lanewise.settings.names import DEEPEST, LISTS, MEANT, WIDEST, Activation, Loss, Scaling, Schedule
from lanewise.settings.text_form import checked_delimiter, checked_encoding, names_of, parse_bytes

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(gt=0, lt=1)]

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
"""How a device is named; ``auto`` is the processor, so that the same command trains the same bits on every machine."""

Stream = Literal["auto", "always", "never"]
"""Whether rows are streamed from disk: where the memory asks for it, always, never."""

Payload = Literal["full", "bfloat16"]
"""What gradients travel as between ranks that share batches: as they are, or rounded to half of the bytes."""

_CLASS_WEIGHTS = "class_weights must be 'balanced' or a weight for classes such as no=1,yes=5"


def parse_class_weights(value: object) -> str | dict[str, float]:
    """``balanced``, or a positive weight for each class that is named; one with a comma stands in double quotes.

    >>> parse_class_weights("no=1, yes=5")
    {'no': 1.0, 'yes': 5.0}
    >>> parse_class_weights('"yes, of course"=5')
    {'yes, of course': 5.0}
    """
    if value == "balanced":
        return "balanced"
    if isinstance(value, str) and "=" in value:
        pairs = [_pair(part) for part in names_of(value)]
    else:
        pairs = [(str(name), weight) for name, weight in value.items()] if isinstance(value, Mapping) else []
    if not pairs:
        message = f"{_CLASS_WEIGHTS}, got {value!r}"
        raise UsageError(message)
    wrong = [f"{own!r} for {name!r}" for name, own in pairs if not 0 < _number(own) < math.inf]
    if wrong:
        message = f"class_weights must be above zero, got {', '.join(wrong)}"
        raise UsageError(message)
    weights = {name: _number(own) for name, own in pairs}
    if len(weights) < len(pairs):
        message = f"class_weights must name each class once, got {', '.join(repr(name) for name, _ in pairs)}"
        raise UsageError(message)
    return weights


def _pair(part: str) -> tuple[str, Any]:
    name, _, weight = part.rpartition("=")
    return name.strip(), weight


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def threshold_value(text: str) -> float | None:
    """The number that a threshold states; None where it names a metric. ``UsageError`` outside of 0 to 1.

    >>> threshold_value("0.3"), threshold_value("f1")
    (0.3, None)
    """
    if not _is_number(text):
        return None
    if not 0 < float(text) < 1:
        message = f"threshold must be a metric or a number between 0 and 1, got {text}"
        raise UsageError(message)
    return float(text)


def metrics_stated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of plain ``values`` of settings those that name a metric: a threshold may state a number instead.

    >>> metrics_stated({"metric": "auc", "threshold": "1.5", "folds": 3}), metrics_stated({"threshold": "f1"})
    ({'metric': 'auc'}, {'threshold': 'f1'})
    """
    return {name: values[name] for name in ("metric", "threshold") if name in values and not _is_number(values[name])}


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


class FitSettings(BaseModel):
    """The settings of a fit; a TOML file may hold any of them under the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    task: Literal["regression", "count", "binary", "multiclass"] | None = None
    metric: str | None = None
    test: str | None = None
    test_fraction: Share | None = None
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    max_bytes: Positive | None = None
    weight: str | None = None
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    positive: str | None = None
    group: str | None = None
    time: str | None = None
    budget: str | None = None
    models: Annotated[tuple[Literal["lightgbm", "mlp", "linear", "forest", "tree"], ...], Field(min_length=1)] = (
        "lightgbm",
        "mlp",
        "linear",
        "forest",
        "tree",
    )
    optimizers: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    widths: tuple[Annotated[int, Field(ge=1, le=WIDEST)], ...] = ()
    depths: tuple[Annotated[int, Field(ge=1, le=DEEPEST)], ...] = ()
    activations: tuple[Activation, ...] = ()
    scaling: Scaling = "auto"
    search: Literal["halving", "grid", "random"] = "halving"
    policy: Literal["halving", "hyperband", "racing", "never"] = "halving"
    candidates: Positive | None = None
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    seeds: Annotated[int, Field(ge=1, le=100)] | None = None
    seed: Seed = 0
    ensemble: Literal["auto", "always", "never"] = "auto"
    threshold: str | None = None
    device: str = "auto"
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    mesh: str | None = None
    payload: Payload = "full"
    stream: Stream = "auto"

    @field_validator("drop", "missing", *LISTS, mode="before")
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:
        if info.field_name in ("widths", "depths") and isinstance(value, int):
            return (value,)
        if not isinstance(value, str):
            return value
        if info.field_name in ("drop", "missing"):
            return names_of(value)
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        if not parts and info.field_name in LISTS:
            message = f"must name one at least, got {value!r}; leave it out to let the race choose"
            raise UsageError(message)
        return parts

    @field_validator(*LISTS)
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("budget", mode="before")
    @classmethod
    def _budget(cls, value: object) -> object:
        if value is None:
            return None
        parse_budget(value)
        return value

    @field_validator("delimiter", "encoding", mode="after")
    @classmethod
    def _text_form(cls, value: str | None, info: ValidationInfo) -> str | None:
        check = checked_delimiter if info.field_name == "delimiter" else checked_encoding
        return None if value is None else check(value)

    @field_validator("max_bytes", mode="before")
    @classmethod
    def _max_bytes(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _class_weights(cls, value: object) -> object:
        return None if value is None else parse_class_weights(value)

    @field_validator("positive", mode="before")
    @classmethod
    def _positive(cls, value: object) -> object:
        """A number or a truth value as text; the class is found by what it means."""
        if getattr(value, "shape", None) == ():  # a scalar of NumPy, whose truth values are no numbers
            value = cast(Any, value).item()
        return str(value) if isinstance(value, Real) else value

    @field_validator("device", mode="before")
    @classmethod
    def _device(cls, value: object) -> object:
        text = str(value)
        if not DEVICE.fullmatch(text):
            hint = "; a GPU is named cuda" if "gpu" in text.lower() else ""
            message = f"device must be auto, cpu, cuda or cuda:N, got {value!r}{hint}"
            raise UsageError(message)
        return text

    @field_validator("threshold", mode="before")
    @classmethod
    def _threshold(cls, value: object) -> object:
        if value is None:
            return None
        threshold_value(str(value))
        return str(value)

    @field_validator("test_fraction", mode="after")
    @classmethod
    def _one_test(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("test") is not None:
            message = "cannot hold rows out beside a test file; leave one of the two out"
            raise UsageError(message)
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        # True would pass as the number 1.
        if isinstance(value, bool) and info.field_name != "positive":
            message = f"must be a number or text, got {str(value).lower()}"
            raise UsageError(message)
        return value


def checked(
    values: Mapping[str, Any],
    *,
    places: Mapping[str, str] | None = None,
    called: Mapping[str, str] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
) -> FitSettings:
    """Settings from plain values; every mistake is reported in one error, a line each where there are several.

    ``places`` says where a setting was stated, if that is worth telling: ``{"seed": "LANEWISE_SEED"}``; ``called``
    how whoever stated it calls it: ``{"seed": "--seed"}``. ``known`` are names that a setting may list and that are
    settled elsewhere: ``{"optimizers": ["adam", "sgd"]}``.

    >>> checked({"target": "y", "folds": 1}, called={"folds": "--folds"})
    Traceback (most recent call last):
    lanewise.errors.ConfigError: --folds must be at least 2, got 1
    """
    problems: list[Any] = []
    try:
        found = FitSettings(**values)
    except ValidationError as error:
        problems = error.errors()
        wrong = {problem["loc"][0] for problem in problems if problem["loc"]}
        found = FitSettings(**{"target": "", **{name: one for name, one in values.items() if name not in wrong}})
    lines = [_line(problem, places or {}) for problem in _told_once(problems)]
    lines += [line for name, names in (known or {}).items() for line in _unknown(name, names, values, places or {})]
    lines += [f"{line}{_where(line.partition(' ')[0], places or {})}" for line in _contradictions(found)]
    if not lines:
        return found
    lines = [as_called(line, called or {}) for line in lines]
    raise all_of(ConfigError, lines, heading=f"{len(lines)} settings are off")


def _contradictions(found: FitSettings) -> Iterator[str]:
    """What is right by itself and contradicts another setting."""
    yield from conflicts({name: getattr(found, name) for name in LISTS}, scaling=found.scaling)
    roles = [("target", found.target), *(("drop", name) for name in found.drop)]
    roles += [(role, getattr(found, role)) for role in ("weight", "group", "time")]
    yield from roles_twice((role, name) for role, name in roles if name)
    if found.group is not None and found.time is not None:
        yield "group and time exclude each other: rows are split by groups or by time; leave one out"


def _where(setting: str, places: Mapping[str, str]) -> str:
    return f" (from {places[setting]})" if setting in places else ""


def as_called(line: str, called: Mapping[str, str]) -> str:
    """The line with the setting that it begins with, or the two, called otherwise.

    >>> as_called("group and time exclude each other", {"group": "--group", "time": "--time"})
    '--group and --time exclude each other'
    """
    name, _, rest = line.partition(" ")
    second = rest.removeprefix("and ").partition(" ")[0] if rest.startswith("and ") else ""
    if second in called:
        rest = f"and {called[second]}{rest[len('and ') + len(second) :]}"
    return f"{called.get(name, name)} {rest}"


def _shown(given: object, kind: str) -> str:
    """What was given; a number that came as text, from the command line, without quotes."""
    return str(given).strip() if isinstance(given, str) and kind.endswith(("_equal", "_than")) else repr(given)


def _told_once(problems: list[Any]) -> list[Any]:
    """One problem for each setting: unknown names of a list together, and not that it is empty as well."""
    unknown: dict[Any, list[Any]] = {}
    for problem in problems:
        if problem["type"] == "literal_error":
            unknown.setdefault(problem["loc"][:1], []).append(problem["input"])
    said: set[Any] = set()
    told: list[Any] = []
    for problem in problems:
        setting, kind = problem["loc"][:1], problem["type"]
        if setting not in unknown or kind not in ("literal_error", "too_short"):
            told.append(problem)
        elif kind == "literal_error" and setting not in said:
            said.add(setting)
            told.append({**problem, "input": unknown[setting]})
    return told


def _unknown(setting: str, known: Sequence[str], values: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    """A line for each name that a setting lists and that is not known."""
    given = values.get(setting)
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else ()
    where = _where(setting, places)
    for name in names:
        if isinstance(name, str) and name.strip() and name.strip() not in known:
            place = _LISTED.get(setting, "")
            hint = suggestion(name.strip(), known, place=place, most=FEW if place else len(known))
            yield f"{setting} may not be {name.strip()!r}{where}; {hint}"


_LISTED = {
    "optimizers": "lanewise.optim.registry.RULES",
    **dict.fromkeys(("metric", "threshold"), "lanewise.metrics.METRICS"),
}
"""Where Python finds the names that a setting may have, if they are too many to be told."""

_WORDS = {
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be above {gt:g}",
    "less_than": "must be below {lt:g}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "tuple_type": "must be a list of names",
    "too_short": "must name one at least",
}
"""What pydantic's kinds of mistakes are called here."""


def _line(problem: Any, places: Mapping[str, str]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    where, given = _where(name, places), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            hint = suggestion(name, sorted(FitSettings.model_fields), place="lanewise.settings.fit.FitSettings")
            return f"{name} is no setting{where}; {hint}"
        case "missing":
            return f"{name} is missing: name the column to predict"
        case "value_error":
            text = problem["msg"].removeprefix("Value error, ")
            return f"{text if name in text.split() or text.startswith('a budget') else f'{name} {text}'}{where}"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
            near = dict.fromkeys(either(found) for wrong in given if (found := _near(name, wrong, allowed)))
            hint = f"; did you mean {' and '.join(near)}?" if near else ""
            return f"{name} must be {either(allowed)}, got {' and '.join(map(repr, given))}{where}{hint}"
        case kind if kind in _WORDS:
            share = name == "test_fraction" and kind == "less_than" and isinstance(given, int | float | str)
            hint = f"; {float(given):g}% are {float(given) / 100:g}" if share and float(given) < 100 else ""
            return f"{name} {_WORDS[kind].format(**problem.get('ctx', {}))}, got {_shown(given, kind)}{where}{hint}"
    return f"{name}: {problem['msg']}, got {given!r}{where}"


def _near(setting: str, given: object, allowed: Sequence[str]) -> Sequence[str]:
    """What is called so elsewhere, else the nearest name.

    >>> _near("models", "XGBoost", ["lightgbm", "mlp"]), _near("models", "lightgmb", ["lightgbm", "mlp"])
    (('lightgbm',), ['lightgbm'])
    """
    plain = re.sub(r"[\s-]+", "_", str(given).strip().lower())
    return MEANT.get(setting, {}).get(plain) or closest(given, allowed, most=1)


def either(names: Sequence[str]) -> str:
    """Names as a choice.

    >>> either(["a"]), either(["a", "b", "c"])
    ('a', 'a, b or c')
    """
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
