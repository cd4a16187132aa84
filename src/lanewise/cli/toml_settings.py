"""Settings in a TOML file: its own, or the project's."""

import tomllib
from pathlib import Path
from typing import Any

from lanewise.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: at its top level, or under ``[tool.lanewise]`` of a pyproject file."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        message = f"there is no configuration file {path}"
        raise ConfigError(message) from None
    except OSError as error:
        message = f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
        raise ConfigError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not readable as TOML: {error}"
        raise ConfigError(message) from None
    if path.name != "pyproject.toml":
        return content
    tool = content.get("tool")
    found = tool.get("lanewise", {}) if isinstance(tool, dict) else {}
    if not isinstance(found, dict):
        message = f"tool.lanewise of {path} must be a table of settings, got {found!r}"
        raise ConfigError(message)
    return found
