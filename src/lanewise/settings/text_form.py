"""How delimited text may be stated to be written: its delimiter, its encoding, its columns, the most bytes of it."""

import codecs
import csv
import re
from collections.abc import Iterable
from io import StringIO

from lanewise.errors import UsageError

_SPELT = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|", "pipe": "|"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?")
_UNITS = {"k": 1, "m": 2, "g": 3, "t": 4}


def checked_delimiter(text: str) -> str:
    r"""The delimiter that ``text`` is or spells; ``UsageError`` for what cannot separate cells.

    >>> checked_delimiter(";"), checked_delimiter("tab"), checked_delimiter("\\t")
    (';', '\t', '\t')
    """
    sign = _SPELT.get(text.lower(), text)
    if len(sign) == 1 and sign.isascii() and not sign.isalnum() and sign not in "\"'\r\n\0.+-":
        return sign
    message = (
        f"delimiter must be one ASCII character that is no letter, digit, quote or line end, "
        f"such as ',' or ';', or tab, got {text!r}"
    )
    raise UsageError(message)


def checked_encoding(name: str) -> str:
    """The name of an encoding of text; ``UsageError`` where there is none of that name.

    >>> checked_encoding("latin-1")
    'latin-1'
    """
    try:
        is_text = codecs.lookup(name)._is_text_encoding  # pyright: ignore[reportAttributeAccessIssue]  # no public form
    except (LookupError, ValueError):  # a zero in the name
        is_text = False
    if not is_text:
        message = f"encoding {name!r} is unknown: name one such as utf-8, cp1252, latin-1 or utf-16"
        raise UsageError(message)
    return name


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas; as in CSV one that has a comma stands in double quotes, and a quote is doubled.

    >>> names_of('id, "Income, net", b')
    ('id', 'Income, net', 'b')
    """
    try:
        fields = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        message = f"names must be separated by commas, got {text!r}: {error}"
        raise UsageError(message) from None
    return tuple(name.strip() for name in fields if name.strip())


def as_names(names: Iterable[str]) -> str:
    """Names as :func:`names_of` reads them.

    >>> as_names(["id", "Income, net"])
    'id,"Income, net"'
    """
    line = StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def parse_bytes(text: str) -> int:
    """Bytes of a size such as ``500MB``, ``2GiB`` or ``1000000``; ``UsageError`` for anything else.

    >>> parse_bytes("500MB"), parse_bytes("2 GiB"), parse_bytes("1000000")
    (500000000, 2147483648, 1000000)
    """
    found = _SIZE.fullmatch(text.strip().lower())
    unit = (found[2] or "") if found else ""
    size = 0
    if found and len(text) < 30:
        size = int(float(found[1]) * (1024 if unit.endswith("i") else 1000) ** _UNITS.get(unit[:1], 0))
    if size < 1:
        message = f"max_bytes must be a number of bytes above zero such as 2GB or 500MB, got {text!r}"
        raise UsageError(message)
    return size
