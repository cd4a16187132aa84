"""Where the settings of a fit come from: options, then the environment, then a file, then the defaults."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lanewise.cli.paths import check_source
from lanewise.cli.toml_settings import read_toml
from lanewise.cli.wording import as_options
from lanewise.errors import ConfigError, UsageError, UserError, all_of, closest
from lanewise.settings.fit import FitSettings, as_called, checked, metrics_stated
from lanewise.settings.names import OPTIMIZERS
from lanewise.settings.text_form import as_names, names_of
from lanewise.task import TaskKind

PREFIX = "LANEWISE_"
COLUMNS = "the columns are "
"""How a message begins that lists the columns of a table."""
NO_SOURCE = "name a table to learn from: lanewise fit FILE --target COLUMN, or lanewise fit example:iris"
OTHERS = ("home", "job", "rank_timeout", "debug")
"""What variables say that is no setting of a fit."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a fit was told: its source, its settings, where to put the report, and ``words`` on where it was said.

    ``wanted`` are the settings as they were checked; ``elsewhere`` names those that were not stated by an option.
    ``more`` are the arguments that say on the command line what was said elsewhere, so that it repeats the run.
    """

    source: str
    settings: Mapping[str, Any]
    wanted: FitSettings
    report: Path | None
    words: str
    elsewhere: frozenset[str] = frozenset()
    more: tuple[str, ...] = ()


def gather(*, source: str | None, report: Path | None, options: Mapping[str, Any], config: Path | None) -> Given:
    """Merge the layers of settings and check them, all mistakes at once.

    ``options`` that are None were not given. The file is ``config``, or else ``lanewise.toml`` or the part
    ``[tool.lanewise]`` of ``pyproject.toml`` in the working directory; it may state ``source`` and ``report`` too.

    Raises ``ConfigError`` for a setting that is unknown or off, ``UsageError`` where there is no source.
    """
    file, name = _from_file(config)
    own = {key: file.pop(key) for key in ("source", "report") if key in file}
    text = {key: value for key, value in own.items() if isinstance(value, str)}
    odd = [f"{key} must be text, got {own[key]!r} (from {name})" for key in own if key not in text]
    own = text
    variables = from_environment(os.environ)
    stated = {key: value for key, value in options.items() if value is not None}
    more = [] if source or "source" not in own else [own["source"]]
    source = source or own.get("source")
    settings = file | variables | stated
    places = dict.fromkeys(file, name) | {key: PREFIX + key.upper() for key in variables}
    places = {key: place for key, place in places.items() if key not in stated}
    # Whoever fits checks again; here the message can say where a setting came from.
    called = {key: f"--{key.replace('_', '-')}" for key in (*stated, "target") if key not in places}
    stated_target = {"target": ""} if source is None or source.startswith("example:") else {}
    mistakes = [*([NO_SOURCE] if source is None and not odd else odd), *_mesh_mistakes(settings.get("mesh"), places)]
    try:
        wanted = checked(stated_target | settings, places=places, called=called, known=_names_for(settings))
    except ConfigError as error:
        found = error if source is None else _beside_columns(error, source, settings, called)
        if not mistakes:
            raise found from None
        known = found.mistakes or (str(found),)
        raise all_of(ConfigError, [*mistakes, *known], heading="several things are off") from None
    if mistakes:
        raise all_of(ConfigError if odd else UsageError, mistakes, heading=f"{len(mistakes)} settings are off")
    assert source is not None, "without one there are mistakes"
    said = [f"{key} from {place}" for key, place in places.items()]
    return Given(
        source=source,
        settings=settings,
        wanted=wanted,
        report=report or (Path(own["report"]) if "report" in own else None),
        words=f"also set: {', '.join(said)}" if said else "",
        elsewhere=frozenset(places),
        more=(*more, *(part for key in places for part in _argument(key, settings[key]))),
    )


def _mesh_mistakes(stated: object, places: Mapping[str, str]) -> list[str]:
    """What is wrong with a mesh by itself; whether it suits the ranks is for them to say."""
    from lanewise.distributed.mesh import AUTO, Mesh

    if not isinstance(stated, str) or stated == AUTO:  # what is no text is refused among the settings
        return []
    try:
        Mesh.parse(stated)
    except UsageError as error:
        return [f"{error} (from {places['mesh']})" if "mesh" in places else str(error)]
    return []


def _beside_columns(
    error: ConfigError, source: str, settings: Mapping[str, Any], called: Mapping[str, str]
) -> ConfigError:
    """The mistakes of settings, and beside them what is wrong with the table and the columns that are named."""
    names = {role: settings.get(role) for role in ("weight", "group", "time")}
    target, drop = settings.get("target", ""), settings.get("drop") or ()
    columns = names_of(drop) if isinstance(drop, str) else drop if isinstance(drop, list | tuple) else ()
    if not all(isinstance(one, str | None) for one in (*names.values(), *columns)) or not isinstance(target, str):
        return error
    from lanewise.data.read_options import ReadOptions

    how = {name: settings[name] for name in ("delimiter", "encoding") if isinstance(settings.get(name), str)}
    kind = settings["task"] if settings.get("task") in get_args(TaskKind) else None
    try:
        options = ReadOptions(**how)
    except UsageError:  # refused among the settings already
        options = ReadOptions()
    try:
        metric = _known_metric(settings)
        check_source(source, options, target=target, drop=tuple(columns), roles=names, kind=kind, metric=metric)
    except UserError as other:
        known = error.mistakes or (str(error),)
        found = [_of_columns(line, called) for line in other.mistakes or (str(other),)]
        more = [line for line in found if line and line not in known]
        if len(known) == 1 and more == [line for line in more if line.startswith(COLUMNS)]:
            return ConfigError("; ".join([*known, *more]))
        return all_of(ConfigError, [*known, *more], heading="several things are off") if more else error
    return error


def _of_columns(line: str, called: Mapping[str, str]) -> str:
    """A mistake in columns, in the words of the command line; of a target that was not stated, the columns there are.

    >>> _of_columns("no column '' in t.csv: the columns are 'a', 'b'", {})
    "the columns are 'a', 'b'"
    """
    unstated, _, there = line.partition(f": {COLUMNS}")
    if unstated.startswith("no column '' in "):
        return COLUMNS + there
    if line.startswith("target names ''"):
        return ""
    line = re.sub(r"^no column ('.*?') in (.*?): ", r"target names \1, no column of \2: ", line)
    return as_options(as_called(line, called) if " names " in line else line, called)


def _names_for(settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The names that optimizers may have, and those of metrics where the one that is stated is none."""
    known: dict[str, tuple[str, ...]] = {"optimizers": OPTIMIZERS}
    stated = metrics_stated(settings)
    if stated:
        from lanewise.metrics import unknown_metrics

        known |= unknown_metrics(stated)
    return known


def _known_metric(settings: Mapping[str, Any]) -> str | None:
    """The metric that is stated, where there is one of that name for any target."""
    from lanewise.metrics import unknown_metrics

    stated = settings.get("metric")
    return stated if isinstance(stated, str) and not unknown_metrics({"metric": stated}) else None


def _argument(name: str, value: object) -> tuple[str, str]:
    """A setting as an option of the command line.

    >>> _argument("class_weights", {"no": 1, "yes": 5}), _argument("drop", ["id", "Income, net"])
    (('--class-weights', 'no=1,yes=5'), ('--drop', 'id,"Income, net"'))
    """
    if isinstance(value, Mapping):
        value = [f"{key}={one}" for key, one in value.items()]
    join = as_names if name in ("drop", "missing", "class_weights") else ",".join
    words = join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"--{name.replace('_', '-')}", words


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings among the variables: ``LANEWISE_SEED`` is ``seed``. An empty variable states nothing.

    One that is nearly called as a setting is taken for a slip, to be refused as a setting that there is not; others
    may be somebody else's.

    >>> from_environment({"LANEWISE_SEED": "3", "LANEWISE_FOLDZ": "4", "LANEWISE_HOME": "/runs", "LANEWISE_BUDGET": ""})
    {'seed': '3', 'foldz': '4'}
    """
    stated = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    known = FitSettings.model_fields
    return {
        name: value
        for name, value in stated.items()
        if value and (name in known or (name not in OTHERS and closest(name, known)))
    }


def _from_file(config: Path | None) -> tuple[dict[str, Any], str]:
    """The settings of a file and its name."""
    if config is not None:
        return read_toml(config), str(config)
    for name in ("lanewise.toml", "pyproject.toml"):
        try:
            there = Path(name).is_file()
        except PermissionError as error:
            message = (
                f"the working folder may not be searched for {name}; start lanewise in one that you may search, or "
                "name a file of settings with --config"
            )
            raise ConfigError(message) from error
        if there:
            found = read_toml(Path(name))
            if found:
                return found, name
    return {}, ""
