"""JSON that means one thing: no duplicate keys, no NaN or Infinity, no endless files."""

import json
import math
import os
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, NoReturn

from lanewise.errors import StoreError
from lanewise.storage.filesystem import DISK, FileSystem, explained

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 400


def dump_json(value: object, *, sort_keys: bool = False) -> bytes:
    """Write ``value`` as indented UTF-8 JSON that ends in a newline.

    Mappings need text keys; tuples become lists. With ``sort_keys`` equal values give equal bytes.

    Raises:
        StoreError: NaN, an infinity, a key that is not text, or a type that JSON has not; names the place.

    >>> dump_json({"score": 0.25}).decode()
    '{\\n  "score": 0.25\\n}\\n'
    >>> dump_json({"scores": [1.0, float("nan")]})
    Traceback (most recent call last):
    lanewise.errors.StoreError: cannot write scores[1] as JSON: it is nan; give a finite number or None
    """
    try:
        data = (_text(value, "\n", sort_keys) + "\n").encode()
    except _NotJsonError as error:
        raise StoreError(error.message) from None
    except RecursionError:
        msg = "cannot write JSON: it is nested too deeply or contains itself; flatten it"
        raise StoreError(msg) from None
    except ValueError as error:  # a lone surrogate, or an integer of more than 4,300 digits
        msg = f"cannot write JSON: {error}; correct the value"
        raise StoreError(msg) from None
    if len(data) > MAX_BYTES:
        msg = f"cannot write JSON of {len(data):,} bytes: at most {MAX_BYTES:,} are read back; keep less in it"
        raise StoreError(msg)
    return data


def parse_json(data: bytes | bytearray, *, source: str, limit: int = MAX_BYTES) -> Any:
    """Read UTF-8 JSON of at most ``limit`` bytes; ``source`` names it in messages.

    Raises:
        StoreError: too large, not UTF-8, not JSON, a duplicate key, or a number that is not finite.

    >>> parse_json(b'{"lr": 1, "lr": 2}', source="plan.json")
    Traceback (most recent call last):
    lanewise.errors.StoreError: plan.json is not valid: the key 'lr' occurs twice; restore it from a backup
    """
    if len(data) > limit:
        raise _too_large(source, len(data), limit)
    try:
        return json.loads(
            data.decode(), object_pairs_hook=without_doubles, parse_constant=_refuse_constant, parse_float=_finite
        )
    except RecursionError:
        reason = "it is nested too deeply"
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except ValueError as error:
        reason = str(error)
    msg = f"{source} is not valid: {reason}; restore it from a backup"
    raise StoreError(msg) from None


def load_json(path: Path, *, limit: int = MAX_BYTES, fs: FileSystem = DISK) -> Any:
    """Read a JSON file as :func:`parse_json` does; its size is checked before anything is read."""
    return parse_json(read_bounded(path, limit=limit, fs=fs), source=str(path), limit=limit)


def read_bounded(path: Path, *, limit: int = MAX_BYTES, fs: FileSystem = DISK) -> bytes:
    """Read a whole file of at most ``limit`` bytes."""
    with explained("read", path), fs.open(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size > limit:
            raise _too_large(str(path), size, limit)
        file.seek(0)
        return file.read(size)


def _too_large(source: str, size: int, limit: int) -> StoreError:
    return StoreError(f"{source} has {size:,} bytes, at most {limit:,} are read; restore it from a backup")


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which no key may be there twice; ``ValueError`` names the first that is."""
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        msg = f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice"
        raise ValueError(msg)
    return result


def _refuse_constant(text: str) -> NoReturn:
    msg = f"{text} is not a JSON number"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999
        msg = f"{text} is not a finite number"
        raise ValueError(msg)
    return number


class _NotJsonError(Exception):
    """A value that JSON has not; ``steps`` lead to it from the whole, the last one first."""

    def __init__(self, reason: str, *, thing: str = "a value") -> None:
        super().__init__(reason)
        self.thing, self.reason = thing, reason
        self.steps: list[str] = []

    @property
    def message(self) -> str:
        place = "".join(reversed(self.steps)).removeprefix(".")
        return f"cannot write {place or self.thing} as JSON: {self.reason}"


def _text(value: Any, line: str, sorts: bool) -> str:  # noqa: FBT001 (by place, as there are so many calls)
    """The text that ``json.dumps`` would indent, in less time; ``line`` is a line break and the blanks after it.

    A model of 20,000 columns holds a quarter of a million values, and is written several times to be saved.
    """
    single = _SINGLE.get(type(value))
    if single is not None:
        return single(value)
    if isinstance(value, (list, tuple)):
        return _list(value, _deeper(line), sorts)
    if isinstance(value, Mapping):
        return _mapping(value, _deeper(line), sorts)
    for base in (str, int, float):  # a type of its own
        if isinstance(value, base):
            return _SINGLE[base](value)
    reason = f"{type(value).__name__} is not a JSON type; give text, a number, a list or a mapping"
    raise _NotJsonError(reason)


def _float(value: float) -> str:
    if math.isfinite(value):
        return float.__repr__(value)
    reason = f"it is {value}; give a finite number or None"
    raise _NotJsonError(reason)


_SINGLE: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    float: _float,
    bool: ("false", "true").__getitem__,
    type(None): lambda _: "null",
}


def _deeper(line: str) -> str:
    if len(line) > 2 * MAX_DEPTH:
        raise RecursionError
    return line + "  "


def _list(value: list[Any] | tuple[Any, ...], line: str, sorts: bool) -> str:  # noqa: FBT001 (as `_text`)
    items: list[str] = []
    try:
        for item in value:
            items.append(_text(item, line, sorts))
    except _NotJsonError as error:
        error.steps.append(f"[{len(items)}]")
        raise
    return f"[{line}{f',{line}'.join(items)}{line[:-2]}]" if items else "[]"


def _mapping(value: Mapping[Any, Any], line: str, sorts: bool) -> str:  # noqa: FBT001 (as `_text`)
    for key in value:
        if not isinstance(key, str):
            reason = f"the key {key!r} is not text; use text keys"
            raise _NotJsonError(reason, thing="a mapping")
    items: list[str] = []
    step = ""
    try:
        for step in sorted(value) if sorts else value:
            items.append(f"{encode_basestring(step)}: {_text(value[step], line, sorts)}")
    except _NotJsonError as error:
        error.steps.append(f".{step}")
        raise
    return f"{{{line}{f',{line}'.join(items)}{line[:-2]}}}" if items else "{}"
