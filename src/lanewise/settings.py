"""Everything that a fit can be told, checked at once."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lanewise.errors import ConfigError, UsageError

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h|steps?)")
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_budget(text: str) -> tuple[float | None, int | None]:
    """Seconds or steps of a budget such as ``30s``, ``10min``, ``1h`` or ``2000steps``.

    >>> parse_budget("10min"), parse_budget("2000steps")
    ((600.0, None), (None, 2000))
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if not match or float(match[1]) <= 0:
        message = f"budget must be a time such as 30s or 10min, or steps such as 2000steps, got {text!r}"
        raise UsageError(message)
    if match[2].startswith("step"):
        if not float(match[1]).is_integer():
            message = f"a budget in steps must be whole, got {text!r}"
            raise UsageError(message)
        return None, int(float(match[1]))
    return float(match[1]) * _SECONDS[match[2]], None


class FitSettings(BaseModel):
    """The settings of a fit; a TOML file may hold any of them under the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    task: Literal["regression", "count", "binary", "multiclass"] | None = None
    metric: str | None = None
    test: str | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    drop: tuple[str, ...] = ()
    weight: str | None = None
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    group: str | None = None
    time: str | None = None
    budget: str | None = None
    models: tuple[Literal["lightgbm", "mlp", "linear", "tree"], ...] = ("lightgbm", "mlp", "linear", "tree")
    optimizers: tuple[str, ...] = ()
    search: Literal["halving", "grid", "random"] = "halving"
    candidates: Positive | None = None
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    seeds: Annotated[int, Field(ge=1, le=100)] | None = None
    seed: Seed = 0
    ensemble: Literal["auto", "always", "never"] = "auto"
    threshold: str | None = None
    device: Literal["auto", "cpu"] = "auto"
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None

    @field_validator("drop", "optimizers", "models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("models", "optimizers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("budget")
    @classmethod
    def _budget(cls, value: str | None) -> str | None:
        if value is not None:
            parse_budget(value)
        return value


def checked(values: Mapping[str, Any]) -> FitSettings:
    """Settings from plain values; every mistake is reported in one error."""
    try:
        return FitSettings(**values)
    except ValidationError as error:
        lines = [_line(problem) for problem in error.errors()]
        message = lines[0] if len(lines) == 1 else f"{len(lines)} settings are off: " + "; ".join(lines)
        raise ConfigError(message) from None


def _line(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"{name} is no setting; the settings are {', '.join(sorted(FitSettings.model_fields))}"
    if problem["type"] == "missing":
        return f"{name} is missing; state it"
    text = problem["msg"].removeprefix("Value error, ")
    return text if text.startswith(name) else f"{name}: {text[0].lower()}{text[1:]}, got {problem['input']!r}"


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: at its top level, or under ``[tool.lanewise]`` of a pyproject file."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        message = f"there is no configuration file {path}"
        raise ConfigError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        message = f"{path} is not readable as TOML: {error}"
        raise ConfigError(message) from None
    return content.get("tool", {}).get("lanewise", {}) if path.name == "pyproject.toml" else content
